"""Several tags at once: the answer to "which of these apply?"."""

from __future__ import annotations

from collections import Counter
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
from zaowu.targets.tags.details import TagRow, TagsDetails, TagsPrediction
from zaowu.targets.tags.labels import SEPARATORS, find_separator, parse, words

MAX_TAGS = 2000
MIN_TUNING = 100  # unseen rows that can tell where the thresholds lie
MIN_OWN = 10  # rows with a tag among them that give it a threshold of its own
MAX_RESAMPLED = 1_000_000  # rows x tags, beyond which macro-F1 has no interval: it would take longer than scoring
LEAST_SHARE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Knows the tags, in Unicode order, and from which probability on each is given.

    Labels are JSON lists, or tags joined by `separator`; an empty list is an answer, a missing label is none.
    counts: training rows with each tag. Class weights "balanced" let the rows with a tag weigh as much as those
    without it, at most tenfold.
    """

    name: ClassVar[str] = "tags"
    reads: ClassVar[str] = "pooled"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "micro_f1": Metric(higher_is_better=True, is_share=True),
        "macro_f1": Metric(higher_is_better=True),
        "exact_match": Metric(higher_is_better=True),
        "ranking": Metric(higher_is_better=True),
        "log_loss": Metric(higher_is_better=False),
    }
    headline: ClassVar[str] = "micro_f1"
    primary: ClassVar[tuple[str, ...]] = ("micro_f1", "log_loss")
    prior_name: ClassVar[str] = "common_tags"
    scaled: ClassVar[bool] = True

    tags: tuple[str, ...]
    counts: tuple[int, ...]
    rows: int
    separator: str = ""
    thresholds: tuple[float, ...] = ()
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
    ) -> Tags:
        """The tags of the training labels. Raises UserError when there is none, or too many."""
        separator = find_separator([*labels, *also])
        rows = [parse(label, separator) for label in labels if label is not None]
        count = Counter(tag for tags in rows for tag in tags)
        if not count or all(number == len(rows) for number in count.values()):
            same = f"every row has {shorten(words(sorted(count)))}" if count else "no row has any"
            raise UserError(
                f"Training labels: expected tags that some rows have and others lack, but {same}. "
                "Choose another --target."
            )
        for tag in {tag for label in also if label is not None for tag in parse(label, separator)} - count.keys():
            count[tag] = 1
        if len(count) > MAX_TAGS:
            raise UserError(f"Training labels: expected at most {MAX_TAGS:,} different tags, got {len(count):,}.")
        tags = tuple(sorted(count))
        return cls(
            tags=tags,
            counts=tuple(count[tag] for tag in tags),
            rows=len(rows),
            separator=separator,
            thresholds=(0.5,) * len(tags),
            label_smoothing=label_smoothing,
            class_weights=class_weights,
        )

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Tags:
        """The strict inverse of `state`."""
        target = from_plain(cls, state, where=where)
        if not target.tags or len(set(target.tags)) < len(target.tags):
            raise UserError(f"{where}, 'tags': expected at least one tag, each once.")
        if not len(target.tags) == len(target.counts) == len(target.thresholds):
            raise UserError(f"{where}: expected a count and a threshold for each of the tags.")
        if min(target.counts) < 1 or target.rows < max(target.counts):
            raise UserError(f"{where}, 'counts': expected a number from 1 to 'rows' for each of the tags.")
        if not all(0 < threshold <= 1 for threshold in target.thresholds):
            raise UserError(f"{where}, 'thresholds': expected numbers above 0 and at most 1.")
        if target.separator not in ("", *SEPARATORS):
            raise UserError(f"{where}, 'separator': expected one of {' '.join(SEPARATORS)}, got {target.separator!r}.")
        if not 0 <= target.label_smoothing < 1:
            raise UserError(f"{where}, 'label_smoothing': expected 0 to below 1, got {target.label_smoothing}.")
        return target

    # ---- training

    @property
    def num_outputs(self) -> int:
        return len(self.tags)

    @property
    def names(self) -> tuple[str, ...]:
        return self.tags

    def sets(self, labels: Sequence[str | None]) -> list[list[str] | None]:
        """The tags of each label."""
        return [None if label is None else parse(label, self.separator) for label in labels]

    def features(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N, C) float32 of 0 and 1, NaN for a missing label; tags that were never seen are left out."""
        place = {tag: c for c, tag in enumerate(self.tags)}
        answers = np.zeros((len(labels), len(self.tags)), np.float32)
        for i, tags in enumerate(self.sets(labels)):
            if tags is None:
                answers[i] = np.nan
            else:
                answers[i, [place[tag] for tag in tags if tag in place]] = 1
        return answers

    def head(self, dim: int) -> nn.Module:
        """(B, D) states -> (B, C) logits."""
        return nn.Linear(dim, len(self.tags))

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Binary cross-entropy, summed over the tags and over the records that have an answer."""
        known = torch.isfinite(answers).all(dim=1)
        truth = torch.where(known.unsqueeze(1), answers, 0.0)
        if self.label_smoothing:
            truth = truth * (1 - self.label_smoothing) + self.label_smoothing / 2
        balance = None
        if self.class_weights == "balanced":
            counts = torch.tensor(self.counts, dtype=torch.float32, device=outputs.device)
            balance = ((self.rows - counts) / counts).clamp(0.1, 10.0)
        losses = nn.functional.binary_cross_entropy_with_logits(
            outputs.float(), truth, reduction="none", pos_weight=balance
        ).sum(dim=1)
        weights = weights * known
        return LossSum(sum=(losses * weights).sum(), count=weights.sum())

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float((weights * torch.isfinite(answers).all(dim=1)).sum())

    # ---- answering

    def decode(self, outputs: Tensor | np.ndarray) -> TagsPrediction:
        """(N, C) logits -> probabilities by the logistic function."""
        logits = outputs.detach().float().cpu().numpy() if isinstance(outputs, Tensor) else np.asarray(outputs)
        probabilities = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        thresholds = np.tile(np.array(self.thresholds, np.float32), (len(logits), 1))
        return TagsPrediction(probabilities.astype(np.float32), self.tags, thresholds)

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Tags:
        """With the threshold that gives the highest F1 on these rows, none of which the model learned from.

        One for all tags (micro-F1), and one of its own for a tag that has enough rows; rare tags would only be
        fitted to noise. Half way between two probabilities of neighbouring rows.
        """
        known = np.isfinite(answers).all(axis=1)
        if known.sum() < MIN_TUNING:
            return self
        truth, scores = answers[known] > 0, self.decode(outputs[known]).probabilities
        common = _best_threshold(truth.ravel(), scores.ravel())
        own = [
            _best_threshold(truth[:, c], scores[:, c]) if truth[:, c].sum() >= MIN_OWN else common
            for c in range(len(self.tags))
        ]
        return replace(self, thresholds=tuple(own))

    # ---- the cheap methods

    def prior(self, answers: np.ndarray) -> np.ndarray:
        """Logits of each tag's share."""
        shares = np.clip(answers[np.isfinite(answers).all(axis=1)].mean(axis=0), LEAST_SHARE, 1 - LEAST_SHARE)
        return np.log(shares / (1 - shares)).astype(np.float32)

    def fit_linear(self, matrix: Any, answers: np.ndarray, *, strength: float, seed: int) -> tuple[Any, Any]:
        """One support vector machine for each tag against the rest."""
        from sklearn.svm import LinearSVC

        weight, bias = np.zeros((len(self.tags), matrix.shape[1]), np.float32), self.prior(answers)
        balance = "balanced" if self.class_weights == "balanced" else None
        for c in range(len(self.tags)):
            if matrix.shape[1] and 0 < answers[:, c].sum() < len(answers):
                machine = LinearSVC(C=strength, class_weight=balance, random_state=seed, tol=0.01)
                machine.fit(matrix, answers[:, c] > 0)
                weight[c], bias[c] = machine.coef_[0], machine.intercept_[0]
        return weight, bias

    def row_losses(self, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return _log_losses(self.decode(outputs).probabilities, answers > 0)

    # ---- judging

    def score(self, prediction: TagsPrediction, labels: Sequence[str | None]) -> dict[str, float]:
        """micro_f1: over all pairs of a row and a tag; a tag that training never saw is missed wherever it stands.
        macro_f1: the mean over the tags that occur. exact_match: rows with all tags right and none too many.
        ranking: label ranking average precision, as scikit-learn defines it; 1 where every true tag stands above
        every other. log_loss: a tag's, the mean over rows and tags.
        """
        hits, given, true = self._counts(prediction, labels)
        answers = self.features(labels) > 0
        both, total = prediction.chosen & answers, prediction.chosen.astype(np.int64) + answers
        return {
            "micro_f1": _f1(hits.sum(), given.sum(), true.sum()),
            "macro_f1": float(_macro(both.sum(axis=0)[None], total.sum(axis=0)[None])[0]),
            "exact_match": float(((hits == given) & (hits == true)).mean()),
            "ranking": float(_ranking(answers, prediction.probabilities).mean()),
            "log_loss": float(_log_losses(prediction.probabilities, answers).mean()),
        }

    def intervals(
        self, prediction: TagsPrediction, labels: Sequence[str | None], *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        hits, given, true = self._counts(prediction, labels)
        how: dict[str, Any] = {"seed": seed, "resamples": resamples}
        answers, chosen = self.features(labels) > 0, prediction.chosen
        ones = np.ones(len(hits), np.int64)

        def micro(draws: np.ndarray) -> np.ndarray:
            return 2 * (draws @ hits) / np.maximum(1, draws @ (given + true))

        exact = (hits == given) & (hits == true)
        found = {
            "exact_match": metrics.accuracy_interval(exact, **how),
            "ranking": metrics.mean_interval(_ranking(answers, prediction.probabilities), **how),
            "log_loss": metrics.mean_interval(_log_losses(prediction.probabilities, answers), **how),
        }
        if exact.all():  # the bootstrap would see no chance at all
            return found | dict.fromkeys(("micro_f1", "macro_f1"), metrics.wilson_interval(len(hits), len(hits)))
        found["micro_f1"] = metrics.bootstrap_interval(micro, ones, **how)
        if chosen.size <= MAX_RESAMPLED:
            both, total = (chosen & answers).astype(np.float32), chosen.astype(np.float32) + answers
            found["macro_f1"] = metrics.bootstrap_interval(
                lambda draws: _macro(draws.astype(np.float32) @ both, draws.astype(np.float32) @ total), ones, **how
            )
        return found

    def differences(
        self,
        first: TagsPrediction,
        second: TagsPrediction,
        labels: Sequence[str | None],
        *,
        seed: int,
        resamples: int,
    ) -> dict[str, Score]:
        """First minus second, in micro-F1."""
        one, other = self._counts(first, labels), self._counts(second, labels)

        def lead(draws: np.ndarray) -> np.ndarray:
            return np.subtract(
                *(2 * (draws @ hits) / np.maximum(1, draws @ (given + true)) for hits, given, true in (one, other))
            )

        ones = np.ones(len(labels), np.int64)
        bounds = metrics.bootstrap_interval(lead, ones, seed=seed, resamples=resamples)
        return {"micro_f1": Score(float(lead(ones[None])[0]), *bounds)}

    def per_record(self, prediction: TagsPrediction, labels: Sequence[str | None]) -> np.ndarray:
        """F1 of the row; 1 where there is no tag and none was given."""
        hits, given, true = self._counts(prediction, labels)
        return np.where(given + true == 0, 1.0, 2 * hits / np.maximum(1, given + true))

    def mistakes(self, prediction: TagsPrediction, labels: Sequence[str | None], *, limit: int) -> list[Mistake]:
        """The rows with the highest loss among those that are not right."""
        right = self.per_record(prediction, labels) == 1
        losses = _log_losses(prediction.probabilities, self.features(labels) > 0)
        order = np.argsort(-np.where(right, -1.0, losses), kind="stable")[: min(limit, int((~right).sum()))]
        truth = self.sets(labels)
        return [Mistake(i, words(truth[i] or []), words(prediction.labels[i]), None) for i in order.tolist()]

    def details(self, prediction: TagsPrediction, labels: Sequence[str | None]) -> TagsDetails:
        answers, chosen = self.features(labels) > 0, prediction.chosen
        both, support, given = (answers & chosen).sum(0), answers.sum(0), chosen.sum(0)
        unseen = Counter(tag for tags in self.sets(labels) for tag in tags or ()) - Counter()
        known = set(self.tags)
        return TagsDetails(
            tags=self.tags,
            per_class=tuple(
                TagRow(
                    label=tag,
                    precision=float(both[c] / max(1, given[c])),
                    recall=float(both[c] / max(1, support[c])),
                    f1=_f1(both[c], given[c], support[c]),
                    support=int(support[c]),
                    predicted=int(given[c]),
                    threshold=float(prediction.thresholds[:, c].mean()),
                )
                for c, tag in enumerate(self.tags)
            ),
            unseen={tag: rows for tag, rows in unseen.items() if tag not in known},
            mean_true=float(np.mean([len(tags or ()) for tags in self.sets(labels)])),
            mean_predicted=float(chosen.sum(axis=1).mean()),
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> TagsDetails:
        return TagsDetails.from_plain(data, where=where)

    def _counts(
        self, prediction: TagsPrediction, labels: Sequence[str | None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) each: tags that are right, tags that were given, tags that are true, never seen ones included."""
        hits = (prediction.chosen & (self.features(labels) > 0)).sum(axis=1)
        true = np.array([len(tags or ()) for tags in self.sets(labels)], np.int64)
        return hits, prediction.chosen.sum(axis=1), true


def _best_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the highest F1 of (N,) scores; 0.5 where nothing is true."""
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    f1 = 2 * np.cumsum(truth[order]) / (np.arange(1, len(truth) + 1) + truth.sum())
    last = np.r_[ranked[1:] < ranked[:-1], True]  # equal scores are given together
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(max((ranked[best] + below) / 2, 1e-6))


def _f1(hits: Any, given: Any, true: Any) -> float:
    return float(2 * hits / (given + true)) if given + true else 1.0


def _macro(both: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(R,) macro-F1 of (R, C) rows that are right, and rows given the tag plus rows that have it.

    Tags that neither occur nor are given do not count; 1 where that is all of them.
    """
    occur = total > 0
    f1 = np.where(occur, 2 * both / np.maximum(1, total), 0.0).sum(axis=1)
    return np.where(occur.any(axis=1), f1 / np.maximum(1, occur.sum(axis=1)), 1.0)


def _log_losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) the mean over the tags of -log of what was given to the truth, clipped at 1e-7."""
    given = np.where(truth, probabilities, 1 - probabilities.astype(np.float64))
    return -np.log(np.clip(given, 1e-7, 1.0)).mean(axis=1)


def _ranking(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) label ranking average precision; rows without a tag, or with all of them, count as 1."""
    found = np.ones(len(truth))
    for i in np.flatnonzero(truth.any(axis=1) & ~truth.all(axis=1)):
        own = scores[i][truth[i]]
        above = (scores[i] >= own[:, None]).sum(axis=1)
        right = (own >= own[:, None]).sum(axis=1)
        found[i] = (right / above).mean()
    return found
