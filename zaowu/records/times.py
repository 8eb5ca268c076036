"""When something was measured, as people and machines write it -> numbers that can be subtracted."""

from __future__ import annotations

import polars as pl

from zaowu.records import dates, numbers

_STAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?$"
_ZONE = r"\s*([Zz]|[-+]\d{2}:?\d{2})$"
_CLOCK = r"^\d{1,4}:\d{2}(?::\d{2}(?:[.,]\d+)?)?$"
_COMPACT = r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
MOST = 0.95  # of the values: where so many have eight digits that make a date, they are dates


def parse(series: pl.Series) -> pl.Series:
    """Float64, null where there is no time: numbers as they are, dates and clock times in seconds.

    A stamp's fraction of a second counts, and so does its zone, unlike in `dates`: what matters here is the distance
    of two of them.
    """
    name, dtype = series.name, series.dtype
    if dtype.is_numeric():
        return numbers.parse(series)
    if dtype.is_temporal():
        return _temporal(series).alias(name)
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        return pl.Series(name, [None], pl.Float64).new_from_index(0, len(series))
    texts = series.cast(pl.String).str.strip_chars()
    texts = texts.set(texts == "", None)
    if int(texts.str.contains(_COMPACT).sum()) < MOST * texts.count() and numbers.share(texts) > 0.5:
        return numbers.parse(texts).alias(name)
    found = _stamps(texts)
    for reader in (_clock, _dates):
        left = (found.is_null() & texts.is_not_null()).arg_true()
        if len(left):
            found = found.scatter(left, reader(texts.gather(left)))
    return found.alias(name)


def _temporal(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    if series.dtype == pl.Time:
        return series.cast(pl.Int64) / 1e9
    return series.cast(pl.Datetime("us")).cast(pl.Int64) / 1e6  # with a zone: since 1970 in UTC


def _stamps(texts: pl.Series) -> pl.Series:
    """2024-03-01T10:20:30.25+08:00 and its kin."""
    zone = texts.str.extract(_ZONE, 1)
    bare = texts.str.replace(_ZONE, "").str.replace("T", " ", literal=True)
    zone = zone.set(~texts.str.replace(_ZONE, "").str.contains(_STAMP), None)
    bare = bare.set(~bare.str.contains(_STAMP), None)
    bare = pl.select(pl.when(bare.str.len_chars() == 16).then(bare + ":00").otherwise(bare)).to_series()
    stamp = bare.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False).cast(pl.Int64) / 1e6
    sign = pl.select(pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)).to_series()
    hours = zone.str.extract(r"(\d{2}):?\d{2}$", 1).cast(pl.Int64).fill_null(0)
    minutes = zone.str.extract(r"\d{2}:?(\d{2})$", 1).cast(pl.Int64).fill_null(0)
    return stamp - sign * (hours * 3600 + minutes * 60)


def _clock(texts: pl.Series) -> pl.Series:
    """8:05, 08:05:30 and 26:00:00, a time of day or one that has passed."""
    texts = texts.set(~texts.str.contains(_CLOCK), None).str.replace(",", ".", literal=True)
    parts = texts.str.split_exact(":", 2).struct.unnest()
    hours, minutes, seconds = (parts.get_column(name).cast(pl.Float64, strict=False) for name in parts.columns)
    return hours * 3600 + minutes * 60 + seconds.fill_null(0.0)


def _dates(texts: pl.Series) -> pl.Series:
    return dates.parse(texts).cast(pl.Int64) / 1e6
