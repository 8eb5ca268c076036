"""A source table by table: what is small as one, a large file in portions, so that memory does not grow with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, shorten
from zaowu.records import bad_rows
from zaowu.records.read import read
from zaowu.records.reading import delimited, dialect, documents, encoding, labels
from zaowu.records.records import Table

LARGE_BYTES = 64 << 20
PORTION = 50_000  # rows
SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")


def is_large(source: Any) -> bool:
    """Whether `source` is a file that is read in portions."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source)
    try:
        return path.suffix.lower() in SUFFIXES and path.is_file() and path.stat().st_size > LARGE_BYTES
    except (OSError, ValueError):
        return False


def portions(source: Any, *, expect: Collection[str] = (), on_bad_row: str | None = None) -> Iterator[Table]:
    """Tables of some 50,000 rows, in order; the same ones each time. A source that is not large is one table.

    A large file is taken as it is: no lines of totals at its end, no title above the header that `sniff` does not see,
    no columns of ones and zeros to be joined. on_bad_row: as in `read`. Raises UserError as `read` does.
    """
    if not is_large(source):
        yield read(source, expect=expect, on_bad_row=on_bad_row)
        return
    path = Path(source)
    with path.open("rb") as file:
        head = file.read(encoding.HEAD_BYTES)
    if head.startswith(b"PAR1"):
        yield from _parquet(path)
        return
    encoding.refuse_binary(head, str(path))
    codec = encoding.detect(path)
    if codec is None:
        raise UserError(f"{path}: the text is in {encoding.UNKNOWN}. Save it as UTF-8 first.")
    sample = next(encoding.blocks(path, codec)).decode()
    if path.suffix.lower() in (".jsonl", ".ndjson") or sample.lstrip().startswith('{"'):
        found = _json_lines(path, codec)
    elif labels.is_fasttext(sample):
        found = iter([read(source, expect=expect, on_bad_row=on_bad_row)])
    else:
        found = _delimited(path, codec, sample)
    for table in found:
        if table.bad_rows and on_bad_row != "skip":
            raise bad_rows.refusal(table.bad_rows)
        if table.frame.height or table.bad_rows:
            yield table


def _delimited(path: Path, codec: str, sample: str) -> Iterator[Table]:
    try:
        form = dialect.sniff(sample, suffix=path.suffix.lower(), is_whole=False).dialect
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    blocks = encoding.blocks(path, codec)
    for parsed in delimited.portions(
        blocks, form, source=str(path), encoding=encoding.EXPECTED[codec], least=PORTION
    ):  # fmt: skip
        yield Table(parsed.frame, parsed.rows, str(path), bad_rows=tuple(parsed.bad_rows))


def _json_lines(path: Path, codec: str) -> Iterator[Table]:
    """All portions have the columns and types of the first; what does not fit in them is refused by name."""
    blocks, row = encoding.blocks(path, codec), 1
    schema: pl.Schema | None = None
    while group := list(islice(blocks, 4)):
        expected = encoding.EXPECTED[codec]
        table = documents.read_json_lines(group, source=str(path), encoding=expected, first_row=row)
        row += sum(block.count(b"\n") for block in group)
        schema = schema or table.frame.schema
        yield replace(table, frame=_aligned(table, schema))


def _aligned(table: Table, schema: pl.Schema) -> pl.DataFrame:
    first, last = (int(table.rows[0]), int(table.rows[-1])) if len(table.rows) else (0, 0)
    where = f"{table.source}, rows {first:,} to {last:,}"
    if strange := [name for name in table.frame.columns if name not in schema]:
        raise UserError(
            f"{where}: the key '{shorten(strange[0])}' does not occur in the rows before. A large file needs the same "
            "keys from its first rows on: give them there, as null where they are missing."
        )
    columns = []
    for name, dtype in schema.items():
        if name not in table.frame.columns:
            columns.append(pl.lit(None, dtype).alias(name))
            continue
        own = table.frame.get_column(name)
        cast = own if own.dtype == dtype else own.cast(dtype, strict=False)
        if cast.null_count() > own.null_count():
            raise UserError(f"{where}: '{shorten(name)}' holds {own.dtype} values, and {dtype} in the rows before.")
        columns.append(pl.lit(cast).alias(name))
    return table.frame.select(columns)


def _parquet(path: Path) -> Iterator[Table]:
    try:
        lazy = pl.scan_parquet(path)
        total = int(lazy.select(pl.len()).collect().item())
        for start in range(0, total, PORTION):
            frame = lazy.slice(start, PORTION).collect()
            yield Table(frame, start + np.arange(1, frame.height + 1), str(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error}).") from error
