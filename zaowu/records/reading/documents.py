"""JSON: one object per line, or one document in any of the shapes that programs write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records.reading import frames
from zaowu.records.reading.encoding import MARK
from zaowu.records.reading.marked import squad
from zaowu.records.records import BadRow, Table

MAX_DEPTH = 4  # of keys above the list of records


def read_json_lines(blocks: Iterable[bytes], *, source: str, encoding: str, first_row: int = 1) -> Table:
    """One JSON object per line; its keys are columns. Lines that hold none are bad rows. Empty lines are passed.

    blocks: UTF-8 that ends with a line's end (`encoding.blocks`). source, encoding: names for bad rows. first_row: the
    number of the first line.
    """
    parts: list[pl.DataFrame] = []
    rows: list[np.ndarray] = []
    bad_rows: list[BadRow] = []
    next_row = first_row
    for block in blocks:
        lines = block.decode().split("\n")[:-1]
        filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
        items = _objects([lines[place] for place in filled])
        for place, item in zip(filled, items, strict=True):
            if item is None:
                problem = f"expected a JSON object, got '{shorten(lines[place], 40)}'"
                if MARK in lines[place]:
                    problem = f"expected {encoding} text, got other bytes"
                bad_rows.append(BadRow(source, next_row + place, None, problem))
        good = [item for item in items if item is not None]
        if good:
            parts.append(frames.from_items(good, source))
            places = [place for place, item in zip(filled, items, strict=True) if item is not None]
            rows.append(next_row + np.array(places))
        next_row += len(lines)
    every = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return Table(frames.without_parents(_concatenated(parts)), every, source, bad_rows=tuple(bad_rows))


def read_json(text: str, *, source: str, key: str = "") -> Table:
    """A document: a list of objects, or one under a key; an object of lists; what pandas writes, in any `orient`.

    key: the list that a person chose, "" for none. Raises UserError.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: cannot be read as JSON ({shorten(error, 120)}).") from error
    notes: tuple[str, ...] = ()
    if not key and squad.is_squad(data):
        return squad.read_squad(data, source=source)
    if isinstance(data, Mapping) and (found := _lists_of_objects(data)):
        if key and key not in found:
            hint = nearest(key, found) or f" It has {shorten(', '.join(found), 200)}."
            raise UserError(f"{source}: there is no list of objects under '{shorten(key)}'.{hint}")
        if not key and len(found) > 1:
            raise UserError(
                f"{source}: there are {len(found)} lists of objects ({shorten(', '.join(found), 200)}). "
                f"Choose one, such as '{source}#{next(iter(found))}'."
            )
        name = key or next(iter(found))
        notes = (f"The records stand under '{name}'.",)
        data = found[name]
    elif isinstance(data, Mapping):
        data = _unturned(data)
    data = _with_names(data) if frames.is_list(data) else data
    try:
        table = frames.from_data(data)
    except UserError as error:
        raise UserError(f"{source}: expected a list of objects. {error}") from error
    return replace(table, source=source, notes=notes)


def _with_names(data: Sequence) -> Sequence:
    """A list of equally long lists, of which the first holds names, as a list of objects; others as they are."""
    is_table = bool(data) and all(frames.is_list(row) and len(row) == len(data[0]) for row in data)
    if not is_table or not all(isinstance(cell, str) for cell in data[0]) or len(set(data[0])) < len(data[0]):
        return data
    return [dict(zip(data[0], row, strict=True)) for row in data[1:]]


def _lists_of_objects(data: Mapping, above: str = "", depth: int = 1) -> dict[str, list]:
    """Path of keys -> the list of objects that stands there, without those inside of others."""
    found: dict[str, list] = {}
    for key, value in data.items():
        if frames.is_list(value) and value and all(isinstance(item, Mapping) for item in value):
            found[f"{above}{key}"] = value
        elif isinstance(value, Mapping) and depth < MAX_DEPTH:
            found |= _lists_of_objects(value, f"{above}{key}.", depth + 1)
    return found


def _unturned(data: Mapping) -> Any:
    """pandas' orients `split` (columns and rows), `columns` and `index` (objects in an object) as dicts or lists.

    A lone object of plain values is one record.
    """
    if frames.is_list(data.get("columns")) and frames.is_list(data.get("data")):
        names = [str(name) for name in data["columns"]]
        if all(frames.is_list(row) and len(row) == len(names) for row in data["data"]):
            return [dict(zip(names, row, strict=True)) for row in data["data"]]
    values = list(data.values())
    if values and all(isinstance(value, Mapping) for value in values):
        if all(key.isdecimal() for value in values for key in value):  # {"text": {"0": ..., "1": ...}}
            places = list(dict.fromkeys(key for value in values for key in value))
            return {name: [value.get(place) for place in places] for name, value in data.items()}
        return values  # {"0": {"text": ...}, "1": ...}
    if values and not all(map(frames.is_list, values)):
        return [data]
    return data


def is_one_document(text: str) -> bool:
    """Whether the content of a .json file is one value and not one object per line."""
    begin = text.lstrip()
    if begin.startswith("["):
        return True
    first, _, below = begin.partition("\n")
    item = _object(first)
    return item is None or not below.strip()


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


def _objects(lines: Sequence[str]) -> list[dict | None]:
    """The object of each line, None where there is none. All at once where that works, which is much faster."""
    if not any(MARK in line for line in lines):
        try:
            items = json.loads(f"[{','.join(lines)}]")
        except (ValueError, RecursionError):
            items = []
        if len(items) == len(lines) and all(isinstance(item, dict) for item in items):
            return items
    return [_object(line) for line in lines]


def _object(line: str) -> dict | None:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) and MARK not in line else None
