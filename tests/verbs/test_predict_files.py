"""A model of images or of recordings: its report shows them, and a path is what it is asked about."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest
from hostile import edit, one_sentence, put

from zaowu.report.content import is_sound, picture_size
from zaowu.run.load import load
from zaowu.verbs.fit import fit
from zaowu.verbs.predict import predict

QUICK = {"quiet": True, "epochs": 1, "threads": 1}


def images(folder, num: int) -> None:
    """Light images and dark ones, `num` in each of two folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (folder / name).mkdir(parents=True)
        for place in range(num):
            pixels = rng.integers(level - 50, level + 50, (12, 12)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}{place:02d}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "photos"
    images(folder, 40)
    return folder


@pytest.fixture(scope="module")
def run(photos):
    return fit(photos, out=photos.parent / "run", **QUICK).folder


def answered(ended) -> list[str]:
    assert ended.code == 0, ended.err
    return [row["text"] for row in json.loads(ended.out)]


def test_the_report_shows_the_images_and_no_length_of_words(run):
    [answer] = load(run).content.answers
    assert answer.predictions and all(picture_size(row["picture"]) == (12, 12) for row in answer.predictions)
    assert all(picture_size(row["picture"]) == (12, 12) and "sound" not in row for row in answer.mistakes)
    assert {part["slice"] for part in answer.slices} == {"class"}
    page = (run / "report.html").read_text("utf-8")
    assert page.count("<img ") == len(answer.mistakes) + len(answer.predictions)


def test_with_folds_they_are_the_rows_that_were_held_out(photos, tmp_path):
    run = fit(photos, out=tmp_path / "run", cv=2, **QUICK)
    assert run.content.scored_on == "2-fold cross-validation"
    [answer] = run.content.answers
    seen = [*answer.mistakes, *answer.predictions]
    assert seen and all(picture_size(row["picture"]) == (12, 12) for row in seen)


def test_paths_folders_and_patterns_are_values(command, run, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    for given, names in {
        ("photos/dark/dark03.png",): ["dark03.png"],
        ("photos/dark/dark03.png", "photos/light/light01.png"): ["dark03.png", "light01.png"],
        ("photos/*/*01.png",): ["dark01.png", "light01.png"],
        ("photos/light",): [f"light{place:02d}.png" for place in range(40)],
        ("photos/light", "photos/dark/dark00.png"): [f"light{place:02d}.png" for place in range(40)] + ["dark00.png"],
    }.items():
        assert answered(command("predict", run, *given, "--json", "--quiet")) == names
    (photos.parent / "noending").write_bytes((photos / "dark" / "dark00.png").read_bytes())
    assert answered(command("predict", run, "noending", "--json")) == ["noending"]
    ended = command("predict", run, "photos/dark/dark03.png", "--text", "--json")
    assert answered(ended) == ["dark03.png"] and "--text has no effect" in ended.err


def test_python_takes_the_same(run, photos, tmp_path):
    path, other = photos / "dark" / "dark03.png", photos / "light" / "light01.png"
    opened = load(run)
    alone, both = (opened.predict(given).prediction.confidence for given in (path, [str(path), other]))
    np.testing.assert_allclose(both[0], alone[0], rtol=1e-5)
    assert len(predict(run, photos, quiet=True).found) == 80
    out = tmp_path / "answers.csv"
    predict(run, [path, other], out=out, quiet=True)
    assert out.read_text("utf-8").splitlines()[1].startswith(f"{path},")


def test_a_table_of_paths_is_still_a_table(command, run, photos):
    table = photos.parent / "list.csv"
    table.write_text("image,who\nphotos/dark/dark03.png,a\nphotos/light/light01.png,b\n", "utf-8")
    assert answered(command("predict", run, table, "--json", "--quiet")) == ["dark03.png", "light01.png"]
    ended = command("predict", run, table, photos / "dark" / "dark03.png")
    one_sentence(ended, "list.csv: expected an image file", "or one table alone")


def test_what_is_neither_is_one_sentence(command, run, photos, tmp_path):
    whole = (photos / "dark" / "dark03.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:60])
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\n\0\0")
    (tmp_path / "words.txt").write_text("These are words, and no path of anything.\nMore of them.\n", "utf-8")
    (tmp_path / "empty").mkdir()
    for given, expected in {
        "cut.png": "expected an image, got a truncated PNG",
        "paper.pdf": "expected an image file (.png, ",
        "words.txt": "words.txt",
        "empty": "expected a folder that holds at least an image file",
        "*.jpg": "expected a pattern of at least an image file",
        "cut.pgn": "there is no such file. Did you mean 'cut.png'?",
        "lost.csv": "lost.csv: there is no such file",
        "none/of/it.png": "there is no such file",
        "x" * 5000: "there is no such file",
    }.items():
        one_sentence(command("predict", run, tmp_path / given), expected)
    one_sentence(command("predict", run, "今天天气很好"), "there is no such file")


def test_one_that_cannot_be_read_among_others_is_named(command, run, photos, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ended = command("predict", run, tmp_path / "cut.png", photos / "dark" / "dark03.png", "--json")
    assert answered(ended) == ["", "dark03.png"] and "row 1, column 'image': expected an image" in ended.err


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "data:text/html;base64,PHNjcmlwdD4=", "data:image/png;base64,AAAA", 7, None]
)
def test_a_picture_made_by_hand_is_refused(command, run, tmp_path, uri):
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    edit(copy, put("answers", 0, "predictions", 0, "picture", value=uri), "metrics.json")
    one_sentence(command("report", copy), "metrics.json", "'picture'")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    pytest.importorskip("soundfile")
    folder = tmp_path_factory.mktemp("sounds") / "sounds"
    rng = np.random.default_rng(0)
    for name, pitch in (("high", 1500), ("low", 300)):
        (folder / name).mkdir(parents=True)
        for place in range(25):
            time = np.arange(2400) / 8000
            tone = 8000 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 500, len(time))
            with wave.open(str(folder / name / f"{name}{place:02d}.wav"), "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                sound.writeframes(tone.astype(np.int16).tobytes())
    return folder


def test_recordings_are_heard_and_seen_and_asked_about(command, sounds):
    run = fit(sounds, out=sounds.parent / "run", **QUICK)
    [answer] = run.content.answers
    for row in (*answer.mistakes, *answer.predictions):
        assert is_sound(row["sound"]) and picture_size(row["picture"]) and "0.30 s" in row["text"]
    assert {part["slice"] for part in answer.slices} == {"class"}
    page = (run.folder / "report.html").read_text("utf-8")
    assert page.count("<audio controls ") == page.count("<img ") == len(answer.mistakes) + len(answer.predictions)
    ended = command("predict", run.folder, sounds / "low" / "*0.wav", "--json", "--quiet")
    assert [text.partition(":")[0] for text in answered(ended)] == ["low00.wav", "low10.wav", "low20.wav"]
