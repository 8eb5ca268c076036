"""How a delimited file is written: its separator, and whether the first record names the columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from zaowu.errors import UserError, shorten
from zaowu.records import names
from zaowu.records.reading.delimited import Dialect, split_record

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes"}  # the first wins among equals
NO_SEPARATOR = "\x1f"  # stands in no text: the file has one column
NUM_JUDGED = 1000  # records that decide
MAX_TITLES = 10
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?%?", re.IGNORECASE)
_DATE = re.compile(r"\d{2,4}[-/.年]\d{1,2}[-/.月]\d{1,4}日?([T ].*)?")
_PUNCTUATION = re.compile(r"[，。！？；：、…“”《》,!?;\"]")


class Sniffed(NamedTuple):
    """How a file is written. why_no_header: "" when it has one. notes: what was done about its header."""

    dialect: Dialect
    why_no_header: str
    notes: tuple[str, ...] = ()


class Sample(NamedTuple):
    """The first records of a file. places: of each, its first character in the text and the rows above it."""

    records: list[list[str]]
    places: list[tuple[int, int]]


def sniff(sample: str, *, suffix: str, is_whole: bool, quoted: bool = True) -> Sniffed:
    """The dialect of the file that begins with `sample`.

    sample: whole lines. suffix: of the file's name, for what the content leaves open. is_whole: the sample is
    all there is. quoted: whether quotation marks can enclose a field.
    Raises UserError, without the file's name, when there is no record.
    """
    tried = {separator: _sample(sample, separator, is_whole=is_whole, quoted=quoted) for separator in SEPARATORS}
    separator = _separator({name: found.records for name, found in tried.items()})
    records, places = tried.get(separator) or _sample(sample, separator, is_whole=is_whole, quoted=quoted)
    if not records:
        raise UserError("no row can be read.")
    titles = num_titles(records)
    reason = why_no_header(records[titles:], is_plain_text=suffix == ".txt")
    if reason:
        width = Counter(map(len, records)).most_common(1)[0][0]
        return Sniffed(Dialect(separator, tuple(f"column_{k + 1}" for k in range(width)), False, quoted), reason)
    header, (start, row) = records[titles], places[titles]
    given, notes = column_names(header)
    if titles:
        notes = (title_note(records[:titles]), *notes)
    dialect = Dialect(separator, given, True, quoted, skip_bytes=len(sample[:start].encode()), skip_rows=row)
    return Sniffed(dialect, "", notes)


def column_names(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The header's cells as names, stripped, numbered where empty or met before; notes about those met before."""
    given = [cell.strip() or f"column_{k + 1}" for k, cell in enumerate(cells)]
    found: list[str] = []
    notes: list[str] = []
    for k, name in enumerate(given):
        free, number = name, 1
        while free in found or (number > 1 and free in given):
            number += 1
            free = f"{name}_{number}"
        if free != name:
            notes.append(f"More than one column is called '{shorten(name)}': column {k + 1} becomes '{shorten(free)}'.")
        found.append(free)
    return tuple(found), tuple(notes)


def num_titles(records: Sequence[Sequence[str]]) -> int:
    """How many records above the header are titles: one cell with words in it, while the table is wider."""
    for place, record in enumerate(records[: MAX_TITLES + 1]):
        filled = [cell.strip() for cell in record if cell.strip()]
        if len(filled) > 1:
            width = Counter(map(len, records[place:])).most_common(1)[0][0]
            is_header = len(record) == width and not why_no_header(records[place:])
            # A header that lacks names, as R writes it, is no title.
            is_name = any(names.is_one_of(cell, names.ALL) for title in records[:place] for cell in title)
            is_header &= not is_name or all(map(_is_known, filled))
            return place if is_header and len(records) > place + 1 else 0
        if not filled or is_figure(filled[0]):
            return 0
    return 0


def title_note(titles: Sequence[Sequence[str]]) -> str:
    """What is said of the lines above the header."""
    first = shorten(next(cell for cell in titles[0] if cell.strip()), 40)
    if len(titles) == 1:
        return f"Above the header, the line '{first}' is passed over as a title."
    return f"Above the header, {len(titles)} lines are passed over as a title; the first is '{first}'."


