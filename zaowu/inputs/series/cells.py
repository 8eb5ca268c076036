"""Series as they stand in a cell -> one spelling of them, and that spelling -> arrays.

A cell may hold [1, 2, null], several channels ([[...], [...]] or {"a": [...], "b": [...]}), a nested list, the same
with times ({"times": [...], "channels": {...}}), or numbers with something between them: 1.5 2 3, 1;2;3, 1|2|3.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import shorten
from zaowu.records.records import Cleaned

MAX_CHANNELS = 256
LARGEST = 1e30  # what is beyond, of either sign, is no measurement and would not fit the trunk's numbers
TIMES, CHANNELS = "times", "channels"
MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "nil", "-", "?", "缺失", "无"))
INFINITE = frozenset(sign + word for sign in ("", "+", "-") for word in ("inf", "infinity"))
_SEPARATORS = (";", "；", "|", "\t", "，")
_DECIMAL_COMMAS = re.compile(r"[^\s,]+,\d+(\s+[^\s,]+(,\d+)?)+")
_EXPECTED = "expected a series of numbers"


class NoSeries(ValueError):
    """Why a cell is no series, in the words of a bad row's problem."""


@dataclass(frozen=True)
class Points:
    """One series. values: (C, n) float64, NaN where missing; times: (n,) float64, ascending, or None.

    names: of the channels where they have such.
    """

    values: np.ndarray
    times: np.ndarray | None = None
    names: tuple[str, ...] | None = None


def clean(values: pl.Series, folder: Path | None = None) -> Cleaned:
    """Every cell as JSON in one spelling, so that equal series are equal strings; null where nothing is given.

    A point that is null, NaN or infinite is a missing point; a cell in which all are is missing itself. What is no
    series becomes a problem. folder: of the table; a series lies in no file.
    """
    found: list[str | None] = []
    problems: dict[int, str] = {}
    for row, cell in enumerate(_cells(values)):
        try:
            found.append(None if cell is None else spelt(cell))
        except NoSeries as problem:
            found.append(None)
            problems[row] = str(problem)
    return Cleaned(pl.Series(values.name, found, pl.String), found, problems)


def _cells(values: pl.Series) -> list[Any]:
    if values.dtype == pl.Binary:  # no series, but a sentence that says so
        return [None if value is None else "bytes" for value in values.to_list()]
    if isinstance(values.dtype, pl.Array):
        return [None if value is None else np.asarray(value).tolist() for value in values.to_list()]
    return values.to_list()


def spelt(cell: Any) -> str | None:
    """One cell in the one spelling, or None where it holds no point. Raises NoSeries."""
    if isinstance(cell, str):
        cell = _from_text(cell)
    elif isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if cell is None:
        return None
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        cell = [cell]
    if isinstance(cell, Mapping):
        return _spelt_object(cell)
    if not isinstance(cell, Sequence):
        raise NoSeries(f"{_EXPECTED}, got {_shown(cell)}")
    if any(isinstance(item, (Sequence, np.ndarray)) and not isinstance(item, str) for item in cell):
        channels = [_numbers(item) for item in cell]
        _check_lengths(channels)
        return None if _nothing(channels) else _dumped(channels)
    points = _numbers(cell)
    return None if _nothing([points]) else _dumped(points)


def _spelt_object(cell: Mapping[str, Any]) -> str | None:
    inner = cell.get(CHANNELS)
    if isinstance(inner, Mapping):
        if unknown := set(cell) - {CHANNELS, TIMES}:
            raise NoSeries(f"expected channels and times, got '{shorten(sorted(unknown)[0], 30)}' beside them")
    else:
        inner = {name: value for name, value in cell.items() if name != TIMES}
    channels = {str(name): _numbers(value) for name, value in inner.items()}
    if len(channels) > MAX_CHANNELS:
        raise NoSeries(f"expected at most {MAX_CHANNELS} channels, got {len(channels):,}")
    _check_lengths(list(channels.values()))
    plain: dict[str, Any] = {CHANNELS: dict(sorted(channels.items()))}
    if cell.get(TIMES) is not None:
        times = _numbers(cell[TIMES])
        if channels and len(times) != len(next(iter(channels.values()))):
            size = len(next(iter(channels.values())))
            raise NoSeries(f"expected a time for each of {size:,} points, got {len(times):,} times")
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            raise NoSeries("expected a time for each point, got one without")
        order = sorted(range(len(known)), key=known.__getitem__)
        plain[CHANNELS] = {name: [points[i] for i in order] for name, points in plain[CHANNELS].items()}
        plain[TIMES] = [known[i] for i in order]
    return None if _nothing(list(channels.values())) else _dumped(plain)


