"""A column of recordings: what is guessed, which items come of it, and what the model is given."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from made_sounds import recording, sound, tone

from zaowu.errors import UserError
from zaowu.inputs import audio
from zaowu.inputs.audio import read, spec_augment as masks
from zaowu.inputs.audio.excerpt import MAX_TRAIN_WINDOWS, MAX_WINDOWS, Cache
from zaowu.inputs.audio.read import header
from zaowu.inputs.audio.show import png

SOUNDS = [sound(seconds, hertz=200 * (place + 1), seed=place) for place, seconds in enumerate((0.5, 0.83, 0.31, 1.2))]


def fitted(values=None, **settings) -> audio.Input:
    return audio.Input.fit(["sound"], [SOUNDS if values is None else values], settings={"sound": settings})


def test_paths_and_bytes_are_known_for_sound():
    paths = pl.Series("sound", [f"clips/{number}.WAV" for number in range(9)] + [None, "x.mp3", "readme"])
    assert "10 of 11" in audio.guess(paths)
    assert "sound files" in audio.guess(pl.Series("sound", [*SOUNDS, None], pl.Binary))
    for other in (["a.png"] * 9, ["wav", ".wav", "mp3"], ["the .wav file", "of a song.mp3 and more"], ["1", "2"], []):
        assert audio.guess(pl.Series("sound", other, pl.String)) is None
    assert audio.guess(pl.Series("sound", [b"\x89PNG", b"\xff\xd8\xff\xe0", b""], pl.Binary)) is None
    assert audio.guess(pl.Series("sound", [1.5, 2.5])) is None


@pytest.mark.parametrize("frames", ["2", "4"])
def test_a_second_is_so_many_tokens(frames):
    (item,) = fitted(frames=frames).features([sound(1.0)])
    assert item.length == 100 // int(frames)
    assert item.features["frames"].shape == (item.length, int(frames), 80)


def test_training_values_are_standardised_and_missing_ones_have_no_item():
    source = fitted([*SOUNDS, None])
    items = source.features([None, *SOUNDS, None])
    assert [item.record for item in items] == [1, 2, 3, 4]
    frames = np.concatenate([item.features["frames"].reshape(-1, 80)[: len(item.spectrogram)] for item in items])
    np.testing.assert_allclose(frames.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(frames.std(0), 1, atol=2e-3)


def test_the_length_is_known_without_reading_the_sound(monkeypatch):
    source = fitted()
    items = source.features(SOUNDS)
    lengths = [item.length for item in items]
    assert lengths == [len(item.features["frames"]) for item in items]
    monkeypatch.setattr(read, "wave", None)
    fresh = audio.Input.from_state(source.state(), None, where="zaowu.json")
    assert [item.length for item in fresh.features(SOUNDS)] == lengths


def test_long_recordings_become_windows_of_equal_length_and_nothing_is_dropped():
    source = fitted(window_s="1")
    assert source.max_tokens == 25
    long = sound(3.4)
    items = source.features([SOUNDS[0], long])
    assert [item.record for item in items] == [0, 1, 1, 1, 1]
    assert [item.share for item in items] == [1, *[0.25] * 4]
    spans = [item.spans[0] for item in items[1:]]
    assert spans[0][0] == 0 and spans[-1][1] == header(long).samples
    assert all(one[1] == next_one[0] for one, next_one in pairwise(spans))
    assert all(item.length <= source.max_tokens for item in items)
    assert len({len(item.features["frames"]) for item in items[1:]}) == 1


def test_very_long_recordings_are_thinned():
    data = recording(tone(70.0, rate=4000), rate=4000)
    source = fitted(window_s="1")
    assert len(source.features([data])) == MAX_WINDOWS
    assert len(source.features([data], training=True)) == MAX_TRAIN_WINDOWS
    (item,) = fitted(window_s="3").features([data], whole=True)
    assert item.share == 1 and item.length == len(item.features["frames"]) == 75
    assert [start for start, _ in item.spans] == [0, 138_000, 276_000]
    (short,) = source.features([SOUNDS[0]], whole=True)
    assert short.spans == ((0, header(SOUNDS[0]).samples),)


def test_a_recording_is_read_once_while_there_is_room():
    source = fitted()
    (item,) = source.features([SOUNDS[0]])
    assert item.spectrogram is item.spectrogram
    (again,) = source.features([bytes(SOUNDS[0])])
    assert again.spectrogram is item.spectrogram
    source.cache = Cache(0)
    (item,) = source.features([SOUNDS[0]])
    assert item.spectrogram is not item.spectrogram
    np.testing.assert_array_equal(item.spectrogram, again.spectrogram)


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(SOUNDS[0])
    source = fitted()
    before = source.features([str(path)])[0].features["frames"]
    path.write_bytes(sound(0.6, hertz=2000))
    after = source.features([str(path)])[0].features["frames"]
    assert before.shape != after.shape


def test_augmenting_is_a_function_of_chance_and_hides_stretches(monkeypatch):
    source = fitted()
    given = source.features([SOUNDS[3]])[0].features
    kept = given["frames"].copy()
    one, same, other = (source.augment(given, chance)["frames"] for chance in (7, 7, 2**64 - 1))
    np.testing.assert_array_equal(given["frames"], kept)
    np.testing.assert_array_equal(one, same)
    assert one.shape == other.shape == kept.shape and one.dtype == np.float32
    assert not np.array_equal(one, other)
    frames = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32)
    monkeypatch.setattr(masks, "SHIFT_SHARE", 0.0)
    hidden = [masks.augmented(frames, chance, gain=0.0) == frames.mean() for chance in range(200)]
    times, mels = np.mean([x.all(1).sum() for x in hidden]), np.mean([x.all(0).sum() for x in hidden])
    assert 8 < times < 17 and 9 < mels < 18  # two masks of 7.5 and of 8 on average, which may overlap


def test_a_long_row_is_cut_by_nobody_and_a_short_one_survives():
    source = fitted()
    (tiny,) = source.features([recording(np.array([0.1]))])
    assert tiny.length == 1
    assert np.isfinite(source.augment(tiny.features, 3)["frames"]).all()


def test_a_base_has_its_own_scale_and_its_own_limits():
    base = {"num_mels": 16}
    source = audio.Input.fit(["sound"], [SOUNDS], base=base, max_tokens=100)
    assert (source.frames, source.num_mels, source.window_s, source.max_tokens) == (2, 16, 2, 100)
    (item,) = source.features([SOUNDS[0]])
    np.testing.assert_array_equal(item.features["frames"].reshape(-1, 16), item.spectrogram.astype(np.float32))
    for settings in ({"frames": "4"}, {"window_s": "3"}):
        with pytest.raises(UserError, match="--column sound:"):
            audio.Input.fit(["sound"], [SOUNDS], settings={"sound": settings}, base=base, max_tokens=100)


@pytest.mark.parametrize("window_s", ["0", "601"])
def test_a_setting_out_of_bounds_is_refused(window_s):
    with pytest.raises(UserError, match=r"window_s: expected 1 to 600"):
        fitted(window_s=window_s)


@pytest.mark.parametrize("frames", ["2", "4"])
def test_fresh_vectors_are_small_and_from_the_seed_alone(frames):
    source = fitted(frames=frames)
    made = []
    for _ in range(2):
        stem = source.embedder(64)
        stem.initialise(torch.Generator().manual_seed(3))
        made.append(stem(torch.from_numpy(source.features(SOUNDS)[3].features["frames"])[None]).detach())
    assert torch.equal(*made)
    assert 0.002 < made[0].std() < 0.05 and made[0].shape == (1, 120 // int(frames), 64)


def test_what_a_report_shows(tmp_path):
    path = tmp_path / "dog.wav"
    path.write_bytes(SOUNDS[0])
    found = fitted().shown(str(path))
    assert found.words == "dog.wav: WAV, 0.50 s, 16,000 Hz, mono"
    media, _, data = found.sound.partition(";base64,")
    assert media == "data:audio/wav" and base64.b64decode(data) == SOUNDS[0]
    width, height, pixels = decoded(base64.b64decode(found.picture.partition(",")[2]))
    assert (width, height) == (50, 80) and pixels.max() == 255
    stereo = recording(np.stack([tone(20.0)] * 2, 1))
    long = fitted().shown(stereo)
    assert "stereo" in long.words and "first 6 s" in long.words
    assert header(base64.b64decode(long.sound.partition(",")[2])).seconds == 6
    assert fitted().shown(None).words and not fitted().shown(None).sound


def decoded(data: bytes) -> tuple[int, int, np.ndarray]:
    """Width, height and the palette's numbers (H, W) of a PNG as we write it."""
    width, height = np.frombuffer(data[16:24], ">u4")
    start = data.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompressobj().decompress(data[start:]), np.uint8).reshape(height, width + 1)
    assert (rows[:, 0] == 0).all() and data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return int(width), int(height), rows[:, 1:]


