"""Cells of series: one spelling, what is missing, what is refused; and which columns are series."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from zaowu.inputs.series import clean, guess
from zaowu.inputs.series.cells import MAX_CHANNELS, NoSeries, read, spelt


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[1.50, 2, 3e0]", "[1.5,2,3]"),
        ("1.5 2 3", "[1.5,2,3]"),
        ("1;2;3", "[1,2,3]"),
        ("1|2|3", "[1,2,3]"),
        ("1, 2,3,", "[1,2,3]"),
        ("1,5;2,25", "[1.5,2.25]"),
        ("1,5 2,25", "[1.5,2.25]"),
        ("[1. 2. 3.]", "[1,2,3]"),
        ("(1, 2)", "[1,2]"),
        ("[1, NaN, null, Infinity, -Infinity, 2]", "[1,null,null,null,null,2]"),
        ("1 nan inf NA 2", "[1,null,null,null,2]"),
        ("[1e308, 1]", "[null,1]"),
        ("[[1, 2], [3, null]]", "[[1,2],[3,null]]"),
        ('{"b": [1, 2], "a": [3, 4]}', '{"channels":{"a":[3,4],"b":[1,2]}}'),
        ('{"times": [3, 1, 2], "x": [30, 10, 20]}', '{"channels":{"x":[10,20,30]},"times":[1,2,3]}'),
        ([1.0, float("nan"), None], "[1,null,null]"),
        (np.array([[1.0, 2.0]]), "[[1,2]]"),
        (7, "[7]"),
        ("", None),
        ("[]", None),
        ("nan", None),
        ("[null, NaN]", None),
    ],
)
def test_a_cell_has_one_spelling(cell, expected):
    assert spelt(cell) == expected
    if expected is not None:
        assert spelt(expected) == expected, "what was cleaned once stays as it is"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("ten 1 2", "'ten' among them"),
        ("[1, [2]]", "expected a series of numbers, got int"),
        ('["a"]', "got 'a' among them"),
        ("[[1, 2], [3]]", "channels of one length, got 1 and 2"),
        ('{"a": [1], "b": [1, 2]}', "channels of one length"),
        ('{"times": [1], "x": [1, 2]}', "a time for each of 2 points, got 1 times"),
        ('{"times": [1, null], "x": [1, 2]}', "got one without"),
        ('{"channels": {"x": [1]}, "more": [2]}', "'more' beside them"),
        ('{"a": [1', "which is no JSON"),
        ("[[1, 2", "which is no JSON"),
        ('{"a": 1}', "got int"),
        (json.dumps({f"c{k}": [k] for k in range(MAX_CHANNELS + 1)}), "at most 256 channels, got 257"),
    ],
)
def test_what_is_no_series_is_said_in_words(cell, said):
    with pytest.raises(NoSeries, match=r"^expected ") as caught:
        spelt(cell)
    assert said in str(caught.value)


def test_a_column_is_cleaned_and_its_problems_are_named_by_row():
    cleaned = clean(pl.Series("s", ["1 2", None, "x y", " [ 1 , 2.0 ] "]), None)
    assert cleaned.values.to_list() == ["[1,2]", None, None, "[1,2]"]
    assert cleaned.contents[0] == cleaned.contents[3], "equal series have equal contents"
    assert list(cleaned.problems) == [2] and "'x'" in cleaned.problems[2]


def test_nested_columns_are_read_whatever_their_types():
    lists = pl.Series("s", [[1, 2], None, []], dtype=pl.List(pl.Int32))
    assert clean(lists, None).values.to_list() == ["[1,2]", None, None]
    arrays = pl.Series("s", [[[1.0, 2.0], [3.0, 4.0]]], dtype=pl.Array(pl.Float32, (2, 2)))
    assert clean(arrays, None).values.to_list() == ["[[1,2],[3,4]]"]
    assert list(clean(pl.Series("s", [b"1"], dtype=pl.Binary), None).problems) == [0]


def test_what_was_cleaned_is_read_as_arrays():
    points = read(spelt('{"times": [2, 1], "b": [1, null], "a": [3, 4]}'))
    assert points.names == ("a", "b")
    np.testing.assert_array_equal(points.values, [[4, 3], [np.nan, 1]])
    np.testing.assert_array_equal(points.times, [1, 2])
    assert read("[1,null]").values.shape == (1, 2) and read("[[1,2],[3,4],[5,6]]").values.shape == (3, 2)


@pytest.mark.parametrize(
    "cells",
    [
        ["[1, 2, 3]", "[4, 5, 6, 7]"],
        ["1.5 2 3.25", "0.5 1 2"],
        ["1 2 3 4 5 6 7 8", "8 7 6 5 4 3 2 1 0"],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        [[[1, 2, 3] * 4, [4, 5, 6] * 4]] * 3,
        ['{"x": [1, 2, 3], "times": [0, 2, 9]}'] * 3,
        ["[1, 2, 3]"] * 39 + ["broken"],
    ],
    ids=str,
)
def test_series_are_known(cells):
    assert "series" in (guess(pl.Series("s", cells)) or "")


@pytest.mark.parametrize(
    "cells",
    [
        ["138 0013 8000", "139 1234 5678"],
        ["1,234,567", "2,345,678"],
        ["1 234 567", "2 345 678"],
        ["2024-01-01 10:20", "2024-01-02 11:30"],
        ["01.03.2024 10.15", "02.03.2024 11.15"],
        ["192.168.0.1", "10.0.0.1"],
        ["31.23, 121.47", "39.90, 116.40"],
        ["12 34 5", "7 8"],
        ['["a", "b"]', '["c"]'],
        ["version 1.2 3 4 5 6 7 8 9", "version 2.0 3 4 5 6 7 8 9"],
        [1.5, 2.5],
        [["a"], ["b"]],
        [[[0, 1] * 14] * 28] * 3,
        [[[[1, 2], [3, 4]]]],
        ["[1, 2, 3]", "some words"],
        ["[1, 2]", "[3, 4]"],
        [True, False],
    ],
    ids=str,
)
def test_other_numbers_in_a_row_are_no_series(cells):
    assert guess(pl.Series("s", cells)) is None
