"""A table with one row per measurement -> one row per series, its measurements together in one cell.

From then on a record is a series: splits, duplicates and errors speak of it by its id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import numbers, times
from zaowu.records.facts import as_strings
from zaowu.records.records import BadRow, Table

NAMES = ("series", "channels", "points", "measurements")  # of the new column, the first that is free
MOSTLY = 0.95  # of a column's values are numbers, where it is a channel
NO_ID = "expected the id of a series, got nothing"


@dataclass(frozen=True)
class _Order:
    """The rows that can be used, series after series, each in the order of its times.

    index: (N,) of the table's rows. series: (N,) the number of each one's series, by first appearance. when: (N,) or
    None. begins: (S + 1,) where each series begins.
    """

    index: np.ndarray
    series: np.ndarray
    when: np.ndarray | None
    begins: np.ndarray

    @property
    def num_series(self) -> int:
        return len(self.begins) - 1

    def spans(self) -> Iterator[slice]:
        for begin, end in zip(self.begins[:-1].tolist(), self.begins[1:].tolist(), strict=True):
            yield slice(begin, end)


def gather(
    table: Table,
    *,
    series_id: str,
    time: str | None,
    target: Sequence[str] = (),
    channels: Sequence[str] | None = None,
) -> Table:
    """One row per series, in the order in which they begin; `rows` are those of their first measurements.

    series_id: the column that says which series a row belongs to. time: the one that says when, or None: the rows
    are in order. target: must not change within a series. channels: the columns that a trained model reads; None:
    every column of numbers that changes within a series. They become one column of JSON
    ({"times": [...], "channels": {"glucose": [...]}}, times from each series' first), called as the channel where
    there is one. What is constant within each series stays a column; anything else is left out, which a note says.

    Points at one time are averaged. Rows without id or time are added to `bad_rows`. Raises UserError for a column
    that is not there, a target that changes within a series, and where no channel is found.
    """
    _check_columns(table, series_id=series_id, time=time, target=target)
    ids = as_strings(table.frame.get_column(series_id)).str.strip_chars()
    ids = ids.set(ids == "", None)
    when = None if time is None else times.parse(table.frame.get_column(time))
    bad = _bad_rows(table, ids, when, series_id, time)
    order, notes = _ordered(ids, when)
    frame = table.frame[order.index]
    used = ids.gather(order.index[order.begins[:-1]])
    kept: list[pl.Series] = []
    read: dict[str, pl.Series] = {}
    left: list[str] = []
    for column in frame.iter_columns():
        name = column.name
        if name == time:
            continue
        if channels is not None and name in channels:
            read[name] = _as_numbers(column)
            continue
        first, changes = _firsts(column, order)
        if changes is None:
            kept.append(first)
        elif name in target:
            raise UserError(_changing(table, column, order, changes, used))
        elif channels is None and _is_number(column):
            read[name] = _as_numbers(column)
        else:
            left.append(name)
    if not read:
        raise UserError(_no_channel(table, order, series_id=series_id, left=left, channels=channels))
    cells = pl.Series(_free_name(list(read), [column.name for column in kept]), _cells(read, order), pl.String)
    what = "channel" if len(read) == 1 else "channels"
    said = f"{len(order.index):,} rows are {order.num_series:,} series by '{series_id}', {what} {', '.join(read)}."
    if left:
        notes.append(f"Left out, since they change within a series and are no numbers: {', '.join(left)}.")
    return Table(
        pl.DataFrame([*kept, cells]),
        np.array([table.rows[order.index[span]].min() for span in order.spans()], np.int64),
        table.source,
        (*table.notes, said, *notes),
        (*table.bad_rows, *bad),
        names=tuple(used.to_list()),
    )


def _check_columns(table: Table, *, series_id: str, time: str | None, target: Sequence[str]) -> None:
    for option, name in (("--series-id", series_id), ("--time", time)):
        if name is None:
            continue
        if name not in table.frame.columns:
            hint = nearest(name, table.frame.columns)
            hint = hint or f" Its columns are {shorten(', '.join(table.frame.columns), 200)}."
            raise UserError(f"{table.source}: there is no column '{shorten(name)}' as {option} says.{hint}")
        if name in target:
            raise UserError(f"column '{name}' cannot be both --target and {option}.")
    if series_id == time:
        raise UserError(f"column '{time}' cannot be both --series-id and --time.")


def _bad_rows(table: Table, ids: pl.Series, when: pl.Series | None, series_id: str, time: str | None) -> list[BadRow]:
    """Rows without id or time. Raises UserError where hardly any row has one."""
    bad = [BadRow(table.source, int(table.rows[k]), series_id, NO_ID) for k in ids.is_null().arg_true()]
    if len(bad) == len(ids):
        raise UserError(f"{table.source}, column '{series_id}': expected ids of series, got none.")
    if when is None:
        return bad
    timeless = (when.is_null() & ids.is_not_null()).arg_true()
    given = as_strings(table.frame.get_column(when.name)).gather(timeless)
    shown = [f"'{shorten(text, 30)}'" if text and text.strip() else "nothing" for text in given]
    if 2 * len(timeless) > len(ids):
        raise UserError(
            f"{table.source}, column '{time}': expected times (numbers, dates or hours), got {shown[0]} in row "
            f"{table.rows[timeless[0]]} and others in {len(timeless) - 1:,} more. Choose another --time, or none if "
            "the rows are in order."
        )
    said = zip(timeless, shown, strict=True)
    return bad + [BadRow(table.source, int(table.rows[k]), time, f"expected a time, got {text}") for k, text in said]


def _ordered(ids: pl.Series, when: pl.Series | None) -> tuple[_Order, list[str]]:
    usable = ids.is_not_null() if when is None else ids.is_not_null() & when.is_not_null()
    index = usable.arg_true().to_numpy()
    own = ids.gather(index)
    names = own.unique(maintain_order=True)
    number = own.replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()
    at = None if when is None else when.gather(index).to_numpy()
    order = np.argsort(number, kind="stable") if at is None else np.lexsort((np.arange(len(index)), at, number))
    series = number[order]
    begins = np.searchsorted(series, np.arange(len(names) + 1))
    notes = []
    if at is not None:
        before = np.argsort(number, kind="stable")  # as the rows stand
        falls = (np.diff(at[before]) < 0) & (np.diff(number[before]) == 0)
        if unsorted := len(np.unique(number[before][1:][falls])):
            notes.append(f"The rows of {unsorted:,} series were not in the order of their times: put in order.")
        again = (np.diff(at[order]) == 0) & (np.diff(series) == 0)
        if again.any():
            notes.append(f"{int(again.sum()):,} rows stand at a time that their series already had: averaged.")
    return _Order(index[order], series, None if at is None else at[order], begins), notes


def _firsts(column: pl.Series, order: _Order) -> tuple[pl.Series, int | None]:
    """The first value of each series that is not missing, and the first series in which there is another one."""
    values = as_strings(column) if column.dtype.is_nested() or column.dtype == pl.Object else column
    table = pl.DataFrame({"series": order.series, "value": values, "place": np.arange(len(values))})
    known = table.drop_nulls("value").group_by("series").agg(pl.col("value").n_unique(), pl.col("place").min())
    changing = known.filter(pl.col("value") > 1).get_column("series")
    if len(changing):
        return column, int(changing.min())  # type: ignore[arg-type]
    place = order.begins[:-1].copy()
    place[known.get_column("series").to_numpy()] = known.get_column("place").to_numpy()
    return column.gather(place), None


def _changing(table: Table, column: pl.Series, order: _Order, series: int, names: pl.Series) -> str:
    span = slice(order.begins[series], order.begins[series + 1])
    rows = table.rows[order.index[span]]
    places = np.argsort(rows, kind="stable")
    values = [(value, row) for value, row in zip(column[span].gather(places), rows[places], strict=True)]
    first, first_row = next((value, row) for value, row in values if value is not None)
    other, other_row = next((value, row) for value, row in values if value is not None and value != first)
    return (
        f"{table.source}, column '{column.name}': expected one target for series '{shorten(names[series], 40)}', got "
        f"'{shorten(first, 40)}' in row {first_row} and '{shorten(other, 40)}' in row {other_row}. Choose another "
        "--target, or a --series-id within which it is the same."
    )


def _no_channel(
    table: Table, order: _Order, *, series_id: str, left: Sequence[str], channels: Sequence[str] | None
) -> str:
    if channels is not None:
        return (
            f"{table.source}: expected the channels {shorten(', '.join(channels), 100)}, got none of them; its columns "
            f"are {shorten(', '.join(table.frame.columns), 200)}."
        )
    if order.num_series == len(order.index):
        return (
            f"{table.source}, column '{series_id}': expected several rows for a series, got another id in each of "
            f"{len(order.index):,} rows. Choose another --series-id, or none if each row is a record."
        )
    beside = f" beside {shorten(', '.join(left), 100)}, which hold no numbers" if left else ""
    return f"{table.source}: expected a column of numbers that change within a series, got none{beside}."


def _is_number(column: pl.Series) -> bool:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return True
    return column.dtype == pl.String and numbers.share(column) >= MOSTLY


def _as_numbers(column: pl.Series) -> pl.Series:
    return column.cast(pl.Float64) if column.dtype == pl.Boolean else numbers.parse(column)


def _free_name(channels: Sequence[str], taken: Sequence[str]) -> str:
    if len(channels) == 1:
        return channels[0]
    numbered = (f"{NAMES[0]}_{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (*NAMES, *numbered) if name not in taken)


def _cells(channels: dict[str, pl.Series], order: _Order) -> list[str]:
    values = np.stack([column.to_numpy().astype(np.float64) for column in channels.values()])  # (C, N), null is NaN
    cells = []
    for span in order.spans():
        own, plain = values[:, span], {}
        if order.when is not None:
            at, place = np.unique(order.when[span], return_inverse=True)
            own = _averaged(own, place, len(at))
            plain["times"] = np.round(at - at[0], 6).tolist()
        points = np.where(np.isfinite(own), own, None).tolist()  # type: ignore[call-overload]
        plain["channels"] = dict(zip(channels, points, strict=True))
        cells.append(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))
    return cells


def _averaged(values: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """(C, n) -> (C, size): the mean of the values of one place that are there; NaN where none is."""
    if size == values.shape[1]:
        return values
    known = np.isfinite(values)
    total, count = np.zeros((len(values), size)), np.zeros((len(values), size))
    for channel in range(len(values)):
        np.add.at(total[channel], place, np.where(known[channel], values[channel], 0.0))
        np.add.at(count[channel], place, known[channel])
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
