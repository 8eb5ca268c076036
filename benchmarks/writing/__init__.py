"""The rows of `text_out.py`: one file per application, found by its name.

An application is a module of this folder with
    MINUTES: float                    of our training, and of the peer's
    SHOWN: tuple[str, ...]            the figures that are printed, the first of which is asked for
    SIDES: tuple[str, ...]            "ours", and peers
    GOAL: str                         what is asked of it
    cell(side, work) -> dict          one training and its figures: "scores", name -> [value, low, high], and, of cheap
                                      methods that are measured with it, "beside", method -> the same
    reached(found) -> bool            side or method -> its scores; whether the goal is reached
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from sets.rows import rank, share

from zaowu import listing
from zaowu.errors import UserError

TEST = 0.1  # share of the sources, by their hash

Scores = dict[str, list[float]]  # name of a figure -> value, and the ends of its 95 % interval where it has one


@dataclass(frozen=True)
class Work:
    """paths: files and folders of the sets that no package carries. folder: of this cell.

    settings: of `fit`, to try the script with. limit: rows a side, likewise; None: all.
    """

    paths: tuple[Path, ...]
    folder: Path
    packages: Path
    seed: int
    threads: int
    minutes: float
    limit: int | None
    settings: Mapping[str, str]

    def file(self, *names: str) -> Path:
        """The first file of one of these names at or below `paths`. Raises UserError."""
        for path in self.paths:
            found = [path] if path.is_file() else sorted(path.rglob("*"))
            for one in found:
                if one.name in names and one.is_file():
                    return one
        raise UserError(
            f"--data: expected a file {' or '.join(names)}, got {', '.join(map(str, self.paths)) or 'none'}."
        )

    def of(self, side: str) -> Path:
        """The folder of another side's cell of the same application and seed."""
        return self.folder.parent / side


def applications() -> list[str]:
    return listing.names(sys.modules[__name__])


def find(name: str) -> Any:
    return listing.load(sys.modules[__name__], name, where="--only")


def parted(rows: Sequence[dict[str, Any]], key: str, work: Work) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(train, test): by the hash of what stands under `key`, so that rows with the same are on one side."""
    sides = (
        [row for row in rows if share(row[key], "split") >= TEST],
        [r for r in rows if share(r[key], "split") < TEST],
    )
    if work.limit is None:
        return sides
    train, test = (sorted(side, key=lambda row: rank(row[key], "sample"))[: work.limit] for side in sides)
    return train, test


def kept(sides: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]], work: Work) -> tuple[Path, Path]:
    """The files of both sides, as `fit` reads them."""
    work.folder.mkdir(parents=True, exist_ok=True)
    paths = work.folder / "train.csv", work.folder / "test.csv"
    for path, rows in zip(paths, sides, strict=True):
        pl.DataFrame(rows).write_csv(path)
    return paths


def fitted(train: Path, test: Path, target: str, work: Work) -> tuple[Any, dict[str, Any]]:
    """Zaowu with the target alone, and its time; then the run and its figures, the cheap methods' beside them."""
    import zaowu

    run = zaowu.fit(
        train,
        target=target,
        test=str(test),
        time_limit=60 * work.minutes,
        threads=work.threads,
        seed=work.seed,
        out=work.folder / "run",
        overwrite=True,
        lang="en",
        **work.settings,
    )
    [answer] = run.content.answers
    beside = {name: scores_of(found) for name, found in answer.baselines.items()}
    kinds = {column["name"]: column["kind"] for column in run.content.columns}
    best = {"stopped": run.content.stopped, "epochs": run.content.best_epoch, "kinds": kinds}
    rows = sum(side["rows"] for side in run.content.splits if side["side"] in ("train", "valid"))
    size = run.content.num_parameters
    found = {"scores": scores_of(answer.evaluation or {}), "beside": beside, "leads": answer.comparison}
    return run, {**found, **best, "train": rows, "test": (answer.evaluation or {})["rows"], "parameters": size}


def scores_of(evaluation: Mapping[str, Any]) -> Scores:
    """The figures of an evaluation with their intervals."""
    bounds = evaluation.get("intervals", {})
    return {
        name: [round(number, 5) for number in (value, *bounds.get(name, ()))]
        for name, value in evaluation.items()
        if isinstance(value, float)
    }


def keep_texts(texts: Sequence[str], work: Work) -> None:
    path = work.folder / "texts.json"
    path.write_text(json.dumps(list(texts), ensure_ascii=False), encoding="utf-8")