def test_a_picture_has_time_to_the_right_and_pitch_upwards():
    frames = np.zeros((1000, 80), np.float32)
    frames[-1, 0] = 1.0  # late and low
    width, height, pixels = decoded(png(frames))
    assert width == 334 and height == 80
    assert np.argwhere(pixels == 255).tolist() == [[79, 333]]


def test_baseline_features_tell_sounds_apart_and_survive_saving():
    fit, matrix = audio.BaselineFeatures.fit([*SOUNDS, None])
    assert matrix.shape == (5, fit.num_features) and matrix.dtype == np.float32
    dense = matrix.toarray()
    np.testing.assert_allclose(dense[:4].mean(0), 0, atol=1e-3)
    assert (np.abs(dense[:4].std(0) - 1) < 1e-2).mean() > 0.95
    assert not dense[4].any()
    plain, arrays = fit.state()
    again = audio.BaselineFeatures.from_state(json.loads(json.dumps(plain)), arrays, where="zaowu.json")
    np.testing.assert_array_equal(again.transform([*SOUNDS, None]).toarray(), fit.transform([*SOUNDS, None]).toarray())
    np.testing.assert_allclose(again.transform(SOUNDS).toarray(), dense[:4], atol=1e-5)
    few, narrow = audio.BaselineFeatures.fit(SOUNDS, max_features=10)
    assert few.num_features == narrow.shape[1] == 10
    for wrong in ({}, {"features": -1}, {"features": 10**9}, {"features": 3}, None):
        with pytest.raises(UserError, match=r"zaowu\.json"):
            audio.BaselineFeatures.from_state(wrong, arrays, where="zaowu.json")
    with pytest.raises(UserError, match="deviation"):
        wrong = {**arrays, "deviation": arrays["deviation"] * 0}
        audio.BaselineFeatures.from_state(plain, wrong, where="zaowu.json")


