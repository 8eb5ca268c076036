"""What the cheap methods see of a record: for every group of columns its own features, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu import inputs as modalities
from zaowu.errors import UserError, shorten
from zaowu.inputs.table.baseline import TreeFeatures

TABLE = "table"  # the group of numbers, categories and dates
Values = Mapping[str, Sequence[Any]]  # column -> N values


@dataclass(frozen=True)
class Part:
    """One group. features: its `BaselineFeatures`."""

    columns: tuple[str, ...]
    features: Any


@dataclass(frozen=True)
class CheapFeatures:
    """The features of all groups, by name of the group."""

    parts: dict[str, Part]

    @classmethod
    def fit(
        cls,
        values: Values,
        groups: Mapping[str, Sequence[str]],
        *,
        max_features: int,
        kinds: Mapping[str, str] | None = None,
    ) -> tuple[Any, Any]:
        """Learns from training values. Returns the features and the (N, F) matrix of these values.

        kinds: column -> number, category or date, for the group of cells.
        """
        parts, blocks = {}, []
        for group, columns in groups.items():
            kind = modalities.find(modalities.kind_of(group), where="baseline").BaselineFeatures
            own = [values[name] for name in columns]
            said: dict[str, Any] = {"columns": columns, "kinds": kinds or {}} if group == TABLE else {}
            features, block = kind.fit(*own, max_features=max_features // len(groups), **said)
            parts[group] = Part(tuple(columns), features)
            blocks.append(block)
        return cls(parts), _beside(blocks)

    def matrix(self, values: Values) -> Any:
        """(N, F) float32 scipy CSR."""
        return _beside(
            [part.features.transform(*(values[name] for name in part.columns)) for part in self.parts.values()]
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts.values() for name in part.columns)

    @property
    def num_features(self) -> int:
        return sum(part.features.num_features for part in self.parts.values())

    @property
    def trees(self) -> TreeFeatures | None:
        """What trees see of the columns of a table; None without one."""
        table = self.parts.get(TABLE)
        return None if table is None else TreeFeatures(table.features.fitted)

    @property
    def only_text(self) -> bool:
        return list(self.parts) == ["text"]

    def state(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Plain data, and arrays by name."""
        plain: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for number, (group, part) in enumerate(self.parts.items()):
            own, found = part.features.state()
            plain.append({"name": group, "columns": list(part.columns), "learned": own})
            arrays |= {f"features.{number}.{name}": array for name, array in found.items()}
        return plain, arrays

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> CheapFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(plain, list) or not plain:
            raise UserError(f"{where}: expected at least one group of columns, got {shorten(plain)}.")
        parts: dict[str, Part] = {}
        for number, own in enumerate(plain):
            if not isinstance(own, dict) or own.keys() != {"name", "columns", "learned"}:
                raise UserError(f"{where}: expected an object with name, columns and learned, got {shorten(own)}.")
            group, columns, place = own["name"], own["columns"], f"{where}, '{shorten(own['name'])}'"
            if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
                raise UserError(f"{place}: expected a list of column names, got {shorten(columns)}.")
            if not isinstance(group, str) or group in parts:
                raise UserError(f"{place}: expected groups of different names.")
            prefix = f"features.{number}."
            found = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
            kind = modalities.find(modalities.kind_of(group), where=place).BaselineFeatures
            parts[group] = Part(tuple(columns), kind.from_state(own["learned"], found, where=place))
        return cls(parts)


def take(values: Values, rows: np.ndarray) -> dict[str, list[Any]]:
    return {name: [column[row] for row in rows] for name, column in values.items()}


def _beside(blocks: list[Any]) -> Any:
    from scipy import sparse

    return sparse.hstack(blocks, format="csr")
