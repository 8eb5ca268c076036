"""The cheap method of a target whose answers are places in a text: the target brings it, and it reads texts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu import targets
from zaowu.errors import UserError, shorten


@dataclass(frozen=True)
class Finder:
    """columns: the texts that it reads. cheap: the method. target: as it decodes what that says."""

    columns: tuple[str, ...]
    cheap: Any
    target: Any

    @classmethod
    def fit(cls, texts: Mapping[str, Sequence[str]], target: Any, labels: Sequence) -> Finder:
        """texts: column -> N texts. labels: N labels, None for none."""
        cheap, tuned = target.fit_cheap(texts, labels)
        return cls(tuple(texts), cheap, tuned)

    def outputs(self, values: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """(N,) object, as the target decodes them."""
        found: np.ndarray = self.cheap.outputs({name: values[name] for name in self.columns})
        return found

    def decode(self, outputs: np.ndarray) -> dict[str, Any]:
        """Name of the method -> its answers."""
        return {self.target.cheap_name: self.target.decode(outputs)}

    def state(self) -> dict[str, Any]:
        return {
            "kind": self.target.name,
            "columns": list(self.columns),
            "cheap": self.cheap.state(),
            "target": self.target.state(),
        }

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Finder:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(state, dict) or state.keys() != {"kind", "columns", "cheap", "target"}:
            raise UserError(f"{where}: expected an object with kind, columns, cheap and target, got {shorten(state)}.")
        kind = targets.find(state["kind"], where=where)
        if kind.reads != "tokens":
            raise UserError(f"{where}, 'kind': expected one of answers in a text, got {shorten(state['kind'])}.")
        target = kind.from_state(state["target"], where=f"{where}, 'target'")
        cheap = kind.cheap_from_state(state["cheap"], where=f"{where}, 'cheap'")
        columns = state["columns"]
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise UserError(f"{where}, 'columns': expected a list of column names, got {shorten(columns)}.")
        if target.column not in columns or cheap.column not in columns:
            raise UserError(f"{where}, 'columns': expected the searched one among them, got {shorten(columns)}.")
        return cls(tuple(columns), cheap, target)
