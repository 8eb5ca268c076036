"""Sheets of Excel and OpenDocument: which one is the table, where its header is, what merged cells mean."""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records.reading import archives, dialect
from zaowu.records.records import Table

NUM_JUDGED = 1000  # rows that say whether there is a header
TAG_BYTES = 300  # that a tag may be cut at
_COLUMN = re.compile(rb'<c r="([A-Z]+)\d+"[^>/]*>')
_MERGE = re.compile(rb'<mergeCell [^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')


@dataclass(frozen=True)
class Sheet:
    """One sheet that may be a table. first: rows above its first record. width: columns, as they are used."""

    name: str
    names: tuple[str, ...]
    first: int
    width: int
    height: int
    has_header: bool
    notes: tuple[str, ...]


def read_excel(path: Path, *, source: str, sheet: str) -> Table:
    """The table of an Excel or OpenDocument file; dates and numbers keep their types.

    source: the file's name in sentences. sheet: the one that a person chose, "" for none: then the only one that
    holds a table is read, or the first when all tables have the same columns. A cell that is merged over several
    rows stands in each of them (.xlsx only). Raises UserError.
    """
    import fastexcel

    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        archives.check_size(path)
    try:
        book = fastexcel.read_excel(str(path))
        names = book.sheet_names
        if sheet and sheet not in names:
            hint = nearest(sheet, names) or f" Its sheets are {shorten(', '.join(names), 200)}."
            raise UserError(f"{source}: there is no sheet '{shorten(sheet)}'.{hint}")
        found = [judged for name in ([sheet] if sheet else names) if (judged := _judged(book, name, bool(sheet)))]
        tables = [judged for judged in found if judged.width > 1] or found
        if not tables:
            raise UserError(f"{source}: {f'the sheet {sheet!r}' if sheet else 'every sheet'} is empty.")
        if len({judged.names for judged in tables}) > 1:
            raise UserError(
                f"{source}: {len(tables)} sheets hold different tables "
                f"({shorten(', '.join(judged.name for judged in tables), 200)}). "
                f"Choose one, such as '{source}#{tables[0].name}'."
            )
        chosen = tables[0]
        frame = _frame(book, chosen)
    except fastexcel.FastExcelError as error:
        # Excel keeps a locked workbook in another container, in which no workbook is found.
        raise UserError(
            f"{source}: cannot be read as an Excel file ({shorten(str(error).splitlines()[0], 100)}). If it opens in "
            "Excel, perhaps with a password, save it as .xlsx without one."
        ) from error
    notes = chosen.notes
    if len(tables) > 1:
        others = ", ".join(judged.name for judged in tables[1:])
        notes = (
            f"Read the sheet '{chosen.name}'; tables of the same columns are in {shorten(others, 100)}: "
            f"'{source}#{tables[1].name}' reads another.",
            *notes,
        )
    elif len(names) > 1 and not sheet:
        notes = (f"Read the sheet '{chosen.name}', the only one with a table.", *notes)
    rows = np.arange(chosen.first + 1, chosen.first + 1 + frame.height)
    frame, num_filled = _filled(frame, _merges(path, chosen, rows)) if is_zip else (frame, 0)
    if num_filled:
        notes = (*notes, f"{num_filled:,} cells below the first of a merged cell have been given its value.")
    keep = ~pl.select(pl.all_horizontal(pl.lit(column.is_null()) for column in frame.iter_columns())).to_series()
    return Table(frame.filter(keep), rows[keep.to_numpy()], source, notes)


def _judged(book: Any, name: str, is_chosen: bool) -> Sheet | None:
    """What the sheet called `name` holds; None for nothing, for a header alone and for a hidden sheet."""
    begin = book.load_sheet(name, header_row=None, dtypes="string", n_rows=NUM_JUDGED)
    if not begin.width or not begin.height or (begin.visible != "visible" and not is_chosen):
        return None
    begin = book.load_sheet(name, header_row=None, dtypes="string", n_rows=NUM_JUDGED, skip_rows=0)
    cells = [[cell or "" for cell in row] for row in begin.to_polars().rows()]
    filled = [row for row, record in enumerate(cells) if any(map(str.strip, record))]
    records = [cells[row] for row in filled]
    if not records:
        return None
    titles = dialect.num_titles(records)
    reason = dialect.why_no_header(records[titles:])
    if reason:
        given = tuple(f"column_{k + 1}" for k in range(begin.width))
        notes: tuple[str, ...] = (f"No header: {reason}. The columns are called {', '.join(given)}.",)
        return Sheet(name, given, filled[0], begin.width, len(records), False, notes)
    if titles + 1 == len(records):
        return None
    header = records[titles]
    if joined := _joined(header, records[titles + 1]):
        header, titles = joined, titles + 1
    given, notes = dialect.column_names(header)
    if joined:
        notes = ("The header has two rows; a name below a merged one is joined to it with a point.", *notes)
    if above := records[: titles - bool(joined)]:
        notes = (dialect.title_note(above), *notes)
    return Sheet(name, given, filled[titles] + 1, begin.width, len(records), True, notes)


