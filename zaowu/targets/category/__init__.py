"""One of several classes: the answer to "which topic?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zaowu import metrics
from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.targets import LossSum, Metric, Mistake, Score
from zaowu.targets.category.details import CalibrationBin, CategoryDetails, Cell, ClassRow, check_classes

NEVER_SEEN = -1
MANY_CLASSES = 100  # for the baseline
ABSENT = -2.0  # a class without training rows; "surely not" is -1
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class CategoryPrediction:
    """What the model says about N records. probabilities: (N, C) float32, rows sum to 1."""

    rowwise: ClassVar[tuple[str, ...]] = ("probabilities",)

    probabilities: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def index(self) -> np.ndarray:
        """(N,) int64, the class with the highest probability."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def labels(self) -> list[str]:
        return [self.classes[index] for index in self.index]

    @cached_property
    def confidence(self) -> np.ndarray:
        """(N,) the highest probability."""
        return self.probabilities.max(axis=1)

    def top(self, num: int) -> list[list[tuple[str, float]]]:
        """For each record its `num` most probable classes with their probabilities, the best first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :num]
        given = np.take_along_axis(self.probabilities, order, axis=1)
        return [
            [(self.classes[place], float(probability)) for place, probability in zip(*row, strict=True)]
            for row in zip(order, given, strict=True)
        ]

    def take(self, index: np.ndarray) -> CategoryPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        return CategoryPrediction(self.probabilities[index], self.classes)

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME` and `confidence`; with `_2`, `_3`, ... for further answers."""
        ranked = self.top(top)
        columns: dict[str, list] = {}
        for place in range(min(top, len(self.classes))):
            suffix = "" if place == 0 else f"_{place + 1}"
            columns[f"predicted_{name}{suffix}"] = [row[place][0] for row in ranked]
            columns[f"confidence{suffix}"] = [row[place][1] for row in ranked]
        return columns

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`label`, `confidence`, and `top` when more than one answer is wanted."""
        rows: list[dict[str, Any]] = []
        for ranked in self.top(top):
            rows.append({"label": ranked[0][0], "confidence": ranked[0][1]})
            if top > 1:
                rows[-1]["top"] = [{"label": label, "confidence": share} for label, share in ranked]
        return rows

    def agrees(self, other: CategoryPrediction) -> np.ndarray:
        return np.array([one == two for one, two in zip(self.labels, other.labels, strict=True)], bool)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        return [list(row) for row in self.top(top)]


@dataclass(frozen=True, kw_only=True)
class Category:
    """Knows the classes. They are in Unicode order when fitted, and stored: never derived again.

    counts: records of each class in training. Class weights "balanced" make every class weigh the same:
    a record of class c weighs N / (C x counts[c]).
    """

    name: ClassVar[str] = "category"
    reads: ClassVar[str] = "pooled"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric(higher_is_better=True, is_share=True),
        "macro_f1": Metric(higher_is_better=True, is_share=True),
        "log_loss": Metric(higher_is_better=False),
        "calibration_error": Metric(higher_is_better=False),
    }
    headline: ClassVar[str] = "accuracy"
    primary: ClassVar[tuple[str, ...]] = ("macro_f1", "log_loss")
    prior_name: ClassVar[str] = "majority"
    scaled: ClassVar[bool] = True

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"

    @classmethod
    def fit(
        cls,
        labels: Sequence[str | None],
        *,
        also: Sequence[str | None] = (),
        label_smoothing: float = 0.0,
        class_weights: Literal["none", "balanced"] = "none",
    ) -> Category:
        """The classes of the training labels. Raises UserError when there are fewer than two."""
        count = Counter(label for label in labels if label is not None)
        for label in set(also) - count.keys() - {None}:
            count[str(label)] = 1
        if len(count) < 2:
            only = f"only '{shorten(next(iter(count)))}'" if count else "none"
            raise UserError(f"Training labels: expected at least two different ones, got {only}.")
        classes = tuple(sorted(count))
        return cls(
            classes=classes,
            counts=tuple(count[label] for label in classes),
            label_smoothing=label_smoothing,
            class_weights=class_weights,
        )

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Category:
        """The strict inverse of `state`; nothing is allocated on account of the data."""
        target = from_plain(cls, state, where=where)
        check_classes(target.classes, where=where)
        if len(target.counts) != len(target.classes) or min(target.counts) < 1:
            raise UserError(f"{where}, 'counts': expected a number from 1 for each of the classes.")
        if not 0 <= target.label_smoothing < 1:
            raise UserError(f"{where}, 'label_smoothing': expected 0 to below 1, got {target.label_smoothing}.")
        return target

    # ---- training

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def num_outputs(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    def encode(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N,) int64 places in `classes`, -1 for a label that was never seen or is missing."""
        place: dict[str | None, int] = {label: index for index, label in enumerate(self.classes)}
        return np.fromiter((place.get(label, NEVER_SEEN) for label in labels), np.int64, len(labels))

    def features(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N,) int64 for the batch, where a negative number is no answer: a label never seen teaches nothing."""
        return self.encode(labels)

    def head(self, dim: int) -> nn.Module:
        """(B, D) states -> (B, C) logits. No dropout of its own: the trunk's is repeatable, torch's is not."""
        return nn.Linear(dim, self.num_classes)

    def weights(self) -> np.ndarray:
        """(C,) float32, the weight of a record of each class."""
        if self.class_weights == "none":
            return np.ones(self.num_classes, np.float32)
        counts = np.asarray(self.counts, np.float64)
        return (counts.sum() / (self.num_classes * counts)).astype(np.float32)

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Cross-entropy of (B, C) logits, summed over the records that have an answer.

        A record weighs its own weight times that of its class, in the sum and in the count.
        """
        places = answers.clamp(min=0)  # what is no answer is negative, and weighs nothing
        weights = self._weighed(places, weights)
        losses = nn.functional.cross_entropy(
            outputs.float(), places, reduction="none", label_smoothing=self.label_smoothing
        )
        return LossSum(sum=(losses * weights).sum(), count=weights.sum())

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float(self._weighed(answers.clamp(min=0), weights).sum())

    def _weighed(self, places: Tensor, weights: Tensor) -> Tensor:
        """(B,) each record's own weight, times that of its class."""
        if self.class_weights == "none":
            return weights
        return weights * torch.from_numpy(self.weights()).to(weights.device)[places]

    # ---- answering

    def decode(self, outputs: Tensor | np.ndarray) -> CategoryPrediction:
        """(N, C) logits -> probabilities by the softmax."""
        values = outputs.detach().float().cpu().numpy() if isinstance(outputs, Tensor) else outputs
        values = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities = values / values.sum(axis=1, keepdims=True)
        return CategoryPrediction(probabilities.astype(np.float32), self.classes)

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Category:
        """Itself: the highest probability needs no threshold."""
        return self

    # ---- the cheap methods

    def prior(self, answers: np.ndarray) -> np.ndarray:
        """Logits of the classes' shares."""
        counts = np.bincount(answers[answers >= 0], minlength=self.num_classes)
        return np.log(np.maximum(counts / max(1, counts.sum()), LEAST_SHARE)).astype(np.float32)

    def fit_linear(self, matrix: Any, answers: np.ndarray, *, strength: float, seed: int) -> tuple[Any, Any]:
        """A support vector machine. It takes one fit a class, so beyond 100 classes it is complement naive Bayes
        (Rennie et al. 2003), one pass over the data and 0 to 2 points below on the sets we measured.

        Where there is no feature, or one class only, the classes' shares are the answer to everything.
        """
        found = np.unique(answers)
        weight = np.zeros((self.num_classes, matrix.shape[1]), np.float32)
        if matrix.shape[1] == 0 or len(found) == 1:
            return weight, self.prior(answers)
        estimator = self._estimator(strength=strength, seed=seed).fit(matrix, answers)
        bias = np.full(self.num_classes, ABSENT, np.float32)
        if hasattr(estimator, "feature_log_prob_"):  # naive Bayes
            weight[found], bias[found] = estimator.feature_log_prob_, 0.0
        elif len(found) == 2:  # of two sides scikit-learn keeps one
            weight[found] = np.concatenate([-estimator.coef_, estimator.coef_])
            bias[found] = np.concatenate([-estimator.intercept_, estimator.intercept_])
        else:
            weight[found], bias[found] = estimator.coef_, estimator.intercept_
        return weight, bias

    def _estimator(self, *, strength: float, seed: int) -> Any:
        from sklearn.naive_bayes import ComplementNB
        from sklearn.svm import LinearSVC

        if self.num_classes > MANY_CLASSES:
            return ComplementNB(alpha=0.1 / strength)
        balance = "balanced" if self.class_weights == "balanced" else None
        # A hundred times scikit-learn's tolerance: the same accuracy in two thirds of the time.
        return LinearSVC(C=strength, class_weight=balance, random_state=seed, tol=0.01)

    def row_losses(self, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return metrics.log_losses(self.decode(outputs).probabilities, answers)

    # ---- judging

    def correct(self, prediction: CategoryPrediction, labels: Sequence[str]) -> np.ndarray:
        """(N,) bool; a label that the model never saw cannot be right."""
        return self.encode(labels) == prediction.index

    def score(self, prediction: CategoryPrediction, labels: Sequence[str]) -> dict[str, float]:
        """Rows whose label the model never saw are wrong in every score: their class has an F1 of 0, their
        label a probability of 0 (clipped at 1e-7)."""
        truth, _ = self._truth(labels)
        predicted = prediction.index
        bins = metrics.calibration_bins(prediction.confidence, truth == predicted)
        return {
            "accuracy": metrics.accuracy(truth, predicted),
            "macro_f1": metrics.macro_f1(truth, predicted),
            "log_loss": float(metrics.log_losses(prediction.probabilities, truth).mean()),
            "calibration_error": metrics.calibration_error(bins),
        }

    def intervals(
        self, prediction: CategoryPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        truth, _ = self._truth(labels)
        predicted = prediction.index
        correct = truth == predicted
        losses = metrics.log_losses(prediction.probabilities, truth)
        how = {"seed": seed, "resamples": resamples}
        return {
            "accuracy": metrics.accuracy_interval(correct, **how),
            "macro_f1": metrics.macro_f1_interval(truth, predicted, **how),
            "log_loss": metrics.mean_interval(losses, **how),
            "calibration_error": metrics.calibration_error_interval(prediction.confidence, correct, **how),
        }

    def differences(
        self,
        first: CategoryPrediction,
        second: CategoryPrediction,
        labels: Sequence[str],
        *,
        seed: int,
        resamples: int,
    ) -> dict[str, Score]:
        """First minus second, in accuracy and in macro-F1."""
        truth, _ = self._truth(labels)
        one, other = first.index, second.index
        right, also_right = truth == one, truth == other
        how = {"seed": seed, "resamples": resamples}
        return {
            "accuracy": Score(
                float(right.mean() - also_right.mean()), *metrics.paired_interval(right, also_right, **how)
            ),
            "macro_f1": Score(
                metrics.macro_f1(truth, one) - metrics.macro_f1(truth, other),
                *metrics.macro_f1_difference_interval(truth, one, other, **how),
            ),
        }

    def per_record(self, prediction: CategoryPrediction, labels: Sequence[str]) -> np.ndarray:
        """1 for a right answer, else 0."""
        return self.correct(prediction, labels).astype(np.float64)

    def mistakes(self, prediction: CategoryPrediction, labels: Sequence[str], *, limit: int) -> list[Mistake]:
        """The wrong answers that the model was surest of, the surest first; the earlier record of equals."""
        wrong = np.flatnonzero(~self.correct(prediction, labels))
        confidence, predicted = prediction.confidence, prediction.labels
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        return [Mistake(i, labels[i], predicted[i], float(confidence[i])) for i in order.tolist()]

    def details(self, prediction: CategoryPrediction, labels: Sequence[str]) -> CategoryDetails:
        truth, names = self._truth(labels)
        predicted = prediction.index
        table = metrics.class_scores(truth, predicted, len(names))
        cells, rows = np.unique(truth * len(names) + predicted, return_counts=True)
        bins = metrics.calibration_bins(prediction.confidence, truth == predicted)
        columns = (table.precision, table.recall, table.f1, table.support, table.predicted)
        per_class = zip(self.classes, *(column.tolist() for column in columns), strict=False)
        return CategoryDetails(
            classes=self.classes,
            per_class=tuple(ClassRow(*row) for row in per_class),
            confusion=tuple(
                Cell(names[cell // len(names)], names[cell % len(names)], row)
                for cell, row in zip(cells.tolist(), rows.tolist(), strict=True)
            ),
            calibration_bins=tuple(
                CalibrationBin(*row)
                for row in zip(bins.count.tolist(), bins.confidence.tolist(), bins.accuracy.tolist(), strict=True)
                if row[0]
            ),
            unseen=dict(zip(names[len(self.classes) :], table.support[len(self.classes) :].tolist(), strict=True)),
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> CategoryDetails:
        return CategoryDetails.from_plain(data, where=where)

    def _truth(self, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """(N,) places in the names that come with it: the classes, then the labels that were never seen."""
        place = {label: index for index, label in enumerate(self.classes)}
        for label in sorted(set(labels) - place.keys()):
            place[label] = len(place)
        return np.fromiter((place[label] for label in labels), np.int64, len(labels)), list(place)
