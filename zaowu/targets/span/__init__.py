"""The answer to a question, found in its context: where it begins and where it ends, or that it is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from zaowu import metrics
from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.records import spans
from zaowu.targets import LossSum, Metric, Mistake, Score
from zaowu.targets.span import scores
from zaowu.targets.span.details import NO_ANSWER, Candidate, SpanDetails, SpanPrediction
from zaowu.targets.span.sliding import Sliding

NUM_ENDS = 20  # starts, and ends, of a window that are tried with one another
NUM_KEPT = 5  # pieces of a window, and of a record
MIN_TUNING = 20  # questions of each sort, with and without an answer, that can tell the threshold
LONGER = 1.25  # than the longest answer but one in a hundred that an answer may be
NEVER = -1e4  # the logit of a place that may not be chosen


@dataclass(frozen=True, kw_only=True)
class Span:
    """Knows which column is searched, how long an answer may be, and whether there may be none.

    Every token gets two logits, for the beginning and the end of the answer. The first token of a window, which is a
    special one, stands for "no answer here". Source: Devlin et al. 2019, "BERT", sections 4.2 and 4.3.

    max_characters: of an answer. may_be_none: whether training has questions without an answer. threshold: by how much
    the best piece must be above "no answer". characters: whether scores go by Chinese characters.
    """

    name: ClassVar[str] = "span"
    reads: ClassVar[str] = "tokens"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1": Metric(higher_is_better=True, is_share=True),
        "exact_match": Metric(higher_is_better=True, is_share=True),
    }
    headline: ClassVar[str] = "f1"
    primary: ClassVar[tuple[str, ...]] = ("f1", "exact_match")
    piece: ClassVar[type[Candidate]] = Candidate
    cheap_name: ClassVar[str] = "sliding_window"

    column: str = ""
    max_characters: int = 100
    may_be_none: bool = False
    threshold: float = 0.0
    characters: bool = False

    @classmethod
    def fit(
        cls, labels: Sequence, *, also: Sequence = (), label_smoothing: float = 0.0, class_weights: str = "none"
    ) -> Span:
        """The lengths of the training answers. Raises UserError where there is none."""
        if label_smoothing or class_weights != "none":
            raise UserError(
                "--class-weights and --set label_smoothing are for classes; this target is a piece of a text: leave "
                "them out."
            )
        found = [own for label in labels if label is not None and (own := spans.answers(label)) is not None]
        words = [given[0][0] for given in found if given]
        if not words:
            raise UserError("Training answers: expected words of the context, but no question has an answer.")
        longest = np.quantile([len(one) for one in words], 0.99, method="higher")
        return cls(
            max_characters=max(8, math.ceil(float(longest) * LONGER)),
            may_be_none=any(not given for given in found),
            characters=scores.by_characters(words),
        )

    def located(self, texts: Mapping[str, Sequence[str]], labels: Sequence[str | None]) -> Span:
        """With the column that is searched. texts: text column -> N texts."""
        return replace(self, column=spans.searched(self.name, texts, labels))

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Span:
        """The strict inverse of `state`."""
        if not isinstance(state, dict) or state.keys() != to_plain(cls()).keys():
            raise UserError(f"{where}: expected what is known of answers in a context, got {shorten(state)}.")
        target = from_plain(cls, state, where=where)
        if not 0 < target.max_characters < 1e6 or not math.isfinite(target.threshold):
            raise UserError(f"{where}, 'max_characters': expected a number from 1, got {target.max_characters}.")
        return target

    # ---- training

    @property
    def num_outputs(self) -> int:
        return 2

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def features(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N,) object: the given answers of each question, None where there is no label."""
        found = np.empty(len(labels), object)
        for row, label in enumerate(labels):
            found[row] = None if label is None else spans.answers(label)
        return found

    def token_answers(self, answer: Sequence[spans.Answer] | None, text: str, places: np.ndarray) -> np.ndarray:
        """(T, 2) int8: 1 where an answer begins, ends; 0 where it might; -1 for tokens that cannot be an answer.

        text: the searched column's. places: (T, 2) the characters that each token of the window stands for. Where no
        answer lies in the window it is the first token; where the answers' words are nowhere, all is -1.
        """
        found = np.full((len(places), 2), -1, np.int8)
        standing = spans.places(text, answer or ())
        if answer is None or (answer and not standing):
            return found
        found[places[:, 1] > places[:, 0]] = 0
        for start, end in standing:
            inside = np.flatnonzero((places[:, 1] > start) & (places[:, 0] < end) & (places[:, 1] > places[:, 0]))
            if len(inside) and places[inside[0], 0] <= start and places[inside[-1], 1] >= end:
                found[inside[0], 0] = found[inside[-1], 1] = 1
        found[0] = not (found > 0).any()
        return found

    def head(self, dim: int) -> nn.Module:
        """(B, T, D) states -> (B, T, 2) logits."""
        return nn.Linear(dim, 2)

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Minus the logarithm of the probability of all right beginnings, and ends, half each.

        outputs: (B, T, 2). answers: (B, T, 2), as `token_answers` gives them. weights: (B,).
        """
        logits = outputs.float().masked_fill(answers < 0, NEVER)
        shares = nn.functional.log_softmax(logits, dim=1)
        right = shares.masked_fill(answers <= 0, NEVER).logsumexp(dim=1)  # (B, 2)
        weights = weights * (answers > 0).any(dim=1).all(dim=1)
        return LossSum(sum=-(right.mean(dim=1) * weights).sum(), count=weights.sum())

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float((weights * (answers > 0).any(dim=1).all(dim=1)).sum())

    # ---- answering

    def reduce(self, outputs: np.ndarray, text: str, places: np.ndarray) -> list[Candidate]:
        """The best pieces of one window, and "no answer". outputs: (T, 2) logits. text, places: as `token_answers`."""
        none = Candidate(float(outputs[0].sum()), 0, 0, "")
        allowed = np.flatnonzero(places[:, 1] > places[:, 0])
        starts, ends = (allowed[np.argsort(-outputs[allowed, side], kind="stable")[:NUM_ENDS]] for side in (0, 1))
        first, last = places[starts, 0][:, None], places[ends, 1][None]
        sums = outputs[starts, 0][:, None] + outputs[ends, 1][None]
        fits = (starts[:, None] <= ends[None]) & (last > first) & (last - first <= self.max_characters)
        order = np.argsort(-np.where(fits, sums, -np.inf), axis=None, kind="stable")[:NUM_KEPT]
        found = []
        for row, column in zip(*np.unravel_index(order, sums.shape), strict=True):
            if fits[row, column]:
                start, end = int(first[row, 0]), int(last[0, column])
                found.append(Candidate(float(sums[row, column]), start, end, text[start:end]))
        return [*found, none]

    def merge(self, windows: Sequence[Sequence[Candidate]]) -> list[Candidate]:
        """What is kept of a record: the best pieces of all windows, and the least "no answer"."""
        best: dict[tuple[int, int], Candidate] = {}
        for one in sorted((one for window in windows for one in window if one.words), key=lambda one: -one.score):
            best.setdefault((one.start, one.end), one)
        none = [one.score for window in windows for one in window if not one.words]
        return [*list(best.values())[:NUM_KEPT], Candidate(min(none, default=0.0), 0, 0, "")]

    def decode(self, outputs: np.ndarray) -> SpanPrediction:
        """(N,) object of what `merge` kept."""
        threshold = self.threshold if self.may_be_none else NEVER
        return SpanPrediction(outputs, np.full(len(outputs), threshold))

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Span:
        """With the threshold that gives the highest F1 on these questions, none of which the model learned from."""
        known = [(said, answer) for said, answer in zip(outputs, answers, strict=True) if answer is not None]
        num_without = sum(not answer for _, answer in known)
        if not self.may_be_none or min(num_without, len(known) - num_without) < MIN_TUNING:
            return self
        leads, gains = [], []
        for said, answer in known:
            piece = next((one for one in said if one.words), None)
            lead = (piece.score if piece else NEVER) - said[-1].score
            given = [words for words, _ in answer]
            right = scores.f1(piece.words if piece else "", given, characters=self.characters)
            leads.append(lead)
            gains.append(right - float(not given))  # what answering brings over saying nothing
        order = np.argsort(leads, kind="stable")
        values = np.array(leads)[order]
        total = np.r_[np.cumsum(np.array(gains)[order][::-1])[::-1], 0.0]  # answering from this place on
        cuts = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1] + 1]
        return replace(self, threshold=float(cuts[int(total.argmax())]))

    # ---- the cheap method

    def fit_cheap(self, texts: Mapping[str, Sequence[str]], labels: Sequence[str | None]) -> tuple[Sliding, Span]:
        """The best sliding window, and this target with the threshold for it; both by training questions alone."""
        rows = [row for row, label in enumerate(labels) if label is not None]
        known = [labels[row] or "" for row in rows]
        own = {name: [column[row] for row in rows] for name, column in texts.items()}

        def score(places: np.ndarray, said: np.ndarray) -> float:
            judged = [known[place] for place in places.tolist()]
            target = self.tuned(said, self.features(judged))
            return target.score(target.decode(said), judged)["f1"]

        cheap = Sliding.fit(self.column, own, score)
        return cheap, self.tuned(cheap.outputs(own), self.features(known))

    @staticmethod
    def cheap_from_state(state: Any, *, where: str) -> Sliding:
        return Sliding.from_state(state, where=where)

    # ---- judging

    def figures(self, prediction: SpanPrediction, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) F1 and (N,) exact match, each the best over the given answers."""
        given = [[words for words, _ in spans.answers(label) or ()] for label in labels]
        pairs = list(zip(prediction.words, given, strict=True))
        return (
            np.array([scores.f1(words, own, characters=self.characters) for words, own in pairs]),
            np.array([scores.exact(words, own, characters=self.characters) for words, own in pairs]),
        )

    def score(self, prediction: SpanPrediction, labels: Sequence[str]) -> dict[str, float]:
        """The mean over the questions; one without an answer counts 1 where none was given, else 0."""
        f1, exact = self.figures(prediction, labels)
        return {"f1": float(f1.mean()), "exact_match": float(exact.mean())}

    def intervals(
        self, prediction: SpanPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        f1, exact = self.figures(prediction, labels)
        is_share = bool(np.isin(f1, (0, 1)).all())
        interval = metrics.accuracy_interval if is_share else metrics.mean_interval
        return {
            "f1": interval(f1, seed=seed, resamples=resamples),
            "exact_match": metrics.accuracy_interval(exact, seed=seed, resamples=resamples),
        }

    def differences(
        self, first: SpanPrediction, second: SpanPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, Score]:
        """First minus second, in both scores."""
        pairs = zip(self.metrics, self.figures(first, labels), self.figures(second, labels), strict=True)
        return {
            name: Score(
                float(one.mean() - other.mean()),
                *metrics.paired_interval(one, other, seed=seed, resamples=resamples),
            )
            for name, one, other in pairs
        }

    def per_record(self, prediction: SpanPrediction, labels: Sequence[str]) -> np.ndarray:
        """F1 of each question."""
        return self.figures(prediction, labels)[0]

    def mistakes(self, prediction: SpanPrediction, labels: Sequence[str], *, limit: int) -> list[Mistake]:
        """The answers of lowest F1; of equals those that the model was surest of."""
        f1 = self.per_record(prediction, labels)
        wrong = np.flatnonzero(f1 < 1)
        order = wrong[np.lexsort((-prediction.confidence[wrong], f1[wrong]))][:limit]
        return [
            Mistake(
                i,
                " / ".join(dict.fromkeys(words for words, _ in spans.answers(labels[i]) or ())) or NO_ANSWER,
                prediction.words[i] or NO_ANSWER,
                float(prediction.confidence[i]),
            )
            for i in order.tolist()
        ]

    def details(self, prediction: SpanPrediction, labels: Sequence[str]) -> SpanDetails:
        given = [spans.answers(label) or [] for label in labels]
        has = np.array([bool(own) for own in given])
        f1, lengths = self.per_record(prediction, labels), [len(words) for words in prediction.words if words]
        return SpanDetails(
            answerable=int(has.sum()),
            unanswerable=int((~has).sum()),
            answered=len(lengths),
            answerable_f1=float(f1[has].mean()) if has.any() else None,
            unanswerable_right=float(f1[~has].mean()) if (~has).any() else None,
            mean_true=float(np.mean([len(own[0][0]) for own in given if own])) if has.any() else 0.0,
            mean_predicted=float(np.mean(lengths)) if lengths else 0.0,
            threshold=self.threshold,
            characters=self.characters,
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> SpanDetails:
        return SpanDetails.from_plain(data, where=where)
