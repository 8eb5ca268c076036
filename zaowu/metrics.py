"""Scores and how sure they are: pure functions on arrays.

Classes are integers 0..C-1; answers that the model never saw may stand in the truth as C and up. Intervals are
95 % percentile intervals of the bootstrap (Efron and Tibshirani 1993, chapter 13). Rows that look the same to a
score share a cell, and the cells' counts are drawn from one multinomial: the same bootstrap, at no extra cost for
a million rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Interval = tuple[float, float]
LEAST_PROBABILITY = 1e-7  # float32's resolution: a probability of 0 costs 16.1, not infinity
NUM_BINS = 15
MAX_DRAWS = 20_000_000  # cells x resamples; more cells than that allows get fewer resamples, at least 100
MAX_EXACT = 2_000  # rows up to which a mean is resampled; from there on its distribution is normal


@dataclass(frozen=True)
class ClassScores:
    """Per class, each (C,): `support` is the rows of that class, `predicted` the rows given to it."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Bins:
    """Equal-width bins of the confidence, each (num_bins,); empty bins have means of 0."""

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of rows where the two are equal. truth, predicted: (N,), N > 0."""
    return float(np.mean(truth == predicted))


def confusion(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """(C, C) int64 counts: row = truth, column = prediction."""
    cells = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def class_scores(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> ClassScores:
    """Precision, recall and F1 of each class; 0 where there is nothing to divide by."""
    support = np.bincount(truth, minlength=num_classes)
    given = np.bincount(predicted, minlength=num_classes)
    hits = np.bincount(truth[truth == predicted], minlength=num_classes)
    return ClassScores(
        precision=hits / np.maximum(given, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(given + support, 1),
        support=support,
        predicted=given,
    )


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that occur in the truth or among the predictions, as scikit-learn has it.

    A class that the model never predicts counts with 0, also one that it never saw; a class that
    occurs on neither side does not count at all.
    """
    num_classes = int(max(truth.max(), predicted.max())) + 1
    table = class_scores(truth, predicted, num_classes)
    return float(table.f1[table.support + table.predicted > 0].mean())


def log_losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) minus the logarithm of the probability given to the truth, which is clipped at 1e-7.

    probabilities: (N, C). truth: (N,); the probability of C and up is 0.
    """
    known = truth < probabilities.shape[1]
    given = np.zeros(len(truth))
    given[known] = probabilities[known, truth[known]]
    return -np.log(np.clip(given, LEAST_PROBABILITY, 1.0))


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS) -> Bins:
    """How often the answer is right, by how sure the model says it is. confidence, correct: (N,)."""
    place = _bin(confidence, num_bins)
    count = np.bincount(place, minlength=num_bins)
    sums = [np.bincount(place, weights=values, minlength=num_bins) for values in (confidence, correct)]
    confidence_mean, accuracy_mean = (values / np.maximum(count, 1) for values in sums)
    return Bins(count=count, confidence=confidence_mean, accuracy=accuracy_mean)


def calibration_error(bins: Bins) -> float:
    """Expected calibration error: the bins' gaps between confidence and accuracy, weighted by their rows.

    Source: Guo et al. 2017, section 2.
    """
    return float(np.sum(bins.count * np.abs(bins.confidence - bins.accuracy)) / bins.count.sum())


def wilson_interval(hits: int, rows: int) -> Interval:
    """95 % interval of a share by Wilson's score: sensible at few rows and at 0 and 100 %. rows > 0."""
    z = 1.959964
    share, spread = hits / rows, z * z / rows
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, *, seed: int = 0, resamples: int = 1000
) -> Interval:
    """The interval of a statistic of cells of equal rows.

    counts: (M,) rows in each cell. statistic: (R, M) resampled counts -> (R,) values.
    """
    return _middle(_resampled(statistic, counts, seed=seed, resamples=resamples))


def bootstrap_intervals(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, *, seed: int = 0, resamples: int = 1000
) -> list[Interval]:
    """Those of several statistics of the same cells, from the same draws: (R, M) resampled counts -> (R, S) values."""
    return [_middle(values) for values in _resampled(statistic, counts, seed=seed, resamples=resamples).T]


