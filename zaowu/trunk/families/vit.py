"""ViT (Dosovitskiy et al. 2021) and what shares its code: DeiT without its second token, MAE's encoder, DINO ...

Patches, the CLS token and the table of places belong to the embedder of the image; the trunk has blocks with the norm
before, and no positions of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.families.bert import both
from zaowu.trunk.families.fields import Fields, expect, no_head, their_activation
from zaowu.trunk.families.tensors import Place
from zaowu.trunk.transformer.dropout import MAX_RATE

MODALITY = "image"
MODEL_TYPES = ("vit",)
MOST_SIDE = 4096  # pixels


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """Their config -> our trunk, and facts of the image: height, width, patch (in pixels), channels.

    Raises UserError naming the field for a value that is wrong, absurd, or that we do not compute.
    """
    fields = Fields(data, where=where)
    fields.only("pooler_act", "tanh")
    dim = fields.size("hidden_size", 768, most=65536)
    fields.only("pooler_output_size", dim)
    heads = fields.size("num_attention_heads", 12, most=1024)
    if dim % heads:
        raise fields.wrong("num_attention_heads", f"a divisor of hidden_size {dim}", heads)
    config = TrunkConfig(
        dim=dim,
        num_layers=fields.size("num_hidden_layers", 12, most=512),
        ffn_dim=fields.size("intermediate_size", 3072, most=262144),
        activation=fields.activation("hidden_act", "gelu"),
        norm_place="before",
        norm_eps=fields.number("layer_norm_eps", 1e-12, least=1e-20, most=0.1),
        dropout=fields.number("hidden_dropout_prob", 0.0, least=0, most=MAX_RATE),
        num_segments=0,
        entry_norm=False,
        positions=PositionConfig(kind="none"),
        attention=AttentionConfig(
            num_heads=heads,
            dropout=fields.number("attention_probs_dropout_prob", 0.0, least=0, most=MAX_RATE),
            bias=fields.flag("qkv_bias", True),
            output_bias=True,
        ),
    )
    height, width = _sides(fields, "image_size", 224)
    patch, other = _sides(fields, "patch_size", 16)
    if patch != other:
        raise fields.wrong("patch_size", "one side, as patches are square here", [patch, other])
    if height % patch or width % patch:
        raise fields.wrong("image_size", f"multiples of patch_size {patch}", [height, width])
    channels = fields.size("num_channels", 3, most=4)
    if channels not in (1, 3):
        raise fields.wrong("num_channels", "1 or 3", channels)
    return config, {"height": height, "width": width, "patch": patch, "channels": channels}


def _sides(fields: Fields, name: str, default: int) -> tuple[int, int]:
    """A side in pixels, or two of them."""
    value = fields.data.get(name)
    if not isinstance(value, list):
        side = fields.size(name, default, most=MOST_SIDE)
        return side, side
    if len(value) != 2 or not all(type(side) is int and 1 <= side <= MOST_SIDE for side in value):
        raise fields.wrong(name, f"one or two whole numbers from 1 to {MOST_SIDE:,}", value)
    return value[0], value[1]


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "vit",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their ViTModel or, with `classes`, of their ViTForImageClassification.

    That one reads the first state itself, without a pooler. several: a record may have any number of the classes.
    Raises UserError for a trunk, or heads, that ViT cannot hold.
    """
    assert model_type in MODEL_TYPES, model_type
    attention = config.attention
    found = (
        ("norm", config.norm, "layer"),
        ("norm_place", config.norm_place, "before"),
        ("residual", config.residual, "plain"),
        ("entry_norm", config.entry_norm, False),
        ("num_segments", config.num_segments, 0),
        ("causal", config.causal, False),
        ("ffn_bias", config.ffn_bias, True),
        ("positions.kind", config.positions.kind, "none"),
        ("attention.num_groups", attention.num_groups or attention.num_heads, attention.num_heads),
        ("attention.output_bias", attention.has_output_bias, True),
    )
    expect(model_type, found)
    if heads:
        raise no_head(model_type, heads)
    height, width = facts["height"], facts["width"]
    data: dict[str, Any] = {
        "architectures": ["ViTModel" if classes is None else "ViTForImageClassification"],
        "model_type": model_type,
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": attention.num_heads,
        "intermediate_size": config.ffn_dim,
        "hidden_act": their_activation(config.activation, family=model_type),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": attention.dropout,
        "layer_norm_eps": config.norm_eps,
        "image_size": height if height == width else [height, width],
        "patch_size": facts["patch"],
        "num_channels": facts["channels"],
        "qkv_bias": attention.bias,
        "pooler_output_size": config.dim,
        "pooler_act": "tanh",
    }
    if classes is not None:
        data["id2label"] = {str(index): name for index, name in enumerate(classes)}
        data["label2id"] = {name: index for index, name in enumerate(classes)}
        data["problem_type"] = "multi_label_classification" if several else "single_label_classification"
    return data


