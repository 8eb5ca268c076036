"""A number: the answer to "how much?"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zaowu import metrics
from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.targets import LossSum, Metric, Mistake, Score

COVERAGE = 0.9  # of the interval around a prediction
MIN_TUNING = 20  # unseen rows that can tell how wide it must be
SKEWED = 1.0  # skewness from which a log scale is tried
MARGIN = 0.5  # standard deviations beyond the training values that an answer may lie
MAX_POINTS = 500  # of the scatter in a report
NUM_BINS = 25


@dataclass(frozen=True)
class NumberPrediction:
    """What the model says about N records. value: (N,) float64. low, high: (N,) of the 90 % interval, or None."""

    rowwise: ClassVar[tuple[str, ...]] = ("value", "low", "high")

    value: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.value)

    def take(self, index: np.ndarray) -> NumberPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        ends = (None, None) if self.low is None or self.high is None else (self.low[index], self.high[index])
        return NumberPrediction(self.value[index], *ends)

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME`, and the ends of its interval where it is known."""
        columns = {f"predicted_{name}": self.value.tolist()}
        if self.low is not None and self.high is not None:
            columns |= {f"predicted_{name}_low": self.low.tolist(), f"predicted_{name}_high": self.high.tolist()}
        return columns

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`value`, and `low` and `high` where they are known."""
        rows: list[dict[str, Any]] = [{"value": value} for value in self.value.tolist()]
        if self.low is not None and self.high is not None:
            for row, low, high in zip(rows, self.low.tolist(), self.high.tolist(), strict=True):
                row |= {"low": low, "high": high}
        return rows

    def agrees(self, other: NumberPrediction) -> np.ndarray:
        """Each lies in the other's 90 % interval; without intervals, they differ by at most a tenth."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return np.abs(self.value - other.value) <= 0.1 * np.maximum(np.abs(self.value), np.abs(other.value))
        ours = (other.value >= self.low) & (other.value <= self.high)
        return ours & (self.value >= other.low) & (self.value <= other.high)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        words = [figure(value) for value in self.value]
        if self.low is not None and self.high is not None:
            ends = zip(words, self.low, self.high, strict=True)
            words = [f"{word} ({figure(low)} to {figure(high)})" for word, low, high in ends]
        return [[(word, None)] for word in words]


