"""What a report shows of classes: the table by class, the confusion matrix, the calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten


@dataclass(frozen=True)
class ClassRow:
    """One line of the per-class table. `support`: rows of the class; `predicted`: rows given to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Cell:
    """`rows` records of class `truth` (possibly one the model never saw) that were given to `predicted`."""

    truth: str
    predicted: str
    rows: int


@dataclass(frozen=True)
class CalibrationBin:
    """Records whose confidence lies in one of 15 equal bins: means of their confidence and of being right."""

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class CategoryDetails:
    """What stands beside the scores. Cells and bins without rows are left out."""

    classes: tuple[str, ...]
    per_class: tuple[ClassRow, ...]
    confusion: tuple[Cell, ...]
    calibration_bins: tuple[CalibrationBin, ...]
    unseen: dict[str, int]  # labels that the model never saw, with their rows

    @property
    def matrix(self) -> np.ndarray:
        """(C, C) int64, row = truth, column = prediction; rows of unseen labels have no place in it."""
        place = {label: index for index, label in enumerate(self.classes)}
        matrix = np.zeros((len(place), len(place)), np.int64)
        for cell in self.confusion:
            if cell.truth in place:
                matrix[place[cell.truth], place[cell.predicted]] = cell.rows
        return matrix

    def to_plain(self) -> dict[str, Any]:
        return to_plain(self)

    def caveats(self) -> list[str]:
        """What a person must know before they read the scores."""
        if not self.unseen:
            return []
        listed = ", ".join(f"'{label}' ({rows} rows)" for label, rows in self.unseen.items())
        return [f"Labels that the model never saw count as wrong: {listed}."]

    @classmethod
    def from_plain(cls, data: Any, *, where: str) -> CategoryDetails:
        """The strict inverse of `to_plain`."""
        details = from_plain(cls, data, where=where)
        check_classes(details.classes, where=where)
        known = set(details.classes)
        for cell in details.confusion:
            if cell.predicted not in known:
                raise UserError(f"{where}, 'confusion': '{shorten(cell.predicted)}' is not one of the classes.")
        return details


def check_classes(classes: tuple[str, ...], *, where: str) -> None:
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise UserError(f"{where}, 'classes': expected at least two labels, each once.")