def write_preprocessor(facts: dict[str, int], *, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """The `preprocessor_config.json` that says to their library what we do to an image. mean, std: by channel."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": facts["height"], "width": facts["width"]},
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
        "do_convert_rgb": facts["channels"] == 3,
    }


def read_preprocessor(data: Any, facts: dict[str, int], *, where: str) -> dict[str, list[float]]:
    """mean and std by channel from their `preprocessor_config.json`; 0.5 where it says nothing, as in the paper's code.

    Raises UserError naming the field.
    """
    fields = Fields(data, where=where)
    factor = fields.number("rescale_factor", 1 / 255, least=0, most=1)
    if not fields.flag("do_rescale", True) or abs(factor * 255 - 1) > 1e-3:
        raise fields.wrong("rescale_factor", "1/255, as pixels are shares here", factor)
    if not fields.flag("do_normalize", True):
        return {"mean": [0.0] * facts["channels"], "std": [1.0] * facts["channels"]}
    found = {}
    for name in ("mean", "std"):
        values = fields.data.get(f"image_{name}")
        values = [0.5] * facts["channels"] if values is None else values
        good = isinstance(values, list) and len(values) == facts["channels"]
        if not good or not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
            raise fields.wrong(f"image_{name}", f"{facts['channels']} numbers from 0 to 1", values)
        found[name] = [float(value) for value in values]
    if min(found["std"]) < 1e-6:
        raise fields.wrong("image_std", "numbers above 0", found["std"])
    return found


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """Their tensor name -> ours: `trunk.*`, `embedder.image.*`, `pooler.*`, and `head.*` with `classify`.

    classify: the names of their ViTForImageClassification instead of their ViTModel.
    """
    if heads:
        raise no_head("vit", heads)
    places = {
        "embeddings.cls_token": Place("embedder.image.cls"),
        "embeddings.position_embeddings": Place("embedder.image.positions"),
        **both("embeddings.patch_embeddings.projection", "embedder.image.projection"),
        **both("layernorm", "trunk.exit_norm"),
    }
    for index in range(config.num_layers):
        theirs, ours = f"encoder.layer.{index}", f"trunk.blocks.{index}"
        for part in ("query", "key", "value"):
            layer = both(f"{theirs}.attention.attention.{part}", f"{ours}.attention.{part}")
            places |= {name: place for name, place in layer.items() if config.attention.bias or "bias" not in name}
        places |= both(f"{theirs}.attention.output.dense", f"{ours}.attention.output")
        places |= both(f"{theirs}.layernorm_before", f"{ours}.attention_norm")
        places |= both(f"{theirs}.intermediate.dense", f"{ours}.ffn.up")
        places |= both(f"{theirs}.output.dense", f"{ours}.ffn.down")
        places |= both(f"{theirs}.layernorm_after", f"{ours}.ffn_norm")
    if not classify:
        return {**places, **both("pooler.dense", "pooler", optional=True)}
    return {**{f"vit.{theirs}": place for theirs, place in places.items()}, **both("classifier", "head")}
