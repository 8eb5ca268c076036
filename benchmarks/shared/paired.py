"""The area under the ROC curve of one method minus another's on the same rows, with an interval; thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def wins(is_positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(P, N) 1 where a positive row's score is above a negative row's, 0.5 where they are equal."""
    above, below = scores[is_positive][:, None], scores[~is_positive][None]
    return (above > below) + 0.5 * (above == below)


def area(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs of a positive and a negative row that stand in the right order."""
    return float(wins(is_positive, scores).mean())


def area_lead(
    truths: Sequence[np.ndarray], first: Sequence[np.ndarray], second: Sequence[np.ndarray], *, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Mean over splits and seeds of the first method's area minus the second's, and its 95 % interval over rows.

    truths: for each split (N,) whether a row is positive. first, second: for each split (seeds, N) scores. Positive
    and negative rows of a split are drawn anew, each among its own (bootstrap); chance in training is not in it.
    """
    rng = np.random.default_rng(seed)
    drawn, middle = np.zeros(RESAMPLES), 0.0
    for is_positive, one, other in zip(truths, first, second, strict=True):
        lead = np.mean([wins(is_positive, row) for row in one], axis=0)
        lead = lead - np.mean([wins(is_positive, row) for row in other], axis=0)
        left, right = (rng.multinomial(num, [1 / num] * num, RESAMPLES) / num for num in lead.shape)
        drawn += ((left @ lead) * right).sum(1) / len(truths)
        middle += lead.mean() / len(truths)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(middle), (float(low), float(high))


def balanced_accuracy(is_positive: np.ndarray, said: np.ndarray) -> float:
    """The mean of the shares of positive and of negative rows that are named rightly."""
    return float((said[is_positive].mean() + (~said[~is_positive]).mean()) / 2)


def best_threshold(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """The score from which a row should be called positive for the best balanced accuracy; of equals the middle."""
    values = np.unique(scores)
    cuts = np.concatenate(([values[0]], (values[1:] + values[:-1]) / 2))
    found = np.array([balanced_accuracy(is_positive, scores >= cut) for cut in cuts])
    return float(np.median(cuts[found >= found.max() - 1e-12]))
