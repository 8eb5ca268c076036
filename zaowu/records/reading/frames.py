"""Tables that come as Python data: frames, lists and dicts, and the JSON and Parquet files that hold such."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, shorten
from zaowu.records.reading.encoding import MARK
from zaowu.records.records import BadRow, Table


def from_data(source: Any) -> Table:
    """A polars or pandas frame, a list of dicts, or a dict of lists as a table; rows count from 1."""
    kind = type(source)
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return _table(source, "the frame")
    if kind.__module__.split(".")[0] == "pandas" and kind.__name__ == "DataFrame":
        names = _names(source.columns, "the frame")
        columns = [source.iloc[:, place].astype(object).tolist() for place in range(len(names))]
        return _table(pl.DataFrame(map(_series, names, columns)), "the frame")
    if isinstance(source, Mapping):
        return _table(_from_dict(source), "the dict")
    if _is_list(source):
        for place, item in enumerate(source):
            if not isinstance(item, Mapping):
                raise UserError(
                    f"the list, item {place + 1}: expected a dict of column -> value, got {type(item).__name__}. "
                    "Texts alone are given as {'text': [...]}."
                )
        return _table(_from_items(source, "the list"), "the list")
    raise UserError(
        "expected a path, a polars or pandas frame, a list of dicts or a dict of lists, "
        f"got {kind.__module__}.{kind.__name__}."
    )


def read_parquet(path: Path) -> Table:
    """A Parquet file; its types are kept, except that dictionaries of strings become strings."""
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({shorten(error, 120)}).") from error
    return _table(frame, str(path))


def read_json_lines(blocks: Iterable[bytes], *, source: str, encoding: str) -> Table:
    """One JSON object per line; its keys are columns. Lines that hold none are bad rows. Empty lines are passed.

    blocks: UTF-8 that ends with a line's end (`encoding.blocks`). source, encoding: names for bad rows.
    """
    parts: list[pl.DataFrame] = []
    rows: list[np.ndarray] = []
    bad_rows: list[BadRow] = []
    next_row = 1
    for block in blocks:
        lines = block.decode().split("\n")[:-1]
        filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
        items = _json_objects([lines[place] for place in filled])
        for place, item in zip(filled, items, strict=True):
            if item is None:
                problem = f"expected a JSON object, got '{shorten(lines[place], 40)}'"
                if MARK in lines[place]:
                    problem = f"expected {encoding} text, got other bytes"
                bad_rows.append(BadRow(source, next_row + place, None, problem))
        good = [item for item in items if item is not None]
        if good:
            parts.append(_from_items(good, source))
            places = [place for place, item in zip(filled, items, strict=True) if item is not None]
            rows.append(next_row + np.array(places))
        next_row += len(lines)
    every = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return Table(_concatenated(parts), every, source, bad_rows=tuple(bad_rows))


def read_json(path: Path) -> Table:
    """A .json file with one list of objects, or an object of lists."""
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({shorten(error, 120)}).") from error
    try:
        table = from_data(data)
    except UserError as error:
        raise UserError(f"{path}: expected a list of objects. {error}") from error
    return Table(table.frame, table.rows, str(path))


def is_one_document(path: Path, begin: bytes) -> bool:
    """Whether a .json file, whose text begins with `begin`, is one value and not one object per line."""
    if begin.startswith(b"["):
        return True
    with path.open("rb") as file:
        first = _json_object(file.readline().decode("utf-8-sig", "replace"))
        return first is None or (not file.read(1) and all(_is_list(value) for value in first.values()))


def _table(frame: pl.DataFrame, source: str) -> Table:
    dictionaries = [name for name, dtype in frame.schema.items() if dtype in (pl.Categorical, pl.Enum)]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in dictionaries)
    return Table(frame, np.arange(1, frame.height + 1), source)


def _is_list(values: Any) -> bool:
    return isinstance(values, (Sequence, np.ndarray, pl.Series)) and not isinstance(values, (str, bytes))


def _names(names: Iterable[Any], source: str) -> list[str]:
    names = [str(name) for name in names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{source}: two columns are called '{shorten(twice)}'. Rename one.")
    return names


def _from_dict(source: Mapping) -> pl.DataFrame:
    names = _names(source, "the dict")
    for name, values in zip(names, source.values(), strict=True):
        if not _is_list(values):
            got = type(values).__name__
            raise UserError(f"the dict, column '{name}': expected a list of values, got {got}.")
    lengths = [len(values) for values in source.values()]
    if len(set(lengths)) > 1:
        got = ", ".join(f"{name}: {length}" for name, length in zip(names, lengths, strict=True))
        raise UserError(f"the dict: expected lists of one length, got {shorten(got, 80)}.")
    return pl.DataFrame(map(_series, names, source.values()))


def _from_items(items: Sequence[Mapping], source: str) -> pl.DataFrame:
    keys = list(dict.fromkeys(key for item in items for key in item))
    columns = [[item.get(key) for item in items] for key in keys]
    return pl.DataFrame(map(_series, _names(keys, source), columns))


def _series(name: str, values: Iterable[Any]) -> pl.Series:
    """A column of one type: the values' own when they agree, else strings. NaN is a missing value."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    plain = [None if value != value else value for value in plain]
    kinds = {type(value) for value in plain if value is not None}
    if kinds <= {int, float} or kinds in ({str}, {bool}, {date}, {datetime}):
        try:
            return pl.Series(name, plain, pl.String if not kinds else pl.Float64 if float in kinds else None)
        except OverflowError:
            pass
    return pl.Series(name, [None if value is None else _string(value) for value in plain], pl.String)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, int, float, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _concatenated(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Batches below one another; a column whose type differs between them becomes strings."""
    dtypes: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for name, dtype in part.schema.items():
            dtypes.setdefault(name, set())
            if part[name].null_count() < part.height:
                dtypes[name].add(dtype)
    common: dict[str, pl.DataType] = {}
    for name, found in dtypes.items():
        if len(found) > 1:
            common[name] = pl.Float64() if found <= {pl.Int64(), pl.Float64()} else pl.String()
        else:
            common[name] = found.pop() if found else pl.String()
    whole = [
        part.select(
            pl.col(name).cast(dtype) if name in part.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in common.items()
        )
        for part in parts
    ]
    return pl.concat(whole, rechunk=False) if whole else pl.DataFrame()


def _json_objects(lines: Sequence[str]) -> list[dict | None]:
    """The object of each line, None where there is none. All at once where that works, which is much faster."""
    if not any(MARK in line for line in lines):
        try:
            items = json.loads(f"[{','.join(lines)}]")
        except (ValueError, RecursionError):
            items = []
        if len(items) == len(lines) and all(isinstance(item, dict) for item in items):
            return items
    return [_json_object(line) for line in lines]


def _json_object(line: str) -> dict | None:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) and MARK not in line else None