@dataclass(frozen=True)
class NumberDetails:
    """What stands beside the scores. points: at most 500 (truth, predicted), evenly spread over the rows.

    edges (n + 1), counts (n): histogram of truth minus predicted. coverage: share of rows inside their 90 %
    interval, None where there is none.
    """

    points: tuple[tuple[float, ...], ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    coverage: float | None
    scale: str

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        return []

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> NumberDetails:
        """The strict inverse of `to_plain`."""
        details = from_plain(cls, data, where=where)
        if len(details.edges) != len(details.counts) + 1 or any(len(point) != 2 for point in details.points):
            raise UserError(f"{where}: expected one edge more than counts, and points of two numbers.")
        return details


@dataclass(frozen=True, kw_only=True)
class Number:
    """Knows the scale. The model learns (g(y) - center) / spread, where g is y itself or, for values that are never
    negative and skewed, log(1 + y / unit) with the median as the unit. An answer stays within the training values
    and half a standard deviation beyond, so that no exponential runs away.

    width: half of the 90 % interval on that scale, the quantile of absolute residuals on unseen rows (split
    conformal prediction, Lei et al. 2018); None where there were too few.
    """

    name: ClassVar[str] = "number"
    reads: ClassVar[str] = "pooled"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mae": Metric(higher_is_better=False),
        "rmse": Metric(higher_is_better=False),
        "r2": Metric(higher_is_better=True),
    }
    headline: ClassVar[str] = "mae"
    primary: ClassVar[tuple[str, ...]] = ("r2", "mae")
    prior_name: ClassVar[str] = "mean"
    scaled: ClassVar[bool] = False

    scale: Literal["plain", "log"] = "plain"
    unit: float = 1.0
    center: float = 0.0
    spread: float = 1.0
    lowest: float = 0.0
    highest: float = 0.0
    width: float | None = None

    @classmethod
    def fit(
        cls, labels: Sequence, *, also: Sequence = (), label_smoothing: float = 0.0, class_weights: str = "none"
    ) -> Number:
        """The scale of the training values. Raises UserError for fewer than two different ones."""
        if label_smoothing or class_weights != "none":
            raise UserError(
                "--class-weights and --set label_smoothing are for classes; this target is a number: leave them out."
            )
        values = _values(labels)
        values = values[np.isfinite(values)]
        if len(np.unique(values)) < 2:
            only = f"only {figure(values[0])}" if len(values) else "none"
            raise UserError(
                f"Training values: expected at least two different numbers, got {only}. Choose another --target."
            )
        found = cls(lowest=float(values.min()), highest=float(values.max()))
        if values.min() >= 0 and _skewness(values) > SKEWED:
            log = replace(found, scale="log", unit=float(np.median(values[values > 0])))
            if abs(_skewness(log._bent(values))) < _skewness(values) / 2:
                found = log
        bent = found._bent(values)
        return replace(found, center=float(bent.mean()), spread=float(bent.std()))

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Number:
        """The strict inverse of `state`."""
        if not isinstance(state, dict) or state.keys() != to_plain(cls()).keys():
            raise UserError(f"{where}: expected the scale of a number, got {shorten(state)}.")
        target = from_plain(cls, state, where=where)
        if not (target.unit > 0 and target.spread > 0 and target.lowest < target.highest and (target.width or 0) >= 0):
            raise UserError(f"{where}: expected a unit and a spread above 0, lowest below highest, no width below 0.")
        return target

    # ---- training

    @property
    def num_outputs(self) -> int:
        return 1

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def features(self, labels: Sequence) -> np.ndarray:
        """(N,) float32 on the model's scale, NaN where there is no number."""
        return ((self._bent(_values(labels)) - self.center) / self.spread).astype(np.float32)

    def head(self, dim: int) -> nn.Module:
        """(B, D) states -> (B, 1)."""
        return nn.Linear(dim, 1)

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Squared error on the model's scale, summed over the records that have an answer."""
        known = torch.isfinite(answers)
        errors = outputs.float().squeeze(1) - torch.where(known, answers, 0.0)
        weights = weights * known
        return LossSum(sum=(errors.square() * weights).sum(), count=weights.sum())

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float((weights * torch.isfinite(answers)).sum())

    # ---- answering

    def decode(self, outputs: Tensor | np.ndarray) -> NumberPrediction:
        """(N, 1) on the model's scale -> numbers as they were given."""
        raw = outputs.detach().float().cpu().numpy() if isinstance(outputs, Tensor) else outputs
        scaled = np.asarray(raw, np.float64).reshape(len(raw))
        if self.width is None:
            return NumberPrediction(self._straight(scaled))
        ends = self._straight(scaled - self.width), self._straight(scaled + self.width)
        return NumberPrediction(self._straight(scaled), *ends)

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Number:
        """With the interval that holds 90 % of these rows, none of which the model learned from."""
        known = np.isfinite(answers)
        if known.sum() < MIN_TUNING:
            return self
        errors = np.abs(outputs[known, 0].astype(np.float64) - answers[known])
        place = min(len(errors), math.ceil((len(errors) + 1) * COVERAGE))  # as if one more row had been seen
        return replace(self, width=float(np.sort(errors)[place - 1]))

    # ---- the cheap methods

    def prior(self, answers: np.ndarray) -> np.ndarray:
        """The mean of the training values, on the model's scale."""
        return np.array([answers[np.isfinite(answers)].mean()], np.float32)

    def fit_linear(self, matrix: Any, answers: np.ndarray, *, strength: float, seed: int) -> tuple[Any, Any]:
        """Ridge regression."""
        from sklearn.linear_model import Ridge

        if matrix.shape[1] == 0:
            return np.zeros((1, 0), np.float32), self.prior(answers)
        ridge = Ridge(alpha=1.0 / strength, solver="lsqr", random_state=seed).fit(matrix, answers.astype(np.float64))
        return ridge.coef_.reshape(1, -1).astype(np.float32), np.array([ridge.intercept_], np.float32)

    def row_losses(self, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.square(outputs[:, 0].astype(np.float64) - answers)

    # ---- judging

    def score(self, prediction: NumberPrediction, labels: Sequence) -> dict[str, float]:
        """mae, rmse: in the target's own unit. r2: 1 minus the squared error's share of the variance."""
        truth = _values(labels)
        errors = truth - prediction.value
        variance = float(np.square(truth - truth.mean()).sum())
        squared = float(np.square(errors).sum())
        r2 = 1 - squared / variance if variance > 0 else float(squared == 0)
        return {"mae": float(np.abs(errors).mean()), "rmse": math.sqrt(squared / len(truth)), "r2": r2}

    def intervals(
        self, prediction: NumberPrediction, labels: Sequence, *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        truth = _values(labels)
        absolute, squared = np.abs(truth - prediction.value), np.square(truth - prediction.value)
        how: dict[str, Any] = {"seed": seed, "resamples": resamples}
        ones = np.ones(len(truth), np.int64)

        centred = truth - truth.mean()

        def r2(draws: np.ndarray) -> np.ndarray:
            means = draws @ centred / len(truth)
            variances = draws @ np.square(centred) / len(truth) - np.square(means)
            return 1 - draws @ squared / len(truth) / np.maximum(variances, 1e-12 * float(centred.var()))

        value = self.score(prediction, labels)["r2"]
        low, high = metrics.bootstrap_interval(r2, ones, **how) if truth.var() > 0 else (value, value)
        rmse_low, rmse_high = metrics.mean_interval(squared, **how)
        return {
            "mae": metrics.mean_interval(absolute, **how),
            "rmse": (math.sqrt(max(0.0, rmse_low)), math.sqrt(rmse_high)),
            "r2": (min(low, value), max(high, value)),
        }

    def differences(
        self, first: NumberPrediction, second: NumberPrediction, labels: Sequence, *, seed: int, resamples: int
    ) -> dict[str, Score]:
        """First minus second, in mean absolute error: below zero the first is better."""
        truth = _values(labels)
        one, other = np.abs(truth - first.value), np.abs(truth - second.value)
        bounds = metrics.paired_interval(one, other, seed=seed, resamples=resamples)
        return {"mae": Score(float(one.mean() - other.mean()), *bounds)}

    def per_record(self, prediction: NumberPrediction, labels: Sequence) -> np.ndarray:
        """The absolute error."""
        return np.abs(_values(labels) - prediction.value)

    def mistakes(self, prediction: NumberPrediction, labels: Sequence, *, limit: int) -> list[Mistake]:
        """The largest errors on the model's own scale, where a log scale counts ratios."""
        distance = np.abs(self.features(labels) - (self._bent(prediction.value) - self.center) / self.spread)
        order = np.argsort(-distance, kind="stable")[:limit]
        truth = _values(labels)
        return [Mistake(i, figure(truth[i]), figure(prediction.value[i]), None) for i in order.tolist()]

    def details(self, prediction: NumberPrediction, labels: Sequence) -> NumberDetails:
        truth = _values(labels)
        chosen = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), MAX_POINTS)).round().astype(int))
        counts, edges = np.histogram(truth - prediction.value, NUM_BINS)
        coverage = None
        if prediction.low is not None and prediction.high is not None:
            coverage = float(((truth >= prediction.low) & (truth <= prediction.high)).mean())
        return NumberDetails(
            points=tuple((float(truth[i]), float(prediction.value[i])) for i in chosen),
            edges=tuple(map(float, edges)),
            counts=tuple(map(int, counts)),
            coverage=coverage,
            scale=self.scale,
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> NumberDetails:
        return NumberDetails.from_plain(data, where=where)

    # ---- the scale

    def _bent(self, values: np.ndarray) -> np.ndarray:
        return np.log1p(np.maximum(values, 0.0) / self.unit) if self.scale == "log" else values

    def _straight(self, scaled: np.ndarray) -> np.ndarray:
        ends = self._bent(np.array([self.lowest, self.highest]))
        room = MARGIN * self.spread
        bent = np.clip(scaled * self.spread + self.center, ends[0] - room, ends[1] + room)
        return np.maximum(0.0, np.expm1(bent)) * self.unit if self.scale == "log" else bent


def figure(value: float) -> str:
    """A number for reading: four digits, no exponent where it can be avoided."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _values(labels: Sequence) -> np.ndarray:
    """(N,) float64, NaN for what is missing."""
    return np.array([np.nan if label is None else label for label in labels], np.float64)


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
