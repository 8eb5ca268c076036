"""What is counted of one column before anything is judged."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from zaowu.records import numbers

NUM_SAMPLED = 5000  # values that decide a column's kind


@dataclass(frozen=True)
class Facts:
    """What is counted of one column: its values that are not empty, how many of them are different, and the first few.

    sample: stripped strings.
    """

    series: pl.Series
    total: int
    different: int
    sample: pl.Series

    @classmethod
    def of(cls, series: pl.Series) -> Facts:
        values = as_strings(series).drop_nulls().str.strip_chars()
        values = values.filter(values != "")
        return cls(series, len(values), values.n_unique(), values.head(NUM_SAMPLED))

    @property
    def name(self) -> str:
        return self.series.name

    @property
    def telling(self) -> pl.Series:
        """The sample without words for nothing (n/a, -, 无) and infinities, which stand among numbers and dates."""
        return self.sample.filter(~self.sample.str.contains(f"{numbers.NOTHING}|{numbers.INFINITE}"))

    def share(self, pattern: str) -> float:
        """The share of the sample that matches `pattern`."""
        return float(self.sample.str.contains(pattern).mean() or 0)  # type: ignore[arg-type]


def as_strings(series: pl.Series) -> pl.Series:
    """A column as strings, whatever it holds; whole numbers without a decimal point, missing values null."""
    if series.dtype == pl.String:
        return series
    if series.dtype.is_float():
        series = series.fill_nan(None)
        is_whole = (series == series.round()) & (series.abs() < 2**53)
        return series.cast(pl.Int64 if is_whole.fill_null(True).all() else series.dtype).cast(pl.String)
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        plain = series.to_list()
        if series.dtype.is_nested():
            plain = [value if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in plain]
        return pl.Series(series.name, [None if value is None else str(value) for value in plain], pl.String)
    return series.cast(pl.String)
