"""Where a model is weak: its accuracy by length, by class and by the values of a column, and its worst mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zaowu.metrics import wilson_interval
from zaowu.targets import Score
from zaowu.targets.category import CategoryPrediction

MAX_SLICES = 12  # of one column
MIN_ROWS = 5  # fewer say nothing


@dataclass(frozen=True)
class Slice:
    """The records that share something. accuracy: with Wilson's 95 % interval, which holds for few rows too."""

    name: str
    rows: int
    accuracy: Score


@dataclass(frozen=True)
class Mistake:
    """A wrong answer. index: place of the record; probability: what the model gave to the right label."""

    index: int
    label: str
    predicted: str
    confidence: float
    probability: float


def by_length(correct: np.ndarray, lengths: Sequence[int]) -> list[Slice]:
    """Quarters of the records, from the shortest texts to the longest.

    correct: (N,) bool, as `target.correct` gives it. lengths: N lengths in characters. Equal lengths stay
    together, so there are fewer slices when many texts are equally long. Names are the range: "3-17".
    """
    sizes = np.asarray(lengths)
    if not len(sizes):
        return []
    quarters = np.unique(np.quantile(sizes, [0.25, 0.5, 0.75], method="inverted_cdf"))
    place = np.searchsorted(quarters, sizes)  # a size equal to a quarter's end belongs to that quarter
    slices = []
    for number in np.unique(place):
        inside = place == number
        low, high = sizes[inside].min(), sizes[inside].max()
        slices.append(_slice(f"{low}-{high}" if low < high else f"{low}", correct[inside]))
    return slices


def by_value(
    correct: np.ndarray, values: Sequence, *, limit: int = MAX_SLICES, min_rows: int = MIN_ROWS
) -> list[Slice]:
    """One slice for each of the most frequent values, the most frequent first.

    values: N values of any column (for slices by class the labels). None is a value too, named "(empty)".
    """
    names = ["(empty)" if value is None or value == "" else str(value) for value in values]
    chosen = [(name, rows) for name, rows in Counter(names).most_common(limit) if rows >= min_rows]
    place = {name: number for number, (name, _) in enumerate(chosen)}
    codes = np.fromiter((place.get(name, len(place)) for name in names), np.int64, len(names))
    hits = np.bincount(codes, weights=correct, minlength=len(place) + 1)
    return [_of(name, int(hits[number]), rows) for number, (name, rows) in enumerate(chosen)]


def worst_mistakes(prediction: CategoryPrediction, labels: Sequence[str], *, limit: int = 20) -> list[Mistake]:
    """The wrong answers that the model was surest of, the surest first; the earlier record of equals."""
    confidence, predicted = prediction.confidence, prediction.labels
    place = {label: index for index, label in enumerate(prediction.classes)}
    wrong = np.array([label != given for label, given in zip(labels, predicted, strict=True)], bool)
    candidates = np.flatnonzero(wrong)
    order = candidates[np.argsort(-confidence[candidates], kind="stable")][:limit]
    return [
        Mistake(
            index=index,
            label=labels[index],
            predicted=predicted[index],
            confidence=float(confidence[index]),
            probability=float(prediction.probabilities[index, place[labels[index]]]) if labels[index] in place else 0.0,
        )
        for index in order.tolist()
    ]


def _slice(name: str, correct: np.ndarray) -> Slice:
    return _of(name, int(np.count_nonzero(correct)), len(correct))


def _of(name: str, hits: int, rows: int) -> Slice:
    return Slice(name, rows, Score(hits / rows, *wilson_interval(hits, rows)))
