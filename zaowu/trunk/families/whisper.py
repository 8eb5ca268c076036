"""The encoder of Whisper (Radford et al. 2022): two convolutions over log-mel frames, then blocks with the norm before.

Its places are sinusoids that lie in the file as a table, and are learned here from there on. Keys have no bias with
them; ours start at zero and mean nothing: a bias of the keys adds the same to all scores of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.families.bert import both
from zaowu.trunk.families.fields import Fields, expect, no_head, their_activation
from zaowu.trunk.families.tensors import Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODALITY = "audio"
MODEL_TYPES = ("whisper",)
KERNEL = 3  # frames
NORM_EPS = 1e-5  # not a field of theirs


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bert`; the decoder's fields are not looked at. facts: num_mels. There is no token table."""
    fields = Fields(data, where=where)
    config = TrunkConfig(
        dim=fields.size("d_model", 384, most=65536),
        num_layers=fields.size("encoder_layers", 4, most=512),
        ffn_dim=fields.size("encoder_ffn_dim", 1536, most=262144),
        activation=fields.activation("activation_function", "gelu"),
        norm_place="before",
        norm_eps=NORM_EPS,
        dropout=fields.number("dropout", 0.0, least=0, most=MAX_RATE),
        num_segments=0,
        entry_norm=False,
        positions=PositionConfig(max_positions=fields.size("max_source_positions", 1500, most=1_000_000)),
        attention=AttentionConfig(
            num_heads=fields.size("encoder_attention_heads", 6, most=1024),
            dropout=fields.number("attention_dropout", 0.0, least=0, most=MAX_RATE),
        ),
    )
    heads = config.attention.num_heads
    if config.dim % heads:
        raise fields.wrong("encoder_attention_heads", f"a divisor of d_model {config.dim}", heads)
    return config, {"num_mels": fields.size("num_mel_bins", 80, most=1024)}


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "whisper",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their WhisperEncoder. It says that there are no tokens and no decoder, so their classes
    that write text refuse the folder instead of making up the weights.
    """
    assert model_type in MODEL_TYPES, model_type
    attention = config.attention
    found = (
        ("norm", config.norm, "layer"),
        ("norm_place", config.norm_place, "before"),
        ("norm_eps", config.norm_eps, NORM_EPS),
        ("residual", config.residual, "plain"),
        ("entry_norm", config.entry_norm, False),
        ("num_segments", config.num_segments, 0),
        ("causal", config.causal, False),
        ("ffn_bias", config.ffn_bias, True),
        ("positions.kind", config.positions.kind, "learned"),
        ("attention.num_groups", attention.num_groups or attention.num_heads, attention.num_heads),
        ("attention.bias", attention.bias, True),
        ("attention.output_bias", attention.has_output_bias, True),
    )
    expect(model_type, found)
    _check_heads(heads, classify=classes is not None)
    return {
        "architectures": ["WhisperEncoder"],
        "model_type": model_type,
        "d_model": config.dim,
        "encoder_layers": config.num_layers,
        "encoder_attention_heads": attention.num_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "activation_function": their_activation(config.activation, family=model_type),
        "dropout": config.dropout,
        "attention_dropout": attention.dropout,
        "max_source_positions": config.positions.max_positions,
        "num_mel_bins": facts["num_mels"],
        "vocab_size": 0,
        "decoder_layers": 0,
    }


def read_preprocessor(data: Any, facts: dict[str, int], *, where: str) -> dict[str, list[float]]:
    """Nothing: Whisper has one scale, that of its log-mel features. Raises UserError naming a setting that is not its
    own: those features are computed here in no other way.
    """
    fields = Fields(data, where=where)
    fields.only("feature_size", facts["num_mels"])
    for name, usual in (("sampling_rate", 16_000), ("n_fft", 400), ("hop_length", 160)):
        fields.only(name, usual)
    return {}


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `embedder.conv1.*`, `embedder.conv2.*` of the stem in `inputs/audio`, and `trunk.*`.

    Their class for sounds has an output layer, but reads 30 seconds of every recording, silence included: it cannot
    say what ours says, so there is none.
    """
    _check_heads(heads, classify=classify)
    places: dict[str, Place] = {}
    for conv, width in (("conv1", facts["num_mels"]), ("conv2", config.dim)):
        places[f"{conv}.weight"] = Place(f"embedder.{conv}.weight", shape=(config.dim, width, KERNEL))
        places[f"{conv}.bias"] = Place(f"embedder.{conv}.bias", shape=(config.dim,))
    places |= {"embed_positions.weight": Place("trunk.positions.weight"), **both("layer_norm", "trunk.exit_norm")}
    for index in range(config.num_layers):
        theirs, ours = f"layers.{index}", f"trunk.blocks.{index}"
        places |= both(f"{theirs}.self_attn_layer_norm", f"{ours}.attention_norm")
        places |= both(f"{theirs}.self_attn.q_proj", f"{ours}.attention.query")
        places[f"{theirs}.self_attn.k_proj.weight"] = Place(f"{ours}.attention.key.weight")
        places[f"{theirs}.self_attn.k_proj.bias"] = Place(f"{ours}.attention.key.bias", absent=True)
        places |= both(f"{theirs}.self_attn.v_proj", f"{ours}.attention.value")
        places |= both(f"{theirs}.self_attn.out_proj", f"{ours}.attention.output")
        places |= both(f"{theirs}.final_layer_norm", f"{ours}.ffn_norm")
        places |= both(f"{theirs}.fc1", f"{ours}.ffn.up")
        places |= both(f"{theirs}.fc2", f"{ours}.ffn.down")
    return places


def _check_heads(heads: Sequence[str], *, classify: bool) -> None:
    if classify or heads:
        raise no_head("whisper", heads or ["classes"])
