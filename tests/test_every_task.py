"""What is asked of every task of the gallery: it says where its data come from, reads them, and goes the whole way."""

from __future__ import annotations

import gzip
import inspect
import io
import re
import subprocess
import sys
import wave
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from zaowu import listing, tasks
from zaowu.errors import UserError
from zaowu.inputs import cleaners, guessers
from zaowu.options import fit_choices
from zaowu.records import schema
from zaowu.records.check import clean
from zaowu.records.findings import find
from zaowu.records.read import read
from zaowu.records.schema import column_choices
from zaowu.verbs import fit as verb

FOLDER = Path(tasks.__path__[0])
TASKS = [name for name in listing.names(tasks) if (FOLDER / f"{name}.py").is_file()]
NEEDY = [name for name in TASKS if listing.load(tasks, name, where="test").NEEDS]
EACH = 10  # rows of a class in data that are made here


def made(name: str, folder: Path) -> Path:
    """Data of the kind that the task needs, few and easy."""
    return {"credit": credit, "medical_image": x_rays, "objects": clothing, "spoken_words": spoken}[name](folder)


def credit(folder: Path) -> Path:
    path = folder / "germancredit.csv"
    rows = [f"... < {i % 3} DM,{6 + i},{100 * i + 17},{('good', 'bad')[i % 2]}" for i in range(2 * EACH)]
    path.write_text("\n".join(["status,duration_in_month,credit_amount,creditability", *rows]), "utf-8")
    return path


def x_rays(folder: Path) -> Path:
    path, labels = folder / "x.npz", np.arange(2 * EACH)[:, None] % 2
    sides = {f"{side}_images": pictures(len(labels), seed) for seed, side in enumerate(("train", "val"))}
    np.savez(path, **sides, **{f"{side}_labels": labels for side in ("train", "val")})
    return path


