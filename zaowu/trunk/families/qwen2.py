"""Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases for queries, keys and values, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import TrunkConfig
from zaowu.trunk.families import llama
from zaowu.trunk.families.fields import Fields, expect
from zaowu.trunk.families.tensors import Place

MODEL_TYPES = ("qwen2",)


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `llama`."""
    fields = Fields(data, where=where)
    fields.only("use_sliding_window", False)
    kinds = fields.data.get("layer_types") or []
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise fields.wrong("layer_types", "'full_attention' alone", kinds, what_to_do="Use another base.")
    config = llama.decoder_config(
        fields,
        bias=True,
        output_bias=False,
        ffn_bias=False,
        ffn_dim=22016,
        max_positions=32768,
        num_groups=0 if "num_key_value_heads" in fields.data else 32,
    )
    return config, fields.tokens(vocab_size=151936, start=None, end=None, tied=False)


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "qwen2",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their Qwen2Model or, with `heads`, of their Qwen2ForCausalLM."""
    assert model_type in MODEL_TYPES, model_type
    found = (
        ("attention.bias", config.attention.bias, True),
        ("attention.output_bias", config.attention.output_bias, False),
        ("ffn_bias", config.ffn_bias, False),
    )
    expect(model_type, found)
    llama.check_heads(heads, model_type, classify=classes is not None)
    fields = llama.decoder_fields(config, facts, model_type)
    return {"architectures": ["Qwen2ForCausalLM" if heads else "Qwen2Model"], **fields}


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """As in `llama`: which biases there are follows from the config."""
    return llama.names(config, facts, classify=classify, heads=heads)
