"""The gallery: one file per application, with its data, its settings and the result it must reach.

A task is a module of this folder whose docstring says what is asked, where the data come from and what to reach, with
    NEEDS: str                      what --data must be; "" where a package that is here carries the data
    TARGET: str | None              the column to predict; None: guessed
    SETTINGS: dict                  what `zaowu.fit` is told beside the target, by name
    GOAL: (metric, value)           to reach, on the rows that the report is scored on
    load(data: Path | None) -> Examples
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zaowu import listing
from zaowu.errors import UserError

if TYPE_CHECKING:
    import polars as pl

    from zaowu.run import Run
    from zaowu.verbs.predict import Predictions

DEFAULT = "news_zh"
NUM_ASKED = 5


@dataclass(frozen=True)
class Examples:
    """learned: what `zaowu.fit` reads. asked: rows that are not in it, which the demo predicts."""

    learned: Any
    asked: Any


def demo(
    name: str = DEFAULT,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    threads: int | None = None,
    lang: str | None = None,
) -> tuple[Run, Predictions]:
    """Fits a task of the gallery, says whether its goal is reached, and predicts rows that it was not given.

    data: what the task needs, where no package carries it. out: the run's folder; default runs/demo, or runs/NAME.
    Raises UserError for a name that is not in the gallery, and for data that are missing or of another kind.
    """
    from zaowu.progress import note, speaking
    from zaowu.verbs.fit import fit
    from zaowu.verbs.predict import Predictions

    task = _find(name)
    if task.NEEDS and data is None:
        raise UserError(f"demo {name}: its data come with no package. Give --data PATH: {task.NEEDS}.")
    with speaking(quiet=quiet):
        if data is not None and not task.NEEDS:
            note(f"--data has no effect: {name} brings its own.")
        found = task.load(None if data is None else Path(data))
        run = fit(
            found.learned,
            target=task.TARGET,
            out=out or ("runs/demo" if name == DEFAULT else f"runs/{name}"),
            overwrite=overwrite,
            quiet=quiet,
            threads=threads,
            lang=lang,
            **task.SETTINGS,
        )
        note(_reached(run, *task.GOAL))
        note("Rows that are not in the set:")
        return run, Predictions(run.predict(found.asked), top=1, rows=len(found.asked))


def gallery() -> list[dict[str, str]]:
    """Every task: its name, what it asks, and what it needs."""
    found = []
    for name in listing.names(sys.modules[__name__]):
        if name != "data":
            task = _find(name)
            asks = (task.__doc__ or "").strip().splitlines()[0].rstrip(".")
            found.append({"name": name, "asks": asks, "needs": f"--data {task.NEEDS}" if task.NEEDS else "nothing"})
    return found


def apart(frame: pl.DataFrame, num: int = NUM_ASKED) -> Examples:
    """`num` rows, evenly spread, are kept aside to be asked about."""
    import numpy as np

    asked = (np.arange(num) + 0.5) * frame.height / num
    chosen = np.isin(np.arange(frame.height), asked.astype(int))
    return Examples(frame.filter(~chosen), frame.filter(chosen))


def _find(name: str) -> Any:
    return listing.load(sys.modules[__name__], name, where="demo")


def _reached(run: Run, metric: str, goal: float) -> str:
    figures = run.summary()
    value, is_higher = float(figures[metric]), next(iter(run.targets.values())).metrics[metric].higher_is_better
    reached = value >= goal if is_higher else value <= goal
    least = "at least" if is_higher else "at most"
    return f"To reach: {metric} of {least} {goal:g}. {'Reached' if reached else 'Not reached'}: {value:.4g}."
