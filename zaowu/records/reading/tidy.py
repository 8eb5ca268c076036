"""What people put around their records in a sheet: rows of totals, columns without a name or a value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from zaowu.records import numbers
from zaowu.records.records import Table

_TOTALS = frozenset(["合计", "总计", "共计", "小计", "总和", "汇总", "合計", "總計", "平均", "平均值", "均值"]) | {
    *("total", "totals", "subtotal", "sub total", "sub-total", "grand total", "sum", "average", "mean"),
}
MAX_TOTALS = 3


def without_blank_columns(table: Table) -> Table:
    """Without columns that have neither a name nor a value, as a separator at the end of every line makes them."""
    blank = [
        name
        for place, name in enumerate(table.frame.columns)
        if name == f"column_{place + 1}" and table.frame[name].null_count() == table.frame.height
    ]
    return replace(table, frame=table.frame.drop(blank)) if len(blank) < table.frame.width else table


def without_totals(table: Table) -> Table:
    """Without the last rows when they clearly are totals, and with a note of them.

    Clearly: the first cell that is filled is a word for a total, every other one is a number or empty, and a number
    is the sum, the mean or the count of what stands above it and none of it (a label of 1 below 0 and 1 is a sum,
    too), or a cell is empty that is filled in every other row.
    """
    frame, height = table.frame, table.frame.height
    found = 0
    for back in range(1, MAX_TOTALS + 1):
        if height - back < 2 or not _is_total(frame.row(height - back)):
            break
        found = back
    while found and not _is_clear(frame.head(height - found), frame.row(height - found)):
        found -= 1
    if not found:
        return table
    which = ", ".join(str(row) for row in table.rows[height - found :])
    words = f"Row {which} is a total and is" if found == 1 else f"Rows {which} are totals and are"
    return replace(
        table,
        frame=frame.head(height - found),
        rows=table.rows[: height - found],
        notes=(*table.notes, f"{words} left out."),
    )


def _is_total(row: tuple) -> bool:
    cells = [cell for cell in row if cell is not None and str(cell).strip()]
    if len(row) < 2 or not cells or not isinstance(cells[0], str):
        return False
    word = "".join(cells[0].split(" ")) if not cells[0].isascii() else cells[0].strip()
    return word.strip(" :：").lower() in _TOTALS and all(_number(cell) is not None for cell in cells[1:])


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return None
    return numbers.parse(pl.Series([cell], strict=False))[0]


def _is_clear(above: pl.DataFrame, row: tuple) -> bool:
    values = [(place, number) for place, cell in enumerate(row) if (number := _number(cell)) is not None]
    for place, number in values:
        column = above.to_series(place)
        every = numbers.parse(column).drop_nulls().to_numpy()
        if number in every:
            continue
        if number == len(column) - column.null_count():
            return True
        is_numeric = len(every) > 0 and numbers.share(column) > 0.95
        if is_numeric and np.isclose(number, [every.sum(), every.mean()], rtol=5e-3).any():
            return True
    is_filled = [column.null_count() == 0 for column in above.iter_columns()]
    return bool(values) and any(cell is None and full for cell, full in zip(row, is_filled, strict=True))
