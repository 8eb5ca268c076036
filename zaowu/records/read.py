"""A source, whatever it is -> a `Table`: columns as they are, rows numbered as a person counts them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import bad_rows, remote
from zaowu.records.reading import archives, delimited, dialect, documents, encoding, excel, frames, labels, tidy
from zaowu.records.reading.marked import bio
from zaowu.records.records import Table

MAX_DEPTH = 2  # archives within each other; one may hold itself
UTF8_BOM = b"\xef\xbb\xbf"


def read(source: Any, *, on_bad_row: str | None = None, expect: Collection[str] = ()) -> Table:
    """Reads a source without judging what its columns mean.

    source: the path of a CSV, TSV, JSON lines, JSON, Excel, OpenDocument or Parquet file, packed or not, or of a
    folder of .txt files (`labels.read_folder`); `book.xlsx#Sheet2`, `news.zip#train.csv` and `news.json#train` name
    a part; a URL that fsspec reads (hf://, s3://); `org/name` of the hub's data sets; a polars or pandas frame; a list
    of dicts; a dict of lists.
    on_bad_row: what becomes of rows that cannot be read: None or "stop" raises a UserError that names them,
    "skip" puts them into `bad_rows`.
    expect: names of columns that the source should have, where a model was trained on them (`labels.one_hot`).

    Files without types give strings; an empty cell is null. Rows count from 1, the header and empty lines
    included, a record of several lines as one: as a spreadsheet numbers them.
    Raises UserError for whatever cannot be read or holds no record.
    """
    bad_rows.checked(on_bad_row)
    table = _read_any(source, expect)
    if table.bad_rows and on_bad_row != "skip":
        raise bad_rows.refusal(table.bad_rows, hint=_hint(table))
    if table.frame.height == 0:
        left = f" {len(table.bad_rows)} rows cannot be read: {table.bad_rows[0]}." if table.bad_rows else ""
        raise UserError(f"{table.source}: expected records, got none.{left}")
    return labels.one_hot(table, expect=expect)


def _read_any(source: Any, expect: Collection[str]) -> Table:
    if not isinstance(source, (str, os.PathLike)):
        return frames.from_data(source)
    if isinstance(source, str) and remote.is_remote(source):
        url, _, part = source.partition("#")
        with remote.fetched(url) as copy:
            table = _read_path(Path(f"{copy}#{part}" if part else copy), expect)
            return replace(table, source=source)
    if isinstance(source, str) and remote.is_hub_name(source):
        return replace(_read_path(remote.hub_table(source), expect), source=source)
    return _read_path(Path(source), expect)


def _read_path(path: Path, expect: Collection[str]) -> Table:
    try:
        path, part = part_of(path)
        if path.is_dir():
            return replace(labels.read_folder(path, source=str(path)), folder=path.absolute())
        if not path.exists():
            raise UserError(f"{path}: there is no such file.{_nearest_path(path)}")
        if not path.is_file():
            raise UserError(f"{path}: expected a file or a folder, got something else.")
        return replace(_read_file(path, str(path), part, expect), folder=path.absolute().parent)
    except PermissionError as error:
        raise UserError(f"{error.filename or path}: not allowed to read it. Change its permissions.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def part_of(path: Path) -> tuple[Path, str]:
    """`book.xlsx#Sheet2` -> the file and the part of it, "" for all; a file that has this very name is that file."""
    text = str(path)
    if "#" in text and not path.exists():
        for place in (place for place, char in enumerate(text) if char == "#"):
            if Path(text[:place]).is_file():
                return Path(text[:place]), text[place + 1 :]
    return path, ""


def _nearest_path(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' either."
    return nearest(path.name, (other.name for other in folder.iterdir())) or nearest(
        path.stem, (other.name for other in folder.iterdir())
    )


def _read_file(path: Path, source: str, part: str, expect: Collection[str], depth: int = 0) -> Table:
    """path: where the bytes are, which may be a copy that was unpacked. source: the name that a person knows.

    part: the sheet, member or key that was chosen, "" for none. depth: how many archives are around it.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{source}: the file is empty.")
    with path.open("rb") as file:
        head = file.read(encoding.HEAD_BYTES)
    packed = archives.kind(path, head)
    if packed == "sheets":
        table = excel.read_excel(path, source=source, sheet=part)
        return tidy.without_totals(tidy.without_blank_columns(table))
    if packed:
        if depth == MAX_DEPTH:
            raise UserError(f"{source}: there are archives within archives within archives. Unpack the outer ones.")
        with archives.unpacked(path, part=part) as inner:
            if inner.path.is_dir():
                return labels.read_folder(inner.path, source=inner.name)
            table = _read_file(inner.path, inner.name, inner.rest, expect, depth + 1)
        return replace(table, notes=(inner.note, *table.notes) if inner.note else table.notes)
    is_document = path.suffix.lower() == ".json"
    if part and not is_document:
        raise UserError(f"{source}: '#{shorten(part)}' names a sheet of an Excel file or a file in a zip archive only.")
    if head.startswith(b"PAR1"):
        return frames.read_parquet(path, source=source)
    encoding.refuse_binary(head, source)
    begin = head.removeprefix(UTF8_BOM).lstrip()
    if not begin and path.stat().st_size <= len(head):
        raise UserError(f"{source}: the file holds nothing but white space.")
    codec = encoding.detect(path)
    if codec is None:
        raise UserError(f"{source}: the text is in {encoding.UNKNOWN}. Save it as UTF-8 first.")
    notes = (f"Read as {encoding.NAMES[codec]}.",) if codec != "utf-8" else ()
    table = _read_text(path, source, part, codec, expect)
    return replace(table, notes=(*notes, *table.notes))


def _read_text(path: Path, source: str, part: str, codec: str, expect: Collection[str]) -> Table:
    sample, suffix = next(encoding.blocks(path, codec)).decode(), path.suffix.lower()
    if suffix == ".json" and documents.is_one_document(sample):
        text = b"".join(encoding.blocks(path, codec)).decode()
        return documents.read_json(text, source=source, key=part)
    expected = encoding.EXPECTED[codec]
    if suffix in (".jsonl", ".ndjson", ".json") or sample.lstrip().startswith('{"'):
        return documents.read_json_lines(encoding.blocks(path, codec), source=source, encoding=expected)
    if labels.is_fasttext(sample):
        blocks = encoding.blocks(path, codec)
        return labels.read_fasttext(blocks, source=source, encoding=expected, expect=expect)
    if bio.is_bio(sample):
        return bio.read_bio(encoding.blocks(path, codec), source=source, encoding=expected)
    return _read_delimited(path, source, codec, sample)


def _read_delimited(path: Path, source: str, codec: str, sample: str) -> Table:
    suffix, is_whole = path.suffix.lower(), path.stat().st_size <= encoding.BLOCK_BYTES
    try:
        found = dialect.sniff(sample, suffix=suffix, is_whole=is_whole)
        parsed = _parse(path, source, codec, found.dialect)
        notes: tuple[str, ...] = ()
        if _quotes_are_characters(parsed, found.dialect):
            literal = dialect.sniff(sample, suffix=suffix, is_whole=is_whole, quoted=False)
            if delimited.is_clean(encoding.blocks(path, codec), literal.dialect):
                found, parsed = literal, _parse(path, source, codec, literal.dialect)
                notes = ("Quotation marks are read as mere characters, since around fields they come in no pairs.",)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    form = found.dialect
    if form.separator not in (",", dialect.NO_SEPARATOR):
        notes += (f"Columns are separated by {dialect.SEPARATORS[form.separator]}.",)
    if found.why_no_header:
        called = f"columns are called {', '.join(form.names)}" if len(form.names) > 1 else "column is called column_1"
        notes += (f"No header: {found.why_no_header}. The {called}.",)
    notes += found.notes
    if form.has_header and not len(parsed.rows) and not parsed.bad_rows:
        header = ", ".join(form.names)
        raise UserError(f"{source}: there is a header ({shorten(header)}) and no row below it.")
    table = Table(parsed.frame, parsed.rows, source, notes, tuple(parsed.bad_rows))
    table = tidy.without_blank_columns(table) if form.has_header else table
    return labels.without_prefix(tidy.without_totals(table))


def _parse(path: Path, source: str, codec: str, form: delimited.Dialect) -> delimited.Parsed:
    return delimited.parse(encoding.blocks(path, codec), form, source=source, encoding=encoding.EXPECTED[codec])


def _quotes_are_characters(parsed: delimited.Parsed, form: delimited.Dialect) -> bool:
    """Whether reading quotation marks as marks around fields has gone wrong more often than right.

    Many programs write tabs without quoting, and a headline that begins with a quotation then swallows others.
    With other separators it takes more: no field in quotes on one line.
    """
    after = sum(bad.problem.startswith(delimited.AFTER_QUOTE) for bad in parsed.bad_rows)
    unclosed = sum(bad.problem == delimited.UNCLOSED for bad in parsed.bad_rows)
    if form.separator == "\t":
        wrong = after + unclosed + parsed.num_multiline
        return wrong > 0 and wrong >= parsed.num_quoted - parsed.num_multiline
    return after + unclosed > 0 and parsed.num_quoted == parsed.num_multiline


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
