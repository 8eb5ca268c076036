"""ViT checkpoints of transformers, both ways, at their own resolution and at another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs.image.augment import cut
from zaowu.inputs.image.embedder import ImageEmbedding, resized
from zaowu.trunk import families
from zaowu.trunk.families import vit
from zaowu.trunk.transformer.encoder import Encoder

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
POSITIONS = "embedder.image.positions"


def their_model(head: str = "ViTModel", **more):
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "image_size": 12,
        "patch_size": 4,
        "layer_norm_eps": 1e-6,
        "initializer_range": 0.3,
        "num_labels": 3,
    }
    torch.manual_seed(0)
    model = getattr(transformers, head)(transformers.ViTConfig(**{**sizes, **more})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "layernorm" in name:  # those start at 0 and 1, and would prove nothing
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def read(folder: Path, **more):
    data = json.loads((folder / "config.json").read_text("utf-8"))
    family = families.find(data["model_type"])
    config, facts = family.read_config(data)
    places = family.names(config, facts, classify="num_classes" in more)
    return (
        config,
        facts,
        families.load_tensors(folder / "model.safetensors", places, config=config, facts=facts, **more),
    )


def images(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, height, width, channels), np.uint8)


def states(config, facts, state, pixels: np.ndarray) -> torch.Tensor:
    """Ours for (B, H, W, C) bytes, whatever their resolution."""
    patch, channels = facts["patch"], facts["channels"]
    grid = pixels.shape[1] // patch, pixels.shape[2] // patch
    embedder = ImageEmbedding(
        config.dim, grid=grid, patch=patch, mean=MEAN[:channels], std=STD[:channels], stem="patch", cls=True
    ).eval()
    own = facts["height"] // patch, facts["width"] // patch
    state = {**state, POSITIONS: resized(state[POSITIONS], old=own, new=grid)}
    ours = Encoder(config).eval()
    for module, prefix in ((embedder, "embedder.image."), (ours, "trunk.")):
        module.load_state_dict({n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)})
    patches = np.stack([np.concatenate((np.full((1, patch**2 * channels), 7), cut(one, patch))) for one in pixels])
    vectors = embedder(torch.from_numpy(patches.astype(np.uint8)))
    places = torch.arange(vectors.shape[1]).expand(2, -1)
    return ours(vectors, mask=torch.ones_like(places, dtype=torch.bool), positions=places, segments=places * 0)


def their_pixels(pixels: np.ndarray) -> torch.Tensor:
    channels = pixels.shape[3]
    return torch.from_numpy(((pixels / 255 - MEAN[:channels]) / STD[:channels]).astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "more",
    [{}, {"num_channels": 1}, {"qkv_bias": False, "hidden_act": "relu"}, {"image_size": [8, 20]}],
    ids=["plain", "grey", "no-bias", "wide"],
)
def test_theirs_opened_by_us(more, tmp_path):
    theirs = their_model(**more)
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    pixels = images(facts["height"], facts["width"], facts["channels"])
    expected = theirs(pixel_values=their_pixels(pixels))
    got = states(config, facts, state, pixels)
    torch.testing.assert_close(got, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    pooled = torch.tanh(got[:, 0] @ state["pooler.weight"].t() + state["pooler.bias"])
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(20, 20), (8, 8), (16, 24)], ids=str)
def test_at_another_resolution_the_places_are_interpolated(size, tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    pixels = images(*size)
    expected = theirs(pixel_values=their_pixels(pixels), interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(states(config, facts, state, pixels), expected, rtol=1e-4, atol=1e-4)


def test_their_classifier_reads_the_first_state(tmp_path):
    theirs = their_model("ViTForImageClassification")
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path, num_classes=3)
    pixels = images(12, 12)
    scores = states(config, facts, state, pixels)[:, 0] @ state["head.weight"].t() + state["head.bias"]
    torch.testing.assert_close(scores, theirs(pixel_values=their_pixels(pixels)).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [None, ("猫", "dog", "other")], ids=["model", "classifier"])
def test_ours_opened_by_them(classes, tmp_path):
    trunk = TrunkConfig(
        dim=16,
        num_layers=2,
        ffn_dim=24,
        norm_place="before",
        norm_eps=1e-6,
        num_segments=0,
        entry_norm=False,
        dropout=0.0,
        positions=PositionConfig(kind="none"),
        attention=AttentionConfig(num_heads=2),
    )
    facts = {"height": 8, "width": 12, "patch": 4, "channels": 3}
    places = vit.names(trunk, facts, classify=classes is not None)
    torch.manual_seed(0)
    state = {f"trunk.{name}": torch.randn_like(t) * 0.3 for name, t in Encoder(trunk).state_dict().items()}
    embedder = ImageEmbedding(16, grid=(2, 3), patch=4, mean=MEAN, std=STD, cls=True)
    state |= {f"embedder.image.{name}": torch.randn_like(t) * 0.3 for name, t in embedder.state_dict().items()}
    last = {"pooler": (16, 16)} if classes is None else {"head": (3, 16)}
    for name, shape in last.items():
        state |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(shape[0])}
    config = vit.write_config(trunk, facts, classes=classes)
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    families.save_tensors(tmp_path / "model.safetensors", state, places)
    theirs, info = getattr(transformers, config["architectures"][0]).from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in info.items() if found} == {}
    pixels = images(8, 12)
    got, expected = states(trunk, facts, state, pixels), theirs.eval()(pixel_values=their_pixels(pixels))
    if classes is None:
        torch.testing.assert_close(got, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    else:
        scores = got[:, 0] @ state["head.weight"].t() + state["head.bias"]
        torch.testing.assert_close(scores, expected.logits, rtol=1e-4, atol=1e-4)
        assert theirs.config.id2label == dict(enumerate(classes))
    attention = replace(trunk.attention, output_bias=True)  # said, where ours has it follow from `bias`
    assert vit.read_config(config) == (replace(trunk, attention=attention), facts)


def test_what_is_done_to_an_image_is_said_to_their_processor(tmp_path):
    facts = {"height": 8, "width": 12, "patch": 4, "channels": 3}
    data = vit.write_preprocessor(facts, mean=MEAN, std=STD)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(data), "utf-8")
    assert vit.read_preprocessor(data, facts, where="p.json") == {"mean": list(MEAN), "std": list(STD)}
    assert vit.read_preprocessor({}, facts, where="p.json") == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert vit.read_preprocessor({"do_normalize": False}, facts, where="p.json") == {
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    }
    with pytest.raises(UserError, match="rescale_factor"):
        vit.read_preprocessor({"rescale_factor": 1 / 127.5}, facts, where="p.json")
    for wrong in ({"image_mean": [0.5]}, {"image_std": [0, 1, 1]}, {"image_mean": "x"}, {"image_std": [1, 1, 300]}):
        with pytest.raises(UserError, match=r"p\.json, 'image_"):
            vit.read_preprocessor(wrong, facts, where="p.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 13),
        ("image_size", [12, 0]),
        ("image_size", 10**9),
        ("patch_size", [4, 2]),
        ("num_channels", 2),
        ("num_attention_heads", 5),
        ("pooler_act", "relu"),
        ("qkv_bias", 1),
        ("hidden_size", -1),
    ],
)
def test_a_wrong_config_is_refused_by_name(field, value):
    data = {"model_type": "vit", "image_size": 12, "patch_size": 4, "hidden_size": 16, "num_attention_heads": 4}
    assert vit.read_config({**data, "pooler_output_size": 16})
    with pytest.raises(UserError, match=field):
        vit.read_config({**data, field: value})


def test_tensors_of_another_shape_are_refused(tmp_path):
    their_model().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = load_file(path)
    for name in (
        "embeddings.cls_token",
        "embeddings.position_embeddings",
        "embeddings.patch_embeddings.projection.weight",
    ):
        save_file({**whole, name: whole[name][..., :-1].contiguous()}, path)
        with pytest.raises(UserError, match="expected the shape"):
            read(tmp_path)
        save_file({key: tensor for key, tensor in whole.items() if key != name}, path)
        with pytest.raises(UserError, match="is missing"):
            read(tmp_path)


@pytest.mark.parametrize(
    "trunk",
    [TrunkConfig(), TrunkConfig(norm_place="before", num_segments=0, entry_norm=False)],
    ids=["bert", "learned"],
)
def test_a_trunk_that_they_cannot_hold_is_refused(trunk):
    with pytest.raises(UserError, match="a vit model has"):
        vit.write_config(trunk, {"height": 8, "width": 8, "patch": 4, "channels": 3})
