"""A linear model over sparse features, at the settings that suit it best."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.progress import Bar
from zaowu.targets import Target

STRENGTHS = (1.0, 3.0, 0.3)  # how closely the data are followed; of equals the first is taken


@dataclass(frozen=True)
class Trial:
    """Rows to fit on and rows to judge by: two (N, F) scipy CSR matrices, each with its answers.

    held_labels: the raw labels of the rows to judge by.
    """

    matrix: Any
    answers: np.ndarray
    held_matrix: Any
    held_answers: np.ndarray
    held_labels: list


@dataclass(frozen=True)
class Linear:
    """Outputs = scale x (features @ weight.T + bias), as the target decodes them.

    weight: (C, F) float32. bias: (C,) float32. strength: the setting that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: float
    strength: float

    def outputs(self, matrix: Any) -> np.ndarray:
        """(N, F) sparse features -> (N, C) float32."""
        return (matrix @ self.weight.T + self.bias) * np.float32(self.scale)


def choose_linear(
    trials: Sequence[Trial], target: Any, *, seed: int, label: str = "linear baseline"
) -> tuple[float, float, Any]:
    """The strength with the best headline score on held rows, the scale with the least loss there, and the target
    with what these rows say of thresholds."""
    labels = [label for trial in trials for label in trial.held_labels]
    answers = np.concatenate([trial.held_answers for trial in trials])
    sign = 1 if target.metrics[target.headline].higher_is_better else -1
    best: tuple[float, float, float, Any] | None = None
    with Bar(label, len(STRENGTHS) * len(trials)) as bar:
        for strength in STRENGTHS:
            parts = []
            for trial in trials:
                model = fit_linear(trial.matrix, trial.answers, target, strength=strength, seed=seed)
                parts.append(model.outputs(trial.held_matrix))
                bar.advance()
            outputs = np.concatenate(parts)
            scale = best_scale(outputs, answers, target)
            judge = target.tuned(outputs * np.float32(scale), answers)
            score = sign * judge.score(judge.decode(outputs * np.float32(scale)), labels)[target.headline]
            if best is None or score > best[0]:
                best = (score, strength, scale, judge)
    assert best is not None
    return best[1:]


def fit_linear(
    matrix: Any, answers: np.ndarray, target: Target, *, strength: float, scale: float = 1.0, seed: int
) -> Linear:
    """One fit. matrix: (N, F) scipy CSR. answers: as the target's `features` gives them, none missing."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A fit that is nearly done after its last iteration is as good a baseline as one that is done.
        warnings.simplefilter("ignore", ConvergenceWarning)
        weight, bias = target.fit_linear(matrix, answers, strength=strength, seed=seed)
    return Linear(weight, bias, scale, strength)


def best_scale(outputs: np.ndarray, answers: np.ndarray, target: Target) -> float:
    """What (N, C) outputs are to be multiplied with for the least loss, within reason; 1 where that is no question.

    Source: temperature scaling, Guo et al. 2017.
    """
    from scipy.optimize import minimize_scalar

    if not target.scaled:
        return 1.0
    unit = max(float(outputs.std()), 1e-6)  # what distances are measured in

    def loss(log_scale: float) -> float:
        return float(target.row_losses(outputs * np.float32(np.exp(log_scale)), answers).mean())

    bounds = (np.log(0.1 / unit), np.log(50.0 / unit))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.01})
    return float(np.exp(found.x))
