"""Dates as people write them: 2024-03-01, 2024/3/1 10:20, 01.03.2024, 3/1/2024, 2024年3月1日, 1 March 2024 -> Datetime.

One column may mix them. What 3/1/2024 means is judged by the column, as with the decimal comma of numbers. A time
zone is dropped, not applied: the hour that was written is the one that people lived by.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

import polars as pl

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST = re.compile(r"(\d{4}) ?[-/.年] ?(\d{1,2})(?: ?[-/.月] ?(\d{1,2})(?: ?[日号]|(?!\d))| ?月|(?!\d))")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?!\d)")
_DAY_NAME = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?\.?[ -]([a-z]{3,9})\.?,?[ -](\d{4})(?!\d)")
_NAME_DAY = re.compile(r"([a-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})(?!\d)")
_TIME = re.compile(
    r"(?P<noon>上午|下午)? ?(?P<hour>\d{1,2})[:时](?P<minute>\d{1,2})?(?:[:分](?P<second>\d{1,2})?(?:[.,]\d+)?)?秒?分?"
    r" ?(?P<half>am|pm)? ?(?:z|utc|gmt|[-+]\d{2}:?\d{2})?"
)
_WEEKDAY = re.compile(r"^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? |(?:星期|周)[一二三四五六日天] ?)")
_SLASHED = re.compile(r"^(\d{1,2})/(\d{1,2})/\d{2,4}(?!\d)")
MAX_CHARACTERS = 60
PIVOT = 69  # a year of two digits from here on is 19xx, as POSIX has it


def parse(series: pl.Series, *, day_first: bool | None = None) -> pl.Series:
    """Every value as Datetime in microseconds; null where it is empty or no date.

    day_first: whether 3/1/2024 is the third of January; None asks the column (`has_day_first`). With points or
    hyphens the day always comes first, unless that cannot be.
    """
    if series.dtype in (pl.Date, pl.Datetime):
        wall = series.dt.replace_time_zone(None) if isinstance(series.dtype, pl.Datetime) else series
        return wall.cast(pl.Datetime("us"))
    if series.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return pl.Series(series.name, [None], pl.Datetime("us")).new_from_index(0, len(series))
    values = series.cast(pl.String)
    if day_first is None:
        day_first = has_day_first(values)
    different = values.drop_nulls().unique()
    found = pl.Series("date", [_read(text, day_first) for text in different.to_list()], pl.Datetime("us"))
    table = pl.DataFrame({"value": different, "date": found})
    joined = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    return joined.get_column("date").alias(series.name)


def share(series: pl.Series) -> float:
    """The share of the values that are not empty which are dates; 0 where all are empty."""
    total = int((series.str.strip_chars() != "").sum()) if series.dtype == pl.String else series.count()
    return parse(series).count() / total if total else 0.0


def has_day_first(series: pl.Series) -> bool:
    """Whether a column of strings writes 31/12/2024: some values only make sense so, and more than the other way."""
    slashed = [match for text in series.drop_nulls().unique().to_list() if (match := _SLASHED.match(_plain(text)))]
    days = sum(int(match[1]) > 12 for match in slashed)
    return days > sum(int(match[2]) > 12 for match in slashed)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).lower().split())


def _read(text: str, day_first: bool) -> datetime | None:
    text = _WEEKDAY.sub("", _plain(text))
    for day, end in _days(text, day_first):
        rest = text[end:].lstrip("t, ")
        time = _time(rest) if rest else timedelta()
        if time is not None and day.year < 9999:  # whose last hours may end in no year at all
            return day + time
    return None


def _days(text: str, day_first: bool) -> list[tuple[datetime, int]]:
    """The days that the beginning of `text` may stand for, the likeliest first, each with where it ends."""
    found: list[tuple[int, int, int, int]] = []
    if match := _YEAR_FIRST.match(text):
        found.append((int(match[1]), int(match[2]), int(match[3] or 1), match.end()))
    elif match := _YEAR_LAST.match(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        year += (1900 if year >= PIVOT else 2000) if len(match[4]) == 2 else 0
        either = [(year, second, first, match.end()), (year, first, second, match.end())]
        found += either if day_first or match[2] != "/" else either[::-1]
    elif match := _COMPACT.match(text):
        found.append((int(match[1]), int(match[2]), int(match[3]), match.end()))
    elif match := _DAY_NAME.match(text):
        found.append((int(match[3]), _month(match[2]), int(match[1]), match.end()))
    elif match := _NAME_DAY.match(text):
        found.append((int(match[3]), _month(match[1]), int(match[2]), match.end()))
    days = []
    for year, month, day, end in found:
        try:
            days.append((datetime(year, month, day), end))
        except ValueError:  # there is no such day
            continue
    return days


def _month(name: str) -> int:
    return _MONTHS.index(name[:3]) + 1 if name[:3] in _MONTHS else 0


def _time(text: str) -> timedelta | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    if match["half"] or match["noon"]:
        hour = hour % 12 + 12 * (match["half"] == "pm" or match["noon"] == "下午")
    if hour > 24 or minute > 59 or second > 60:
        return None
    return timedelta(hours=hour, minutes=minute, seconds=second)