def _joined(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """The names of a header of two rows, in which some cells of the upper one are merged over several columns.

    Below each of those every cell is filled, below the others (merged downwards) none is; otherwise it is one row,
    and the result is empty.
    """
    names: list[str] = []
    group = ""
    for place, (top, below) in enumerate(zip(upper, lower, strict=True)):
        if top.strip():
            is_group = place + 1 < len(upper) and not upper[place + 1].strip()
            group = top.strip() if is_group else ""
        elif not group:
            return []
        if bool(group) != bool(below.strip()):
            return []
        names.append(f"{group}.{below.strip()}" if group else top)
    is_named = any(map(str.strip, lower)) and not any(map(dialect.is_figure, lower))
    return names if is_named else []


def _frame(book: Any, sheet: Sheet) -> pl.DataFrame:
    import fastexcel

    try:
        frame = book.load_sheet(sheet.name, header_row=None, skip_rows=sheet.first, schema_sample_rows=None).to_polars()
    except fastexcel.FastExcelError:  # a column of dates, durations and words has no type of its own
        frame = book.load_sheet(sheet.name, header_row=None, skip_rows=sheet.first, dtypes="string").to_polars()
    frame.columns = list(sheet.names)
    columns = []
    for column in frame.iter_columns():
        if column.dtype == pl.Datetime and bool((column.drop_nulls().dt.time() == time(0)).all()):
            column = column.dt.date()
        elif column.dtype in (pl.Null, pl.Duration, pl.Time):
            column = column.cast(pl.String)
        elif column.dtype == pl.Float64 and column.null_count() < len(column) and _is_whole(column):
            column = column.cast(pl.Int64)
        if column.dtype == pl.String:
            column = column.set(column.str.strip_chars() == "", None)
        columns.append(column)
    return pl.DataFrame(columns)


def _is_whole(column: pl.Series) -> bool:
    values = column.drop_nulls()
    return bool(((values == values.round()) & (values.abs() < 2**53)).all())


def _filled(frame: pl.DataFrame, merges: list[tuple[int, int, int]]) -> tuple[pl.DataFrame, int]:
    """`frame` with the value of every merge (first row, last row, column) in each of its rows."""
    num_filled = 0
    for place in {column for _, _, column in merges}:
        column = frame.to_series(place)
        index = np.arange(len(column))
        for start, end, _ in (merge for merge in merges if merge[2] == place):
            index[start : end + 1] = start
        filled = column.gather(index)
        num_filled += column.null_count() - filled.null_count()
        # Only what is empty is filled: a value under a merge that a program left there is kept.
        frame = frame.with_columns(column.zip_with(column.is_not_null(), filled))
    return frame, num_filled


def _merges(path: Path, sheet: Sheet, rows: np.ndarray) -> list[tuple[int, int, int]]:
    """Cells merged downwards among the records: (first row, last row, column), as places in the frame."""
    with zipfile.ZipFile(path) as archive:
        part = _part(archive, sheet.name)
        if part is None:
            return []
        merges = _found(archive, part, _MERGE, b"<mergeCell ")
        columns = _found(archive, part, _COLUMN, b"<c ") if merges else set()
    found = []
    for left, top, _, bottom in sorted(merges):
        start, end = max(int(top), rows[0]), min(int(bottom), rows[-1])
        if int(top) < int(bottom) and start < end and int(top) >= rows[0]:
            found.append((start - int(rows[0]), end - int(rows[0]), _number(left)))
    if not found:
        return []
    first = min(map(_number, columns), default=1)  # the reader begins with the first column in use
    return [(start, end, column - first) for start, end, column in found if 0 <= column - first < sheet.width]


def _found(archive: zipfile.ZipFile, part: str, pattern: re.Pattern[bytes], mark: bytes) -> set:
    """What `pattern` finds in a file of the archive, which is read piece by piece. mark: stands in every match."""
    found: set = set()
    rest = b""
    with archive.open(part) as file:
        while block := file.read(1 << 20):
            block = rest + block
            if mark in block:
                found.update(pattern.findall(block))
            rest = block[-TAG_BYTES:]
    return found


def _part(archive: zipfile.ZipFile, name: str) -> str | None:
    """The file in an .xlsx that holds the sheet called `name`."""
    try:
        book = archive.read("xl/workbook.xml").decode()
        links = archive.read("xl/_rels/workbook.xml.rels").decode()
    except (KeyError, UnicodeDecodeError):
        return None
    for tag in re.findall(r"<sheet [^>]*>", book):
        given, link = re.search(r'\bname="([^"]*)"', tag), re.search(r'\br:id="([^"]*)"', tag)
        if not given or not link or html.unescape(given[1]) != name:
            continue
        for relation in re.findall(r"<Relationship [^>]*>", links):
            target = re.search(r'\bTarget="([^"]*)"', relation)
            if f'Id="{link[1]}"' in relation and target:
                inside = target[1].removeprefix("/")
                inside = inside if inside.startswith("xl/") else f"xl/{inside}"
                return inside if inside in archive.namelist() else None
    return None


def _number(letters: bytes) -> int:
    """A -> 1, Z -> 26, AA -> 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
