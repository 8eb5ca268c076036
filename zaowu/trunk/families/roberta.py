"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): BERT's encoder, other names and places.

Their positions start behind the padding piece: the first token has place pad_id + 1, and the rows before
that are never used by a token. We leave those rows out, and write them as zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zaowu.config import TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.families import bert
from zaowu.trunk.families.fields import expect
from zaowu.trunk.families.tensors import Place

MODEL_TYPES = ("roberta", "xlm-roberta")
_CLASSES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bert`; position_offset is pad_id + 1."""
    defaults = {"vocab_size": 50265, "pad_token_id": 1}
    if isinstance(data, dict):
        data = {**data, **{name: value for name, value in defaults.items() if data.get(name) is None}}
    config, facts = bert.read_config(data, where=where)
    offset = facts["pad_id"] + 1
    rows = config.positions.max_positions - offset
    if rows < 1:
        raise UserError(
            f"{where}, 'max_position_embeddings': expected more than pad_token_id + 1 = {offset}, "
            f"got {config.positions.max_positions}."
        )
    config = replace(config, positions=replace(config.positions, max_positions=rows))
    return config, {**facts, "position_offset": offset}


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "roberta",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """As in `bert`, for their RobertaModel, XLMRobertaModel, ...ForSequenceClassification and ...ForMaskedLM."""
    assert facts["position_offset"] == facts["pad_id"] + 1, facts
    head = "ForSequenceClassification" if classes is not None else "Model"
    if heads:
        head = "ForMaskedLM"
        bert.has_pairs(heads, facts, model_type)
        expect(
            f"{model_type} masked language", [("activation", config.activation, "gelu")]
        )  # their head knows no other
    data = bert.encoder_config(config, facts, model_type, classes, several)
    return {"architectures": [_CLASSES[model_type] + head], **data}


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """As in `bert`. Their classifier has the pooler inside: a dense layer and tanh on the first token.

    heads: `masked` alone; RoBERTa does without pairs of sentences.
    """
    places = bert.encoder_names(config, facts)
    if not classify and not heads:
        return {**places, **bert.both("pooler.dense", "pooler", optional=True)}
    places = {f"roberta.{theirs}": place for theirs, place in places.items()}
    if heads:
        bert.has_pairs(heads, facts, "roberta")
        places |= {**bert.both("lm_head.dense", "masked.dense"), **bert.both("lm_head.layer_norm", "masked.norm")}
        return {**places, "lm_head.bias": Place("masked.bias")}
    return {**places, **bert.both("classifier.dense", "pooler"), **bert.both("classifier.out_proj", "head")}
