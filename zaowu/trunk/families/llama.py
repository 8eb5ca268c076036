"""Llama (Touvron et al. 2023): causal blocks with the RMS norm before, rotary positions, SwiGLU, heads in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.families.fields import Fields, expect, no_head, their_tokens
from zaowu.trunk.families.tensors import TOKENS, Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODEL_TYPES = ("llama",)


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bert`; facts are those of `Fields.tokens`."""
    fields = Fields(data, where=where)
    bias = fields.flag("attention_bias", False)
    config = decoder_config(fields, bias=bias, output_bias=None, ffn_bias=fields.flag("mlp_bias", False))
    return config, fields.tokens(vocab_size=32000, start=1, end=2, tied=False)


def decoder_config(
    fields: Fields,
    *,
    bias: bool,
    output_bias: bool | None,
    ffn_bias: bool,
    ffn_dim: int = 11008,
    max_positions: int = 2048,
    num_groups: int = 0,
) -> TrunkConfig:
    """The fields that Llama and its descendants share. The numbers are what stands for an absent field."""
    fields.only("hidden_act", "silu", "swish")
    dim = fields.size("hidden_size", 4096, most=65536)
    heads = fields.size("num_attention_heads", 32, most=1024)
    groups = fields.size("num_key_value_heads", num_groups or heads, most=1024)
    if dim % heads:
        raise fields.wrong("num_attention_heads", f"a divisor of hidden_size {dim}", heads)
    if heads % groups:
        raise fields.wrong("num_key_value_heads", f"a divisor of num_attention_heads {heads}", groups)
    fields.only("head_dim", dim // heads)
    if dim // heads % 2:
        raise fields.wrong("num_attention_heads", f"heads of an even width (hidden_size is {dim})", heads)
    return TrunkConfig(
        dim=dim,
        num_layers=fields.size("num_hidden_layers", 32, most=512),
        ffn_dim=fields.size("intermediate_size", ffn_dim, most=262144),
        ffn_bias=ffn_bias,
        activation="swiglu",
        norm="rms",
        norm_place="before",
        norm_eps=fields.number("rms_norm_eps", 1e-6, least=1e-20, most=0.1),
        dropout=0.0,
        num_segments=0,
        entry_norm=False,
        causal=True,
        positions=PositionConfig(
            kind="rotary",
            max_positions=fields.size("max_position_embeddings", max_positions, most=1_000_000),
            base=_rotary_base(fields),
        ),
        attention=AttentionConfig(
            num_heads=heads,
            num_groups=0 if groups == heads else groups,
            dropout=fields.number("attention_dropout", 0.0, least=0, most=MAX_RATE),
            bias=bias,
            output_bias=output_bias,
        ),
    )


def _rotary_base(fields: Fields) -> float:
    """From `rope_theta`, or from where newer files have it. Raises UserError where angles are stretched."""
    for name in ("rope_scaling", "rope_parameters"):
        given = fields.data.get(name)
        if not given:
            continue
        inner = Fields(given, where=f"{fields.where}, '{name}'")
        kind = inner.data.get("rope_type") or inner.data.get("type") or "default"
        if kind != "default":
            raise inner.wrong("rope_type", "'default'", kind, what_to_do="Use another base.")
        inner.only("partial_rotary_factor", 1.0, 1)
        if inner.data.get("rope_theta") is not None:
            return inner.number("rope_theta", 10000.0, least=1.01, most=1e11)
    fields.only("partial_rotary_factor", 1.0, 1)
    return fields.number("rope_theta", 10000.0, least=1.01, most=1e11)


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "llama",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their LlamaModel or, with `heads`, of their LlamaForCausalLM."""
    assert model_type in MODEL_TYPES, model_type
    attention = config.attention
    expect(model_type, [("attention.output_bias", attention.has_output_bias, attention.bias)])
    check_heads(heads, model_type, classify=classes is not None)
    return {
        "architectures": ["LlamaForCausalLM" if heads else "LlamaModel"],
        **decoder_fields(config, facts, model_type),
        "attention_bias": attention.bias,
        "mlp_bias": config.ffn_bias,
    }


def decoder_fields(config: TrunkConfig, facts: dict[str, int], model_type: str) -> dict[str, Any]:
    """The inverse of `decoder_config`. Raises UserError for a trunk that Llama and its descendants cannot hold."""
    attention = config.attention
    found = (
        ("norm", config.norm, "rms"),
        ("norm_place", config.norm_place, "before"),
        ("activation", config.activation, "swiglu"),
        ("residual", config.residual, "plain"),
        ("dropout", config.dropout, 0.0),
        ("entry_norm", config.entry_norm, False),
        ("num_segments", config.num_segments, 0),
        ("causal", config.causal, True),
        ("positions.kind", config.positions.kind, "rotary"),
    )
    expect(model_type, found)
    return {
        "model_type": model_type,
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_groups or attention.num_heads,
        "intermediate_size": config.ffn_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.positions.max_positions,
        "rope_theta": config.positions.base,
        "rms_norm_eps": config.norm_eps,
        "attention_dropout": attention.dropout,
        **their_tokens(facts),
    }


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `trunk.*`, `embedder.tokens.weight`, and `lm_head.weight` where it is not tied.

    heads: `causal` for the names of their LlamaForCausalLM instead of their LlamaModel.
    """
    check_heads(heads, "llama", classify=classify)
    attention = config.attention
    places = {"embed_tokens.weight": Place(TOKENS), "norm.weight": Place("trunk.exit_norm.weight")}
    for index in range(config.num_layers):
        theirs, ours = f"layers.{index}", f"trunk.blocks.{index}"
        places[f"{theirs}.input_layernorm.weight"] = Place(f"{ours}.attention_norm.weight")
        places[f"{theirs}.post_attention_layernorm.weight"] = Place(f"{ours}.ffn_norm.weight")
        layers = [
            (f"self_attn.{name[0]}_proj", f"attention.{name}", attention.bias) for name in ("query", "key", "value")
        ]
        layers += [("self_attn.o_proj", "attention.output", attention.has_output_bias)]
        layers += [(f"mlp.{name}_proj", f"ffn.{name}", config.ffn_bias) for name in ("gate", "up", "down")]
        for their_layer, our_layer, bias in layers:
            for part in ("weight", "bias") if bias else ("weight",):
                places[f"{theirs}.{their_layer}.{part}"] = Place(f"{ours}.{our_layer}.{part}")
    if heads:
        places = {f"model.{theirs}": place for theirs, place in places.items()}
        places |= {} if facts.get("tied", 1) else {"lm_head.weight": Place("lm_head.weight")}
    return places


def check_heads(heads: Sequence[str], model_type: str, *, classify: bool) -> None:
    """Raises UserError for output layers that these families have no class for."""
    if classify or (heads and tuple(heads) != ("causal",)):
        raise no_head(model_type, heads or ["classes"])
