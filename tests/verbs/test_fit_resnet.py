"""`fit --base hf:FOLDER`: a ResNet of transformers before the trunk, frozen or learning, and in the saved run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from image_files import encoded
from safetensors.torch import load_file

import zaowu
from zaowu.batching.batch import collate
from zaowu.errors import UserError

TINY = {"threads": 1, "precision": "fp32", "quiet": True, "lang": "en", "epochs": 1, "size": "mini"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZES = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 2], "layer_type": "basic"}


def their_network(folder: Path, kind: type = transformers.ResNetModel, **more) -> torch.nn.Module:
    torch.manual_seed(0)
    model = kind(transformers.ResNetConfig(**{**SIZES, **more})).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_mean" in name or name.endswith("bias"):  # those start at 0 and 1, and would prove nothing
                tensor.add_(torch.randn_like(tensor) * 0.2)
            if "running_var" in name:
                tensor.mul_(torch.rand_like(tensor) + 0.5)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(0)
    for index in range(20):
        place = folder / ("dark", "bright")[index % 2]
        place.mkdir(exist_ok=True)
        pixels = chance.integers(0, 128, (40, 24, 3)) + 120 * (index % 2)
        (place / f"{index}.png").write_bytes(encoded(pixels.astype(np.uint8)))
    return folder


def their_map(run, network: torch.nn.Module, paths: list[str]) -> torch.Tensor:
    """(B, T, C): the last feature map of the same images, row by row."""
    images = np.stack([run.source.alone.image(path) for path in paths])
    pixels = torch.from_numpy(((images / 255 - MEAN) / STD).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network(pixel_values=pixels).last_hidden_state.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("kind", [transformers.ResNetModel, transformers.ResNetForImageClassification])
def test_the_feature_map_of_their_network_becomes_tokens(kind, photos, tmp_path):
    theirs = their_network(tmp_path / "resnet", kind)
    network = getattr(theirs, "resnet", theirs)
    made = zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", out=tmp_path / "run", **TINY)
    assert made.content.base == "resnet" and made.source.alone.frozen
    run = zaowu.load(tmp_path / "run", precision="fp32")
    assert run.source.alone.size == (40, 24) and run.source.alone.grid == (5, 3)
    paths = [str(path) for path in sorted(photos.rglob("*.png"))[:3]]
    batch = collate([run.source.features(item) for item in run.source.items({"image": paths})], run.source.specs)
    embedder, seen = run.model.embedders["image"], their_map(run, network, paths)
    with torch.no_grad():
        ours = embedder(**batch.inputs["image"]) - embedder.positions
        expected = seen @ embedder.projection.weight.flatten(1).t() + embedder.projection.bias
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert made.predict(photos).to_plain() == run.predict(photos).to_plain()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    before = "embedders.image.stem.network."
    state = load_file(folder / "model.safetensors")
    return {name.removeprefix(before): tensor for name, tensor in state.items() if name.startswith(before)}


def test_it_stays_as_it_is_or_learns_as_was_said(photos, tmp_path):
    theirs = their_network(tmp_path / "resnet").state_dict()
    base = f"hf:{tmp_path / 'resnet'}"
    zaowu.fit(photos, base=base, out=tmp_path / "kept", **TINY)
    tuned = zaowu.fit(photos, base=base, columns=["image:frozen=no"], out=tmp_path / "tuned", **TINY)
    kept, learned = weights_of(tmp_path / "kept"), weights_of(tmp_path / "tuned")
    assert kept.keys() == learned.keys() == {name for name in theirs if "num_batches" not in name}
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
        is_statistic = "running" in name  # of a norm over batches: fixed, so that a record hangs on itself alone
        assert torch.equal(learned[name], tensor) == is_statistic, name
    assert tuned.config.train.lr == 1e-4


def test_a_saved_run_is_opened_without_the_folder_and_its_config_is_checked(photos, tmp_path):
    their_network(tmp_path / "resnet")
    zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", out=tmp_path / "run", **TINY)
    (tmp_path / "resnet").rename(tmp_path / "elsewhere")
    assert len(zaowu.load(tmp_path / "run").predict(photos)) == 20
    path = tmp_path / "run" / "zaowu.json"
    manifest = json.loads(path.read_text("utf-8"))
    for field, value in (("hidden_sizes", [8, 10**9]), ("depths", [1]), ("hidden_act", "exec"), ("model_type", "x")):
        own = json.loads(json.dumps(manifest))
        own["inputs"]["image"]["state"]["network"][field] = value
        path.write_text(json.dumps(own), "utf-8")
        with pytest.raises(UserError, match=rf"'network', '{field}'"):
            zaowu.load(tmp_path / "run")


def test_folders_that_hold_no_such_network_are_refused(photos, tmp_path, monkeypatch):
    their_network(tmp_path / "resnet")
    choices = {"out": tmp_path / "run", **TINY}
    with pytest.raises(UserError, match="there is no folder"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'nothing'}", **choices)
    with pytest.raises(UserError, match="reads images, and no column here is one"):
        zaowu.fit([{"text": f"{i} so", "label": "ab"[i % 2]} for i in range(20)], target="label",
                  base=f"hf:{tmp_path / 'resnet'}", **choices)  # fmt: skip
    with pytest.raises(UserError, match="the base is a stem itself"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", columns=["image:stem=conv"], **choices)
    with pytest.raises(UserError, match="--column image:frozen: there is no network"):
        zaowu.fit(photos, base="none", columns=["image:frozen=yes"], **choices)
    config = tmp_path / "resnet" / "config.json"
    said = config.read_text("utf-8")
    config.write_text(said.replace('"resnet"', '"convnext"'), "utf-8")
    with pytest.raises(UserError, match="'model_type': expected resnet"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", **choices)
    config.write_text(json.dumps({**json.loads(said), "embedding_size": 9}), "utf-8")
    with pytest.raises(UserError, match="expected the shape"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", **choices)
    config.write_text(said, "utf-8")
    (tmp_path / "resnet" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="there is no such file; other formats are not read"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", **choices)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="needs transformers, which is not installed"):
        zaowu.fit(photos, base=f"hf:{tmp_path / 'resnet'}", **choices)
