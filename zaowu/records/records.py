"""The data that the rooms of `records/` hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used: `row` is its number as a person counts (the first line of a file is 1).

    name: of the series that begins there, where records are series.
    """

    source: str
    row: int
    column: str | None
    problem: str  # "expected a label, got nothing"
    name: str = ""

    @property
    def place(self) -> str:
        """What a person looks for: a row's number, or the name of a series."""
        return f"'{self.name}'" if self.name else str(self.row)

    def __str__(self) -> str:
        column = f", column '{self.column}'" if self.column else ""
        return f"{self.source}, {'series' if self.name else 'row'} {self.place}{column}: {self.problem}"


@dataclass(frozen=True)
class Table:
    """What a source holds, before anything is judged: every column as it was read.

    frame: columns are strings unless the file itself has types (Parquet, JSON lines, frames).
    rows: (N,) int64, each record's row number in the source, as a person counts.
    folder: where the paths in its cells begin; None for what is in memory.
    names: of the series, where a record is one (`long_series.gather`); its row is that of its first measurement.
    group: the column whose equal values the file itself says to belong together, or "". kinds: column -> kind, of the
    columns to learn from where the file's layout says so.
    """

    frame: pl.DataFrame
    rows: np.ndarray
    source: str
    notes: tuple[str, ...] = ()  # what reading had to decide: encoding, separator, no header
    bad_rows: tuple[BadRow, ...] = ()
    folder: Path | None = None
    names: tuple[str, ...] = ()
    group: str = ""
    kinds: Mapping[str, str] = field(default_factory=dict)

    def bad(self, record: int, column: str | None, problem: str) -> BadRow:
        """That the record at this place cannot be used, and why."""
        name = self.names[record] if self.names else ""
        return BadRow(self.source, int(self.rows[record]), column, problem, name)


@dataclass(frozen=True)
class Cleaned:
    """One input column made usable.

    values: strings, or bytes; null where nothing usable stands. contents: (N,) what makes a value equal to another:
    its words, or a digest of the file that it names; None where it is missing. problems: row -> what is wrong with
    something that is there ("expected an image, got a text").
    """

    values: pl.Series
    contents: Sequence[str | None]
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """What one column is taken for, and why."""

    name: str
    role: str  # "input", "target", "weight", "group", "slice", "ignored"
    kind: str  # a kind of input or of answer, or "date", "id", "empty", "other"
    reason: str


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their order. Plain data: it is saved in a run and read back."""

    columns: tuple[Column, ...]

    def named(self, role: str) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == role)

    @property
    def inputs(self) -> tuple[Column, ...]:
        return self.named("input")

    @property
    def targets(self) -> tuple[Column, ...]:
        return self.named("target")

    @property
    def classes(self) -> Column | None:
        """The target that rows are split evenly by: the first one that is a category."""
        return next((column for column in self.targets if column.kind == "category"), None)


@dataclass(frozen=True)
class Records:
    """Usable records, column by column; row i of every column is record i.

    frame: the schema's columns; texts are strings without nulls, other inputs as their kind has cleaned them. A target
    is a string, a number as Float64; it is null where a record has another target's label only, and may be absent.
    rows: (N,) int64, row numbers in the source. source: its name, for messages.
    ids: (N,) uint64, hash of the normalised inputs: equal content has equal ids. All chance hangs on it.
    groups: (N,) uint64, hash of the group column, or `ids` where there is none. Equal groups stay on one side.
    """

    frame: pl.DataFrame
    rows: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    source: str
    schema: Schema
    weights: np.ndarray | None = None  # (N,) float32 of the loss, where there is a weight column
    skipped: tuple[BadRow, ...] = field(default=())
    notes: tuple[str, ...] = ()  # what cleaning did to the values that are left

    def __len__(self) -> int:
        return self.frame.height

    def values(self, name: str) -> list:
        """One column as a Python list."""
        return self.frame.get_column(name).to_list()

    @property
    def inputs(self) -> dict[str, list]:
        """Input column -> its N values."""
        return {column.name: self.values(column.name) for column in self.schema.inputs}

    def take(self, index: np.ndarray) -> Records:
        """The records at `index` (integers or a boolean mask), in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        return replace(
            self,
            frame=self.frame[index],
            rows=self.rows[index],
            ids=self.ids[index],
            groups=self.groups[index],
            weights=None if self.weights is None else self.weights[index],
        )
