"""BART (Lewis et al. 2020): an encoder-decoder with the norm after, one table for both sides and the output layer.

Their position tables begin two rows early. A logit has a bias of its own, `lm_head.bias`, which is no weight of
theirs but kept beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.families.bert import both
from zaowu.trunk.families.fields import Fields, decoder_config, expect, no_head, their_activation
from zaowu.trunk.families.tensors import TOKENS, Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODEL_TYPES = ("bart",)
OFFSET = 2
_PARTS = (("q", "query"), ("k", "key"), ("v", "value"), ("out", "output"))


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bert`, of the encoder; facts have also the decoder's sizes (`decoder_config`) and

    start_id: the piece before an answer. end_id: the one behind it. tied: always 1.
    """
    fields = Fields(data, where=where)
    positions = PositionConfig(max_positions=fields.size("max_position_embeddings", 1024, most=1_000_000))
    return pair_config(fields, positions, entry_norm=True), pair_facts(fields, pad=1, start=2, end=2, offset=OFFSET)


def pair_config(fields: Fields, positions: PositionConfig, *, entry_norm: bool) -> TrunkConfig:
    """The fields that BART and Marian share. Absent ones are what their library takes them for."""
    fields.only("tie_word_embeddings", True)
    fields.only("activation_dropout", 0.0, 0)
    dim = fields.size("d_model", 1024, most=65536)
    for side in ("encoder", "decoder"):
        fields.only(f"{side}_layerdrop", 0.0, 0)
        heads = fields.size(f"{side}_attention_heads", 16, most=1024)
        if dim % heads:
            raise fields.wrong(f"{side}_attention_heads", f"a divisor of d_model {dim}", heads)
    return TrunkConfig(
        dim=dim,
        num_layers=fields.size("encoder_layers", 12, most=512),
        ffn_dim=fields.size("encoder_ffn_dim", 4096, most=262144),
        activation=fields.activation("activation_function", "gelu"),
        norm_eps=1e-5,
        dropout=fields.number("dropout", 0.1, least=0, most=MAX_RATE),
        num_segments=0,
        entry_scale=fields.flag("scale_embedding", False),
        entry_norm=entry_norm,
        positions=positions,
        attention=AttentionConfig(
            num_heads=fields.size("encoder_attention_heads", 16, most=1024),
            dropout=fields.number("attention_dropout", 0.0, least=0, most=MAX_RATE),
        ),
    )


