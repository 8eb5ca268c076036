"""What is said about records with tags, and what a report shows of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.targets.tags.labels import words


@dataclass(frozen=True)
class TagsPrediction:
    """What the model says about N records. probabilities: (N, C) float32. thresholds: (N, C) as well, for the models of
    several folds have different ones."""

    rowwise: ClassVar[tuple[str, ...]] = ("probabilities", "thresholds")

    probabilities: np.ndarray
    tags: tuple[str, ...]
    thresholds: np.ndarray

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def chosen(self) -> np.ndarray:
        """(N, C) bool."""
        return self.probabilities >= self.thresholds

    @cached_property
    def labels(self) -> list[list[str]]:
        """The tags of each record, the most probable first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        return [
            [self.tags[c] for c in row if self.chosen[i, c]] for i, row in enumerate(order.tolist())
        ]  # fmt: skip

    def take(self, index: np.ndarray) -> TagsPrediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        return TagsPrediction(self.probabilities[index], self.tags, self.thresholds[index])

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """`predicted_NAME`, a JSON list; with `top` > 1 also the most probable tags with their probabilities."""
        columns = {f"predicted_{name}": [json.dumps(tags, ensure_ascii=False) for tags in self.labels]}
        if top > 1:
            ranked = [dict(pairs) for pairs in self._ranked(top)]
            columns[f"probabilities_{name}"] = [json.dumps(row, ensure_ascii=False) for row in ranked]
        return columns

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """`labels`, and `top` when more than one is wanted."""
        rows: list[dict[str, Any]] = [{"labels": tags} for tags in self.labels]
        if top > 1:
            for row, ranked in zip(rows, self._ranked(top), strict=True):
                row["top"] = [{"label": tag, "confidence": share} for tag, share in ranked]
        return rows

    def agrees(self, other: TagsPrediction) -> np.ndarray:
        """The same tags, in whatever order."""
        return np.array([set(one) == set(two) for one, two in zip(self.labels, other.labels, strict=True)], bool)

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        """The chosen tags in one answer; with `top` > 1 each of the most probable ones."""
        if top > 1:
            return [list(row) for row in self._ranked(top)]
        return [[(words(tags), None)] for tags in self.labels]

    def _ranked(self, num: int) -> list[list[tuple[str, float]]]:
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :num]
        return [[(self.tags[c], float(self.probabilities[i, c])) for c in row] for i, row in enumerate(order.tolist())]


@dataclass(frozen=True)
class TagRow:
    """One line of the table by tag. `support`: rows that have it; `predicted`: rows given it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    threshold: float


@dataclass(frozen=True)
class TagsDetails:
    """What stands beside the scores. unseen: tags that training never saw, with their rows."""

    tags: tuple[str, ...]
    per_class: tuple[TagRow, ...]
    unseen: dict[str, int]
    mean_true: float  # tags a row
    mean_predicted: float

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        if not self.unseen:
            return []
        listed = ", ".join(f"'{tag}' ({rows} rows)" for tag, rows in self.unseen.items())
        return [f"Tags that the model never saw count as missed: {listed}."]

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> TagsDetails:
        """The strict inverse of `to_plain`."""
        return from_plain(cls, data, where=where)
