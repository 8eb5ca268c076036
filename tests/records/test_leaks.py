"""Columns that know the answer are found; honest ones, small sets and easy tasks are left in peace."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from zaowu.records.identity import content_ids
from zaowu.records.leaks import find_leaks
from zaowu.records.records import Column, Records, Schema


def records(columns: dict[str, list], kinds: dict[str, str], target: str = "category") -> Records:
    """The last column is the target."""
    *inputs, last = columns
    frame = pl.DataFrame({name: pl.Series(values, dtype=None) for name, values in columns.items()}, strict=False)
    schema = Schema((*(Column(name, "input", kinds[name], "") for name in inputs), Column(last, "target", target, "")))
    ids = content_ids([[str(value) for value in columns[name]] for name in inputs])
    return Records(frame, np.arange(1, len(ids) + 1), ids, ids, "made.csv", schema)


def honest(num_rows: int, seed: int = 0) -> tuple[dict[str, list], dict[str, str], np.ndarray]:
    """Two columns that tell something of the answer, one that tells nothing; the answer as 0 and 1."""
    rng = np.random.default_rng(seed)
    age, income = rng.normal(50, 10, num_rows), rng.normal(size=num_rows)
    answer = (age / 10 + income + rng.normal(size=num_rows) > 5).astype(int)
    columns = {
        "age": [f"{value:.1f}" for value in age],
        "income": [f"{value:.3f}" for value in income],
        "region": [f"r{value}" for value in rng.integers(0, 8, num_rows)],
    }
    return columns, {"age": "number", "income": "number", "region": "category"}, answer


def planted(kind: str, answer: np.ndarray) -> tuple[list, str]:
    """A column that knows the answer, and what it is taken for."""
    rng = np.random.default_rng(5)
    if kind == "copy":
        return [["healthy", "ill"][value] for value in answer], "category"
    if kind == "many values":
        return [f"{'AB'[value]}{rng.integers(0, 9)}" for value in answer], "category"
    if kind == "id":  # numbered class by class
        return [str(1000 + value * 100_000 + place) for place, value in enumerate(answer)], "number"
    if kind == "date":  # written down only when it happened
        return [
            (date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 300)))).isoformat() if value else None
            for value in answer
        ], "date"
    later = [date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 90) + 200 * value)) for value in answer]
    return [f"{day.day:02}.{day.month:02}.{day.year}" for day in later], "date"


@pytest.mark.parametrize("kind", ["copy", "many values", "id", "date", "late date"])
@pytest.mark.parametrize("num_rows", [200, 6000])
def test_a_planted_leak_is_found(kind, num_rows):
    columns, kinds, answer = honest(num_rows)
    columns["planted"], kinds["planted"] = planted(kind, answer)
    columns["label"] = [str(value) for value in answer]
    (leak,) = find_leaks(records(columns, kinds))
    assert (leak.column, leak.target, leak.rows) == ("planted", "label", min(num_rows, 5000))
    assert leak.alone >= 0.99 and 0.5 < leak.usual < leak.others < 0.95
    assert str(leak).startswith("column 'planted' alone tells 'label' right in ") and "--ignore" in str(leak)


def test_two_leaks_do_not_hide_each_other():
    columns, kinds, answer = honest(500)
    for name in ("copy", "id"):
        columns[name], kinds[name] = planted(name, answer)
    columns["label"] = [str(value) for value in answer]
    assert {leak.column for leak in find_leaks(records(columns, kinds))} == {"copy", "id"}


@pytest.mark.parametrize("num_rows", [30, 60, 400, 3000])
def test_honest_columns_are_left_in_peace(num_rows):
    for seed in range(3):
        columns, kinds, answer = honest(num_rows, seed)
        assert find_leaks(records(columns | {"label": [str(value) for value in answer]}, kinds)) == ()


def test_small_sets_cannot_say_it():
    """Nine rows of the rare class are all told apart, among sixty: that may be luck."""
    columns, kinds, _ = honest(60)
    answer = np.array([0] * 51 + [1] * 9)
    columns["planted"], kinds["planted"] = planted("copy", answer)
    assert find_leaks(records(columns | {"label": [str(value) for value in answer]}, kinds)) == ()


def test_many_columns_of_noise_beside_few_rows():
    rng = np.random.default_rng(0)
    columns = {f"n{k}": rng.normal(size=60).round(3).astype(str).tolist() for k in range(60)}
    columns |= {f"c{k}": rng.integers(0, 30, 60).astype(str).tolist() for k in range(20)}
    kinds = {name: "number" if name[0] == "n" else "category" for name in columns}
    assert find_leaks(records(columns | {"label": rng.integers(0, 2, 60).astype(str).tolist()}, kinds)) == ()


def test_an_easy_task_is_no_leak():
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine

    for load, labels in ((load_iris, lambda y: y == 0), (load_iris, str), (load_wine, str), (load_breast_cancer, str)):
        data = load(as_frame=True)
        columns = {name: data.data[name].astype(str).tolist() for name in data.data}
        kinds = dict.fromkeys(columns, "number")
        answers = [str(labels(value)) for value in data.target.tolist()]
        assert find_leaks(records(columns | {"label": answers}, kinds)) == (), load.__name__


def test_a_number_that_is_the_answer_in_another_unit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    price = np.exp(x + 0.5 * rng.normal(size=400))
    columns = {"x": x.astype(str).tolist(), "euros": [f"{value * 0.9:.4f}" for value in price]}
    kinds = dict.fromkeys(columns, "number")
    (leak,) = find_leaks(records(columns | {"price": price.tolist()}, kinds, "number"))
    assert leak.column == "euros" and leak.alone > 0.98 > leak.others
    assert "explains" in str(leak)
    honest = {"x": columns["x"], "y": rng.normal(size=400).astype(str).tolist(), "price": price.tolist()}
    assert find_leaks(records(honest, {"x": "number", "y": "number"}, "number")) == ()


def test_only_inputs_beside_others_are_judged():
    columns, _, answer = honest(300)
    labels = [str(value) for value in answer]
    alone = {"copy": labels, "label": labels}
    assert find_leaks(records(alone, {"copy": "category"})) == ()
    beside_text = {"copy": labels, "note": [f"some words {k}" for k in range(300)], "label": labels}
    (leak,) = find_leaks(records(beside_text, {"copy": "category", "note": "text"}))
    assert leak.column == "copy" and leak.others == leak.usual
    same = {"age": columns["age"], "region": columns["region"], "label": ["x"] * 300}
    assert find_leaks(records(same, {"age": "number", "region": "category"})) == ()


def test_the_order_of_rows_says_nothing():
    columns, kinds, answer = honest(300)
    columns["planted"], kinds["planted"] = planted("id", answer)
    columns["label"] = [str(value) for value in answer]
    turned = {name: values[::-1] for name, values in columns.items()}
    forwards, backwards = find_leaks(records(columns, kinds)), find_leaks(records(turned, kinds))
    assert [leak.column for leak in forwards] == [leak.column for leak in backwards] == ["planted"]
