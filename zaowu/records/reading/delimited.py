"""CSV and TSV. Blocks whose quotes and separators are all in place go to polars; in the others every record
is taken apart in Python, so that a broken one is named and the next one is still read.

Both ways give the same records (a test compares them on random files). A record is what RFC 4180 says: a field
that begins with a quotation mark ends at the next lone one; elsewhere a quotation mark is a character like any
other. Every cell is a string; an empty cell is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from zaowu.errors import shorten
from zaowu.records.reading.encoding import MARK
from zaowu.records.records import BadRow

MAX_RECORD_CHARS = 1 << 28  # a quoted field that is longer is taken for one that was never closed
SMALL_BYTES = 1 << 14  # a piece that is read slowly when something in it is out of place
FRAME_ROWS = 1 << 16  # rows that are kept as Python strings at a time
UNCLOSED = "expected a closing quotation mark, got none"
AFTER_QUOTE = "expected a separator after a closing quotation mark"


@dataclass(frozen=True)
class Dialect:
    """How one file is written. names: its columns. quoted: False where quotation marks are mere characters.

    skip_bytes, skip_rows: what stands above the header, in its first block.
    """

    separator: str
    names: tuple[str, ...]
    has_header: bool
    quoted: bool = True
    skip_bytes: int = 0
    skip_rows: int = 0


@dataclass
class Parsed:
    """The records of one file. rows: (N,) int64 row numbers.

    num_quoted: fields in quotation marks, about. num_multiline: records that go over several lines.
    """

    frame: pl.DataFrame
    rows: np.ndarray
    bad_rows: list[BadRow] = field(default_factory=list)
    num_quoted: int = 0
    num_multiline: int = 0


def parse(blocks: Iterable[bytes], dialect: Dialect, *, source: str, encoding: str = "UTF-8") -> Parsed:
    """All records below the header. blocks: UTF-8, each ends where a line ends (`encoding.blocks`).

    source, encoding: names for the sentences about bad rows.
    """
    (whole,) = portions(blocks, dialect, source=source, encoding=encoding, least=None)
    return whole


def portions(
    blocks: Iterable[bytes], dialect: Dialect, *, source: str, encoding: str = "UTF-8", least: int | None
) -> Iterator[Parsed]:
    """The same in pieces of at least so many records, but for the last; None: all in one."""
    parser = _Parser(dialect, source, encoding)
    rest, pending = b"", b""
    for block in _below(blocks, dialect):
        pending += block if block.endswith(b"\n") else block + b"\n"
        if len(pending) >= len(rest):  # a record that outgrew its block is tried again when it has doubled
            rest, pending = parser.take(rest + pending), b""
        if least is not None and sum(map(len, parser.rows)) >= least:
            yield parser.parsed()
            parser.clear()
    if rest or pending:
        parser.take(rest + pending, final=True)
    yield parser.parsed()


def _below(blocks: Iterable[bytes], dialect: Dialect) -> Iterator[bytes]:
    for place, block in enumerate(blocks):
        yield block if place else block[dialect.skip_bytes :]


class Record(NamedTuple):
    """One record of a text. fields: None where `problem` says what is wrong. end: where the next one begins."""

    fields: list[str] | None
    problem: str
    end: int
    num_quoted: int = 0  # fields in quotation marks
    is_cut: bool = False  # a quoted field goes on to the end of the text: more text may close it


def split_record(text: str, start: int, dialect: Dialect) -> Record:
    """The record of `text` that begins at `start`. `text` ends with a line's end.

    After a broken field the next record begins on the line below that field's first one.
    """
    separator, fields, at, num_quoted = dialect.separator, [], start, 0
    line_end = text.index("\n", start)
    if not dialect.quoted or text.find('"', start, line_end) < 0:
        return Record(text[start:line_end].removesuffix("\r").split(separator), "", line_end + 1)
    while True:
        if not text.startswith('"', at):
            line_end = text.index("\n", at)
            cut = text.find(separator, at, line_end)
            if cut < 0:
                fields.append(text[at:line_end].removesuffix("\r"))
                return Record(fields, "", line_end + 1, num_quoted)
            fields.append(text[at:cut])
            at = cut + 1
            continue
        close = _closing_quote(text, at + 1)
        next_line = text.index("\n", at) + 1
        if close < 0:
            return Record(None, UNCLOSED, next_line, is_cut=True)
        num_quoted += 1
        fields.append(text[at + 1 : close].replace('""', '"'))
        for end in ("\n", "\r\n"):
            if text.startswith(end, close + 1):
                return Record(fields, "", close + 1 + len(end), num_quoted)
        if not text.startswith(separator, close + 1):
            if close >= next_line:  # a later field's opening mark, taken for the closing one
                return Record(None, UNCLOSED, next_line)
            got = shorten(text[close + 1 : next_line - 1], 20)
            return Record(None, f"{AFTER_QUOTE}, got '{got}'", next_line)
        at = close + 2


def _closing_quote(text: str, at: int) -> int:
    while (at := text.find('"', at)) >= 0:
        if not text.startswith('"', at + 1):
            return at
        at += 2
    return -1


class _Parser:
    """Takes block after block and keeps what it finds."""

    def __init__(self, dialect: Dialect, source: str, encoding: str) -> None:
        self.dialect, self.source, self.encoding = dialect, source, encoding
        self.schema = dict.fromkeys(dialect.names, pl.String)
        self.row = 1 + dialect.skip_rows  # of the record that comes next
        self.header_is_next = dialect.has_header
        self.frames: list[pl.DataFrame] = []
        self.rows: list[np.ndarray] = []
        self.bad_rows: list[BadRow] = []
        self.num_quoted = self.num_multiline = 0

    def parsed(self) -> Parsed:
        frame = pl.concat(self.frames, rechunk=False) if self.frames else pl.DataFrame(schema=self.schema)
        rows = np.concatenate(self.rows) if self.rows else np.empty(0, np.int64)
        return Parsed(frame, rows, self.bad_rows, self.num_quoted, self.num_multiline)

    def clear(self) -> None:
        """Forgets what `parsed` has given, but not where it stands."""
        self.frames, self.rows, self.bad_rows = [], [], []

    def take(self, block: bytes, *, final: bool = False) -> bytes:
        """Reads the records of `block`, which begins with a record; returns the last one if it has no end.

        Around what is not in its place the block is taken in smaller pieces, so that few records are read slowly.
        """
        start, size, least = 0, len(block), SMALL_BYTES
        while start < len(block):
            end = block.find(b"\n", min(start + size, len(block)) - 1) + 1
            piece, is_last = block[start:end], end == len(block)
            layout = None if MARK.encode() in piece else scan(piece, self.dialect)
            read = 0
            if layout is not None and layout.end:
                self.keep_frame(self.frame_of(piece[: layout.end]), layout)
                read = layout.end
            elif layout is None and size > least:
                size = max(size // 2, least)
                continue
            elif layout is None or (final and is_last):
                read = self.take_slowly(piece.decode(), final=final and is_last)
            if read:
                start, size, least = start + read, size * 2 if layout else size, SMALL_BYTES
            elif is_last:
                break
            else:  # one record fills the piece
                size = least = size * 2
        return block[start:]

    def frame_of(self, block: bytes) -> pl.DataFrame:
        quote = '"' if self.dialect.quoted else None
        separator = self.dialect.separator
        return pl.read_csv(block, schema=self.schema, has_header=False, separator=separator, quote_char=quote)

    def keep_frame(self, frame: pl.DataFrame, layout: Layout) -> None:
        assert frame.height == len(layout.is_blank), "polars sees other records than the scan"
        keep = ~layout.is_blank
        rows = self.row + np.arange(len(keep))
        self.row += len(keep)
        if self.header_is_next and keep.any():
            keep[keep.argmax()] = False
            self.header_is_next = False
        if layout.num_quoted:  # polars tells "" from nothing at all; we do not
            frame = frame.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in frame.columns)
        self.num_quoted += layout.num_quoted
        self.num_multiline += layout.num_multiline
        self.frames.append(frame if keep.all() else frame.filter(keep))
        self.rows.append(rows[keep])

    def take_slowly(self, text: str, *, final: bool) -> int:
        """The same for any text, record by record; returns how many bytes of it were read."""
        records: list[list[str]] = []
        rows: list[int] = []
        start = 0
        while start < len(text):
            record = split_record(text, start, self.dialect)
            if record.is_cut and not final and len(text) - start < MAX_RECORD_CHARS:
                break
            line, start = text[start : record.end], record.end
            fields = record.fields or []
            problem = record.problem or self.problem(fields)
            row, self.row = self.row, self.row + 1
            if line in ("\n", "\r\n") or (problem and fields and not any(map(str.strip, fields))):
                continue
            self.num_multiline += "\n" in line[:-1]
            if self.header_is_next:
                self.header_is_next = False
            elif problem:
                self.bad_rows.append(BadRow(self.source, row, None, problem))
            else:
                self.num_quoted += record.num_quoted
                records.append(fields)
                rows.append(row)
                if len(rows) == FRAME_ROWS:
                    self.keep_records(records, rows)
                    records, rows = [], []
        self.keep_records(records, rows)
        return len(text[:start].encode())

    def problem(self, fields: list[str]) -> str:
        if any(MARK in value for value in fields):
            return f"expected {self.encoding} text, got other bytes"
        if len(fields) != len(self.schema):
            return f"expected {len(self.schema)} fields, got {len(fields)}"
        return ""

    def keep_records(self, records: list[list[str]], rows: list[int]) -> None:
        if rows:
            columns = zip(self.schema, zip(*records, strict=True), strict=True)
            cells = {name: [value or None for value in values] for name, values in columns}
            self.frames.append(pl.DataFrame(cells, schema=self.schema))
            self.rows.append(np.array(rows, np.int64))


@dataclass(frozen=True)
class Layout:
    """The records of a clean block. end: bytes in whole records; is_blank: (R,) those that are empty lines."""

    end: int
    is_blank: np.ndarray
    num_quoted: int
    num_multiline: int


def is_clean(blocks: Iterable[bytes], dialect: Dialect) -> bool:
    """Whether every line is a record of the right width. `dialect` is one without quoting."""
    assert not dialect.quoted
    return all(scan(block, dialect) is not None for block in _below(blocks, dialect))


def scan(block: bytes, dialect: Dialect) -> Layout | None:
    """The layout of `block`, or None unless every quote and every separator in it is in its place.

    In place: a field's opening mark follows a separator or a line's end, its closing mark precedes one, doubled
    marks stand only inside; every record is an empty line or has as many fields as the dialect has names, and the
    first one, by which polars judges the width, is no empty line. `block` ends with a line's end.
    """
    if block.count(b"\r") > block.count(b"\r\n"):  # polars drops some that stand alone
        return None
    newline, quote, separator = b'\n"' + dialect.separator.encode()
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == newline)
    separators = np.flatnonzero(data == separator)
    num_multiline = 0
    quotes = np.flatnonzero(data == quote) if dialect.quoted and b'"' in block else ends[:0]
    if quotes.size:
        opening, closing = quotes[0::2], quotes[1::2]  # a doubled mark closes and opens again
        before = data[np.maximum(opening - 1, 0)]
        after = data[closing + 1]
        good_before = np.isin(before, (separator, newline, quote)) | (opening == 0)
        good_after = np.isin(after, (separator, newline, quote, ord("\r")))
        if not (good_before.all() and good_after.all()):
            return None
        is_outside = np.searchsorted(quotes, ends) % 2 == 0
        within = np.searchsorted(ends[is_outside], ends[~is_outside])  # of which record, by its end
        num_multiline = len(np.unique(within[within < is_outside.sum()]))
        ends = ends[is_outside]
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    starts = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    lengths = ends - starts
    is_blank = (lengths == 0) | ((lengths == 1) & (data[starts] == ord("\r")))
    widths = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    if is_blank[:1].any() or not (is_blank | (widths == len(dialect.names))).all():
        return None
    return Layout(int(ends[-1]) + 1 if ends.size else 0, is_blank, quotes.size // 2, num_multiline)
