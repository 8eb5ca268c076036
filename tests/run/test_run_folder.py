"""A run that is saved, opened and saved again stays the same; what lies in it can be read by anybody."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.run.folder import opened, partial, place


def test_saved_and_opened_it_answers_bit_for_bit(tiny_run, news, tmp_path):
    texts = [text for text, _ in news] + ["", "字" * 500, "Привет"]
    first = zaowu.load(tiny_run)
    second = zaowu.load(first.save(tmp_path / "again"))
    given, back = first.predict(texts).prediction, second.predict(texts).prediction
    assert np.array_equal(given.probabilities, back.probabilities)
    assert given.classes == back.classes and given.labels == back.labels
    beside = [run.baselines.predict({"text": texts})["label"]["tfidf_linear"].probabilities for run in (first, second)]
    assert np.array_equal(*beside)
    assert opened(tiny_run)["files"].keys() == opened(tmp_path / "again")["files"].keys()


def test_every_json_is_strict_and_every_file_is_listed(tiny_run):
    def no_constant(name):
        raise AssertionError(name)

    for path in tiny_run.rglob("*.json"):
        json.loads(path.read_text("utf-8"), parse_constant=no_constant)
    points = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text("utf-8").splitlines()]
    assert points and all(math.isfinite(point["train_loss"]) for point in points)
    there = {path.relative_to(tiny_run).as_posix() for path in tiny_run.rglob("*") if path.is_file()}
    assert set(opened(tiny_run)["files"]) == there - {"zaowu.json"}
    assert not [name for name in there if name.endswith((".bin", ".pt", ".pkl", ".new"))]


def test_a_run_is_replaced_only_when_the_new_one_is_whole(tiny_run, tmp_path, monkeypatch):
    run = zaowu.load(tiny_run)
    out = run.save(tmp_path / "run")
    before = (out / "zaowu.json").read_bytes()
    (tmp_path / "run.old").mkdir()  # a person's own copy
    (tmp_path / "run.old" / "mine").write_text("precious")
    (partial(out) / "trunk").mkdir(parents=True)
    (partial(out) / "config.json").write_text("{}")  # left by a save that was cut short
    with monkeypatch.context() as patch:
        patch.setattr(
            "zaowu.run.save.write_report", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
        with pytest.raises(UserError, match="No space left"):
            run.save(out)
    assert (out / "zaowu.json").read_bytes() == before and zaowu.load(out)
    run.save(out)
    assert not (out / "config.json").exists()
    assert (tmp_path / "run.old" / "mine").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.old"]


def test_where_a_run_may_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place(None, name="news", overwrite=False).as_posix() == "runs/news"
    assert not partial(tmp_path / "runs" / "news").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert place(".", name="x", overwrite=False) == tmp_path / "empty"


def test_resume_takes_nothing_that_is_no_interrupted_run(tiny_run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no run stands here"):
        place(tmp_path / "thesis", name="x", overwrite=False, resume=True)
    finished = shutil.copytree(tiny_run, tmp_path / "finished")
    with pytest.raises(UserError, match="was finished"):
        place(finished, name="x", overwrite=False, resume=True)
    (finished / "checkpoint").mkdir()
    assert place(finished, name="x", overwrite=False, resume=True) == finished
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "years of work"
