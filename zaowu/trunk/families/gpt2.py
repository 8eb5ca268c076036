"""GPT-2 (Radford et al. 2019): causal blocks with the norm before, learned positions, the token table as output layer.

Their matrices lie the other way round (input, output), and those of queries, keys and values are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.families.fields import Fields, expect, no_head, their_activation, their_tokens
from zaowu.trunk.families.tensors import TOKENS, Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODEL_TYPES = ("gpt2",)
_END = 50256  # the one special piece of the published models


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bert`; facts are those of `Fields.tokens`."""
    fields = Fields(data, where=where)
    fields.only("add_cross_attention", False)
    fields.only("scale_attn_weights", True)
    fields.only("scale_attn_by_inverse_layer_idx", False)
    dim = fields.size("n_embd", 768, most=65536)
    dropout = fields.number("resid_pdrop", 0.1, least=0, most=MAX_RATE)
    config = TrunkConfig(
        dim=dim,
        num_layers=fields.size("n_layer", 12, most=512),
        ffn_dim=fields.size("n_inner", 4 * dim, most=262144),
        activation=fields.activation("activation_function", "gelu_new"),
        norm_place="before",
        norm_eps=fields.number("layer_norm_epsilon", 1e-5, least=1e-20, most=0.1),
        dropout=dropout,
        num_segments=0,
        entry_norm=False,
        causal=True,
        positions=PositionConfig(max_positions=fields.size("n_positions", 1024, most=1_000_000)),
        attention=AttentionConfig(
            num_heads=fields.size("n_head", 12, most=1024),
            dropout=fields.number("attn_pdrop", 0.1, least=0, most=MAX_RATE),
        ),
    )
    if config.dim % config.attention.num_heads:
        raise fields.wrong("n_head", f"a divisor of n_embd {config.dim}", config.attention.num_heads)
    entry = fields.number("embd_pdrop", 0.1, least=0, most=MAX_RATE)
    if entry != dropout:
        raise fields.wrong("embd_pdrop", f"the {dropout} of 'resid_pdrop'", entry, what_to_do="Make them equal.")
    return config, fields.tokens(vocab_size=50257, start=_END, end=_END, tied=True)


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "gpt2",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their GPT2Model or, with `heads`, of their GPT2LMHeadModel."""
    assert model_type in MODEL_TYPES, model_type
    attention = config.attention
    found = (
        ("norm", config.norm, "layer"),
        ("norm_place", config.norm_place, "before"),
        ("residual", config.residual, "plain"),
        ("entry_norm", config.entry_norm, False),
        ("num_segments", config.num_segments, 0),
        ("causal", config.causal, True),
        ("ffn_bias", config.ffn_bias, True),
        ("positions.kind", config.positions.kind, "learned"),
        ("attention.num_groups", attention.num_groups or attention.num_heads, attention.num_heads),
        ("attention.bias", attention.bias, True),
        ("attention.output_bias", attention.has_output_bias, True),
    )
    expect(model_type, found)
    _check_heads(heads, classify=classes is not None)
    return {
        "architectures": ["GPT2LMHeadModel" if heads else "GPT2Model"],
        "model_type": model_type,
        "n_embd": config.dim,
        "n_layer": config.num_layers,
        "n_head": attention.num_heads,
        "n_inner": config.ffn_dim,
        "n_positions": config.positions.max_positions,
        "activation_function": their_activation(config.activation, family=model_type),
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": attention.dropout,
        **their_tokens(facts),
    }


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `trunk.*`, `embedder.tokens.weight`, and `lm_head.weight` where it is not tied.

    heads: `causal` for the names of their GPT2LMHeadModel instead of their GPT2Model.
    """
    _check_heads(heads, classify=classify)
    places = {
        "wte.weight": Place(TOKENS),
        "wpe.weight": Place("trunk.positions.weight"),
        **_norm("ln_f", "trunk.exit_norm"),
    }
    for index in range(config.num_layers):
        theirs, ours = f"h.{index}", f"trunk.blocks.{index}"
        places |= _norm(f"{theirs}.ln_1", f"{ours}.attention_norm")
        places |= _conv(f"{theirs}.attn.c_attn", *(f"{ours}.attention.{part}" for part in ("query", "key", "value")))
        places |= _conv(f"{theirs}.attn.c_proj", f"{ours}.attention.output")
        places |= _norm(f"{theirs}.ln_2", f"{ours}.ffn_norm")
        places |= _conv(f"{theirs}.mlp.c_fc", f"{ours}.ffn.up")
        places |= _conv(f"{theirs}.mlp.c_proj", f"{ours}.ffn.down")
    if heads:
        places = {f"transformer.{theirs}": place for theirs, place in places.items()}
        places |= {} if facts.get("tied", 1) else {"lm_head.weight": Place("lm_head.weight")}
    return places


def _norm(theirs: str, ours: str) -> dict[str, Place]:
    return {f"{theirs}.{part}": Place(f"{ours}.{part}") for part in ("weight", "bias")}


def _conv(theirs: str, *ours: str) -> dict[str, Place]:
    """Their `Conv1D`: a matrix (input, output) and a bias, of one layer of ours or of several below one another."""
    places = {}
    for part in ("weight", "bias"):
        first, *below = (f"{name}.{part}" for name in ours)
        places[f"{theirs}.{part}"] = Place(first, transposed=part == "weight", below=tuple(below))
    return places


def _check_heads(heads: Sequence[str], *, classify: bool) -> None:
    if classify or (heads and tuple(heads) != ("causal",)):
        raise no_head("gpt2", heads or ["classes"])
