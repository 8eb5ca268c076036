"""What is said of a text that was written, and what a report shows of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError

NOTHING = "(nothing)"


class Written(NamedTuple):
    """A text. score: the mean log probability of its pieces, the end piece among them; 0 where nothing wrote it.

    tokens: how many pieces. cut: whether it ends because there was no more room. source: what is equal where the same
    was read; empty where that is not known.
    """

    text: str
    score: float = 0.0
    tokens: int = 0
    cut: bool = False
    source: str = ""


@dataclass(frozen=True)
class TextPrediction:
    """What the model writes for N records. said: (N,) object; for each its texts, the best first."""

    rowwise: ClassVar[tuple[str, ...]] = ("said",)

    said: np.ndarray

    def __len__(self) -> int:
        return len(self.said)

    @cached_property
    def texts(self) -> list[str]:
        return [own[0].text if own else "" for own in self.said]

    @cached_property
    def scores(self) -> np.ndarray:
        """(N,) mean log probability of a piece."""
        return np.array([own[0].score if own else 0.0 for own in self.said], np.float64)

    @cached_property
    def sources(self) -> list[str] | None:
        """What each record was written of, as `Written.source`; None where that is not known."""
        found = [own[0].source if own else "" for own in self.said]
        return found if all(found) else None

    def take(self, index: np.ndarray) -> TextPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        return TextPrediction(self.said[index])

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME` and `confidence`, the mean probability of a piece; with `_2`, ... for further texts."""
        columns: dict[str, list] = {}
        for place in range(min(top, max(map(len, self.said), default=1)) or 1):
            suffix = "" if place == 0 else f"_{place + 1}"
            row = [own[place] if place < len(own) else None for own in self.said]
            columns[f"predicted_{name}{suffix}"] = [None if one is None else one.text for one in row]
            columns[f"confidence{suffix}"] = [None if one is None else _share(one) for one in row]
        return columns

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`answer`, `confidence`, `log_probability` (the mean of a piece), and `top` when more texts are wanted."""
        rows = [[_plain(one) for one in own[:top]] or [_plain(Written(""))] for own in self.said]
        return [{**row[0], "top": row} if top > 1 else row[0] for row in rows]

    def agrees(self, other: TextPrediction) -> np.ndarray:
        return np.array([one == two for one, two in zip(self.texts, other.texts, strict=True)], bool)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        rows = ([(one.text or NOTHING, _share(one)) for one in own[:top]] for own in self.said)
        return [row or [(NOTHING, None)] for row in rows]


def _share(one: Written) -> float | None:
    """The geometric mean of the probabilities of its pieces; None where nothing wrote it."""
    return math.exp(min(0.0, one.score)) if one.tokens else None


def _plain(one: Written) -> dict[str, Any]:
    return {"answer": one.text, "confidence": _share(one), "log_probability": one.score if one.tokens else None}


@dataclass(frozen=True)
class TextDetails:
    """What stands beside the scores. Lengths are characters, on average. cut: texts that ended for want of room."""

    mean_true: float
    mean_predicted: float
    empty: int
    cut: int

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        found = []
        if self.cut:
            found.append(f"{self.cut:,} texts were cut where the longest training answer would have ended twice over.")
        return found

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> TextDetails:
        """The strict inverse of `to_plain`."""
        details = from_plain(cls, data, where=where)
        if min(details.empty, details.cut) < 0:
            raise UserError(f"{where}: expected counts of texts from 0.")
        return details
