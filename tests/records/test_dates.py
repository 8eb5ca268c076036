"""Dates as people write them, several ways in one column."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from zaowu.records import dates


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01",
        "2024/3/1",
        "2024.3.1",
        "01.03.2024",
        "1.3.24",
        "01-03-2024",
        "2024年3月1日",
        "2024 年 3 月 1 日",
        "2024年3月",
        "2024-03",
        "20240301",
        "２０２４/３/１",
        "1 March 2024",
        "1st Mar. 2024",
        "March 1, 2024",
        "Fri, 1 Mar 2024",
        "星期五 2024-3-1",
        " 2024-03-01 ",
        "2024-03-01 00:00:00",
        "2024-03-01T00:00:00.000Z",
    ],
)
def test_the_first_of_march(text):
    assert dates.parse(pl.Series([text]))[0] == datetime(2024, 3, 1)


@pytest.mark.parametrize(
    ("text", "hour", "minute", "second"),
    [
        ("2024-03-01T10:20:30", 10, 20, 30),
        ("2024-03-01 10:20", 10, 20, 0),
        ("2024/3/1 10:20:30.75", 10, 20, 30),
        ("01.03.2024 22:05", 22, 5, 0),
        ("2024-03-01T23:30:00+08:00", 23, 30, 0),  # as it was written
        ("2024年3月1日 下午3时20分", 15, 20, 0),
        ("2024年3月1日10时", 10, 0, 0),
        ("3/1/2024, 9:05 PM", 21, 5, 0),
        ("3/1/2024 12:05 AM", 0, 5, 0),
    ],
)
def test_with_a_time(text, hour, minute, second):
    assert dates.parse(pl.Series([text]))[0] == datetime(2024, 3, 1, hour, minute, second)


@pytest.mark.parametrize(
    "text",
    """|2024|2024-13-01|2024-02-30|32.01.2024|1.2.3|12:30|3.14|abc|2024-03-01x|0-0-0|2024-03-01 25:00|2024-03-01 10:75
9999-12-31 24:00|0000-01-01|12 Foo 2024|123456789""".replace("\n", "|").split("|"),
)
def test_what_is_no_date(text):
    assert dates.parse(pl.Series([text]))[0] is None


def test_what_a_slash_means_is_judged_by_the_column():
    early = ["3/1/2024", "2/5/2024"]
    assert dates.parse(pl.Series(early)).to_list() == [datetime(2024, 3, 1), datetime(2024, 2, 5)]
    with_late = pl.Series([*early, "31/12/2024"])
    assert dates.has_day_first(with_late)
    assert dates.parse(with_late).to_list() == [datetime(2024, 1, 3), datetime(2024, 5, 2), datetime(2024, 12, 31)]
    assert not dates.has_day_first(pl.Series([*early, "12/31/2024"]))
    assert dates.parse(pl.Series(["3/1/2024"]), day_first=True)[0] == datetime(2024, 1, 3)
    # Another than the column's way is read where only it makes sense.
    assert dates.parse(pl.Series(["12/31/2024"]), day_first=True)[0] == datetime(2024, 12, 31)


def test_three_ways_in_one_column_keep_their_rows():
    column = pl.Series("d", ["2024-03-02", None, "03.03.2024", "nothing", "2024年3月4日", "2024-03-02"])
    days = [None if day is None else day.day for day in dates.parse(column).to_list()]
    assert days == [2, None, 3, None, 4, 2]
    assert dates.parse(column).name == "d"
    assert dates.share(column) == pytest.approx(4 / 5)


def test_columns_with_types():
    day, moment = date(2024, 3, 1), datetime(2024, 3, 1, 10)
    assert dates.parse(pl.Series([day, None])).to_list() == [datetime(2024, 3, 1), None]
    zoned = pl.Series([moment]).dt.replace_time_zone("Asia/Shanghai")
    assert dates.parse(zoned)[0] == moment
    assert dates.parse(pl.Series([1, 2])).to_list() == [None, None]
    assert dates.parse(pl.Series([], dtype=pl.String)).len() == 0
    assert dates.share(pl.Series(["", None], dtype=pl.String)) == 0
