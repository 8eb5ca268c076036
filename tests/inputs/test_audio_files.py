"""Sound files of every kind that is read, and what is said of those that cannot be."""

from __future__ import annotations

import os
import struct
import sys

import numpy as np
import polars as pl
import pytest
from made_sounds import recording, sound, tone

from zaowu.errors import UserError
from zaowu.inputs import audio
from zaowu.inputs.audio import read
from zaowu.inputs.audio.log_mel import log_mel

FORMS = {
    "a.wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "law.wav": ("WAV", "ULAW"),
    "big.wav": ("RF64", "PCM_24"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.mp3": ("MP3", "MPEG_LAYER_III"),
}


def problem(value: bytes) -> str:
    cleaned = audio.clean(pl.Series("sound", [value], pl.Binary), None)
    assert (cleaned.values[0] is None) == (0 in cleaned.problems)
    return cleaned.problems.get(0, "")


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_by_path_and_by_bytes(name, tmp_path):
    form, subtype = FORMS[name]
    data = recording(tone(1.0), form=form, subtype=subtype)
    (tmp_path / name).write_bytes(data)
    by_path = audio.clean(pl.Series("sound", [name, None, " "]), tmp_path)
    by_bytes = audio.clean(pl.Series("sound", [data, None, b""], pl.Binary), None)
    assert by_path.problems == by_bytes.problems == {}
    assert by_path.values.to_list() == [str(tmp_path / name), None, None]
    assert by_bytes.values.to_list() == [data, None, None]
    assert by_path.contents == by_bytes.contents and by_path.contents[1:] == [None, None]
    found = read.header(data)
    assert abs(found.seconds - 1.0) < 0.1 and found.rate == 16_000
    waves = [read.wave(value, ((0, found.samples),)) for value in (data, str(tmp_path / name))]
    np.testing.assert_array_equal(*waves)
    got, expected = log_mel(waves[0])[5:90], log_mel(tone(1.0))[5:90]
    band = expected.mean(0).argmax()
    assert np.abs(got - expected)[:, band].mean() < 0.02


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 44_099, 96_000])
def test_any_rate_and_stereo_become_the_same_sound(rate):
    """Below 3 kHz, that is: what a rate cannot hold is not there."""
    seconds = 1.0
    left, right = tone(seconds, rate=rate, seed=1), tone(seconds, rate=rate, seed=2)
    data = recording(np.stack([left, right], 1), rate=rate, subtype="FLOAT")
    assert problem(data) == ""
    samples = len(left)
    wave = read.wave(data, ((0, samples),))
    assert len(wave) == read.resampled(samples, rate) and abs(len(wave) - 16_000) <= 1
    clean = 0.4 * np.sin(2 * np.pi * 440 * np.arange(len(wave)) / 16_000) * np.linspace(0.2, 1, len(wave))
    assert np.abs(wave - clean)[200:-200].mean() < 0.01
    both = read.wave(recording(left, rate=rate, subtype="FLOAT"), ((0, samples),))
    assert not np.allclose(both, wave, atol=1e-4), "channels are averaged, not picked"


def test_pieces_of_a_recording():
    wave = tone(2.0)
    data = recording(wave, subtype="FLOAT")
    got = read.wave(data, ((8000, 16_000), (0, 160)))
    np.testing.assert_allclose(got, np.concatenate([wave[8000:16_000], wave[:160]]), atol=1e-6)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_a_problem(form, share):
    data = recording(tone(3.0), form=form)
    assert problem(data) == ""
    assert "truncated" in problem(data[: int(len(data) * share)])


def test_a_wav_that_was_written_to_a_pipe_has_no_length_and_is_whole():
    data = sound(1.0)
    place = data.index(b"data") + 4
    assert problem(data[:place] + struct.pack("<I", 0xFFFFFFFF) + data[place + 4 :]) == ""
    assert "truncated" in problem(data[:place] + struct.pack("<I", 10**6) + data[place + 4 :])


def wav_header(*, rate: int = 16_000, channels: int = 1, data: int = 0) -> bytes:
    block = 2 * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * block) % 2**32, block % 2**16, 16)
    return b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (recording(np.zeros(0)), "one of 0 seconds"),
        (wav_header() + b"", "one of 0 seconds"),
        (wav_header(rate=3, data=100) + bytes(100), "a rate of 3 Hz"),
        (wav_header(rate=4_000_000_000, data=100) + bytes(100), "WAV|rate"),
        (wav_header(rate=0, data=100) + bytes(100), "WAV|rate"),
        (wav_header(channels=500, data=2000) + bytes(2000), "channels"),
        (wav_header(channels=0, data=100) + bytes(100), "WAV"),
        (recording(np.array([0.1, np.nan, 0.2] * 100), subtype="FLOAT"), "not finite"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG image"),
        (b"PK\x03\x04" + bytes(50), "a zip archive"),
        (b"hello, this is no sound", "text"),
        (bytes(range(256)) * 4, "a file that is none"),
        (b"ID3\x04\0\0\0\0\0\0" + bytes(100), "MP3"),
        (b"fLaC" + bytes(100), "FLAC"),
        (b"OggS" + bytes(100), "OGG"),
    ],
)
def test_what_is_no_sound_is_said_in_words(data, words):
    found = problem(data)
    assert found.startswith("expected a sound, got ") and any(word in found for word in words.split("|")), found


def test_more_than_a_day_is_refused_before_it_is_kept(monkeypatch):
    monkeypatch.setattr(read, "MAX_S", 1)
    assert "more than 0 hours" in problem(sound(1.5))
    assert problem(sound(0.9)) == ""


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "notes.wav").write_text("Meeting notes of Monday")
    (tmp_path / "song.mp3").write_bytes(sound(0.5))  # a wav by its content, which decides
    (tmp_path / "empty.wav").touch()
    names = ["gone.wav", "folder.wav", "notes.wav", "song.mp3", "empty.wav", "a\0b.wav"]
    cleaned = audio.clean(pl.Series("sound", names), tmp_path)
    assert set(cleaned.problems) == {0, 1, 2, 4, 5}
    for row, words in ((0, "no file"), (1, "a folder"), (2, "text ('Meeting"), (4, "an empty file")):
        assert words in cleaned.problems[row]
    assert cleaned.values[3] == str(tmp_path / "song.mp3")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sound(0.2))
    path.chmod(0)
    assert "cannot be opened" in audio.clean(pl.Series("sound", ["a.wav"]), tmp_path).problems[0]


def test_a_file_that_changes_after_it_was_checked_is_named(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sound(0.2))
    (item,) = audio.Input.fit(["sound"], [[str(path)]]).features([str(path)])
    path.unlink()
    fresh = audio.Input(["sound"], mean=[0.0] * 80, deviation=[1.0] * 80)
    with pytest.raises(UserError, match=r"a\.wav: expected the sound that was there"):
        fresh.features([str(path)])
    item.cache.arrays.clear()
    with pytest.raises(UserError, match=r"a\.wav: expected the sound that was there"):
        _ = item.features


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match=r"pip install 'zaowu\[audio\]'"):
        audio.clean(pl.Series("sound", ["a.wav"]), None)