def accuracy_interval(correct: np.ndarray, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Of the share of True. Where all rows agree the bootstrap sees no chance at all: Wilson's stands in."""
    rows, hits = len(correct), int(np.count_nonzero(correct))
    if hits in (0, rows):
        return wilson_interval(hits, rows)
    counts = np.array([hits, rows - hits])
    return bootstrap_interval(lambda draws: draws[:, 0] / rows, counts, seed=seed, resamples=resamples)


def macro_f1_interval(truth: np.ndarray, predicted: np.ndarray, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Of `macro_f1`. Where every row is right, Wilson's interval of the accuracy stands in."""
    if np.array_equal(truth, predicted):
        return wilson_interval(len(truth), len(truth))
    (truth, predicted), counts = _cells(truth, predicted)
    score = _MacroF1(truth, predicted)
    return bootstrap_interval(score, counts, seed=seed, resamples=resamples)


def macro_f1_difference_interval(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0, resamples: int = 1000
) -> Interval:
    """Of macro-F1 of `first` minus that of `second` on the same rows, both resampled together."""
    (truth, first, second), counts = _cells(truth, first, second)
    one, other = _MacroF1(truth, first), _MacroF1(truth, second)
    return bootstrap_interval(lambda draws: one(draws) - other(draws), counts, seed=seed, resamples=resamples)


def mean_interval(values: np.ndarray, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Of the mean of one value a row; beyond 2,000 rows by its normal limit, which costs nothing."""
    rows = len(values)
    if rows > MAX_EXACT:
        half = 1.959964 * float(values.std()) / math.sqrt(rows)
        middle = float(values.mean())
        return middle - half, middle + half
    return bootstrap_interval(
        lambda draws: draws @ values / rows, np.ones(rows, np.int64), seed=seed, resamples=resamples
    )


def figures_interval(values: np.ndarray) -> Interval:
    """Of the mean of one figure a row. Shares of right and wrong have Wilson's, which holds for few rows too."""
    if np.isin(values, (0, 1)).all():
        return wilson_interval(int(values.sum()), len(values))
    return mean_interval(values)


def paired_interval(first: np.ndarray, second: np.ndarray, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Of the mean of `first` minus the mean of `second`, two values of the same rows; (N,) each."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if np.isin(difference, (-1.0, 0.0, 1.0)).all():
        return paired_shares_interval(int((difference > 0).sum()), int((difference < 0).sum()), len(difference))
    values, counts = np.unique(difference, return_counts=True)
    if len(values) > 10:
        return mean_interval(difference, seed=seed, resamples=resamples)
    return bootstrap_interval(lambda draws: draws @ values / len(difference), counts, seed=seed, resamples=resamples)


def paired_shares_interval(wins: int, losses: int, rows: int) -> Interval:
    """95 % interval of a difference of two shares on the same rows, from the rows on which one alone is right.

    Honest where few rows differ, which the bootstrap is not: four wins without a loss are no proof. Source: Bonett and
    Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data".
    """
    if wins == losses == 0:  # the same answers
        return 0.0, 0.0
    one, other = (wins + 1) / (rows + 2), (losses + 1) / (rows + 2)
    middle = one - other
    half = 1.959964 * math.sqrt(max(0.0, (one + other - middle * middle) / (rows + 2)))
    return max(-1.0, middle - half), min(1.0, middle + half)


def calibration_error_interval(
    confidence: np.ndarray, correct: np.ndarray, *, seed: int = 0, resamples: int = 1000
) -> Interval:
    """Of `calibration_error`.

    Noise only ever adds to this score, and resampling adds it a second time: the interval is reflected at
    the value (the "basic" bootstrap), which takes the second helping away, and always holds the value.
    Rows share a cell when their confidence agrees to 1/960 and both are right or wrong.
    """
    fine = _bin(confidence, NUM_BINS * 64)
    cells, counts = np.unique(2 * fine + correct, return_counts=True)
    place = np.searchsorted(cells, 2 * fine + correct)
    gap = np.bincount(place, weights=correct - confidence, minlength=len(cells)) / counts
    starts = np.unique(cells // (2 * 64), return_index=True)[1]

    def error(draws: np.ndarray) -> np.ndarray:
        return np.abs(np.add.reduceat(draws * gap, starts, axis=1)).sum(axis=1) / len(confidence)

    value = float(error(counts[None])[0])
    low, high = bootstrap_interval(error, counts, seed=seed, resamples=resamples)
    return max(0.0, min(value, 2 * value - high)), max(value, 2 * value - low)


class _MacroF1:
    """Macro-F1 as a function of the counts of cells. truth, predicted: (M,), one pair a cell."""

    def __init__(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        self.num_classes = int(max(truth.max(), predicted.max())) + 1
        every = np.arange(len(truth))
        hits = np.flatnonzero(truth == predicted)
        self.support, self.given, self.hits = (
            _grouped(every, truth), _grouped(every, predicted), _grouped(hits, truth[hits])
        )  # fmt: skip

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        """(R, M) counts -> (R,) scores."""
        both, hits = np.zeros((2, len(draws), self.num_classes))
        for total, (cells, starts, classes) in ((both, self.support), (both, self.given), (hits, self.hits)):
            if len(cells):
                total[:, classes] += np.add.reduceat(draws[:, cells], starts, axis=1)
        return (2 * hits / np.maximum(both, 1)).sum(axis=1) / (both > 0).sum(axis=1)


def _grouped(cells: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`cells` in the order of their classes, where each class starts, and which class that is."""
    order = np.argsort(classes, kind="stable")
    found, starts = np.unique(classes[order], return_index=True)
    return cells[order], starts, found


def _cells(*codes: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The different combinations of (N,) integers >= 0: their values, (M,) each, and how many rows have each."""
    sizes = [int(code.max()) + 1 for code in codes]
    flat = np.ravel_multi_index(codes, sizes)
    cells, counts = np.unique(flat, return_counts=True)
    return list(np.unravel_index(cells, sizes)), counts


def _resampled(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, *, seed: int, resamples: int
) -> np.ndarray:
    """(R,) or (R, S) values of the statistic; drawn in portions, so that many cells do not need much memory."""
    rng = np.random.default_rng(seed)
    rows = int(counts.sum())
    resamples = max(min(resamples, 100), min(resamples, MAX_DRAWS // len(counts)))
    portion = max(1, 2_000_000 // len(counts))
    values = []
    for start in range(0, resamples, portion):
        draws = rng.multinomial(rows, counts / rows, size=min(portion, resamples - start))
        values.append(statistic(draws))
    return np.concatenate(values)


def _middle(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _bin(confidence: np.ndarray, num_bins: int) -> np.ndarray:
    """(N,) int64: [0, 1/num_bins) is 0, and 1 itself falls into the last."""
    place = (np.asarray(confidence, np.float64) * num_bins).astype(np.int64)
    return np.clip(place, 0, num_bins - 1)
