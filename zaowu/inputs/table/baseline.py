"""The cheap methods' features of a table: a sparse matrix for a linear model, a dense one for trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.table.columns import MISSING, Column, Columns

MOST = 4.0  # standard deviations from the mean: beyond, one value would outweigh all others
ONE_HOT = 30  # values of a category up to which trees get a column of each; of more, its rank by frequency
LEAST_SPREAD = 1e-9


class BaselineFeatures:
    """Of each number and part of a date its standardised value and its standardised rank among the training values,
    both 0 where it is missing; a column for each code of a category, and one that says that a number is missing.

    kept: which of these columns are used, rising. means, spreads: (M,) float64 of values and ranks.
    """

    name: ClassVar[str] = "one-hot and scaled numbers"

    def __init__(self, fitted: Columns, kept: Sequence[int], means: np.ndarray, spreads: np.ndarray) -> None:
        self.fitted, self.kept, self.means, self.spreads = fitted, list(kept), means, spreads

    @classmethod
    def fit(
        cls, *values: Sequence[str | None], max_features: int, columns: Sequence[str], kinds: Mapping[str, str]
    ) -> tuple[BaselineFeatures, Any]:
        """Learns from training values, one sequence for each of `columns`; kinds: column -> number, category or date.

        Returns the features, and the matrix of these values. Columns that are 0 everywhere are left out, and beyond
        `max_features` those that are 0 most often.
        """
        fitted = Columns.fit(columns, values, kinds)
        measured = _measured(fitted, values)
        some = np.isfinite(measured).any(axis=0)
        means, spreads = np.zeros(measured.shape[1]), np.ones(measured.shape[1])
        means[some] = np.nanmean(measured[:, some], axis=0)
        spreads[some] = np.maximum(np.nanstd(measured[:, some], axis=0), LEAST_SPREAD)
        features = cls(fitted, [], means, spreads)
        matrix = features._everything(values)
        uses = matrix.getnnz(axis=0)
        most = np.argsort(-uses, kind="stable")[:max_features]
        features.kept = np.sort(most[uses[most] > 0]).tolist()
        return features, matrix[:, features.kept]

    @property
    def num_features(self) -> int:
        return len(self.kept)

    def transform(self, *values: Sequence[str | None]) -> Any:
        """(N, num_features) float32 scipy CSR matrix."""
        return self._everything(values)[:, self.kept]

    def _everything(self, values: Sequence[Sequence[str | None]]) -> Any:
        """(N, all features) CSR: numbers, then the codes of every column but "known"."""
        from scipy import sparse

        with np.errstate(over="ignore"):
            scaled = (_measured(self.fitted, values) - self.means) / self.spreads
        blocks = [sparse.csr_matrix(np.nan_to_num(np.clip(scaled, -MOST, MOST), nan=0.0).astype(np.float32))]
        for column, cells in zip(self.fitted.used, self.fitted.read(values), strict=True):
            shown = cells.codes if column.kind == "category" else np.where(cells.codes == MISSING, 0, -1)
            rows = np.flatnonzero(shown >= 0)
            ones = np.ones(len(rows), np.float32)
            blocks.append(sparse.csr_matrix((ones, (rows, shown[rows])), shape=(len(shown), _width(column))))
        return sparse.hstack(blocks, format="csr", dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learned as plain data; there are no arrays beside it."""
        plain = {"kept": self.kept, "means": self.means.tolist(), "spreads": self.spreads.tolist()}
        return {"columns": self.fitted.state(), **plain}, {}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> BaselineFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(plain, dict) or plain.keys() != {"columns", "kept", "means", "spreads"} or arrays:
            raise UserError(f"{where}: expected columns, kept, means and spreads, got {shorten(plain)}.")
        fitted = Columns.from_state(plain["columns"], where=f"{where}, 'columns'")
        kept, num_measured = plain["kept"], 2 * sum(len(column.edges) for column in fitted.used)
        total = num_measured + sum(map(_width, fitted.used))
        if not isinstance(kept, list) or not all(type(k) is int and 0 <= k < total for k in kept):
            raise UserError(f"{where}, 'kept': expected whole numbers below {total:,}, got {shorten(kept)}.")
        if any(a >= b for a, b in pairwise(kept)):
            raise UserError(f"{where}, 'kept': expected numbers that rise.")
        found = {}
        for name in ("means", "spreads"):
            given = plain[name]
            is_list = isinstance(given, list) and len(given) == num_measured
            if not is_list or not all(type(value) in (int, float) and np.isfinite(value) for value in given):
                raise UserError(f"{where}, '{name}': expected {num_measured:,} numbers, got {shorten(given)}.")
            found[name] = np.array(given, np.float64)
        if not (found["spreads"] > 0).all():
            raise UserError(f"{where}, 'spreads': expected numbers above 0.")
        return cls(fitted, kept, found["means"], found["spreads"])


class TreeFeatures:
    """For trees: the place of each number and part of a date (its order is all that a tree sees; -1 is missing), and
    of a category a column for each of its values, or its rank by frequency where there are many."""

    def __init__(self, fitted: Columns) -> None:
        self.fitted = fitted

    @classmethod
    def fit(
        cls, *values: Sequence[str | None], columns: Sequence[str], kinds: Mapping[str, str]
    ) -> tuple[TreeFeatures, np.ndarray]:
        """Learns from training values. Returns the features, and the matrix of these values."""
        features = cls(Columns.fit(columns, values, kinds))
        return features, features.transform(*values)

    @property
    def num_features(self) -> int:
        return sum(len(column.edges) or _tree_width(column) for column in self.fitted.used)

    def transform(self, *values: Sequence[str | None]) -> np.ndarray:
        """(N, num_features) float32."""
        blocks = []
        for column, cells in zip(self.fitted.used, self.fitted.read(values), strict=True):
            if column.kind != "category":
                blocks.append(cells.places)
            elif _tree_width(column) == 1:
                blocks.append(cells.codes[:, None].astype(np.float32))
            else:
                blocks.append((cells.codes[:, None] == np.arange(column.num_codes)).astype(np.float32))
        return np.concatenate(blocks, axis=1)

    def state(self) -> dict[str, Any]:
        return self.fitted.state()

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> TreeFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        return cls(Columns.from_state(state, where=where))


def _measured(fitted: Columns, values: Sequence[Sequence[str | None]]) -> np.ndarray:
    """(N, M) float64: values, then ranks, of all numbers and parts of dates; NaN where missing."""
    read = fitted.read(values)
    numbers = np.concatenate([cells.numbers for cells in read], axis=1)
    places = np.concatenate([cells.places for cells in read], axis=1)
    return np.concatenate([numbers, np.where(np.isfinite(numbers), places, np.nan)], axis=1)


def _width(column: Column) -> int:
    return column.num_codes if column.kind == "category" else 1


def _tree_width(column: Column) -> int:
    return 1 if column.buckets or len(column.values) > ONE_HOT else column.num_codes
