"""What is said about a question, and what a report shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError

NO_ANSWER = "(no answer)"


class Candidate(NamedTuple):
    """A piece of the context. start, end: its first character and the one behind its last. score: of its ends' logits,
    summed. Without words it is "no answer"."""

    score: float
    start: int
    end: int
    words: str


@dataclass(frozen=True)
class SpanPrediction:
    """What the model says about N questions.

    said: (N,) object; for each the pieces it may be, the best first, "no answer" among them. thresholds: (N,) by how
    much the best piece must be above "no answer".
    """

    rowwise: ClassVar[tuple[str, ...]] = ("said", "thresholds")

    said: np.ndarray
    thresholds: np.ndarray

    def __len__(self) -> int:
        return len(self.said)

    @cached_property
    def ranked(self) -> list[list[tuple[Candidate, float]]]:
        """For each question its answers with their confidence, the chosen one first."""
        return [_ranked(own, threshold) for own, threshold in zip(self.said, self.thresholds.tolist(), strict=True)]

    @cached_property
    def words(self) -> list[str]:
        """The answers; an empty one is "no answer"."""
        return [row[0][0].words for row in self.ranked]

    @cached_property
    def confidence(self) -> np.ndarray:
        return np.array([row[0][1] for row in self.ranked], np.float64)

    def take(self, index: np.ndarray) -> SpanPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        return SpanPrediction(self.said[index], self.thresholds[index])

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME`, `start`, `end` and `confidence`; with `_2`, ... for further answers. Null: no answer."""
        columns: dict[str, list] = {}
        for place in range(min(top, max(map(len, self.ranked), default=1))):
            suffix = "" if place == 0 else f"_{place + 1}"
            row = [own[place] if place < len(own) else None for own in self.ranked]
            columns[f"predicted_{name}{suffix}"] = [one[0].words or None if one else None for one in row]
            columns[f"start{suffix}"] = [one[0].start if one and one[0].words else None for one in row]
            columns[f"end{suffix}"] = [one[0].end if one and one[0].words else None for one in row]
            columns[f"confidence{suffix}"] = [one[1] if one else None for one in row]
        return columns

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`answer` (null: none), `start`, `end`, `confidence`, and `top` when more than one answer is wanted."""
        rows = [[_plain(*one) for one in row[:top]] for row in self.ranked]
        return [{**row[0], "top": row} if top > 1 else row[0] for row in rows]

    def agrees(self, other: SpanPrediction) -> np.ndarray:
        return np.array([one == two for one, two in zip(self.words, other.words, strict=True)], bool)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        return [[(one.words or NO_ANSWER, share) for one, share in row[:top]] for row in self.ranked]


def _ranked(said: list[Candidate], threshold: float) -> list[tuple[Candidate, float]]:
    """With confidences by the softmax over all of them; "no answer" has the threshold on its side."""
    scores = np.array([one.score + (0.0 if one.words else threshold) for one in said])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-scores, kind="stable")
    return [(said[place], float(shares[place])) for place in order]


def _plain(one: Candidate, share: float) -> dict[str, Any]:
    if not one.words:
        return {"answer": None, "start": None, "end": None, "confidence": share}
    return {"answer": one.words, "start": one.start, "end": one.end, "confidence": share}


@dataclass(frozen=True)
class SpanDetails:
    """What stands beside the scores. Figures of questions with an answer and of those without; None where there are
    none. characters: compared by Chinese characters, as CMRC does it, or by words, as SQuAD."""

    answerable: int
    unanswerable: int
    answered: int
    answerable_f1: float | None
    unanswerable_right: float | None
    mean_true: float  # characters of an answer
    mean_predicted: float
    threshold: float
    characters: bool

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        return []

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> SpanDetails:
        """The strict inverse of `to_plain`."""
        details = from_plain(cls, data, where=where)
        if min(details.answerable, details.unanswerable, details.answered) < 0:
            raise UserError(f"{where}: expected counts of questions from 0.")
        return details
