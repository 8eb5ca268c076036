"""Predictions -> scores with intervals: the same call in the training loop, the command line and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zaowu import targets
from zaowu.config import from_plain
from zaowu.errors import UserError, shorten
from zaowu.targets import Score, Target


@dataclass(frozen=True)
class Evaluation:
    """How good the predictions for `rows` labelled records are.

    scores: the target's metrics by name. details: what the target shows beside them, for a category its
    `CategoryDetails` (per_class, confusion, calibration_bins, unseen).
    """

    kind: str
    rows: int
    scores: dict[str, Score]
    details: Any

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready: every score by name, `rows`, `intervals`, and the details beside them."""
        bounds = {name: [score.low, score.high] for name, score in self.scores.items() if score.low is not None}
        values = {name: score.value for name, score in self.scores.items()}
        return {"kind": self.kind, "rows": self.rows, **values, "intervals": bounds, **self.details.to_plain()}

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> Evaluation:
        """The strict inverse of `to_plain`. Raises UserError naming `where`."""
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected an object, got {type(data).__name__}.")
        data = dict(data)
        kind = targets.find(data.pop("kind", None), where=f"{where}, 'kind'")
        rows, intervals = data.pop("rows", None), data.pop("intervals", None)
        if type(rows) is not int or not isinstance(intervals, dict):
            raise UserError(f"{where}: expected 'rows' as a number and 'intervals' as an object.")
        scores = {}
        for name in kind.metrics:
            bounds = intervals.get(name, [None, None])
            if not isinstance(bounds, list) or len(bounds) != 2:
                raise UserError(f"{where}, 'intervals': expected two numbers, got {shorten(bounds)}.")
            score = {"value": data.pop(name, None), "low": bounds[0], "high": bounds[1]}
            scores[name] = from_plain(Score, score, where=f"{where}, '{name}'")
        return cls(kind.name, rows, scores, kind.details_from_plain(data, where=where))


def evaluate(target: Target, prediction: Any, labels: Sequence, *, seed: int = 0, resamples: int = 1000) -> Evaluation:
    """The scores of a prediction, with 95 % bootstrap intervals unless `resamples` is 0.

    labels: N raw labels in the order of the prediction. A label that the model never saw is named in the
    details and counts as wrong. Raises UserError when there is no row.
    """
    assert len(prediction) == len(labels)
    if not len(labels):
        raise UserError("Evaluation: expected at least one row with a label, got none.")
    intervals = target.intervals(prediction, labels, seed=seed, resamples=resamples) if resamples else {}
    scores = {
        name: Score(value, *intervals.get(name, (None, None)))
        for name, value in target.score(prediction, labels).items()
    }
    return Evaluation(target.name, len(labels), scores, target.details(prediction, labels))


def compare(
    target: Target, first: Any, second: Any, labels: Sequence, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Score]:
    """Score of `first` minus score of `second` on the same rows, with paired 95 % intervals.

    An interval without 0 says that the difference is beyond the chance of which rows were drawn.
    """
    assert len(first) == len(second) == len(labels) > 0
    return target.differences(first, second, labels, seed=seed, resamples=resamples)
