"""The cheap methods of `cheap.py` over the columns of a table: the words of all of them are the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.records.identity import content_ids
from zaowu.targets.text.cheap import METHODS, Best
from zaowu.targets.text.details import Written

COMMON = "common_answer"
Columns = Mapping[str, Sequence[Any]]  # column -> N values


@dataclass(frozen=True)
class Beside:
    """columns: that are read. best: the methods that copy. common: said of everything where no text is read (None)."""

    columns: tuple[str, ...]
    best: Best | None
    common: str

    @classmethod
    def fit(
        cls, values: Columns, labels: Sequence[str | None], valid: tuple[Columns, Sequence[str | None]] | None = None
    ) -> Beside:
        """values: of training rows; no column is read where there are no words. labels: N, None where there is none.
        valid: the same of validation rows."""
        common = Counter(label for label in labels if label is not None).most_common(1)[0][0]
        if not values:
            return cls((), None, common)
        held = None if valid is None else _pairs({name: valid[0][name] for name in values}, valid[1])
        return cls(tuple(values), Best.fit(*_pairs(values, labels), held), common)

    @property
    def names(self) -> list[str]:
        """Of the methods, in the order of their texts in `outputs`."""
        if self.best is None:
            return [COMMON]
        return [self.best.name, *(method.name for method in METHODS if method.name != self.best.name)]

    def outputs(self, values: Columns) -> np.ndarray:
        """(N,) object; for each record what each method says. values: any column, where none is read."""
        num = len(next(iter(values.values())))
        keys, told = [""] * num, [[self.common] * num]
        if self.best is not None:
            sources = joined({name: values[name] for name in self.columns})
            keys = [f"{number:016x}" for number in content_ids([sources]).tolist()]
            told = list(self.best.every(sources).values())
        found = np.empty(num, object)
        for row, (key, *texts) in enumerate(zip(keys, *told, strict=True)):
            found[row] = [Written(text, source=key) for text in texts]
        return found

    def state(self) -> dict[str, Any]:
        best = None if self.best is None else self.best.state()
        return {"columns": list(self.columns), "best": best, "common": self.common}

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Beside:
        """The strict inverse of `state`. Raises UserError for a made-up one."""
        if not isinstance(state, dict) or state.keys() != {"columns", "best", "common"}:
            raise UserError(f"{where}: expected an object with columns, best and common, got {shorten(state)}.")
        columns, best, common = state["columns"], state["best"], state["common"]
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise UserError(f"{where}, 'columns': expected a list of column names, got {shorten(columns)}.")
        if not isinstance(common, str) or bool(columns) != (best is not None):
            raise UserError(f"{where}, 'common': expected a text, and methods that copy where columns are read.")
        known = None if best is None else Best.from_state(best, where=f"{where}, 'best'")
        return cls(tuple(columns), known, common)


def joined(values: Columns) -> list[str]:
    """(N,) the words of all columns behind one another."""
    rows = zip(*values.values(), strict=True)
    return [" ".join(value for value in row if isinstance(value, str)) for row in rows]


def _pairs(values: Columns, labels: Sequence[str | None]) -> tuple[list[str], list[str]]:
    """Sources and answers of the rows that have one."""
    pairs = [(source, label) for source, label in zip(joined(values), labels, strict=True) if label is not None]
    return [source for source, _ in pairs], [label for _, label in pairs]
