"""Where a model is weak: how good its answers are by length, by class and by the values of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zaowu.metrics import figures_interval
from zaowu.targets import Score

MAX_SLICES = 12  # of one column
MIN_ROWS = 5  # fewer say nothing


@dataclass(frozen=True)
class Slice:
    """The records that share something. score: the mean of their figures with its 95 % interval."""

    name: str
    rows: int
    score: Score


def by_length(figures: np.ndarray, lengths: Sequence[int]) -> list[Slice]:
    """Quarters of the records, from the shortest texts to the longest.

    figures: (N,), as `target.per_record` gives them. lengths: N lengths in characters. Equal lengths stay
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
        slices.append(_slice(f"{low}-{high}" if low < high else f"{low}", figures[inside]))
    return slices


def by_value(
    figures: np.ndarray, values: Sequence, *, limit: int = MAX_SLICES, min_rows: int = MIN_ROWS
) -> list[Slice]:
    """One slice for each of the most frequent values, the most frequent first.

    values: N values of any column (for slices by class the labels). None is a value too, named "(empty)".
    """
    names = ["(empty)" if value is None or value == "" else str(value) for value in values]
    chosen = [(name, rows) for name, rows in Counter(names).most_common(limit) if rows >= min_rows]
    place = {name: number for number, (name, _) in enumerate(chosen)}
    codes = np.fromiter((place.get(name, len(place)) for name in names), np.int64, len(names))
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(chosen) + 1))
    return [_slice(name, figures[order[ends[k] : ends[k + 1]]]) for k, (name, _) in enumerate(chosen)]


def _slice(name: str, figures: np.ndarray) -> Slice:
    rows, figures = len(figures), np.asarray(figures, np.float64)
    is_share = np.isin(figures, (0, 1)).all()
    low, high = figures_interval(figures) if rows > 1 or is_share else (None, None)
    return Slice(name, rows, Score(float(figures.mean()), low, high))
