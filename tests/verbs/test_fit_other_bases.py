"""A base of images or of sounds as the trunk: `fit --base FOLDER`, from the folder to a saved run that answers."""

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
from zaowu.batching.batch import Batch, collate
from zaowu.errors import UserError

TINY = {"threads": 1, "precision": "fp32", "quiet": True, "lang": "en", "epochs": 1, "lr": 1e-9}
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
SECONDS = 1.0


def random_weights(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:  # those start at 0 and 1, and would prove nothing
                weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def their_vit(folder: Path, **more) -> transformers.ViTModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        **{**sizes, "image_size": 12, "patch_size": 4, "initializer_range": 0.3, "layer_norm_eps": 1e-6, **more}
    )
    model = random_weights(transformers.ViTModel(config))
    model.save_pretrained(folder)
    return model


def their_whisper(folder: Path, **more) -> transformers.WhisperModel:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 24}
    pair = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 24, "vocab_size": 30, "init_std": 0.3}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = transformers.WhisperConfig(
        **{**sizes, **pair, **special, "max_source_positions": 50, "num_mel_bins": 16, **more}
    )
    model = random_weights(transformers.WhisperModel(config))
    model.save_pretrained(folder)
    return model


def photos(folder: Path, number: int = 24, size: tuple[int, int] = (14, 14)) -> Path:
    """A sub-folder for each of two classes: dark and bright noise."""
    chance = np.random.default_rng(0)
    for index in range(number):
        place = folder / ("dark", "bright")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 128, (*size, 3)) + 120 * (index % 2)
        (place / f"{index}.png").write_bytes(encoded(pixels.astype(np.uint8)))
    return folder


def batch_of(run, values: dict[str, list]) -> Batch:
    rows = [run.source.features(item) for item in run.source.items(values)]
    return collate(rows, run.source.specs, numbered=run.source.numbered)


def their_pixels(run, paths: list[str]) -> torch.Tensor:
    """(B, 3, H, W) of the same images, by numbers written down here."""
    images = np.stack([run.source.alone.image(path) for path in paths])
    return torch.from_numpy(((images / 255 - MEAN) / STD).astype(np.float32)).permute(0, 3, 1, 2)


def test_a_vit_is_the_trunk_of_a_fit_on_photos(tmp_path):
    theirs = their_vit(tmp_path / "vit")
    scale = {"image_mean": MEAN, "image_std": STD}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(scale), "utf-8")
    folder = photos(tmp_path / "photos")
    made = zaowu.fit(folder, base=str(tmp_path / "vit"), out=tmp_path / "run", **TINY)
    assert made.content.base == "vit" and made.model_type == "vit"
    run = zaowu.load(tmp_path / "run", precision="fp32")
    paths = [str(path) for path in sorted(folder.rglob("*.png"))[:3]]
    with torch.no_grad():
        ours = run.model.states(batch_of(run, {"image": paths}))
        expected = theirs(pixel_values=their_pixels(run, paths)).last_hidden_state
    assert ours.shape == (3, 10, 16)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert run.predict([{"image": paths[0]}]).to_plain()[0]["label"] in ("dark", "bright")


