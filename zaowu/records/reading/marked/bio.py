"""Names and terms in CoNLL's columns: a token and its tag on each line, an empty line between sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from zaowu.records.reading.encoding import MARK
from zaowu.records.records import BadRow, Table

NUM_JUDGED = 1000
DOCUMENT = "-DOCSTART-"
_TAG = re.compile(r"O|[BIESLUM]-\S+")
_TIGHT = r"\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"  # scripts that put no space between words
_TOUCHES = re.compile(rf"[{_TIGHT}]")
_GOES_ON, _ENDS = "IMEL", "ESLU"


def is_bio(sample: str) -> bool:
    """Whether nearly every line is a token and, last, a tag (O, B-name, I-name; also E-, S-, L-, U-, M-)."""
    lines = [line.split() for line in sample.split("\n")[:NUM_JUDGED]]
    full = [parts for parts in lines[:-1] if parts and parts[0] != DOCUMENT]
    if len(full) < 3 or not any(not parts for parts in lines):
        return False
    good = [parts for parts in full if len(parts) >= 2 and _TAG.fullmatch(parts[-1])]
    tags = {parts[-1][0] for parts in good}
    return len(good) >= 0.95 * len(full) and "O" in tags and bool(tags - {"O"})


def read_bio(blocks: Iterable[bytes], *, source: str, encoding: str) -> Table:
    """Columns `text` and `entities`, a row for each sentence: its number is that of the sentence's first line.

    entities: JSON, `[{"start": ..., "end": ..., "label": ..., "text": ...}]`, characters of `text`. Tokens are joined
    by a space, but not beside a Chinese or Japanese sign. With -DOCSTART- lines the column `document` says which
    document a sentence is from, and its sentences stay on one side. A line without a tag makes its sentence a bad row.

    blocks: UTF-8 in whole lines. encoding: its name for bad rows.
    """
    values: list[tuple[str, str, str]] = []
    rows: list[int] = []
    bad: list[BadRow] = []
    tokens: list[tuple[str, str]] = []
    row, first, document, problem = 0, 0, 0, ""

    def close() -> None:
        nonlocal tokens, problem
        if problem:
            bad.append(BadRow(source, first, None, problem))
        elif tokens:
            text, found = _joined(tokens)
            values.append((text, json.dumps(found, ensure_ascii=False), f"document {document}"))
            rows.append(first)
        tokens, problem = [], ""

    for block in blocks:
        for line in block.decode().split("\n")[:-1]:
            row += 1
            parts = line.split()
            if not parts or parts[0] == DOCUMENT:
                close()
                document += bool(parts)
                continue
            first = first if tokens or problem else row
            if MARK in line:
                problem = problem or f"expected {encoding} text, got other bytes in row {row}"
            elif len(parts) < 2 or not _TAG.fullmatch(parts[-1]):
                problem = problem or f"expected a token and its tag, got '{line.strip()[:40]}' in row {row}"
            else:
                tokens.append((parts[0], parts[-1]))
    close()
    names = ("text", "entities", "document")
    frame = pl.DataFrame(values, schema=dict.fromkeys(names, pl.String), orient="row")
    if document < 2:
        frame = frame.drop("document")
    note = f"Read as tokens with tags: {len(rows):,} sentences, joined to texts."
    return Table(
        frame,
        np.array(rows, np.int64),
        source,
        (note,),
        tuple(bad),
        group="document" if document > 1 else "",
        kinds={"text": "text"},
    )


def _joined(tokens: Sequence[tuple[str, str]]) -> tuple[str, list[dict[str, int | str]]]:
    """The text of a sentence, and its entities."""
    text = ""
    found: list[tuple[int, int, str]] = []
    is_open = False
    for token, tag in tokens:
        if text and not (_TOUCHES.match(text[-1]) or _TOUCHES.match(token)):
            text += " "
        start, kind, label = len(text), tag[0], tag[2:]
        text += token
        goes_on = is_open and kind in _GOES_ON and found[-1][2] == label
        if goes_on:
            found[-1] = (found[-1][0], len(text), label)
        elif kind != "O":  # an I- without its B- begins one, as in IOB1
            found.append((start, len(text), label))
        is_open = kind != "O" and kind not in _ENDS
    return text, [{"start": start, "end": end, "label": label, "text": text[start:end]} for start, end, label in found]
