"""Whether a column is one of series. Strict: codes, dates, phone numbers and lists of tags are numbers in a row too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from zaowu.inputs.series.cells import NoSeries, parts, read, spelt
from zaowu.inputs.series.layout import TIMES_LONGER, is_by_points
from zaowu.records import numbers

NUM_SAMPLED = 1000
MANY_CHANNELS = 16  # more lists than these, and as long as they are many: rather a picture
SHORTEST, SHORTEST_PLAIN = 3, 8  # median points: of a list, and of whole numbers with mere spaces or commas between


def guess(values: pl.Series) -> str | None:
    """Lists of numbers, nested or written; most cells hold several, and nearly all can be read."""
    sample = values.drop_nulls().head(NUM_SAMPLED)
    if values.dtype == pl.String:
        sample = sample.filter(sample.str.strip_chars() != "")
        if sample.is_empty() or not _may_be(sample):
            return None
    elif not _is_nested_number(values.dtype) or sample.is_empty():
        return None
    shapes, timed = [], 0
    for cell in sample.to_list():
        try:
            found = spelt(cell)
        except NoSeries:
            continue
        if found is not None:
            points = read(found)
            timed += points.times is not None
            shapes.append((*points.values.shape, points.names is not None))
    if len(shapes) < 0.95 * len(sample):
        return None
    lists = [shape[:2] for shape in shapes if not shape[2]]
    by_points = len(lists) == len(shapes) and is_by_points(lists)
    lengths = [shape[0 if by_points else 1] for shape in shapes]
    channels = [shape[1 if by_points else 0] for shape in shapes]
    median = float(np.median(lengths))
    if median < SHORTEST or (len(lists) == len(shapes) and len(set(channels)) > 1):
        return None
    if max(channels) > MANY_CHANNELS and len(lists) and median < TIMES_LONGER * max(channels):
        return None
    if len(lists) and max(channels) > 1 and len(set(lists)) == 1 and median < TIMES_LONGER * max(channels):
        return None  # every list as wide and as high: rather a picture
    what = "series of numbers" if max(channels) == 1 else f"series of {max(channels)} channels"
    return f"{what}, {median:.0f} points in the median{', with times' if timed else ''}"


def _is_nested_number(dtype: Any) -> bool:
    depth = 0
    while isinstance(dtype, (pl.List, pl.Array)):
        dtype, depth = dtype.inner, depth + 1
    return depth in (1, 2) and dtype.is_numeric()


def _may_be(sample: pl.Series) -> bool:
    """Whether strings look like lists: in brackets or braces, or enough numbers that are no codes."""
    bracketed = float(sample.str.contains(r"^\s*[\[{(]").mean() or 0)  # type: ignore[arg-type]
    if bracketed >= 0.95:
        return True
    if float(sample.str.contains(r"\p{L}{4,}").mean() or 0) > 0.05 or numbers.share(sample) > 0.5:  # type: ignore[arg-type]
        return False
    counts = [len(pieces) for pieces in map(parts, sample.str.strip_chars().to_list())]
    return float(np.median(counts)) >= (SHORTEST if _has_decimals(sample.to_list()) else SHORTEST_PLAIN)


def _has_decimals(cells: Sequence[str]) -> bool:
    """Whether most cells hold a number with decimals: 1.5 2 3.25, which neither codes nor dates do."""
    found = 0
    for cell in cells:
        pieces = [piece.strip() for piece in parts(cell.strip())]
        found += any(piece.count(".") == 1 and not piece.endswith(".") for piece in pieces)
    return found > 0.5 * len(cells)
