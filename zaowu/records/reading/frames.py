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
from zaowu.records.records import Table

MAX_DEPTH = 5  # of records within records
MAX_COLUMNS = 500  # beyond which a nested record is a dictionary of its own


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
    if is_list(source):
        for place, item in enumerate(source):
            if not isinstance(item, Mapping):
                raise UserError(
                    f"the list, item {place + 1}: expected a dict of column -> value, got {type(item).__name__}. "
                    "Texts alone are given as {'text': [...]}."
                )
        return _table(from_items(source, "the list"), "the list")
    raise UserError(
        "expected a path, a polars or pandas frame, a list of dicts or a dict of lists, "
        f"got {kind.__module__}.{kind.__name__}."
    )


def read_parquet(path: Path, *, source: str) -> Table:
    """A Parquet file. Its types are kept, except that dictionaries become strings, lists of words JSON, and records
    columns."""
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{source}: cannot be read as Parquet ({shorten(error, 120)}).") from error
    return _table(frame, source)


def _table(frame: pl.DataFrame, source: str) -> Table:
    for _ in range(MAX_DEPTH):
        records = [column for column in frame.iter_columns() if isinstance(column.dtype, pl.Struct)]
        if not records:
            break
        for column in records:
            parts = [part.alias(f"{column.name}.{part.name}") for part in column.struct.unnest().iter_columns()]
            taken = set(frame.columns) - {column.name}
            if parts and not taken & {part.name for part in parts}:
                place = frame.columns.index(column.name)
                columns = frame.get_columns()
                frame = pl.DataFrame([*columns[:place], *parts, *columns[place + 1 :]])
    frame = pl.DataFrame(map(_plain, frame.iter_columns())) if frame.width else frame
    return Table(frame, np.arange(1, frame.height + 1), source)


def _plain(column: pl.Series) -> pl.Series:
    """Dictionaries as the strings they stand for; lists of words as JSON, as JSON lines give them."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    inner = getattr(column.dtype, "inner", None)
    if inner in (pl.String, pl.Categorical, pl.Enum):
        values = (None if value is None else as_string(value) for value in column.to_list())
        return pl.Series(column.name, list(values), pl.String)
    return column


def is_list(values: Any) -> bool:
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
        if not is_list(values):
            got = type(values).__name__
            raise UserError(f"the dict, column '{name}': expected a list of values, got {got}.")
    lengths = [len(values) for values in source.values()]
    if len(set(lengths)) > 1:
        got = ", ".join(f"{name}: {length}" for name, length in zip(names, lengths, strict=True))
        raise UserError(f"the dict: expected lists of one length, got {shorten(got, 80)}.")
    return pl.DataFrame(map(_series, names, source.values()))


def from_items(items: Sequence[Mapping], source: str) -> pl.DataFrame:
    """One record per item. A record within a record gives columns with a point in their name: `author.name`."""
    if any(isinstance(value, Mapping) for item in items for value in item.values()):
        flat = [_flat(item) for item in items]
        if len({key for item in flat for key in item}) <= MAX_COLUMNS:
            items = flat
    keys = list(dict.fromkeys(key for item in items for key in item))
    columns = [[item.get(key) for item in items] for key in keys]
    return without_parents(pl.DataFrame(map(_series, _names(keys, source), columns)))


def without_parents(frame: pl.DataFrame) -> pl.DataFrame:
    """Without `author` where all that it holds stands in `author.name` and is missing elsewhere."""
    parents = {name.rpartition(".")[0] for name in frame.columns if "." in name}
    return frame.drop(name for name in parents & set(frame.columns) if frame[name].null_count() == frame.height)


def _flat(item: Mapping, above: str = "", depth: int = 1) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            for name, part in _flat(value, f"{above}{key}.", depth + 1).items():
                flat.setdefault(name, part)
        else:
            flat[f"{above}{key}"] = value
    return flat


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
    return pl.Series(name, [None if value is None else as_string(value) for value in plain], pl.String)


def as_string(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, int, float, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
