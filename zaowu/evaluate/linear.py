"""A linear classifier over sparse features, at the settings that suit it best."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.metrics import log_losses
from zaowu.progress import Bar
from zaowu.targets.category import Category

STRENGTHS = (1.0, 3.0, 0.3)  # how closely the data are followed; of equals the first is taken
ABSENT = -2.0  # the distance of a class without training rows; "surely not" is -1
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Trial:
    """Rows to fit on and rows to judge by: two (N, F) scipy CSR matrices, each with its (N,) classes."""

    matrix: Any
    codes: np.ndarray
    held_matrix: Any
    held_codes: np.ndarray


@dataclass(frozen=True)
class Linear:
    """Distances = features @ weight.T + bias; probabilities = softmax(scale x distances).

    weight: (C, F) float32. bias: (C,) float32. strength: the setting that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: float
    strength: float

    def logits(self, matrix: Any) -> np.ndarray:
        """(N, F) sparse features -> (N, C) float32."""
        return (matrix @ self.weight.T + self.bias) * np.float32(self.scale)


def choose_linear(trials: Sequence[Trial], target: Category, *, seed: int) -> tuple[float, float]:
    """The strength with the best accuracy on held rows, and the scale with the best log-loss there."""
    best = (-1.0, 1.0, 1.0)
    truth = np.concatenate([trial.held_codes for trial in trials])
    with Bar("TF-IDF baseline", len(STRENGTHS) * len(trials)) as bar:
        for strength in STRENGTHS:
            parts = []
            for trial in trials:
                model = fit_linear(trial.matrix, trial.codes, target, strength=strength, seed=seed)
                parts.append(model.logits(trial.held_matrix))
                bar.advance()
            distances = np.concatenate(parts)
            right = float(np.mean(distances.argmax(axis=1) == truth))
            if right > best[0]:
                best = (right, strength, best_scale(distances, truth, target))
    return best[1:]


def fit_linear(
    matrix: Any, codes: np.ndarray, target: Category, *, strength: float, scale: float = 1.0, seed: int
) -> Linear:
    """One fit. matrix: (N, F) scipy CSR. codes: (N,) in 0..C-1.

    Where there is no feature, or one class only, the classes' shares are the answer to everything.
    """
    from sklearn.exceptions import ConvergenceWarning

    found, counts = np.unique(codes, return_counts=True)
    weight = np.zeros((target.num_classes, matrix.shape[1]), np.float32)
    if matrix.shape[1] == 0 or len(found) == 1:
        shares = np.full(target.num_classes, LEAST_SHARE)
        shares[found] = counts / len(codes)
        return Linear(weight, np.log(shares).astype(np.float32), 1.0, strength)
    estimator = target.baseline_estimator(strength=strength, seed=seed)
    with warnings.catch_warnings():
        # A fit that is nearly done after its last iteration is as good a baseline as one that is done.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(matrix, codes)
    bias = np.full(target.num_classes, ABSENT, np.float32)
    if hasattr(estimator, "feature_log_prob_"):  # naive Bayes
        weight[found], bias[found] = estimator.feature_log_prob_, 0.0
    elif len(found) == 2:  # of two sides scikit-learn keeps one
        weight[found] = np.concatenate([-estimator.coef_, estimator.coef_])
        bias[found] = np.concatenate([-estimator.intercept_, estimator.intercept_])
    else:
        weight[found], bias[found] = estimator.coef_, estimator.intercept_
    return Linear(weight, bias, scale, strength)


def best_scale(distances: np.ndarray, truth: np.ndarray, target: Category) -> float:
    """What (N, C) distances are to be multiplied with for the least log-loss, within reason. truth: (N,).

    Source: temperature scaling, Guo et al. 2017.
    """
    from scipy.optimize import minimize_scalar

    second, first = np.partition(distances, -2, axis=1)[:, -2:].T
    lead = max(float((first - second).mean()), 1e-6)  # what distances are measured in

    def loss(log_scale: float) -> float:
        prediction = target.decode(distances * np.float32(np.exp(log_scale)))
        return float(log_losses(prediction.probabilities, truth).mean())

    bounds = (np.log(0.1 / lead), np.log(20.0 / lead))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.01})
    return float(np.exp(found.x))
