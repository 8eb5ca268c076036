"""How a delimited file is written: its separator, and whether the first record names the columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from zaowu.errors import UserError, shorten
from zaowu.records import names
from zaowu.records.reading.delimited import Dialect, split_record

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}  # the first wins among equals
NO_SEPARATOR = "\x1f"  # stands in no text: the file has one column
NUM_JUDGED = 1000  # records that decide
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?%?", re.IGNORECASE)
_DATE = re.compile(r"\d{2,4}[-/.年]\d{1,2}[-/.月]\d{1,4}日?([T ].*)?")
_PUNCTUATION = re.compile(r"[，。！？；：、…“”《》,!?;\"]")


def sniff(sample: str, *, suffix: str, is_whole: bool, quoted: bool = True) -> tuple[Dialect, str]:
    """The dialect of the file that begins with `sample`, and why it has no header ("" when it has one).

    sample: whole lines. suffix: of the file's name, for what the content leaves open. is_whole: the sample is
    all there is. quoted: whether quotation marks can enclose a field.
    Raises UserError, without the file's name, for columns of one name.
    """
    tried = {separator: _records(sample, separator, is_whole=is_whole, quoted=quoted) for separator in SEPARATORS}
    separator = _separator(tried, suffix)
    records = tried.get(separator) or _records(sample, separator, is_whole=is_whole, quoted=quoted)
    if not records:
        raise UserError("no row can be read.")
    reason = why_no_header(records, is_plain_text=suffix == ".txt")
    if reason:
        width = Counter(map(len, records)).most_common(1)[0][0]
        return Dialect(separator, tuple(f"column_{k + 1}" for k in range(width)), False, quoted), reason
    return Dialect(separator, column_names(records[0]), True, quoted), ""


def column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """The header's cells as names: stripped, numbered where empty. UserError where two are equal."""
    given = tuple(cell.strip() or f"column_{k + 1}" for k, cell in enumerate(cells))
    for name, count in Counter(given).items():
        if count > 1:
            places = " and ".join(str(k + 1) for k, other in enumerate(given) if other == name)
            raise UserError(f"{count} columns are called '{shorten(name)}' (columns {places}). Rename one.")
    return given


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
    if is_numbered and any(not _is_figure(cell) for record in below for cell in record if cell.strip()):
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
    if below and sum(map(_is_figure, below)) >= 0.9 * len(below):
        return (-3, f"{quoted} is a figure like those below it") if _is_figure(cell) else (3, "")
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


def _is_figure(cell: str) -> bool:
    cell = cell.strip()
    return _NUMBER.fullmatch(cell) is not None or _DATE.fullmatch(cell) is not None


def _is_known(cell: str) -> bool:
    return _width(cell) <= 32 and (names.is_one_of(cell, names.ALL) or names.has_one_of(cell, names.ALL))


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character says as much as two letters or more."""
    return sum(2 if ord(char) > 0x2E80 else 1 for char in text)


def _records(sample: str, separator: str, *, is_whole: bool, quoted: bool) -> list[list[str]]:
    """The first records, without blank lines and without those that are broken by a quotation mark."""
    dialect, start = Dialect(separator, (), has_header=False, quoted=quoted), 0
    records: list[list[str]] = []
    while start < len(sample) and len(records) < NUM_JUDGED:
        record = split_record(sample, start, dialect)
        if record.is_cut and not is_whole and len(records) >= 20:
            break
        if record.fields and any(map(str.strip, record.fields)):
            records.append(record.fields)
        start = record.end
    return records


def _separator(tried: dict[str, list[list[str]]], suffix: str) -> str:
    """The separator by which most records have the same number of fields, two or more."""
    best, best_share = NO_SEPARATOR, 0.0
    for separator, records in tried.items():
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
        0 < _width(cell) <= 24 and not _is_figure(cell) and not _PUNCTUATION.search(cell) and cell.count(" ") < 3
    )