@pytest.mark.parametrize(
    "change",
    [
        {"window_s": 10**9},
        {"window_s": True},
        {"frames": 3},
        {"mean": [0.0] * 79},
        {"mean": [float("nan")] * 80},
        {"deviation": [0.0] * 80},
        {"deviation": [1] * 80},
        {"columns": ["a", "b"]},
    ],
)
def test_a_made_up_state_is_refused(change):
    state = fitted().state()
    audio.Input.from_state(state, None, where="zaowu.json")
    with pytest.raises(UserError, match=r"zaowu\.json"):
        audio.Input.from_state({**state, **change}, None, where="zaowu.json")


def test_a_voice_may_be_a_little_higher_or_lower_and_louder_or_softer(monkeypatch):
    monkeypatch.setattr(masks, "TIME_MASKS", 0)
    monkeypatch.setattr(masks, "MEL_MASKS", 0)
    frames = np.random.default_rng(0).normal(size=(20, 80)).astype(np.float32)
    shifts = set()
    for chance in range(100):
        found = masks.augmented(frames, chance, gain=0.0)
        (by,) = (by for by in range(-3, 4) if np.array_equal(found[:, 3 + by : 77 + by], frames[:, 3:77]))
        edges = found[:, :by] if by > 0 else found[:, 80 + by :]
        assert (edges == (frames[:, :1] if by > 0 else frames[:, -1:])).all()
        shifts.add(by)
    assert shifts == set(range(-3, 4))
    monkeypatch.setattr(masks, "SHIFT_SHARE", 0.0)
    louder = masks.augmented(frames, 1, gain=np.linspace(1, 2, 80)) - frames
    np.testing.assert_allclose(louder[:, -1], 2 * louder[:, 0], rtol=1e-3)
    assert abs(louder[0, 0]) > 0.01
