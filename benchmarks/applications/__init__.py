"""The rows of `modalities.py`: one file per application, found by its name.

An application is a module of this folder with
    TARGET                          the column that is answered
    METRIC                          "accuracy", "auc" (of the class POSITIVE) or "mae"
    splits(source) -> dict[str, Split]      name -> rows; names alike up to the first space make one figure
    reference(split, seed) -> Said  the cheap or published method, its best settings chosen within training rows
and, where it has them,
    GOALS: dict[str, float]         first word of a split's name -> what is asked of our mean
    COLUMNS, TIME_LIMIT_S           said to Zaowu beside the target, with the reason
    ALONE: tuple[str, ...]          columns that are also learned from alone
    STOCHASTIC = True               the reference hangs on chance, and is repeated for every seed
    figures(split, said) -> dict    more to report of the answers
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
from sets import fetch
from shared.paired import area

from zaowu import listing
from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.errors import UserError
from zaowu.inputs import cleaners, guessers
from zaowu.learn import learn
from zaowu.records import schema as schemas
from zaowu.records.check import clean
from zaowu.records.read import read
from zaowu.records.split import split_off
from zaowu.train.rule import CROSS_VALIDATE_BELOW

FOLDS = 5


@dataclass(frozen=True)
class Source:
    """data: the folder of sets that no package carries. work: where packages are kept once they are fetched."""

    data: Path | None
    work: Path

    def file(self, *names: str) -> Path:
        """A file under `data`. Raises UserError when it is not there."""
        if self.data is None:
            raise UserError(f"--data: expected a folder with {'/'.join(names)}, got nothing.")
        path = self.data.joinpath(*names)
        if not path.exists():
            raise UserError(f"{path}: there is no such file.")
        return path

    def package(self, name: str, version: str, sha256: str) -> Path:
        """The archive of a PyPI package, fetched once. Raises UserError."""
        folder = self.work / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        known = sorted(folder.glob(re.sub("[-_.]", "?", name) + f"-{version}[-.]*"))
        if known:
            return known[0]
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=self.work) as temporary:
            archive = fetch.pypi(name, version, sha256=sha256, work=Path(temporary))
            return archive.replace(folder / archive.name)


@dataclass(frozen=True)
class Split:
    """Rows to learn from, to choose by (None: Zaowu cuts its own, or has too few rows to), and to be scored on."""

    train: pl.DataFrame
    test: pl.DataFrame
    valid: pl.DataFrame | None = None

    def select(self, columns: Sequence[str]) -> Split:
        """The same rows with these columns only."""
        return Split(*(None if one is None else one.select(columns) for one in (self.train, self.test, self.valid)))

    def limited(self, rows: int, target: str) -> Split:
        """About so many rows a side: the first of each class."""

        def few(frame: pl.DataFrame) -> pl.DataFrame:
            if frame.schema[target] != pl.String:
                return frame.head(rows)
            return frame.filter(pl.int_range(pl.len()).over(target) < max(6, rows // frame[target].n_unique()))

        return Split(few(self.train), few(self.test), None if self.valid is None else few(self.valid))


@dataclass(frozen=True)
class Said:
    """What a method says. test, valid: a label, a number, or the probability of POSITIVE for each of their rows.

    figures: whatever else it has to tell.
    """

    test: Sequence[Any]
    valid: Sequence[Any] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    return listing.names(sys.modules[__name__])


def find(name: str) -> ModuleType:
    return listing.load(sys.modules[__name__], name, where="--only")


def in_folds(frame: pl.DataFrame, target: str) -> dict[str, Split]:
    """Five folds with even classes, the same for everybody."""
    from sklearn.model_selection import StratifiedKFold

    places = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(len(frame)), frame[target].to_list())
    return {f"folds {number}": Split(frame[train], frame[test]) for number, (train, test) in enumerate(places)}


def ours(task: ModuleType, split: Split, *, seed: int, threads: int, trial: bool) -> Said:
    """Zaowu by its rule. As `zaowu fit` does, a tenth of the rows chooses the epoch where there are enough of them.

    trial: one epoch, without a base: to see that it runs.
    """
    columns = {name: kind for name, kind in getattr(task, "COLUMNS", {}).items() if name in split.train.columns}
    table = read(split.train)
    schema = schemas.guess(table, guessers=guessers(), target=(task.TARGET,), columns=columns)

    def records_of(frame: pl.DataFrame) -> Any:
        found = clean(read(frame), schema, min_classes=1, cleaners=cleaners())
        assert len(found) == len(frame), f"{len(frame) - len(found)} rows cannot be used: {found.skipped[:3]}"
        return found

    train, test = records_of(split.train), records_of(split.test)
    valid = None if split.valid is None else records_of(split.valid)
    if valid is None and len(train) >= CROSS_VALIDATE_BELOW:
        sides = split_off(train)
        train, valid = train.take(sides.train), train.take(sides.valid)
    config = FitConfig(
        data=DataConfig(target=(task.TARGET,), columns=columns),
        text=TextConfig(base="none") if trial else TextConfig(),
        train=TrainConfig(
            seed=seed,
            threads=threads,
            epochs=1 if trial else None,
            time_limit=getattr(task, "TIME_LIMIT_S", None),
        ),
    )
    learned = learn(train, valid, config)
    told = {
        "rows": len(train),
        "epochs": learned.config.epochs,
        "best_epoch": None if valid is None else learned.training.best.epoch,
        "kinds": {column.name: column.kind for column in schema.inputs[:4]},
    }
    chosen = [] if valid is None else _said(learned.predict(valid)[task.TARGET], task)
    return Said(_said(learned.predict(test)[task.TARGET], task), chosen, told)


def _said(prediction: Any, task: ModuleType) -> list[Any]:
    if task.METRIC == "accuracy":
        return list(prediction.labels)
    if task.METRIC == "auc":
        return [float(value) for value in prediction.probabilities[:, prediction.classes.index(task.POSITIVE)]]
    return [float(value) for value in prediction.value]


def outcome(task: ModuleType, split: Split, said: Said) -> dict[str, Any]:
    """value: of the metric. right: what the comparison of two methods needs of each row."""
    truth = split.test[task.TARGET].to_list()
    more = {**said.figures, **(task.figures(split, said) if hasattr(task, "figures") else {})}
    if task.METRIC == "accuracy":
        hits = [int(one == other) for one, other in zip(truth, said.test, strict=True)]
        return {"value": float(np.mean(hits)), "right": "".join(map(str, hits)), **more}
    if task.METRIC == "auc":
        is_positive = np.array([label == task.POSITIVE for label in truth])
        scores = np.asarray(said.test, np.float64)
        kept = {
            "truth": "".join(str(int(one)) for one in is_positive),
            "scores": [round(x, 7) for x in scores.tolist()],
        }
        return {"value": area(is_positive, scores), "right": kept, **more}
    errors = np.abs(np.asarray(truth, np.float64) - np.asarray(said.test, np.float64))
    r2 = 1 - float(np.square(errors).sum() / np.square(truth - np.mean(truth)).sum())
    return {"value": float(errors.mean()), "r2": r2, "right": [round(x, 5) for x in errors.tolist()], **more}
