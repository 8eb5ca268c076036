"""What is learned of the columns of a table, and how their cells become numbers.

A number is where it lies among the training values: k + f when it lies in quantile bin k, a share f of the bin's
width from its lower edge. A piecewise-linear embedding needs no more (Gorishniy et al. 2022), and a tree loses
nothing by it, for the order is kept. A date is five such numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.records import dates, numbers
from zaowu.records.identity import normalised

Kind = Literal["number", "category", "date"]
KINDS: tuple[Kind, ...] = ("number", "date", "category")  # in the order of their tokens
PARTS = ("moment", "month", "weekday", "day", "hour")  # of a date; the moment, in days, tells the year as well
NUM_BINS = 24
MAX_VALUES = 1000  # of a category; those of a column with more share buckets
NUM_BUCKETS = 1024
RARE = 2  # training rows below which a value is taken for unknown, which teaches what an unknown one means
MISSING, KNOWN = 0, 1  # codes; of a category 1 is an unknown value, and its own follow
UNKNOWN = KNOWN
NO_PLACE = -1.0  # of a number that is missing: below every bin
MAX_COLUMNS = 10_000


@dataclass(frozen=True)
class Cells:
    """N cells of one column. codes: (N,) int32 below `num_codes`. places: (N, P) float32, `NO_PLACE` where missing;
    P = len(edges). numbers: (N, P) float64, the values themselves, NaN where missing."""

    codes: np.ndarray
    places: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. edges: of its quantile bins, ascending; one row for a number, one for each of `PARTS` for a date,
    fewer than two where nothing varies. values: of a category, the most frequent first; with `buckets` they are
    hashed into so many, and `values` is empty. decimal_comma, day_first: how 1,234 and 3/1/2024 are read. unseen:
    those of `MISSING` and `UNKNOWN` that no training row has.
    """

    name: str
    kind: Kind
    edges: tuple[tuple[float, ...], ...] = ()
    values: tuple[str, ...] = ()
    buckets: int = 0
    decimal_comma: bool = False
    day_first: bool = False
    unseen: tuple[int, ...] = ()

    @property
    def num_codes(self) -> int:
        return 2 + (self.buckets or len(self.values))

    def read(self, cells: Sequence[str | None]) -> Cells:
        series = pl.Series(self.name, cells, pl.String)
        if self.kind == "category":
            return Cells(self._codes(series), np.empty((len(series), 0), np.float32), np.empty((len(series), 0)))
        measured = _measured(series, self.kind, decimal_comma=self.decimal_comma, day_first=self.day_first)
        codes = np.where(np.isfinite(measured[:, 0]), KNOWN, MISSING).astype(np.int32)
        places = np.stack([_places(measured[:, p], edges) for p, edges in enumerate(self.edges)], axis=1)
        return Cells(codes, places, measured)

    def _codes(self, series: pl.Series) -> np.ndarray:
        different = series.unique()
        code = {value: place + 2 for place, value in enumerate(self.values)}
        codes = []
        for cell in different.to_list():
            value = normalised(cell or "")
            if not value:
                codes.append(MISSING)
            else:
                codes.append(2 + _bucket(value, self.buckets) if self.buckets else code.get(value, UNKNOWN))
        found: np.ndarray = series.replace_strict(different, codes, return_dtype=pl.Int32).to_numpy()
        return found


