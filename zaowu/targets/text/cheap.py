"""The cheap methods beside a model that writes: the source itself, its lead sentence, the nearest training answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self
from zlib import crc32

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.inputs.text.tfidf import TfidfFeatures
from zaowu.targets.text import scores

MAX_ROWS = 200_000  # training answers that the nearest one is sought among
MAX_PRODUCTS = 8_000_000  # similarities that are held at a time: about 130 MB, sparse and dense
MAX_TUNING = 2_000  # rows that the method is chosen by
ENOUGH_VALID = 50  # fewer validation rows choose badly: training is split against itself instead
NUM_FOLDS = 4
# A sentence ends at its sign and the quotes and brackets behind; a full stop only before white space, the end, or a
# sign that is no ASCII: "3.5" and "e.g.this" go on.
_SENTENCE = re.compile(
    r"""\s*(.+?(?:[。！？!?…]+|\.+(?=["'”’)\]）」』]*(?:\s|$|[^\x00-\x7f]))|$)["'”’)\]）」』]*)""", re.S
)


class Method(Protocol):
    """name: in reports. It learns from training pairs and writes an answer to each of N sources."""

    name: ClassVar[str]

    @classmethod
    def fit(cls, sources: Sequence[str], answers: Sequence[str]) -> Self: ...

    def predict(self, sources: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True)
class Copy:
    """The source as it is."""

    name: ClassVar[str] = "copy_source"

    @classmethod
    def fit(cls, sources: Sequence[str], answers: Sequence[str]) -> Copy:
        return cls()

    def predict(self, sources: Sequence[str]) -> list[str]:
        return list(sources)


@dataclass(frozen=True)
class Lead:
    """The first sentence of the source."""

    name: ClassVar[str] = "lead_sentence"

    @classmethod
    def fit(cls, sources: Sequence[str], answers: Sequence[str]) -> Lead:
        return cls()

    def predict(self, sources: Sequence[str]) -> list[str]:
        return [lead(source) for source in sources]


def lead(text: str) -> str:
    """`他来了。她走了。` -> `他来了。`; a text without a sentence's end is one sentence."""
    found = _SENTENCE.match(text)
    return found[1].strip() if found else text.strip()


@dataclass(frozen=True)
class Nearest:
    """The answer to the training source that shares most with this one by TF-IDF; of equals the first.

    A source that shares nothing with any gets the most frequent answer. sources, answers: N training pairs.
    """

    name: ClassVar[str] = "nearest_answer"

    sources: list[str]
    answers: list[str]

    @classmethod
    def fit(cls, sources: Sequence[str], answers: Sequence[str]) -> Nearest:
        """More than 200,000 pairs are thinned out evenly."""
        assert len(sources) == len(answers) > 0
        step = -(-len(sources) // MAX_ROWS)
        return cls(list(sources[::step]), list(answers[::step]))

    @cached_property
    def _fitted(self) -> tuple[TfidfFeatures, Any]:
        """Made when first used: opening a run must not pay for it."""
        features, matrix = TfidfFeatures.fit(self.sources)
        return features, matrix.T.tocsr()

    def predict(self, sources: Sequence[str]) -> list[str]:
        often = Counter(self.answers).most_common(1)[0][0]
        return [often if row < 0 else self.answers[row] for row in self.rows(sources).tolist()]

    def rows(self, sources: Sequence[str]) -> np.ndarray:
        """(N,) int64: the training row nearest to each source, -1 where none shares anything with it."""
        features, known = self._fitted
        found = np.full(len(sources), -1, np.int64)
        portion = max(1, MAX_PRODUCTS // known.shape[1])
        for start in range(0, len(sources), portion):
            near = (features.transform(sources[start : start + portion]) @ known).toarray()  # (portion, N)
            best = near.argmax(axis=1)
            found[start : start + portion] = np.where(near.max(axis=1) > 0, best, -1)
        return found


METHODS: tuple[type[Copy] | type[Lead] | type[Nearest], ...] = (Copy, Lead, Nearest)


@dataclass(frozen=True, kw_only=True)
class Best:
    """The method with the highest chrF on rows that it did not learn from, none of which is a test row.

    name: of that method. reached: method -> its chrF there. nearest: fitted on all training pairs.
    """

    name: str
    reached: dict[str, float]
    nearest: Nearest = field(repr=False)

    @classmethod
    def fit(
        cls,
        sources: Sequence[str],
        answers: Sequence[str],
        valid: tuple[Sequence[str], Sequence[str]] | None = None,
        *,
        seed: int = 0,
    ) -> Best:
        """sources, answers: N training pairs. valid: sources and answers of validation; None, or too few of them: it
        is chosen within training, where all rows of a source are on one side."""
        nearest = Nearest.fit(sources, answers)
        if valid is not None and len(valid[0]) >= ENOUGH_VALID:
            judged, truth = (list(side[:: -(-len(valid[0]) // MAX_TUNING)]) for side in valid)
            said = {method.name: method.fit(sources, answers).predict(judged) for method in (Copy, Lead)}
            said[Nearest.name] = nearest.predict(judged)
        else:
            judged, truth, said = _within(sources, answers, seed=seed)
        reached = {name: scores.chrf(texts, truth, judged) if judged else 0.0 for name, texts in said.items()}
        return cls(name=max(reached, key=lambda name: reached[name]), reached=reached, nearest=nearest)

    def predict(self, sources: Sequence[str]) -> list[str]:
        return self._method(self.name).predict(sources)

    def every(self, sources: Sequence[str]) -> dict[str, list[str]]:
        """What each method writes, the chosen one first."""
        names = [self.name, *(method.name for method in METHODS if method.name != self.name)]
        return {name: self._method(name).predict(sources) for name in names}

    def _method(self, name: str) -> Method:
        methods: dict[str, Method] = {Copy.name: Copy(), Lead.name: Lead(), Nearest.name: self.nearest}
        return methods[name]

    def state(self) -> dict[str, Any]:
        """Plain data: the training pairs are among it."""
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Best:
        """The strict inverse of `state`. Raises UserError for a made-up one."""
        found = from_plain(cls, state, where=where)
        names = [method.name for method in METHODS]
        if found.name not in names or sorted(found.reached) != sorted(names):
            raise UserError(f"{where}, 'name': expected one of {', '.join(names)}, got {shorten(found.name)}.")
        if not len(found.nearest.sources) == len(found.nearest.answers) > 0:
            raise UserError(f"{where}, 'nearest': expected as many answers as sources, and at least one.")
        return found


def _within(
    sources: Sequence[str], answers: Sequence[str], *, seed: int
) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Sources, answers and what each method writes, from folds that the other folds' pairs answer.

    The fold is a function of the seed and the source. Folds are taken until there are enough rows.
    """
    fold = np.array([crc32(f"{seed}\t{source}".encode("utf-8", "surrogatepass")) % NUM_FOLDS for source in sources])
    judged: list[str] = []
    truth: list[str] = []
    said: dict[str, list[str]] = {method.name: [] for method in METHODS}
    for number in range(NUM_FOLDS):
        held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        held = held[:: -(-max(1, len(held)) // (MAX_TUNING // NUM_FOLDS))]
        if not len(held) or not len(rest):
            continue
        own = [sources[row] for row in held.tolist()]
        known = [sources[row] for row in rest.tolist()], [answers[row] for row in rest.tolist()]
        for method in METHODS:
            said[method.name] += method.fit(*known).predict(own)
        judged += own
        truth += [answers[row] for row in held.tolist()]
    return judged, truth, said