def clothing(folder: Path) -> Path:
    for seed, name in enumerate(("train", "t10k")):
        labels = np.arange(10 * EACH, dtype=np.uint8) % 10
        for part, array in (("images-idx3", pictures(len(labels), seed)), ("labels-idx1", labels)):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(side.to_bytes(4, "big") for side in array.shape)
            (folder / f"{name}-{part}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


def spoken(folder: Path) -> Path:
    path, rng = folder / "takes.zip", np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(10 * EACH):
            stream = io.BytesIO()
            with wave.open(stream, "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes((rng.normal(size=800) * 3000).astype("<i2").tobytes())
            archive.writestr(f"recordings/{i % 10}_{('ann', 'bob')[i % 2]}_{i}.wav", stream.getvalue())
        archive.writestr("recordings/README.wav.txt", "no sound")
    return path


def pictures(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Name of a task -> what it loads, once for all tests of this file."""
    known = {}

    def load(name: str):
        if name not in known:
            data = made(name, tmp_path_factory.mktemp(name)) if name in NEEDY else None
            known[name] = listing.load(tasks, name, where="test").load(data)
        return known[name]

    return load


def test_there_are_tasks():
    assert {"news_zh", "handwriting", "disease_risk", "disease_progress", "wine"} <= set(TASKS) - set(NEEDY)
    assert {"medical_image", "objects", "spoken_words", "credit"} == set(NEEDY)


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is_and_what_it_must_reach(name):
    module = listing.load(tasks, name, where="test")
    metric, goal = module.GOAL
    said = re.search(r"\A\S.*[.?!].*^data: .*(To\s+reach: .*)", module.__doc__, re.MULTILINE | re.DOTALL)
    assert said and f"{100 * goal:g} %" * (metric == "accuracy") in said[1] and re.search(r"\d", said[1])
    (entry,) = [entry for entry in tasks.gallery() if entry["name"] == name]
    assert entry["asks"] in module.__doc__ and (entry["needs"] == "nothing") is (name not in NEEDY)


@pytest.mark.parametrize("name", TASKS)
def test_its_settings_are_those_of_fit(name):
    module = listing.load(tasks, name, where="test")
    usual = {key: word.default for key, word in inspect.signature(verb.fit).parameters.items()}
    assert module.SETTINGS.keys() <= usual.keys() - {"target", "out", "quiet", "threads", "lang", "overwrite"}
    fit_choices({**usual, **module.SETTINGS, **column_choices(module.SETTINGS.get("columns", ()))})


@pytest.mark.parametrize("name", TASKS)
def test_its_data_pass_the_gate(name, examples):
    module, table = listing.load(tasks, name, where="test"), read(examples(name).learned)
    target = () if module.TARGET is None else (module.TARGET,)
    guessed = schema.guess(table, guessers=guessers(), target=target)
    assert ("text" in {column.kind for column in guessed.inputs}) is (name == "news_zh")
    records = clean(table, guessed, on_bad_row="stop", cleaners=cleaners())
    assert find({"train": records}).problems is False, find({"train": records}).lines()


@pytest.mark.parametrize("name", TASKS)
def test_what_it_asks_is_not_in_what_it_learns(name, examples):
    found = examples(name)
    assert len(found.asked) == tasks.NUM_ASKED
    if isinstance(found.asked, list):
        words = Path(found.learned).read_text("utf-8")
        assert not [text for text in found.asked if text in words]
    else:
        assert found.learned.columns == found.asked.columns
        assert not {str(row) for row in found.learned.rows()} & {str(row) for row in found.asked.rows()}


@pytest.mark.parametrize("name", TASKS)
def test_it_goes_the_whole_way(name, tiny_base, news_csv, examples, tmp_path, monkeypatch):
    """With a few of its rows and, where it reads texts, a tiny base in place of its own: it is over in seconds."""
    module, found, seen = listing.load(tasks, name, where="test"), examples(name), {}
    few = news_csv if name == "news_zh" else thinned(found.learned, module.TARGET)
    monkeypatch.setattr(module, "load", lambda data: tasks.Examples(few, found.asked))
    monkeypatch.setattr(verb, "CROSS_VALIDATE_BELOW", 1)  # one training, not six
    monkeypatch.setattr(verb, "fit", partial(small, verb.fit, seen, str(tiny_base) if name == "news_zh" else "none"))
    data = tmp_path if name in NEEDY else None
    run, predictions = tasks.demo(name, data=data, out=tmp_path / "run", quiet=True, threads=1)
    assert seen["target"] == module.TARGET and module.SETTINGS.items() <= seen.items()
    assert run.folder == tmp_path / "run" and (run.folder / "report.html").is_file()
    assert module.GOAL[0] in run.summary()
    header, rows = predictions.table()
    assert header[1] == (module.TARGET or "label") and len(rows) == tasks.NUM_ASKED


def small(fit, seen, base, data, **settings):
    seen.update(settings)
    return fit(data, **{**settings, "epochs": 1, "base": base})


def thinned(frame: pl.DataFrame, target: str) -> pl.DataFrame:
    """Ten rows of each class; of numbers, two hundred, for fewer look like classes."""
    if frame[target].dtype.is_numeric():
        return frame.head(200)
    return frame.filter(pl.int_range(pl.len()).over(target) < EACH)


@pytest.mark.parametrize("name", NEEDY)
def test_without_its_data_it_says_what_it_needs(name, tmp_path):
    module = listing.load(tasks, name, where="test")
    with pytest.raises(UserError, match=rf"demo {name}: .*Give --data PATH: {re.escape(module.NEEDS)}"):
        tasks.demo(name)
    with pytest.raises(UserError, match="expected"):
        tasks.demo(name, data=tmp_path / "nowhere")
    other = tmp_path / "other.npz"
    other.write_bytes(b"PK\x03\x04 nothing of the kind")
    with pytest.raises(UserError, match="expected"):
        tasks.demo(name, data=other)


def test_an_unknown_task_is_named():
    with pytest.raises(UserError, match=r"demo: 'wines' is not one of the tasks: .*wine"):
        tasks.demo("wines")


def test_whether_the_goal_is_reached_is_said(capsys, monkeypatch, tmp_path, examples):
    module, found = listing.load(tasks, "disease_progress", where="test"), examples("disease_progress")
    few = tasks.Examples(found.learned[:200], found.asked)
    monkeypatch.setattr(module, "load", lambda data: few)
    monkeypatch.setattr(verb, "CROSS_VALIDATE_BELOW", 1)
    monkeypatch.setattr(verb, "fit", partial(small, verb.fit, {}, "none"))
    for goal, words in ((1e9, "Reached"), (0.0, "Not reached")):
        monkeypatch.setattr(module, "GOAL", ("mae", goal))
        tasks.demo("disease_progress", out=tmp_path / words, threads=1)
        assert re.search(rf"To reach: mae of at most {re.escape(f'{goal:g}')}\. {words}: \d", capsys.readouterr().err)


def test_the_front_door_of_the_tasks_is_light():
    code = "import zaowu.tasks, sys; sys.exit('torch' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
