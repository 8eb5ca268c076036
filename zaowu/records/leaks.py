"""Columns that know the answer: alone they predict it nearly perfectly, and nothing else comes near.

Such a column was mostly filled in after the answer was known (a date of discharge, a code of the outcome), and a
model that leans on it fails where it is used. Each column is judged out of fold by a small tree, or by the majority
of each of its values. A task that is easy anyway is no leak: the other columns together must fall short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from zaowu.metrics import wilson_interval
from zaowu.records import dates, numbers
from zaowu.records.facts import as_strings
from zaowu.records.identity import mixed, normalised
from zaowu.records.records import Column, Records
from zaowu.records.split import folds

KINDS = ("number", "category", "date")  # of inputs that are looked at
MAX_ROWS = 5_000
MIN_ROWS = 40
MAX_CLASSES = 100
NUM_FOLDS = 3
SURE = 0.97  # share of the error that is gone: from here on a column is suspected
AT_LEAST = 0.8  # the same at the bad end of its 95 % interval: small sets cannot say it
EASY = 0.9  # what the other columns together explain where it is no wonder


@dataclass(frozen=True)
class Leak:
    """A column that may know the answer. alone, others: what it, and all columns that are not suspected together,
    do for rows they did not learn from; usual: what saying the same of every row does. Shares of right answers of
    a category; of a number the explained variance of its ranks. rows: that were looked at."""

    column: str
    target: str
    alone: float
    others: float
    usual: float
    rows: int
    is_number: bool

    def __str__(self) -> str:
        figures = (
            f"explains {self.alone:.1%} of how '{self.target}' varies (all other columns together {self.others:.1%})"
            if self.is_number
            else f"tells '{self.target}' right in {self.alone:.1%} of {self.rows:,} rows (all other columns together "
            f"in {self.others:.1%}, the most frequent answer in {self.usual:.1%})"
        )
        return (
            f"column '{self.column}' alone {figures}: it is likely a leak. If it is not known before the answer is, "
            f"leave it out with --ignore."
        )


def find_leaks(records: Records) -> tuple[Leak, ...]:
    """Likely leaks among the inputs that are numbers, categories or dates, for every target; the surest first.

    At most 5,000 rows are looked at, chosen by their ids. Nothing is said of fewer than 40 rows, or of a column that
    is the only input.
    """
    columns = [column for column in records.schema.inputs if column.kind in KINDS]
    if len(records.schema.inputs) < 2 or not columns:
        return ()
    found = []
    for target in records.schema.targets:
        if target.name in records.frame.columns:
            found += _leaks_of(records, columns, target)
    return tuple(sorted(found, key=lambda leak: -leak.alone))


def _leaks_of(records: Records, columns: Sequence[Column], target: Column) -> list[Leak]:
    labels = records.frame.get_column(target.name)
    known = np.flatnonzero(labels.is_not_null().to_numpy())
    rows = np.sort(known[np.argsort(mixed(records.ids[known]), kind="stable")[:MAX_ROWS]])
    some = records.take(rows)
    answers = some.frame.get_column(target.name)
    is_number = target.kind == "number"
    if len(some) < MIN_ROWS or answers.n_unique() < 2 or (not is_number and answers.n_unique() > MAX_CLASSES):
        return []
    truth = (answers.rank() / len(some)).to_numpy() if is_number else answers.rank("dense").cast(pl.Int64).to_numpy()
    places = folds(some, NUM_FOLDS)
    if len(np.unique(places)) < 2:
        return []
    usual = _judged(np.zeros((len(some), 1)), truth, places, is_number, depth=1)
    read = {column.name: _read(some.frame.get_column(column.name), column.kind) for column in columns}
    wrong = {}
    for column in columns:
        if column.kind == "category" and not is_number:
            wrong[column.name] = _judged_by_value(read[column.name][:, 0], truth, places)
        else:
            wrong[column.name] = _judged(read[column.name], truth, places, is_number, depth=8)
    suspects = [name for name, own in wrong.items() if _is_sure(own, usual, is_number)]
    if not suspects:
        return []
    rest = [matrix for name, matrix in read.items() if name not in suspects]
    others = _judged(np.concatenate(rest, axis=1), truth, places, is_number, depth=None) if rest else usual
    if 1 - others.mean() / usual.mean() >= EASY:
        return []

    def figure(own: np.ndarray) -> float:
        return float(1 - own.mean() / usual.mean() if is_number else 1 - own.mean())

    return [
        Leak(name, target.name, figure(wrong[name]), figure(others), figure(usual), len(some), is_number)
        for name in suspects
    ]


def _is_sure(wrong: np.ndarray, usual: np.ndarray, is_number: bool) -> bool:
    """Whether hardly any of the error is left, and that is more than luck. wrong, usual: (N,) errors of the rows."""
    if 1 - wrong.mean() / usual.mean() < SURE:
        return False
    if is_number:
        return True
    worst = wilson_interval(int(wrong.sum()), len(wrong))[1]
    return bool(1 - worst / usual.mean() >= AT_LEAST)


def _read(series: pl.Series, kind: str) -> np.ndarray:
    """(N, 1 or 2) float64: of a category the number of its value; else value and whether it is missing."""
    if kind == "category":
        cells = as_strings(series).fill_null("")
        different = cells.unique().to_list()
        content = cells.replace_strict(different, list(map(normalised, different)), return_dtype=pl.String)
        return content.rank("dense").cast(pl.Float64).to_numpy()[:, None]
    values = numbers.parse(series) if kind == "number" else dates.parse(series).dt.epoch("s").cast(pl.Float64)
    missing = values.is_null().cast(pl.Float64)
    return np.stack([values.rank("dense").cast(pl.Float64).fill_null(0.0).to_numpy(), missing.to_numpy()], axis=1)


def _judged(
    matrix: np.ndarray, truth: np.ndarray, places: np.ndarray, is_number: bool, *, depth: int | None
) -> np.ndarray:
    """(N,) error of each row by a tree that did not learn from it (depth None: by many trees): 1 for a wrong class,
    or the squared distance of a number."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    wrong = np.zeros(len(truth))
    for place in np.unique(places):
        held = places == place
        if depth is None:
            forest = RandomForestRegressor if is_number else RandomForestClassifier
            model = forest(n_estimators=30, max_depth=10, min_samples_leaf=2, random_state=0)
        else:
            tree = DecisionTreeRegressor if is_number else DecisionTreeClassifier
            model = tree(max_depth=depth, min_samples_leaf=3, random_state=0)
        said = model.fit(matrix[~held], truth[~held]).predict(matrix[held])
        wrong[held] = np.square(said - truth[held]) if is_number else said != truth[held]
    return wrong


def _judged_by_value(values: np.ndarray, truth: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N,) 1 where the most frequent class of a row's value, among the other rows, is not the row's."""
    _, value = np.unique(values, return_inverse=True)
    _, classes = np.unique(truth, return_inverse=True)
    wrong = np.zeros(len(truth))
    for place in np.unique(places):
        held = places == place
        counts = np.zeros((value.max() + 1, classes.max() + 1))
        np.add.at(counts, (value[~held], classes[~held]), 1)
        counts += counts.sum(axis=0) / (len(truth) + 1)  # an unseen value is the most frequent class
        wrong[held] = counts.argmax(axis=1)[value[held]] != classes[held]
    return wrong