def pair_facts(
    fields: Fields, *, pad: int, start: int, end: int, offset: int, vocab_size: int = 50265
) -> dict[str, int]:
    """Of the token table and of the decoder. pad, start, end: what their library has where the field is absent."""
    size = fields.size("vocab_size", vocab_size, most=10_000_000)
    last = size - 1
    return {
        "vocab_size": size,
        "pad_id": fields.size("pad_token_id", min(pad, last), least=0, most=last),
        "position_offset": offset,
        "tied": 1,
        "start_id": fields.size("decoder_start_token_id", min(start, last), least=0, most=last),
        "end_id": fields.size("eos_token_id", min(end, last), least=0, most=last),
        "decoder_layers": fields.size("decoder_layers", 12, most=512),
        "decoder_heads": fields.size("decoder_attention_heads", 16, most=1024),
        "decoder_ffn_dim": fields.size("decoder_ffn_dim", 4096, most=262144),
    }


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "bart",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their BartForConditionalGeneration: with `heads` ("text",), since half is none."""
    assert model_type in MODEL_TYPES, model_type
    found = (("positions.kind", config.positions.kind, "learned"), ("entry_norm", config.entry_norm, True))
    expect(model_type, found)
    fields = pair_fields(config, facts, model_type, classes, heads)
    return {"architectures": ["BartForConditionalGeneration"], **fields}


def pair_fields(
    config: TrunkConfig, facts: dict[str, int], model_type: str, classes: Sequence[str] | None, heads: Sequence[str]
) -> dict[str, Any]:
    """The inverse of `pair_config` and `pair_facts`. Raises UserError for what these families cannot hold."""
    if classes is not None or tuple(heads) != ("text",):
        raise no_head(model_type, heads or ["half of it"])
    attention = config.attention
    found = (
        ("norm", config.norm, "layer"),
        ("norm_place", config.norm_place, "after"),
        ("norm_eps", config.norm_eps, 1e-5),
        ("residual", config.residual, "plain"),
        ("causal", config.causal, False),
        ("ffn_bias", config.ffn_bias, True),
        ("num_segments", config.num_segments, 0),
        ("attention.num_groups", attention.num_groups or attention.num_heads, attention.num_heads),
        ("attention.bias", attention.bias, True),
        ("attention.output_bias", attention.has_output_bias, True),
        ("tied", facts.get("tied", 1), 1),
    )
    expect(model_type, found)
    decoder = decoder_config(config, facts)
    return {
        "model_type": model_type,
        "is_encoder_decoder": True,
        "vocab_size": facts["vocab_size"],
        "decoder_vocab_size": facts["vocab_size"],
        "pad_token_id": facts["pad_id"],
        "bos_token_id": None,
        "eos_token_id": facts["end_id"],
        "decoder_start_token_id": facts["start_id"],
        "forced_eos_token_id": facts["end_id"],
        "d_model": config.dim,
        "encoder_layers": config.num_layers,
        "encoder_attention_heads": attention.num_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "decoder_layers": decoder.num_layers,
        "decoder_attention_heads": decoder.attention.num_heads,
        "decoder_ffn_dim": decoder.ffn_dim,
        "activation_function": their_activation(config.activation, family=model_type),
        "dropout": config.dropout,
        "attention_dropout": attention.dropout,
        "activation_dropout": 0.0,
        "max_position_embeddings": config.positions.max_positions,
        "scale_embedding": config.entry_scale,
        "tie_word_embeddings": True,
    }


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `trunk.*`, `embedder.tokens.weight` and, with `heads` ("text",), `decoder.*` and

    `lm_head.bias`, as in their BartForConditionalGeneration.
    """
    places = pair_names(config, facts, "bart", classify=classify, heads=heads)
    base = "model." if heads else ""
    for side, stack in (("encoder", "trunk"), ("decoder", "decoder")) if heads else (("encoder", "trunk"),):
        skip = facts["position_offset"]
        places[f"{base}{side}.embed_positions.weight"] = Place(f"{stack}.positions.weight", skip=skip)
        places |= both(f"{base}{side}.layernorm_embedding", f"{stack}.entry_norm")
    return places


def pair_names(
    config: TrunkConfig, facts: dict[str, int], model_type: str, *, classify: bool, heads: Sequence[str]
) -> dict[str, Place]:
    """The tensors that BART and Marian share. Raises UserError for output layers that we have no place for."""
    if classify or (heads and tuple(heads) != ("text",)):
        raise no_head(model_type, heads or ["classes"])
    places = {"shared.weight": Place(TOKENS)}
    for index in range(config.num_layers):
        theirs, ours = f"encoder.layers.{index}", f"trunk.blocks.{index}"
        places |= _attention(f"{theirs}.self_attn", f"{ours}.attention") | _block(theirs, ours)
    if not heads:
        return places
    for index in range(facts["decoder_layers"]):
        theirs, ours = f"decoder.layers.{index}", f"decoder.blocks.{index}"
        places |= _attention(f"{theirs}.self_attn", f"{ours}.attention") | _block(theirs, ours)
        places |= _attention(f"{theirs}.encoder_attn", f"{ours}.cross")
        places |= both(f"{theirs}.encoder_attn_layer_norm", f"{ours}.cross_norm")
    places = {f"model.{theirs}": place for theirs, place in places.items()}
    return {**places, "final_logits_bias": Place("lm_head.bias", optional=True, lifted=True)}


def _attention(theirs: str, ours: str) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for part, name in _PARTS:
        places |= both(f"{theirs}.{part}_proj", f"{ours}.{name}")
    return places


def _block(theirs: str, ours: str) -> dict[str, Place]:
    places = both(f"{theirs}.self_attn_layer_norm", f"{ours}.attention_norm")
    places |= both(f"{theirs}.fc1", f"{ours}.ffn.up") | both(f"{theirs}.fc2", f"{ours}.ffn.down")
    return places | both(f"{theirs}.final_layer_norm", f"{ours}.ffn_norm")