def test_at_another_resolution_its_places_are_interpolated(tmp_path):
    theirs, folder = their_vit(tmp_path / "vit"), photos(tmp_path / "photos")
    zaowu.fit(folder, base=str(tmp_path / "vit"), columns=["image:size=22,flip=no"], out=tmp_path / "run", **TINY)
    run = zaowu.load(tmp_path / "run", precision="fp32")
    assert run.source.alone.size == (20, 20) and run.source.alone.mean == (0.5, 0.5, 0.5)
    paths = [str(path) for path in sorted(folder.rglob("*.png"))[:2]]
    pixels = torch.from_numpy(
        ((np.stack([run.source.alone.image(path) for path in paths]) / 255 - 0.5) / 0.5).astype(np.float32)
    ).permute(0, 3, 1, 2)
    with torch.no_grad():
        ours = run.model.states(batch_of(run, {"image": paths}))
        expected = theirs(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for index in range(24):
        place = folder / ("low", "high")[index % 2]
        place.mkdir(exist_ok=True)
        (place / f"{index}.wav").write_bytes(sound(SECONDS, hertz=(200, 900)[index % 2], seed=index))
    return folder


def test_the_encoder_of_whisper_is_the_trunk_of_a_fit_on_recordings(recordings, tmp_path):
    theirs = their_whisper(tmp_path / "whisper")
    zaowu.fit(recordings, base=str(tmp_path / "whisper"), out=tmp_path / "run", **TINY)
    run = zaowu.load(tmp_path / "run", precision="fp32")
    assert run.model_type == "whisper" and run.source.alone.num_mels == 16
    paths = [str(path) for path in sorted(recordings.rglob("*.wav"))[:3]]
    batch = batch_of(run, {"audio": paths})
    frames = batch.inputs["audio"]["frames"]
    with torch.no_grad():
        ours = run.model.states(batch)
        expected = theirs.encoder(frames.flatten(1, 2).transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    samples = [_wave(path) for path in paths]
    features = extractor(samples, sampling_rate=16_000, return_tensors="np")["input_features"]
    ends = features.shape[2] // 2  # theirs go on with silence, whose frames are left out; the last ones hear of it
    np.testing.assert_allclose(
        frames.flatten(1, 2).numpy()[:, : ends - 2], features.transpose(0, 2, 1)[:, : ends - 2], atol=2e-3
    )


def _wave(path: str) -> np.ndarray:
    import soundfile

    return soundfile.read(path)[0]


def test_settings_of_another_log_mel_are_refused(recordings, tmp_path):
    their_whisper(tmp_path / "whisper")
    path = tmp_path / "whisper" / "preprocessor_config.json"
    path.write_text(json.dumps({"feature_size": 16, "hop_length": 320}), "utf-8")
    with pytest.raises(UserError, match=r"preprocessor_config\.json, 'hop_length': expected 160, got 320"):
        zaowu.fit(recordings, base=str(tmp_path / "whisper"), out=tmp_path / "run", **TINY)


def mixed_rows(folder: Path) -> list[dict]:
    """A photo, a title and a number; what is asked for is the word of the title."""
    paths = sorted(photos(folder).rglob("*.png"))
    return [
        {
            "photo": str(path),
            "title": f"{('red', 'blue')[i % 2]} shoe {i}",
            "price": i % 7,
            "colour": ("red", "blue")[i % 2],
        }
        for i, path in enumerate(paths)
    ]


def test_text_and_images_together_learn_with_the_trunk_of_images(tmp_path):
    their_vit(tmp_path / "vit")
    rows = mixed_rows(tmp_path / "photos")
    choices = {"target": "colour", "base": str(tmp_path / "vit"), "columns": ["title:kind=text", "price:kind=number"]}
    zaowu.fit(rows, out=tmp_path / "run", **choices, **TINY)
    assert not (tmp_path / "run" / "trunk").exists()
    run = zaowu.load(tmp_path / "run", precision="fp32")
    assert list(run.source.groups) == ["text", "image", "table"] and run.model_type == "vit"
    state, given = run.model.state_dict(), load_file(tmp_path / "vit" / "model.safetensors")
    close = {"rtol": 0, "atol": 1e-4}
    torch.testing.assert_close(state["embedders.image.cls"], given["embeddings.cls_token"], **close)
    torch.testing.assert_close(
        state["trunk.blocks.1.ffn.up.weight"], given["encoder.layer.1.intermediate.dense.weight"], **close
    )
    places = state["trunk.positions.weight"]
    assert len(places) == run.source.max_place > 1
    torch.testing.assert_close(places[0], torch.zeros(16), **close)  # where images stand, which bring their own
    assert run.predict([{**rows[0], "photo": None}]).to_plain()[0]["label"] in ("red", "blue")


def test_text_and_images_together_learn_with_a_trunk_of_texts(tiny_base, tmp_path):
    rows = mixed_rows(tmp_path / "photos")
    run = zaowu.fit(
        rows, target="colour", base=str(tiny_base), columns=["title:kind=text"], out=tmp_path / "run", **TINY
    )
    assert run.model_type == "bert" and (tmp_path / "run" / "trunk").is_dir()
    assert run.source.groups["image"].stem == "conv"
    assert len(zaowu.load(tmp_path / "run").predict(rows)) == len(rows)


def test_recordings_and_texts_share_the_places_of_whisper(recordings, tmp_path):
    their_whisper(tmp_path / "whisper")
    rows = [
        {"sound": str(path), "note": f"{path.parent.name} sound {i} in the yard", "label": path.parent.name}
        for i, path in enumerate(sorted(recordings.rglob("*.wav")))
    ]
    run = zaowu.fit(
        rows,
        target="label",
        columns=["note:kind=text"],
        base=str(tmp_path / "whisper"),
        out=tmp_path / "run",
        **TINY,
    )
    assert run.source.text.max_tokens == 50 and run.model.trunk.positions.weight.shape == (50, 16)
    assert len(zaowu.load(tmp_path / "run").predict(rows)) == len(rows)


def test_a_base_of_another_kind_is_refused_in_one_sentence(recordings, tiny_base, tmp_path):
    their_vit(tmp_path / "vit")
    with pytest.raises(UserError, match=r"--base .*vit: reads images, and no column here is of that kind .*audio"):
        zaowu.fit(recordings, base=str(tmp_path / "vit"), out=tmp_path / "run", **TINY)
    with pytest.raises(UserError, match=r"reads texts, and no column here is of that kind .*audio"):
        zaowu.fit(recordings, base=str(tiny_base), out=tmp_path / "run", **TINY)
    with pytest.raises(UserError, match=r"reads no text"):
        zaowu.pretrain(tmp_path / "vit" / "config.json", base=str(tmp_path / "vit"), out=tmp_path / "base", quiet=True)


def test_an_encoder_decoder_is_refused_before_any_work(tiny_base, tmp_path):
    folder = tmp_path / "bart"
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 300, "max_position_embeddings": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    transformers.BartModel(transformers.BartConfig(**sizes, **heads, **special)).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match="bart model, an encoder-decoder that writes one text from another"):
        zaowu.fit(tmp_path / "there-is-no-such-table.csv", base=str(folder), out=tmp_path / "run", **TINY)


def test_what_does_not_fit_a_base_of_images_is_refused(tmp_path):
    their_vit(tmp_path / "vit")
    folder, choices = photos(tmp_path / "photos"), {"base": str(tmp_path / "vit"), "out": tmp_path / "run", **TINY}
    with pytest.raises(UserError, match="--column image:stem=conv: the base has a stem of its own"):
        zaowu.fit(folder, columns=["image:stem=conv"], **choices)
    with pytest.raises(UserError, match="patches of 4 pixels; expected 4 to"):
        zaowu.fit(folder, columns=["image:size=3"], **choices)
    with pytest.raises(UserError, match="--lora: adapts a base of texts, and this model reads image"):
        zaowu.fit(folder, lora=2, **choices)
    (tmp_path / "vit" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"'model\.safetensors' is missing"):
        zaowu.fit(folder, **choices)
