"""The cheap methods of a target that brings them: its answers are places in a text, or texts. They read texts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu import targets
from zaowu.errors import UserError, shorten


@dataclass(frozen=True)
class Finder:
    """columns: the texts that it reads. cheap: the method, or several (`names`). target: decodes what they say."""

    columns: tuple[str, ...]
    cheap: Any
    target: Any

    @classmethod
    def fit(
        cls,
        texts: Mapping[str, Sequence[str]],
        target: Any,
        labels: Sequence,
        valid: tuple[Mapping[str, Sequence], Sequence] | None = None,
    ) -> Finder:
        """texts: column -> N texts. labels: N labels, None for none. valid: both of validation rows, if there are such,
        for a target that asks for them."""
        more = (valid,) if target.reads == "states" else ()
        cheap, tuned = target.fit_cheap(texts, labels, *more)
        return cls(tuple(texts), cheap, tuned)

    def outputs(self, values: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """(N,) object, as the target decodes them."""
        read = {name: values[name] for name in self.columns} or dict(list(values.items())[:1])  # to be counted alone
        found: np.ndarray = self.cheap.outputs(read)
        return found

    def decode(self, outputs: np.ndarray) -> dict[str, Any]:
        """Name of the method -> its answers."""
        names = getattr(self.cheap, "names", None)
        if names is None:
            return {self.target.cheap_name: self.target.decode(outputs)}
        found = {}
        for place, name in enumerate(names):
            own = np.empty(len(outputs), object)
            own[:] = [row[place : place + 1] for row in outputs]
            found[name] = self.target.decode(own)
        return found

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
        if kind.reads == "pooled":
            raise UserError(f"{where}, 'kind': expected one of answers in a text, got {shorten(state['kind'])}.")
        target = kind.from_state(state["target"], where=f"{where}, 'target'")
        cheap = kind.cheap_from_state(state["cheap"], where=f"{where}, 'cheap'")
        columns = state["columns"]
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise UserError(f"{where}, 'columns': expected a list of column names, got {shorten(columns)}.")
        read = {target.column, cheap.column} if kind.reads == "tokens" else set(cheap.columns)
        if not read <= set(columns):
            raise UserError(f"{where}, 'columns': expected the searched one among them, got {shorten(columns)}.")
        return cls(tuple(columns), cheap, target)