def why_no_header(records: Sequence[Sequence[str]], *, is_plain_text: bool = False) -> str:
    """Why the first of `records` is data and not names, as words; "" when it is a header.

    Every column votes by comparing its first cell with those below. Without any sign it is a header, but in
    plain text (one text per line) it is data.
    """
    first = [cell.strip() for cell in records[0]]
    below = [record for record in records[1:] if len(record) == len(first)]
    if not any(first):
        return "the first row is empty"
    is_numbered = first in [[str(k + start) for k in range(len(first))] for start in (0, 1)]
    if is_numbered and any(not is_figure(cell) for record in below for cell in record if cell.strip()):
        return ""  # as pandas names columns that have no names
    named = [_is_known(cell) for cell in first]
    if all(named) and any([cell.strip() for cell in record] == first for record in below):  # joined files
        return ""
    score, reasons = 0, []
    for k, cell in enumerate(first):
        vote, reason = _vote(cell, [value for record in below if (value := record[k].strip())], named[k])
        score += vote
        reasons.append((vote, reason))
    if score < 0:
        return min(reasons)[1]
    if len(first) == 1 and is_plain_text and not named[0]:
        return "it is a text file with one text per line"
    return ""


def _vote(cell: str, below: list[str], is_known: bool) -> tuple[int, str]:
    """How far `cell` stands out as the name of the values `below` (positive), or is one of them (negative)."""
    quoted = f"'{shorten(cell, 30)}'"
    if cell and cell in below:
        return -4, f"{quoted} stands again further down"
    if cell.startswith("__label__"):
        return -4, f"{quoted} is a label of fastText"
    if is_known:
        return 3, ""
    if below and sum(map(is_figure, below)) >= 0.9 * len(below):
        return (-3, f"{quoted} is a figure like those below it") if is_figure(cell) else (3, "")
    if not cell or not below:
        is_text = not below and (_width(cell) > 24 or _PUNCTUATION.search(cell))
        return (-1, f"{quoted} reads like a text") if is_text else (0, "")
    counts = Counter(below)
    singles = sum(count == 1 for count in counts.values()) / len(below)
    if len(below) >= 8 and singles < 0.05:  # Good-Turing: the chance that one more value would be new
        return (3 if len(below) >= 100 else 2), ""
    if len(counts) * 2 < len(below):
        return 0, ""
    widths = sorted(map(_width, below))
    width, middle = _width(cell), median(widths)
    is_shorter = width < widths[len(widths) // 20]
    if names.is_identifier(cell):
        return (2 if is_shorter else 0), ""
    if width * 3 < middle:
        return 2, ""
    is_sentence = middle >= 12 and (_PUNCTUATION.search(cell) is not None or width > 20)
    if is_sentence or not is_shorter:
        return (-3 if is_sentence else -1), f"{quoted} reads like the texts below it"
    return 0, ""


def is_figure(cell: str) -> bool:
    """Whether `cell` is a number or a date."""
    cell = cell.strip()
    return _NUMBER.fullmatch(cell) is not None or _DATE.fullmatch(cell) is not None


def _is_known(cell: str) -> bool:
    return _width(cell) <= 32 and (names.is_one_of(cell, names.ALL) or names.has_one_of(cell, names.ALL))


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character says as much as two letters or more."""
    return sum(2 if ord(char) > 0x2E80 else 1 for char in text)


def _sample(text: str, separator: str, *, is_whole: bool, quoted: bool) -> Sample:
    """The first records, without blank lines and without those that are broken by a quotation mark."""
    dialect, start, row = Dialect(separator, (), has_header=False, quoted=quoted), 0, 0
    found = Sample([], [])
    while start < len(text) and len(found.records) < NUM_JUDGED:
        record = split_record(text, start, dialect)
        if record.is_cut and not is_whole and len(found.records) >= 20:
            break
        if record.fields and any(map(str.strip, record.fields)):
            found.records.append(record.fields)
            found.places.append((start, row))
        start, row = record.end, row + 1
    return found


def _separator(tried: dict[str, list[list[str]]]) -> str:
    """The separator by which most records have the same number of fields, two or more."""
    best, best_share = NO_SEPARATOR, 0.0
    for separator, records in tried.items():
        records = records[num_titles(records) :]
        if not records:
            continue
        width, count = Counter(map(len, records)).most_common(1)[0]
        share = count / len(records)
        first = records[0]
        # In running text a comma stands before a space, in a table it does not.
        is_table = sum(value.startswith(" ") for record in records for value in record[1:]) * 2 < sum(
            len(record) - 1 for record in records
        )
        is_header = len(first) > 1 and all(_looks_like_name(cell) for cell in first)
        least = 0.6 if len(first) == width and is_table else 0.95
        if (width > 1 and share >= least) or (is_header and is_table):
            share += is_header
            if share > best_share:
                best, best_share = separator, share
    return best


def _looks_like_name(cell: str) -> bool:
    cell = cell.strip()
    return _is_known(cell) or (
        0 < _width(cell) <= 24 and not is_figure(cell) and not _PUNCTUATION.search(cell) and cell.count(" ") < 3
    )
