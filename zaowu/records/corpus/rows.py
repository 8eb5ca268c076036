"""Rows of .jsonl and .parquet -> texts, each with the document that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zaowu.config import CorpusConfig
from zaowu.errors import UserError, nearest, shorten
from zaowu.records.corpus.counts import Counts
from zaowu.records.corpus.text import lines

TEXT_NAMES = ("text", "content", "body", "article", "passage", "raw_content", "正文", "内容", "文本", "內容", "文章")
DOCUMENT_NAME = "document"
MAX_ROW = 1 << 24  # characters of a line of JSON
PORTION_BYTES = 8 << 20  # of a Parquet file, packed, read at once
MAX_PORTION = 20_000  # rows

Row = tuple[str, object]  # a text, and the value that rows of one document share; None: a document of its own


class NoText(Exception):
    """No column of a file is its text; the message says in a few words why."""


class Columns:
    """Which columns are the text and the document: named, or found in the first row."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config
        self.text = ""
        self.document: str | None = None

    def choose(self, names: Sequence[str], strings: Sequence[str]) -> None:
        """names: all columns; strings: those that hold text. Raises NoText."""
        wanted = self.config.text_column
        listed = shorten(", ".join(names), 100) or "none"
        if wanted is not None and wanted not in names:
            raise NoText(f"there is no column '{shorten(wanted)}'{nearest(wanted, names)} (columns: {listed})")
        grouped = self.config.document_column
        if grouped is not None and grouped not in names:
            raise NoText(f"there is no column '{shorten(grouped)}'{nearest(grouped, names)} (columns: {listed})")
        known = [name for name in names if name.lower() in TEXT_NAMES]
        known.sort(key=lambda name: TEXT_NAMES.index(name.lower()))
        if wanted is None and not known and len(strings) != 1:
            raise NoText(f"which column is the text? Name it with --set text_column=NAME (columns: {listed})")
        self.text = wanted or (known[0] if known else strings[0])
        self.document = grouped or (DOCUMENT_NAME if DOCUMENT_NAME in names and self.text != DOCUMENT_NAME else None)


def json_rows(blocks: Iterable[str], config: CorpusConfig, counts: Counts) -> Iterator[Row]:
    """One object a line. Lines that are none, or are too long, are counted as bad rows. Raises NoText."""
    columns, is_broken = Columns(config), False
    for line, whole in lines(blocks, most=MAX_ROW):
        if not whole or is_broken:
            counts.bad_rows += whole
            is_broken = not whole
            continue
        if not line or line.isspace():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            item = None
        if not isinstance(item, dict):
            counts.bad_rows += 1
            continue
        if not columns.text:
            columns.choose(list(item), [name for name, value in item.items() if isinstance(value, str)])
        yield from _row(item.get(columns.text), item.get(columns.document) if columns.document else None, counts)


def _row(text: Any, document: Any, counts: Counts) -> Iterator[Row]:
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        text = "\n\n".join(text)
    if isinstance(text, str) and text and not text.isspace():
        yield text, document if isinstance(document, (str, int, float, bool)) else None
    else:
        counts.bad_rows += 1


def parquet_rows(path: Path, config: CorpusConfig, counts: Counts, advance: Callable[[int], None]) -> Iterator[Row]:
    """Rows of a Parquet file, some megabytes at a time. advance: told of the bytes read. Raises NoText, UserError."""
    import polars as pl

    columns = Columns(config)
    size = path.stat().st_size
    try:
        lazy = pl.scan_parquet(path, glob=False)
        schema = lazy.collect_schema()
        texts = (pl.String, pl.List(pl.String), pl.Categorical)
        columns.choose(schema.names(), [name for name, dtype in schema.items() if dtype in texts])
        total = int(lazy.select(pl.len()).collect().item())
        portion = max(1, min(MAX_PORTION, total * PORTION_BYTES // max(1, size)))
        lazy = lazy.select([columns.text, *([columns.document] if columns.document else [])])
        for start in range(0, total, portion):
            frame = lazy.slice(start, portion).collect()
            documents = frame[columns.document].to_list() if columns.document else [None] * frame.height
            for text, document in zip(frame[columns.text].to_list(), documents, strict=True):
                yield from _row(text, document, counts)
            advance(size * min(portion, total - start) // total)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({shorten(error, 100)}).") from error
