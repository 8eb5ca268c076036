"""BERT (Devlin et al. 2019) and what shares its code: MiniLM, E5, BGE, GTE small, Chinese BERT-wwm ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.families.fields import Fields, cannot_hold, expect, no_head, their_activation
from zaowu.trunk.families.tensors import Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODEL_TYPES = ("bert",)


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """Their config -> our trunk, and facts of their token table: vocab_size, pad_id, position_offset.

    position_offset: rows at the head of their position table that no token uses; 0 here. tied: 0 where their output
    layer for masked pieces is not the token table, else absent.
    Raises UserError naming the field for a value that is wrong, absurd, or that our trunk does not compute.
    """
    fields = Fields(data, where=where)
    fields.only("is_decoder", False)
    fields.only("add_cross_attention", False)
    fields.only("position_embedding_type", "absolute")
    vocab_size = fields.size("vocab_size", 30522, most=10_000_000)
    config = TrunkConfig(
        dim=fields.size("hidden_size", 768, most=65536),
        num_layers=fields.size("num_hidden_layers", 12, most=512),
        ffn_dim=fields.size("intermediate_size", 3072, most=262144),
        activation=fields.activation("hidden_act", "gelu"),
        norm_eps=fields.number("layer_norm_eps", 1e-12, least=1e-20, most=0.1),
        dropout=fields.number("hidden_dropout_prob", 0.1, least=0, most=MAX_RATE),
        num_segments=fields.size("type_vocab_size", 2, most=65536),
        positions=PositionConfig(max_positions=fields.size("max_position_embeddings", 512, most=1_000_000)),
        attention=AttentionConfig(
            num_heads=fields.size("num_attention_heads", 12, most=1024),
            dropout=fields.number("attention_probs_dropout_prob", 0.1, least=0, most=MAX_RATE),
        ),
    )
    if config.dim % config.attention.num_heads:
        raise fields.wrong("num_attention_heads", f"a divisor of hidden_size {config.dim}", config.attention.num_heads)
    pad_id = fields.size("pad_token_id", 0, least=0, most=vocab_size - 1)
    facts = {"vocab_size": vocab_size, "pad_id": pad_id, "position_offset": 0}
    return config, facts if fields.flag("tie_word_embeddings", True) else {**facts, "tied": 0}


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "bert",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their BertModel or, with `classes`, of their BertForSequenceClassification.

    several: a record may have any number of the classes. heads: as in `names`. Raises UserError for a trunk, or
    heads, that BERT cannot hold.
    """
    assert model_type in MODEL_TYPES, model_type
    head = "ForSequenceClassification" if classes is not None else "Model"
    if heads:
        head = "ForPreTraining" if has_pairs(heads, facts, model_type) else "ForMaskedLM"
    return {"architectures": [f"Bert{head}"], **encoder_config(config, facts, model_type, classes, several)}


