"""A source, whatever it is -> a `Table`: columns as they are, rows numbered as a person counts them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import bad_rows
from zaowu.records.reading import delimited, dialect, encoding, frames
from zaowu.records.records import BadRow, Table

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")


def read(source: Any, *, on_bad_row: str | None = None) -> Table:
    """Reads a source without judging what its columns mean.

    source: the path of a CSV, TSV, JSON lines, JSON or Parquet file, or of a folder with one sub-folder of .txt
    files per class (columns `text`, `label`, `file`); a polars or pandas frame; a list of dicts; a dict of lists.
    on_bad_row: what becomes of rows that cannot be read: None or "stop" raises a UserError that names them,
    "skip" puts them into `bad_rows`.

    Files without types give strings; an empty cell is null. Rows count from 1, the header and empty lines
    included, a record of several lines as one: as a spreadsheet numbers them.
    Raises UserError for whatever cannot be read or holds no record.
    """
    bad_rows.checked(on_bad_row)
    table = _read_path(Path(source)) if isinstance(source, (str, os.PathLike)) else frames.from_data(source)
    if table.bad_rows and on_bad_row != "skip":
        raise bad_rows.refusal(table.bad_rows, hint=_hint(table))
    if table.frame.height == 0:
        left = f" {len(table.bad_rows)} rows cannot be read: {table.bad_rows[0]}." if table.bad_rows else ""
        raise UserError(f"{table.source}: expected records, got none.{left}")
    return table


def _read_path(path: Path) -> Table:
    try:
        if path.is_dir():
            return read_folder(path)
        if not path.exists():
            raise UserError(f"{path}: there is no such file.{_nearest_path(path)}")
        if not path.is_file():
            raise UserError(f"{path}: expected a file or a folder, got something else.")
        return _read_file(path)
    except PermissionError as error:
        raise UserError(f"{error.filename or path}: not allowed to read it. Change its permissions.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _nearest_path(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' either."
    return nearest(path.name, (other.name for other in folder.iterdir())) or nearest(
        path.stem, (other.name for other in folder.iterdir())
    )


def _read_file(path: Path) -> Table:
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty.")
    with path.open("rb") as file:
        head = file.read(encoding.HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return frames.read_parquet(path)
    encoding.refuse_binary(head, path)
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begin and path.stat().st_size <= len(head):
        raise UserError(f"{path}: the file holds nothing but white space.")
    name = encoding.detect(path)
    notes = (f"Read as {encoding.NAMES[name]}.",) if name != "utf-8" else ()
    suffix = path.suffix.lower()
    if suffix == ".json" and frames.is_one_document(path, begin):
        return frames.read_json(path)
    if suffix in (".jsonl", ".ndjson", ".json") or begin.startswith(b'{"'):
        table = frames.read_json_lines(encoding.blocks(path, name), source=str(path), encoding=encoding.EXPECTED[name])
        return replace(table, notes=notes)
    return _read_delimited(path, name, notes)


def _read_delimited(path: Path, name: str, notes: tuple[str, ...]) -> Table:
    sample = next(encoding.blocks(path, name)).decode()
    suffix, is_whole = path.suffix.lower(), path.stat().st_size <= encoding.BLOCK_BYTES
    try:
        form, why_no_header = dialect.sniff(sample, suffix=suffix, is_whole=is_whole)
        parsed = _parse(path, name, form)
        if _quotes_are_characters(parsed, form):
            literal, why_not = dialect.sniff(sample, suffix=suffix, is_whole=is_whole, quoted=False)
            if delimited.is_clean(encoding.blocks(path, name), literal):
                form, why_no_header, parsed = literal, why_not, _parse(path, name, literal)
                notes += ("Quotation marks are read as mere characters, since around fields they come in no pairs.",)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if form.separator not in (",", dialect.NO_SEPARATOR):
        notes += (f"Columns are separated by {dialect.SEPARATORS[form.separator]}.",)
    if why_no_header:
        called = f"columns are called {', '.join(form.names)}" if len(form.names) > 1 else "column is called column_1"
        notes += (f"No header: {why_no_header}. The {called}.",)
    if form.has_header and not len(parsed.rows) and not parsed.bad_rows:
        header = ", ".join(form.names)
        raise UserError(f"{path}: there is a header ({shorten(header)}) and no row below it.")
    return Table(parsed.frame, parsed.rows, str(path), notes, tuple(parsed.bad_rows))


def _parse(path: Path, name: str, form: delimited.Dialect) -> delimited.Parsed:
    return delimited.parse(encoding.blocks(path, name), form, source=str(path), encoding=encoding.EXPECTED[name])


def _quotes_are_characters(parsed: delimited.Parsed, form: delimited.Dialect) -> bool:
    """Whether reading quotation marks as marks around fields has gone wrong more often than right.

    Many programs write tabs without quoting, and a headline that begins with a quotation then swallows others.
    With commas it takes more: no field in quotes at all, and words after every closing mark.
    """
    after = sum(bad.problem.startswith(delimited.AFTER_QUOTE) for bad in parsed.bad_rows)
    unclosed = sum(bad.problem == delimited.UNCLOSED for bad in parsed.bad_rows)
    if form.separator == "\t":
        wrong = after + unclosed + parsed.num_multiline
        return wrong > 0 and wrong >= parsed.num_quoted - parsed.num_multiline
    return after > 0 and not unclosed and not parsed.num_quoted


def _hint(table: Table) -> str:
    """The likely cause when most rows are bad in one way."""
    problem, count = Counter(bad.problem for bad in table.bad_rows).most_common(1)[0]
    if count <= table.frame.height or count < 3:
        return ""
    if " fields, got " in problem:
        return (
            f"Since {count} rows are alike ({problem}), look at the first row too: it may lack a name, or texts "
            "with separators in them may lack quotation marks."
        )
    return f"Since this is so in {count} of {count + table.frame.height} rows, the file may be of another kind."


def read_folder(folder: Path) -> Table:
    """One sub-folder of .txt files per class: columns `text`, `label` (the sub-folder's name), `file`."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not classes and not files:
        raise UserError(f"{folder}: the folder is empty.")
    texts = [path for name in classes for path in sorted(name.glob("*.txt")) if path.is_file()]
    if not texts:
        tables = [path.name for path in files if path.suffix.lower() in TABLE_SUFFIXES]
        hint = f" Did you mean {folder / min(tables)}?" if tables else ""
        deeper = next((path for name in classes for path in name.glob("*/*.txt")), None)
        if deeper and not tables:
            hint = f" Did you mean {deeper.parent.parent}?"
        raise UserError(f"{folder}: expected one sub-folder of .txt files per class, got none.{hint}")
    values: list[tuple[str, str, str]] = []
    rows: list[int] = []
    bad: list[BadRow] = []
    for row, path in enumerate(texts, start=1):
        text = encoding.decoded(path.read_bytes())
        if text is None:
            bad.append(BadRow(str(path), row, None, "expected UTF-8 or GB18030 text, got bytes that are neither"))
        else:
            values.append((text, path.parent.name, str(path.relative_to(folder))))
            rows.append(row)
    frame = pl.DataFrame(values, schema=dict.fromkeys(("text", "label", "file"), pl.String), orient="row")
    stray = sum(path.suffix.lower() == ".txt" for path in files)
    notes = (f"{stray} .txt files that are in no sub-folder are passed over.",) if stray else ()
    return Table(frame, np.array(rows, np.int64), str(folder), notes, tuple(bad))
