"""The applications of benchmarks/modalities.py, the made set and the comparison of two methods; nothing is fetched."""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from zaowu.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import applications
import modalities
from applications import Said, Source, Split
from sets import movies, shape_and_word
from shared import references
from shared.measure import Rows
from shared.paired import area, area_lead, balanced_accuracy, best_threshold

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", applications.names())
def test_an_application_says_what_it_is(name):
    task = applications.find(name)
    assert task.__doc__ and task.METRIC in ("accuracy", "auc", "mae") and isinstance(task.TARGET, str)
    assert (task.METRIC == "auc") is hasattr(task, "POSITIVE")
    assert callable(task.splits) and callable(task.reference)


def test_the_rows_of_the_issue_are_there():
    asked = {"medical_image", "objects", "handwriting", "spoken_words", "disease_risk", "credit", "solubility"}
    assert asked | {"glucose", "fusion", "fusion_made"} == set(applications.names())


def test_missing_data_are_one_sentence(tmp_path):
    for data, words in ((None, "--data: expected a folder"), (tmp_path, "there is no such file")):
        with pytest.raises(UserError, match=words):
            applications.find("medical_image").splits(Source(data, tmp_path))


def test_the_area_is_that_of_scikit_learn():
    truth, scores = RNG.random(60) < 0.4, RNG.integers(0, 9, 60) / 9.0
    assert area(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    said = scores > 0.5
    assert balanced_accuracy(truth, said) == pytest.approx(balanced_accuracy_score(truth, said))


def test_a_lead_is_the_mean_of_differences_and_its_interval_tells_luck_from_more():
    truths = [RNG.random(200) < 0.5 for _ in range(2)]
    good = [np.stack([truth + RNG.normal(0, 0.7, 200) for _ in range(3)]) for truth in truths]
    poor = [(truth + RNG.normal(0, 2.0, 200))[None] for truth in truths]
    lead, (low, high) = area_lead(truths, good, poor)
    means = [
        np.mean([roc_auc_score(truth, row) for row in one]) - roc_auc_score(truth, other[0])
        for truth, one, other in zip(truths, good, poor, strict=True)
    ]
    assert lead == pytest.approx(np.mean(means)) and 0 < low < lead < high
    same, (low, high) = area_lead(truths, good, [one[::-1] for one in good])
    assert same == pytest.approx(0) and low == pytest.approx(0) and high == pytest.approx(0)
    _, (low, high) = area_lead(truths, poor, [one + RNG.normal(0, 0.5, one.shape) for one in poor])
    assert low < 0 < high


def test_the_best_threshold_parts_what_can_be_parted():
    truth, scores = np.array([False, False, True, True]), np.array([0.1, 0.3, 0.7, 0.9])
    assert best_threshold(truth, scores) == pytest.approx(0.5)
    assert best_threshold(~truth, scores) <= 0.1  # at worst everything is positive


def test_neither_column_of_the_made_set_says_the_answer():
    frame = shape_and_word.make(600, seed=3)
    assert frame["caption"].n_unique() > 550
    word = frame["caption"].str.contains("|".join(shape_and_word.WORDS["disc"]))
    assert 0.4 < (frame["answer"] == "yes").mean() < 0.6
    assert 0.4 < (word == (frame["answer"] == "yes")).mean() < 0.6
    bright = [np.frombuffer(image[-28 * 28 :], np.uint8).reshape(28, 28) for image in frame["image"]]
    assert len({image.tobytes() for image in bright}) == 600 and np.std(bright[0]) > 10
    assert shape_and_word.make(600, seed=3).equals(frame)


def test_movies_are_read_and_split_by_title(tmp_path):
    path = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    films = [f'{i}\tFilm "{i}\t{1950 + i}\tDrama War' for i in range(40)]
    ratings = [f"{user}\t{i}\t{1 + (user + i) % 5}\t0" for i in range(40) for user in range(20 if i else 19)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{movies.PLACE}.item",
            "\n".join(["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", *films]),
        )
        archive.writestr(
            f"{movies.PLACE}.inter",
            "\n".join(["user_id:token\titem_id:token\trating:float\ttimestamp:float", *ratings]),
        )
    sides = movies.load(path)
    assert len(sides["test"]) == 8 and len(sides["train"]) == 31  # the one with 19 ratings is left out
    assert not set(sides["test"]["title"]) & set(sides["train"]["title"])
    assert set(pl.concat(sides.values())["rating"]) == {3.0} and sides["train"]["title"][0].startswith('Film "')
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="expected recbole's"):
        movies.load(path)


def test_boosting_reads_words_and_values_it_has_not_seen(monkeypatch):
    monkeypatch.setattr(references, "TRIED", 1)
    rows = 60
    frame = pl.DataFrame(
        {"colour": ["red", "blue"] * 30, "size": np.arange(rows), "label": ["yes", "no"] * 29 + ["yes", "yes"]}
    )
    found = references.boosting(frame, "label", seed=0)
    scores = found.scores(frame.head(4).with_columns(pl.Series("colour", ["red", "blue", "green", None])), "yes")
    assert scores[0] > scores[1] and all(0 <= score <= 1 for score in scores)


def test_outcomes_by_hand():
    split = Split(pl.DataFrame(), pl.DataFrame({"y": [1.0, 2.0, 6.0]}))
    found = applications.outcome(SimpleNamespace(METRIC="mae", TARGET="y"), split, Said([1.0, 3.0, 4.0]))
    assert found["value"] == 1.0 and found["right"] == [0.0, 1.0, 2.0] and found["r2"] == pytest.approx(1 - 5 / 14)
    split = Split(pl.DataFrame(), pl.DataFrame({"y": ["a", "b", "a"]}))
    found = applications.outcome(SimpleNamespace(METRIC="accuracy", TARGET="y"), split, Said(["a", "b", "b"]))
    assert found["right"] == "110" and found["value"] == pytest.approx(2 / 3)


def test_a_cell_and_the_lines_of_its_application(tmp_path, capsys, monkeypatch):
    """One fold of breast cancer, a few rows; a second call measures nothing."""
    task = applications.find("disease_risk")
    monkeypatch.setattr(references, "TRIED", 1)
    all_splits = task.splits
    monkeypatch.setattr(task, "splits", lambda source: dict(list(all_splits(source).items())[:1]))
    args = argparse.Namespace(data=None, work=tmp_path, seeds=2, threads=1, limit=40)
    monkeypatch.setattr(modalities, "in_process", lambda key, args: modalities.cell(key, args))
    out = Rows(tmp_path / "rows.jsonl")
    assert modalities.application("disease_risk", out, args)
    rows = out.read()
    assert [(row["seed"], row["side"]) for row in rows] == [(s, side) for s in (0, 1) for side in ("ours", "reference")]
    assert all(0 <= row["value"] <= 1 and row["seconds"] > 0 and row["mb"] > 50 for row in rows)
    said = capsys.readouterr().out
    assert "ours minus reference:" in said and "folds: auc" in said
    monkeypatch.setattr(modalities, "in_process", lambda key, args: pytest.fail("measured again"))
    assert modalities.application("disease_risk", out, args)
    assert '"scores"' not in said  # a number for each row is for the file alone
