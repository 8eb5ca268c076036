"""What is said about the names and terms of a text, and what a report shows of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.records.spans import Entity

NONE = "(none)"


class Found(NamedTuple):
    """One entity: its first character, the one behind its last, label, confidence (its tokens' mean) and words."""

    start: int
    end: int
    label: str
    confidence: float
    words: str

    @property
    def entity(self) -> Entity:
        return self.start, self.end, self.label

    def to_plain(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "label": self.label,
            "text": self.words,
            "confidence": self.confidence,
        }


@dataclass(frozen=True)
class EntitiesPrediction:
    """What the model says about N texts. said: (N,) object, for each a list of `Found` in their order."""

    rowwise: ClassVar[tuple[str, ...]] = ("said",)

    said: np.ndarray

    def __len__(self) -> int:
        return len(self.said)

    @property
    def entities(self) -> list[list[Entity]]:
        return [[one.entity for one in row] for row in self.said]

    def take(self, index: np.ndarray) -> EntitiesPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        return EntitiesPrediction(self.said[index])

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME`, a JSON list of objects with start, end, label, text and confidence."""
        return {f"predicted_{name}": [json.dumps(row["entities"], ensure_ascii=False) for row in self.plain(top=top)]}

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`entities`, a list of objects with start, end, label, text and confidence."""
        return [{"entities": [one.to_plain() for one in row]} for row in self.said]

    def agrees(self, other: EntitiesPrediction) -> np.ndarray:
        return np.array([one == two for one, two in zip(self.entities, other.entities, strict=True)], bool)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        """All entities in one answer, with the confidence of the least sure one."""
        return [
            [(words([(one.words, one.label) for one in row]), min((one.confidence for one in row), default=None))]
            for row in self.said
        ]


def words(pairs: list[tuple[str, str]]) -> str:
    """Entities for reading: `姚明 (person), 上海 (place)`."""
    return ", ".join(f"{text} ({label})" for text, label in pairs) or NONE


@dataclass(frozen=True)
class EntityRow:
    """One line of the table by label. support: true entities of it; predicted: those given."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class EntitiesDetails:
    """What stands beside the scores. unseen: labels that training never saw, with their entities. boundary_f1: where
    only the place must be right."""

    classes: tuple[str, ...]
    per_class: tuple[EntityRow, ...]
    unseen: dict[str, int]
    boundary_f1: float
    mean_true: float  # entities a text
    mean_predicted: float

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        if not self.unseen:
            return []
        listed = ", ".join(f"'{label}' ({count} entities)" for label, count in self.unseen.items())
        return [f"Labels that the model never saw count as missed: {listed}."]

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> EntitiesDetails:
        """The strict inverse of `to_plain`."""
        return from_plain(cls, data, where=where)