def encoder_config(
    config: TrunkConfig, facts: dict[str, int], model_type: str, classes: Sequence[str] | None, several: bool
) -> dict[str, Any]:
    """The fields that BERT and its descendants share."""
    attention = config.attention
    found = (
        ("norm", config.norm, "layer"),
        ("norm_place", config.norm_place, "after"),
        ("residual", config.residual, "plain"),
        ("entry_norm", config.entry_norm, True),
        ("causal", config.causal, False),
        ("positions.kind", config.positions.kind, "learned"),
        ("attention.num_groups", attention.num_groups or attention.num_heads, attention.num_heads),
        ("attention.bias", attention.bias, True),
        ("attention.output_bias", attention.has_output_bias, True),
        ("ffn_bias", config.ffn_bias, True),
    )
    expect(model_type, found)
    if not config.num_segments:
        raise cannot_hold(model_type, "num_segments", 0, ["1 or more"])
    data: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": facts["vocab_size"],
        "pad_token_id": facts["pad_id"],
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": attention.num_heads,
        "intermediate_size": config.ffn_dim,
        "hidden_act": their_activation(config.activation, family=model_type),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": attention.dropout,
        "max_position_embeddings": config.positions.max_positions + facts["position_offset"],
        "type_vocab_size": config.num_segments,
        "layer_norm_eps": config.norm_eps,
    }
    if not facts.get("tied", 1):
        data["tie_word_embeddings"] = False
    if classes is not None:
        data["id2label"] = {str(index): name for index, name in enumerate(classes)}
        data["label2id"] = {name: index for index, name in enumerate(classes)}
        data["problem_type"] = "multi_label_classification" if several else "single_label_classification"
    return data


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `trunk.*`, `embedder.tokens.weight`, `pooler.*`, and `head.*` with `classify`.

    classify: the names of their BertForSequenceClassification instead of their BertModel.
    heads: the objectives whose output layers are there: `masked` is their BertForMaskedLM (`masked.dense.*`,
    `masked.norm.*`, `masked.bias`; its last layer is the token table), and with `next_sentence` or
    `sentence_order` their BertForPreTraining (`pooler.*`, `next_sentence.*`).
    """
    places = encoder_names(config, facts)
    if not classify and not heads:
        return {**places, **both("pooler.dense", "pooler", optional=True)}
    pairs = bool(heads) and has_pairs(heads, facts, "bert")
    if not heads or pairs:
        places |= both("pooler.dense", "pooler", optional=not pairs)
    places = {f"bert.{theirs}": place for theirs, place in places.items()}
    if not heads:
        return {**places, **both("classifier", "head")}
    places |= both("cls.predictions.transform.dense", "masked.dense")
    places |= both("cls.predictions.transform.LayerNorm", "masked.norm")
    places["cls.predictions.bias"] = Place("masked.bias")
    return {**places, **(both("cls.seq_relationship", "next_sentence") if pairs else {})}


def has_pairs(heads: Sequence[str], facts: dict[str, int], model_type: str) -> bool:
    """Whether there is an output layer for pairs of sentences beside that for masked pieces.

    Raises UserError for heads that BERT, or RoBERTa, which does without pairs, cannot hold.
    """
    if not facts.get("tied", 1):
        raise UserError(f"this {model_type} model's output layer is not its token table, which is not supported here.")
    if model_type == "bert" and tuple(heads) in (("masked", "next_sentence"), ("masked", "sentence_order")):
        return True
    if tuple(heads) != ("masked",):
        raise no_head(model_type, heads)
    return False


def encoder_names(config: TrunkConfig, facts: dict[str, int]) -> dict[str, Place]:
    """The tensors that BERT and its descendants share."""
    places = {
        "embeddings.word_embeddings.weight": Place("embedder.tokens.weight"),
        "embeddings.position_embeddings.weight": Place("trunk.positions.weight", skip=facts["position_offset"]),
        "embeddings.token_type_embeddings.weight": Place("trunk.segments.weight"),
        **both("embeddings.LayerNorm", "trunk.entry_norm"),
    }
    for index in range(config.num_layers):
        theirs, ours = f"encoder.layer.{index}", f"trunk.blocks.{index}"
        places |= both(f"{theirs}.attention.self.query", f"{ours}.attention.query")
        places |= both(f"{theirs}.attention.self.key", f"{ours}.attention.key")
        places |= both(f"{theirs}.attention.self.value", f"{ours}.attention.value")
        places |= both(f"{theirs}.attention.output.dense", f"{ours}.attention.output")
        places |= both(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention_norm")
        places |= both(f"{theirs}.intermediate.dense", f"{ours}.ffn.up")
        places |= both(f"{theirs}.output.dense", f"{ours}.ffn.down")
        places |= both(f"{theirs}.output.LayerNorm", f"{ours}.ffn_norm")
    return places


def both(theirs: str, ours: str, *, optional: bool = False) -> dict[str, Place]:
    """Weight and bias of one layer."""
    return {f"{theirs}.{part}": Place(f"{ours}.{part}", optional=optional) for part in ("weight", "bias")}