@dataclass(frozen=True)
class Columns:
    """The columns of a table. names: in the order of the values. used: those that carry something, in the order of
    their tokens: numbers, dates, categories. notes: what fitting had to decide, in sentences."""

    names: tuple[str, ...]
    used: tuple[Column, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def fit(cls, names: Sequence[str], values: Sequence[Sequence[str | None]], kinds: Mapping[str, str]) -> Columns:
        """Learns from training values, one sequence per column; kinds: column -> number, date or category.

        What is the same in every row carries nothing and is left out; where all are, the first column stays, so that
        a record has a token.
        """
        fitted, notes = [], []
        for name, cells in zip(names, values, strict=True):
            series = pl.Series(name, cells, pl.String)
            kind = kinds[name]
            assert kind in KINDS, kind
            column, told = _fit_category(series) if kind == "category" else _fit_measured(series, kind)
            read = column.read(cells)
            is_constant = len(np.unique(read.codes)) < 2 and not (read.places != read.places[:1]).any()
            if is_constant:
                what = "nothing that tells rows apart" if read.codes.any() else "no value at all"
                told = [f"column '{name}': {what}, so it is left out."]
            states = (MISSING, UNKNOWN) if column.kind == "category" else (MISSING,)
            unseen = tuple(state for state in states if not (read.codes == state).any())
            fitted.append((is_constant, replace(column, unseen=unseen)))
            notes += told
        used = [column for is_constant, column in fitted if not is_constant] or [fitted[0][1]]
        return cls(tuple(names), tuple(sorted(used, key=lambda column: KINDS.index(column.kind))), tuple(notes))

    def read(self, values: Sequence[Sequence[str | None]]) -> list[Cells]:
        """The cells of each of the `used` columns. values: one sequence per column, in the order of `names`."""
        cells = dict(zip(self.names, values, strict=True))
        return [column.read(cells[column.name]) for column in self.used]

    def count(self, kind: Kind) -> int:
        return sum(column.kind == kind for column in self.used)

    def state(self) -> dict[str, Any]:
        return {"names": list(self.names), "used": [to_plain(column) for column in self.used]}

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Columns:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(state, dict) or state.keys() != {"names", "used"}:
            raise UserError(f"{where}: expected an object with names and used, got {shorten(state)}.")
        names, used = state["names"], state["used"]
        if not (isinstance(names, list) and names and all(type(name) is str for name in names)):
            raise UserError(f"{where}, 'names': expected a list of column names, got {shorten(repr(names))}.")
        if not isinstance(used, list) or not 1 <= len(used) <= min(len(names), MAX_COLUMNS):
            raise UserError(f"{where}, 'used': expected 1 to {len(names):,} columns, got {shorten(used)}.")
        columns = [from_plain(Column, own, where=f"{where}, 'used'") for own in used]
        for column in columns:
            _check(column, where=f"{where}, column '{shorten(column.name)}'")
        chosen = [column.name for column in columns]
        if len(set(names)) < len(names) or len(set(chosen)) < len(chosen) or not set(chosen) <= set(names):
            raise UserError(f"{where}: expected different columns, the used ones among the names.")
        if [column.kind for column in columns] != sorted((column.kind for column in columns), key=KINDS.index):
            raise UserError(f"{where}, 'used': expected numbers, then dates, then categories.")
        return cls(tuple(names), tuple(columns))


def _fit_category(series: pl.Series) -> tuple[Column, list[str]]:
    counts: Counter[str] = Counter()
    for cell, count in series.drop_nulls().value_counts().iter_rows():
        counts[normalised(cell)] += count
    del counts[""]
    known = sorted((value for value, count in counts.items() if count >= RARE), key=lambda v: (-counts[v], v))
    if len(known) <= MAX_VALUES:
        return Column(name=series.name, kind="category", values=tuple(known)), []
    many = f"column '{series.name}': {len(counts):,} different values, hashed into {NUM_BUCKETS:,} buckets."
    return Column(name=series.name, kind="category", buckets=NUM_BUCKETS), [many]


def _fit_measured(series: pl.Series, kind: str) -> tuple[Column, list[str]]:
    comma, day_first = False, False
    if kind == "number":
        comma = numbers.has_decimal_comma(series)
    else:
        day_first = dates.has_day_first(series)
    measured = _measured(series, kind, decimal_comma=comma, day_first=day_first)
    edges = tuple(_edges(part[np.isfinite(part)]) for part in measured.T)
    column = Column(
        name=series.name,
        kind="number" if kind == "number" else "date",
        edges=edges,
        decimal_comma=comma,
        day_first=day_first,
    )
    return column, _oddities(series.filter(pl.Series(~np.isfinite(measured[:, 0]))), kind)


def _oddities(unread: pl.Series, kind: str) -> list[str]:
    """What stands in a column of numbers or dates without being one; empty cells and words for nothing are no news."""
    cells = unread.drop_nulls().str.strip_chars()
    cells = cells.filter((cells != "") & ~cells.str.contains(numbers.NOTHING))
    is_infinite = cells.str.contains(numbers.INFINITE)
    infinite, others = int(is_infinite.sum()), cells.filter(~is_infinite)
    told = []
    if infinite:
        told.append(f"column '{unread.name}': infinite values count as missing ({infinite:,}).")
    if len(others):
        example = shorten(others[0], 20)
        told.append(
            f"column '{unread.name}': {len(others):,} cells are no {kind} ('{example}'): they count as missing."
        )
    return told


def _measured(series: pl.Series, kind: str, *, decimal_comma: bool, day_first: bool) -> np.ndarray:
    """(N, 1) float64 of numbers, (N, 5) of dates; NaN where there is none."""
    if kind == "number":
        return numbers.parse(series, decimal_comma=decimal_comma).fill_null(float("nan")).to_numpy()[:, None]
    moments = dates.parse(series, day_first=day_first)
    parts = [
        moments.dt.epoch("us").cast(pl.Float64) / 86_400e6,
        moments.dt.month(),
        moments.dt.weekday(),
        moments.dt.day(),
        moments.dt.hour().cast(pl.Float64) + moments.dt.minute().cast(pl.Float64) / 60,
    ]
    return np.stack([part.cast(pl.Float64).fill_null(float("nan")).to_numpy() for part in parts], axis=1)


def _edges(values: np.ndarray) -> tuple[float, ...]:
    """Edges of quantile bins, all different: each of few values is one, so that the embedding tells them apart."""
    different = np.unique(values)
    if len(different) > NUM_BINS + 1:
        shares = np.linspace(0, 1, NUM_BINS + 1)
        different = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    return tuple(different.tolist())


def _places(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """(N,) float32: bin and share of its width; what lies beyond the training values lies at their end."""
    if not edges:
        return np.full(len(values), NO_PLACE, np.float32)
    places = np.interp(values, edges, np.arange(len(edges)))
    return np.where(np.isfinite(values), places, NO_PLACE).astype(np.float32)


def _bucket(value: str, buckets: int) -> int:
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def _check(column: Column, *, where: str) -> None:
    rows = {"number": 1, "date": len(PARTS), "category": 0}[column.kind]
    if len(column.edges) != rows or any(len(edges) > NUM_BINS + 1 for edges in column.edges):
        raise UserError(f"{where}, 'edges': expected {rows} rows of at most {NUM_BINS + 1} numbers.")
    for edges in column.edges:
        if not all(map(np.isfinite, edges)) or any(a >= b for a, b in pairwise(edges)):
            raise UserError(f"{where}, 'edges': expected finite numbers that rise, got {shorten(edges)}.")
    if not 0 <= column.buckets <= NUM_BUCKETS or (column.buckets and column.values):
        raise UserError(f"{where}, 'buckets': expected 0 to {NUM_BUCKETS}, and no values beside them.")
    if len(column.values) > MAX_VALUES or len(set(column.values)) < len(column.values) or "" in column.values:
        raise UserError(f"{where}, 'values': expected at most {MAX_VALUES:,} different values, none of them empty.")
    if not set(column.unseen) <= {MISSING, UNKNOWN} or len(column.unseen) > 2:
        raise UserError(f"{where}, 'unseen': expected some of {MISSING} and {UNKNOWN}, got {shorten(column.unseen)}.")
    if column.kind != "category" and (column.values or column.buckets):
        raise UserError(f"{where}, 'values': a {column.kind} has none.")
