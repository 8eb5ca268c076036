"""Numbers as people write them: every value here was worked out by hand."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from zaowu.records.numbers import has_decimal_comma, parse, share

VALUES = {
    "12": 12,
    " 7 ": 7,
    "-1.5e3": -1500,
    "1,200": 1200,
    "1,234,567.5": 1234567.5,
    "12,34,567": 1234567,  # as India groups
    "1.234.567,5": 1234567.5,
    "1,5": 1.5,
    "1.234": 1.234,
    "1 234 567,8": 1234567.8,
    "1\u202f234": 1234,
    "1'234.5": 1234.5,
    "１２": 12,
    "１，２００．５": 1200.5,
    "12%": 0.12,
    "１２．５％": 0.125,
    "5‰": 0.005,
    "￥1,200元": 1200,
    "人民币 300": 300,
    "$-5": -5,
    "-$5": -5,
    "−5": -5,
    "(300)": -300,
    "（1,200）": -1200,
    "($1,200.50)": -1200.5,
    "30 欧元": 30,
    "USD 30": 30,
    "1.2万": 12000,
    "1.1万": 11000,  # 1.1 * 10000 is not
    "3亿": 3e8,
    "3億": 3e8,
    "2.5千": 2500,
    "3百万": 3e6,
    "2万亿": 2e12,
    "1.5万元": 15000,
}
NO_NUMBERS = ["abc", "", " ", "5²", "①", "1.2.3", "2021-01-05", "--5", "-(5)", "(5", "万", "12 34", "1,234,56"]
NO_NUMBERS += ["inf", "nan", "35岁", "1-2", "0x10", "1_000", "第3名", "³", "½"]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_by_itself(value):
    assert parse(pl.Series("n", [value, None])).to_list() == [VALUES[value], None]


def test_values_together_are_as_they_are_alone():
    rows = [value for value in VALUES if value not in ("1,5", "1.234.567,5")]  # which would speak for the column
    numbers = parse(pl.Series("n", rows + NO_NUMBERS))
    assert numbers.to_list() == [VALUES[value] for value in rows] + [None] * len(NO_NUMBERS)
    assert (numbers.name, numbers.dtype) == ("n", pl.Float64)


def test_what_is_no_number_is_null():
    assert parse(pl.Series(NO_NUMBERS)).to_list() == [None] * len(NO_NUMBERS)


def test_the_column_says_what_a_comma_is():
    european = pl.Series(["1.234,5", "1.234", "1,234", "2,5", "7"])
    assert has_decimal_comma(european)
    assert parse(european).to_list() == [1234.5, 1234, 1.234, 2.5, 7]
    assert parse(european.gather([1, 2])).to_list() == [1.234, 1234]  # without the others
    assert parse(european.gather([1, 2]), decimal_comma=True).to_list() == [1234, 1.234]
    mixed = pl.Series(["1,234", "2,5", "2.5"])
    assert not has_decimal_comma(mixed)
    assert parse(mixed).to_list() == [1234, 2.5, 2.5]


def test_typed_columns():
    assert parse(pl.Series([1, None, 3])).to_list() == [1, None, 3]
    assert parse(pl.Series([1.5, float("nan"), float("inf")])).to_list() == [1.5, None, None]
    assert parse(pl.Series(["1万"], dtype=pl.Categorical)).to_list() == [10000]
    for values in ([True, False], [date(2020, 1, 1)] * 2, [[1], [2]]):
        assert parse(pl.Series(values)).to_list() == [None, None]
    assert parse(pl.Series([], dtype=pl.String)).dtype == pl.Float64


def test_the_share_of_numbers():
    assert share(pl.Series(["1", "1.2万", "x", "y", None, " "])) == 0.5
    assert share(pl.Series([None, ""], dtype=pl.String)) == 0
    assert share(pl.Series([1.0, float("nan")])) == 1
    assert share(pl.Series([True])) == 0
