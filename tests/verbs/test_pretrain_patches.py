"""`zaowu pretrain FOLDER --objective masked-patches`: from files without labels to a base that fit starts from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from image_files import encoded
from made_sounds import sound
from safetensors.torch import load_file

import zaowu
from zaowu.errors import UserError

QUICK = {"objective": "masked-patches", "size": "mini", "threads": 1, "precision": "fp32", "quiet": True, "lang": "en"}
FIT = {"threads": 1, "precision": "fp32", "quiet": True, "lang": "en", "epochs": 1, "lr": 1e-9}


def ramps(folder: Path, number: int) -> Path:
    """Brightness that grows in one direction: what is hidden follows from what is seen."""
    down, across = np.mgrid[:16, :16]
    chance = np.random.default_rng(0)
    for index in range(number):
        angle = chance.uniform(0, 2 * np.pi)
        ramp = (np.cos(angle) * down + np.sin(angle) * across) * 6 + chance.uniform(80, 170)
        place = folder / ("down", "up")[int(angle > np.pi)]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{index}.png").write_bytes(encoded(np.clip(ramp, 0, 255).astype(np.uint8)))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    photos = ramps(folder / "photos", 80)
    (photos / "up" / "copy.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    (photos / "down" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    base = zaowu.pretrain(photos, epochs=12, batch_size=16, lr=3e-3, settings=["held_out=0.1"],
                          out=folder / "base", **QUICK)  # fmt: skip
    return photos, base


def test_the_error_of_hidden_patches_falls_on_images_that_it_never_saw(made):
    _, base = made
    assert base.content.before["loss"] > 0.9 and base.scores["loss"] < 0.6
    losses = [point.train_loss for point in base.content.history]
    assert losses[-1] < losses[0]
    corpus = base.content.corpus
    assert (corpus["records"], corpus["copies"], corpus["unreadable"], corpus["held_out_records"]) == (80, 1, 1, 8)
    assert "broken.png: expected an image" in base.content.unreadable[0]
    assert "the error of hidden patches fell from" in base.lines()[1]
    page = (base.folder / "report.html").read_text("utf-8")
    assert "paint patches" in page and "8 held-out records" in page


def test_a_fit_begins_with_its_weights_and_others_open_it(made, tmp_path):
    photos, base = made
    zaowu.fit(photos, base=str(base.folder), on_bad_row="skip", out=tmp_path / "run", **FIT)
    given = load_file(base.folder / "model.safetensors")
    run = zaowu.load(tmp_path / "run", precision="fp32")
    state = run.model.state_dict()
    for ours, theirs in (
        ("embedders.image.positions", "embeddings.position_embeddings"),
        ("trunk.blocks.3.ffn.down.weight", "encoder.layer.3.output.dense.weight"),
    ):
        torch.testing.assert_close(state[ours], given[theirs], rtol=0, atol=1e-5)
    theirs = transformers.ViTModel.from_pretrained(base.folder, add_pooling_layer=False).eval()
    column = run.source.alone
    pixels = column.image(str(next(photos.rglob("1.png"))))
    mean, std = (
        json.loads((base.folder / "preprocessor_config.json").read_text())[f"image_{n}"] for n in ("mean", "std")
    )
    theirs_in = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        vectors = run.model.embedders["image"](torch.from_numpy(column.patches(pixels))[None])
        whole = torch.ones(vectors.shape[:2], dtype=torch.bool)
        ours = run.model.trunk(vectors, mask=whole, positions=whole * 0, segments=whole * 0)
        expected = theirs(pixel_values=theirs_in).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_it_goes_on_from_a_base(made, tmp_path):
    photos, base = made
    more = zaowu.pretrain(photos, base=str(base.folder), steps=2, lr=1e-9, settings=["held_out=0.1"],
                          out=tmp_path / "more", **QUICK)  # fmt: skip
    name = "encoder.layer.0.layernorm_before.weight"
    weights = [load_file(one.folder / "model.safetensors")[name] for one in (base, more)]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)
    assert more.content.base == str(base.folder)


def test_recordings_make_the_encoder_of_a_whisper(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for index in range(12):
        place = folder / ("low", "high")[index % 2]
        place.mkdir(exist_ok=True)
        (place / f"{index}.wav").write_bytes(sound(0.5 + index / 20, hertz=(200, 900)[index % 2], seed=index))
    base = zaowu.pretrain(folder, steps=30, lr=2e-3, batch_size=8, settings=["held_out=0.1"], out=tmp_path / "base",
                          **QUICK)  # fmt: skip
    assert base.scores["loss"] < base.content.before["loss"]
    zaowu.fit(folder, base=str(base.folder), out=tmp_path / "run", **FIT)
    given = load_file(base.folder / "model.safetensors")
    state = zaowu.load(tmp_path / "run", precision="fp32").model.state_dict()
    torch.testing.assert_close(state["embedders.audio.conv2.weight"], given["conv2.weight"], rtol=0, atol=1e-5)
    assert state["trunk.positions.weight"].shape == given["embed_positions.weight"].shape == (500, 128)


def test_the_command_line_and_a_run_that_was_stopped(command, made, tmp_path):
    photos, _ = made
    done = command(
        "pretrain", photos, "--objective", "masked-patches", "--size", "mini", "--steps", 2, "--length", 64,
        "--threads", 1, "--out", tmp_path / "base", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["objectives"] == ["masked_patches"]
    assert "--length has no effect with --objective masked-patches" in done.err and "broken.png" in done.err


def test_what_cannot_be_learned_from_is_refused(made, tiny_base, news_csv, tmp_path):
    photos, base = made
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="expected images or recordings"):
        zaowu.pretrain(empty, out=tmp_path / "x", **QUICK)
    with pytest.raises(UserError, match="expected images or recordings"):
        zaowu.pretrain(news_csv, out=tmp_path / "x", **QUICK)
    (empty / "one.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    with pytest.raises(UserError, match="expected 8 different images"):
        zaowu.pretrain(empty, out=tmp_path / "x", **QUICK)
    (empty / "one.wav").write_bytes(sound(1.0))
    with pytest.raises(UserError, match="Give one kind of them"):
        zaowu.pretrain(empty, out=tmp_path / "x", **QUICK)
    with pytest.raises(UserError, match="a base of texts"):
        zaowu.pretrain(photos, base=str(tiny_base), out=tmp_path / "x", **QUICK)
    with pytest.raises(UserError, match="no --part and no --shards"):
        zaowu.pretrain(photos, shards=tmp_path / "shards", out=tmp_path / "x", **QUICK)
    with pytest.raises(UserError, match="is a base, which answers nothing yet"):
        zaowu.load(base.folder)