def _numbers(values: Any) -> list[float | int | None]:
    """One channel; None for a missing point. Raises NoSeries for what is no number."""
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise NoSeries(f"{_EXPECTED}, got {_shown(values)}")
    try:
        points = np.array(values, np.float64)  # None becomes NaN; words other than nan and inf need a closer look
    except (ValueError, TypeError, OverflowError):
        return [_number(value) for value in values]
    if points.ndim != 1:
        return [_number(value) for value in values]
    whole = (points == np.floor(points)) & (np.abs(points) < 2**53)
    plain = points.astype(object)
    plain[whole] = points[whole].astype(np.int64).astype(object)
    plain[~(np.abs(points) < LARGEST)] = None  # NaN is below nothing
    return plain.tolist()


def _number(value: Any) -> float | int | None:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in MISSING or word in INFINITE:
            return None
        try:
            value = float(word)
        except ValueError:
            raise NoSeries(f"{_EXPECTED}, got '{shorten(value, 30)}' among them") from None
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, (int, float)):
        raise NoSeries(f"{_EXPECTED}, got {_shown(value)} among them")
    if not -LARGEST < value < LARGEST:  # NaN is in no interval
        return None
    return int(value) if value == math.floor(value) and abs(value) < 2**53 else float(value)


def _check_lengths(channels: Sequence[Sequence[Any]]) -> None:
    sizes = {len(channel) for channel in channels}
    if len(sizes) > 1:
        raise NoSeries(f"expected channels of one length, got {' and '.join(f'{n:,}' for n in sorted(sizes)[:2])}")


def _nothing(channels: Sequence[Sequence[Any]]) -> bool:
    return all(value is None for channel in channels for value in channel)


def _dumped(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _shown(value: Any) -> str:
    return f"'{shorten(value, 30)}'" if isinstance(value, str) else type(value).__name__


def _from_text(text: str) -> Any:
    """What a string stands for: JSON, or its parts; None for nothing at all. Raises NoSeries."""
    text = text.strip()
    if text.lower() in MISSING:
        return None
    if text[0] in "[{":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            inner = text[1:-1]
            if text[0] == "{" or text[-1] != "]" or "[" in inner:
                raise NoSeries(f"{_EXPECTED}, got '{shorten(text, 30)}', which is no JSON") from None
            text = inner.strip()  # as numpy prints them: [1. 2. 3.]
    elif text[0] == "(" and text[-1] == ")":
        text = text[1:-1].strip()
    return parts(text)


def parts(text: str) -> list[str]:
    """`1.5 2 3`, `1;2;3`, `1,5;2,5` or `1,5 2,5` as the numbers' own strings."""
    for separator in _SEPARATORS:
        if separator in text:
            pieces = text.split(separator)
            if separator != "，" and any("," in piece for piece in pieces):
                pieces = [piece.strip().replace(",", ".") for piece in pieces]
            return pieces
    if _DECIMAL_COMMAS.fullmatch(text):
        return text.replace(",", ".").split()
    if "," in text:
        return text.removesuffix(",").split(",")
    return re.split(r"\s+", text)


def read(cell: str) -> Points:
    """The arrays of a cell as `clean` spelt it."""
    plain = json.loads(cell)
    if isinstance(plain, dict):
        names = tuple(plain[CHANNELS])
        times = plain.get(TIMES)
        values = _array([plain[CHANNELS][name] for name in names])
        return Points(values, None if times is None else np.array(times, np.float64), names)
    return Points(_array(plain if plain and isinstance(plain[0], list) else [plain]))


def _array(channels: list[list[float | None]]) -> np.ndarray:
    return np.array(channels, np.float64)  # None becomes NaN
