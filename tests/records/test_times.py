"""Times as they are written -> seconds, against the standard library's own."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from zaowu.records import times


def seconds(*given: int) -> float:
    return datetime(*given, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01 10:20:30", seconds(2024, 3, 1, 10, 20, 30)),
        ("2024-03-01T10:20", seconds(2024, 3, 1, 10, 20)),
        ("2024-03-01T10:20:30.25", seconds(2024, 3, 1, 10, 20, 30) + 0.25),
        ("2024-03-01T10:20:30Z", seconds(2024, 3, 1, 10, 20, 30)),
        ("2024-03-01T10:20:30+08:00", seconds(2024, 3, 1, 2, 20, 30)),
        ("2024-03-01 10:20:30 -0530", seconds(2024, 3, 1, 15, 50, 30)),
        ("2024-03-01", seconds(2024, 3, 1)),
        ("2024/3/1 10:20", seconds(2024, 3, 1, 10, 20)),
        ("01.03.2024", seconds(2024, 3, 1)),
        ("2024年3月1日", seconds(2024, 3, 1)),
        ("20240301", seconds(2024, 3, 1)),
        ("08:05", 8 * 3600 + 5 * 60),
        ("26:00:01.5", 26 * 3600 + 1.5),
        ("12.5", 12.5),
        ("1,200", 1200.0),
        ("noon", None),
        ("", None),
        ("2024-13-45", None),
    ],
)
def test_a_time_is_read(text, expected):
    assert times.parse(pl.Series("t", [text])).to_list() == [expected]


def test_one_column_may_mix_them_and_keeps_its_name():
    found = times.parse(pl.Series("t", ["2024-03-01", None, "2024-03-01 00:00:01", "x", "1 March 2024"]))
    day = seconds(2024, 3, 1)
    assert found.name == "t" and found.to_list() == [day, None, day + 1, None, day]


def test_columns_with_types_keep_their_distances():
    assert times.parse(pl.Series([3, 1])).to_list() == [3, 1]
    assert times.parse(pl.Series([float("nan"), 1.5])).to_list() == [None, 1.5]
    assert times.parse(pl.Series([date(1970, 1, 2)])).to_list() == [86400]
    assert times.parse(pl.Series([datetime(1970, 1, 1, 0, 0, 1, 500_000)])).to_list() == [1.5]
    assert times.parse(pl.Series([datetime(1970, 1, 1, tzinfo=UTC)])).to_list() == [0]
    assert times.parse(pl.Series([timedelta(minutes=2)])).to_list() == [120]
    assert times.parse(pl.Series([time(1, 0, 1)])).to_list() == [3601]
    assert times.parse(pl.Series([[1]])).to_list() == [None]
