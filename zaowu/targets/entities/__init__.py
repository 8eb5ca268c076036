"""Names, places and terms in a text: where each begins and ends, and what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from zaowu import metrics
from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError
from zaowu.records import spans
from zaowu.records.spans import Entity
from zaowu.targets import LossSum, Metric, Mistake, Score
from zaowu.targets.entities import tagging
from zaowu.targets.entities.details import EntitiesDetails, EntitiesPrediction, EntityRow, Found, words
from zaowu.targets.entities.dictionary import Dictionary

MAX_LABELS = 500

Window = tuple[int, int, list[Found]]  # the characters that it shows, and its entities


@dataclass(frozen=True, kw_only=True)
class Entities:
    """Knows the labels, in Unicode order, and which column they stand in.

    Every token gets a logit for O, and for B- and I- of each label; the best valid sequence of tags is decoded.
    counts: training entities of each label.
    """

    name: ClassVar[str] = "entities"
    reads: ClassVar[str] = "tokens"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "entity_f1": Metric(higher_is_better=True, is_share=True),
        "entity_precision": Metric(higher_is_better=True, is_share=True),
        "entity_recall": Metric(higher_is_better=True, is_share=True),
        "macro_f1": Metric(higher_is_better=True),
        "exact_match": Metric(higher_is_better=True),
    }
    headline: ClassVar[str] = "entity_f1"
    primary: ClassVar[tuple[str, ...]] = ("entity_f1", "macro_f1")
    piece: ClassVar[type[Found]] = Found
    cheap_name: ClassVar[str] = "dictionary"

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    column: str = ""
    label_smoothing: float = 0.0

    @classmethod
    def fit(
        cls,
        labels: Sequence[str | None],
        *,
        also: Sequence[str | None] = (),
        label_smoothing: float = 0.0,
        class_weights: Literal["none", "balanced"] = "none",
    ) -> Entities:
        """The labels of the training entities. Raises UserError when there is none, or too many."""
        if class_weights != "none":
            raise UserError("--class-weights is for classes; this target marks places in a text: leave it out.")
        count = Counter(label for own in _given(labels) for _, _, label in own)
        if not count:
            raise UserError("Training entities: expected some, but no text has any. Choose another --target.")
        for label in {label for own in _given(also) for _, _, label in own} - count.keys():
            count[label] = 1
        if len(count) > MAX_LABELS:
            raise UserError(f"Training entities: expected at most {MAX_LABELS} different labels, got {len(count):,}.")
        names = tuple(sorted(count))
        return cls(labels=names, counts=tuple(count[name] for name in names), label_smoothing=label_smoothing)

    def located(self, texts: Mapping[str, Sequence[str]], labels: Sequence[str | None]) -> Entities:
        """With the column that the entities stand in. texts: text column -> N texts."""
        return replace(self, column=spans.searched(self.name, texts, labels))

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Entities:
        """The strict inverse of `state`."""
        target = from_plain(cls, state, where=where)
        if not target.labels or len(set(target.labels)) < len(target.labels):
            raise UserError(f"{where}, 'labels': expected at least one label, each once.")
        if len(target.counts) != len(target.labels) or min(target.counts) < 1:
            raise UserError(f"{where}, 'counts': expected a number from 1 for each of the labels.")
        if not 0 <= target.label_smoothing < 1:
            raise UserError(f"{where}, 'label_smoothing': expected 0 to below 1, got {target.label_smoothing}.")
        return target

    # ---- training

    @property
    def num_outputs(self) -> int:
        return tagging.num_tags(len(self.labels))

    @property
    def names(self) -> tuple[str, ...]:
        """The tags, as token classifiers name them."""
        return ("O", *(f"{part}-{label}" for label in self.labels for part in "BI"))

    def features(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N,) object: the entities of each text, of overlapping ones the longest; None where there is no label."""
        found = np.empty(len(labels), object)
        for row, label in enumerate(labels):
            own = None if label is None else spans.entities(label)
            found[row] = None if own is None else spans.apart(own)
        return found

    def token_answers(self, answer: Sequence[Entity] | None, text: str, places: np.ndarray) -> np.ndarray:
        """(T,) int16 tags; -1 for tokens that stand for no character of the text, and for all where there is no label.

        places: (T, 2) the characters that each token of the window stands for.
        """
        if answer is None:
            return np.full(len(places), tagging.NEVER, np.int16)
        return tagging.encoded(answer, {label: k for k, label in enumerate(self.labels)}, places)

    def head(self, dim: int) -> nn.Module:
        """(B, T, D) states -> (B, T, C) logits of the tags."""
        return nn.Linear(dim, self.num_outputs)

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Cross-entropy, summed over the tokens that have a tag. answers: (B, T), -1 for none. weights: (B,)."""
        losses = nn.functional.cross_entropy(
            outputs.float().flatten(0, 1),
            answers.clamp(min=0).flatten().long(),
            reduction="none",
            label_smoothing=self.label_smoothing,
        ).view(answers.shape)
        known = (answers >= 0) * weights.unsqueeze(1)
        return LossSum(sum=(losses * known).sum(), count=known.sum())

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float(((answers >= 0) * weights.unsqueeze(1)).sum())

    # ---- answering

    def reduce(self, outputs: np.ndarray, text: str, places: np.ndarray) -> Window:
        """The entities of one window. outputs: (T, C) logits. text, places: as `token_answers`."""
        real = np.flatnonzero(places[:, 1] > places[:, 0])
        if not len(real):
            return 0, 0, []
        logits, own = outputs[real].astype(np.float64), places[real]
        tags = tagging.best_path(logits)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        sure = shares[np.arange(len(tags)), tags] / shares.sum(axis=1)
        found = []
        for first, last, label in tagging.runs(tags):
            start, end = int(own[first, 0]), int(own[last - 1, 1])
            found.append(Found(start, end, self.labels[label], float(sure[first:last].mean()), text[start:end]))
        return int(own[0, 0]), int(own[-1, 1]), found

    def merge(self, windows: Sequence[Window]) -> list[Found]:
        """The entities of a record: where two windows overlap, each is asked for its own half."""
        found: list[Found] = []
        ordered = sorted(windows, key=lambda window: window[:2])
        begin = 0.0
        for place, (_, end, own) in enumerate(ordered):
            ahead = ordered[place + 1][0] if place + 1 < len(ordered) else None
            stop = np.inf if ahead is None else (min(ahead, end) + end) / 2
            taken = found[-1].end if found else 0
            found += [one for one in own if begin <= one.start < stop and one.start >= taken]
            begin = stop
        return found

    def decode(self, outputs: np.ndarray) -> EntitiesPrediction:
        """(N,) object of what `merge` gave."""
        return EntitiesPrediction(outputs)

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Entities:
        """Itself: the best sequence of tags needs no threshold."""
        return self

    # ---- the cheap method

    def fit_cheap(
        self, texts: Mapping[str, Sequence[str]], labels: Sequence[str | None]
    ) -> tuple[Dictionary, Entities]:
        """A dictionary of the training entities."""
        answers = self.features(labels)
        rows = [row for row, answer in enumerate(answers) if answer is not None]
        own = texts[self.column]
        return Dictionary.fit(self.column, [own[row] for row in rows], [answers[row] for row in rows]), self

    @staticmethod
    def cheap_from_state(state: Any, *, where: str) -> Dictionary:
        return Dictionary.from_state(state, where=where)

    # ---- judging

    def score(self, prediction: EntitiesPrediction, labels: Sequence[str]) -> dict[str, float]:
        """An entity is right when its place and its label are. entity_f1: over all entities, as seqeval and CoNLL 2003
        count; macro_f1: the mean over the labels that occur; exact_match: texts with all right and none too many."""
        hits, given, true = self._counts(prediction, labels)
        h, g, t = hits.sum(), given.sum(), true.sum()
        by_label = self._by_label(prediction, labels)
        return {
            "entity_f1": _f1(h, g, t),
            "entity_precision": float(h / g) if g else float(t == 0),
            "entity_recall": float(h / t) if t else 1.0,
            "macro_f1": float(np.mean([_f1(*own) for own in by_label.values()])) if by_label else 1.0,
            "exact_match": float(((hits == given) & (hits == true)).mean()),
        }

    def intervals(
        self, prediction: EntitiesPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        """Texts are drawn, not entities: those of one text are not independent."""
        hits, given, true = self._counts(prediction, labels)
        how: dict[str, Any] = {"seed": seed, "resamples": resamples}
        exact = (hits == given) & (hits == true)
        found = {"exact_match": metrics.accuracy_interval(exact, **how)}
        names = ("entity_f1", "entity_precision", "entity_recall")
        if exact.all():  # the bootstrap would see no chance at all
            return found | dict.fromkeys(names, metrics.wilson_interval(len(hits), len(hits)))
        for name, over in zip(names, ((given + true) / 2, given, true), strict=True):
            share = partial(_share, hits, over)
            found[name] = metrics.bootstrap_interval(share, np.ones(len(hits), np.int64), **how)
        value = self.score(prediction, labels)
        return {name: (min(low, value[name]), max(high, value[name])) for name, (low, high) in found.items()}

    def differences(
        self, first: EntitiesPrediction, second: EntitiesPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, Score]:
        """First minus second, in entity F1."""
        one, other = self._counts(first, labels), self._counts(second, labels)

        def lead(draws: np.ndarray) -> np.ndarray:
            return np.subtract(
                *(2 * (draws @ hits) / np.maximum(1, draws @ (given + true)) for hits, given, true in (one, other))
            )

        ones = np.ones(len(labels), np.int64)
        value = float(lead(ones[None])[0])
        low, high = metrics.bootstrap_interval(lead, ones, seed=seed, resamples=resamples)
        return {"entity_f1": Score(value, min(low, value), max(high, value))}

    def per_record(self, prediction: EntitiesPrediction, labels: Sequence[str]) -> np.ndarray:
        """F1 of each text; 1 where there is no entity and none was given."""
        hits, given, true = self._counts(prediction, labels)
        return np.where(given + true == 0, 1.0, 2 * hits / np.maximum(1, given + true))

    def mistakes(self, prediction: EntitiesPrediction, labels: Sequence[str], *, limit: int) -> list[Mistake]:
        """The texts with the most entities that are missed, false or of another label."""
        hits, given, true = self._counts(prediction, labels)
        wrong = given + true - 2 * hits
        order = np.argsort(-wrong, kind="stable")[: min(limit, int((wrong > 0).sum()))]
        said = [row[0] for row in prediction.shown(top=1)]
        return [Mistake(i, words(spans.told(labels[i])), *said[i]) for i in order.tolist()]

    def details(self, prediction: EntitiesPrediction, labels: Sequence[str]) -> EntitiesDetails:
        by_label = self._by_label(prediction, labels)
        rows = []
        for label in self.labels:
            hits, given, true = by_label.get(label, (0, 0, 0))
            rows.append(
                EntityRow(label, hits / max(1, given), hits / max(1, true), _f1(hits, given, true), true, given)
            )
        placed = [{one[:2] for one in own or ()} for own in self.features(labels)]
        said = [{one[:2] for one in own} for own in prediction.entities]
        common = sum(len(one & other) for one, other in zip(placed, said, strict=True))
        num_true, num_said = sum(map(len, placed)), sum(map(len, said))
        return EntitiesDetails(
            classes=self.labels,
            per_class=tuple(rows),
            unseen={label: own[2] for label, own in by_label.items() if label not in self.labels},
            boundary_f1=_f1(common, num_said, num_true),
            mean_true=num_true / max(1, len(placed)),
            mean_predicted=num_said / max(1, len(said)),
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> EntitiesDetails:
        return EntitiesDetails.from_plain(data, where=where)

    def _counts(
        self, prediction: EntitiesPrediction, labels: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) each: entities that are right, that were given, that are true."""
        true = [set(own or ()) for own in self.features(labels)]
        said = [set(own) for own in prediction.entities]
        hits = [len(one & other) for one, other in zip(true, said, strict=True)]
        return np.array(hits), np.array([len(own) for own in said]), np.array([len(own) for own in true])

    def _by_label(self, prediction: EntitiesPrediction, labels: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """Label -> right, given and true entities, of those that occur."""
        hits, given, true = Counter[str](), Counter[str](), Counter[str]()
        for own, said in zip(self.features(labels), prediction.entities, strict=True):
            given.update(label for _, _, label in said)
            true.update(label for _, _, label in own or ())
            hits.update(label for _, _, label in set(said) & set(own or ()))
        return {label: (hits[label], given[label], true[label]) for label in sorted(given.keys() | true.keys())}


def _given(labels: Sequence[str | None]) -> list[list[Entity]]:
    return [own for label in labels if label is not None and (own := spans.entities(label)) is not None]


def _share(hits: np.ndarray, over: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(R,) hits as a share, from (R, N) how often each text is drawn; 1 of nothing."""
    whole = draws @ over
    return np.where(whole > 0, draws @ hits / np.maximum(whole, 0.5), 1.0)


def _f1(hits: float, given: float, true: float) -> float:
    return float(2 * hits / (given + true)) if given + true else 1.0
