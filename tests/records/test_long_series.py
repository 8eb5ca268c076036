"""One row per measurement -> one row per series."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.inputs.series import clean as clean_series
from zaowu.records import schema
from zaowu.records.bad_rows import refusal
from zaowu.records.check import clean
from zaowu.records.long_series import gather
from zaowu.records.records import Table


def table(**columns) -> Table:
    frame = pl.DataFrame(columns, strict=False)
    return Table(frame, np.arange(2, frame.height + 2), "long.csv", notes=("read",))


def wards() -> Table:
    """Two patients, their rows mixed; as a CSV file gives them."""
    return table(
        patient=["A", "B", "A", "B", "A"],
        time=["10:00", "10:00", "11:00", "10:30", "13:00"],
        pulse=["70", "80", "71", "", "75"],
        warm=["36.5", "37", "36.6", "37", "36.7"],
        ward=["north", "south", None, "south", "north"],
        age=["61", "70", "61", "70", "61"],
        outcome=["well", "ill", "well", "ill", "well"],
    )


def cells(found: Table, name: str = "series") -> list[dict]:
    return [json.loads(cell) for cell in found.frame.get_column(name)]


def test_series_become_rows_and_what_is_constant_stays():
    found = gather(wards(), series_id="patient", time="time", target=["outcome"])
    assert found.frame.columns == ["patient", "ward", "age", "outcome", "series"]
    assert found.frame.drop("series").rows() == [("A", "north", "61", "well"), ("B", "south", "70", "ill")]
    assert cells(found) == [
        {"times": [0, 3600, 10800], "channels": {"pulse": [70, 71, 75], "warm": [36.5, 36.6, 36.7]}},
        {"times": [0, 1800], "channels": {"pulse": [80, None], "warm": [37, 37]}},
    ]
    assert found.rows.tolist() == [2, 3] and found.names == ("A", "B")
    assert found.notes == ("read", "5 rows are 2 series by 'patient', channels pulse, warm.")
    assert not clean_series(found.frame.get_column("series"), None).problems


def test_a_target_that_changes_is_refused_with_the_series_and_both_values():
    rows = table(s=["A", "B", "B", "A"], x=[1, 2, 3, 4], y=["up", "up", None, "down"])
    with pytest.raises(UserError) as caught:
        gather(rows, series_id="s", time=None, target=["y"])
    assert str(caught.value).startswith(
        "long.csv, column 'y': expected one target for series 'A', got 'up' in row 2 and 'down' in row 5. "
    )
    numeric = table(s=["A", "A"], x=[1, 2], y=[0.5, 0.75])
    with pytest.raises(UserError, match=r"series 'A', got '0.5' in row 2 and '0.75' in row 3"):
        gather(numeric, series_id="s", time=None, target=["y"])


def test_a_target_may_stand_in_some_rows_only():
    rows = table(s=["A", "A", "B", "B"], x=[1, 2, 3, 4], y=[None, "up", None, None])
    assert gather(rows, series_id="s", time=None, target=["y"]).frame.get_column("y").to_list() == ["up", None]


def test_times_out_of_order_are_put_in_order_and_noted():
    rows = table(s=["A", "A", "A", "B", "B"], t=[3, 1, 2, 1, 2], x=[30, 10, 20, 1, 2])
    found = gather(rows, series_id="s", time="t", target=[])
    assert cells(found, "x")[0] == {"times": [0, 1, 2], "channels": {"x": [10, 20, 30]}}
    assert found.rows.tolist() == [2, 5], "of the first measurement in the file, not in time"
    assert "The rows of 1 series were not in the order of their times: put in order." in found.notes


def test_points_at_one_time_are_averaged_and_noted():
    rows = table(s=["A"] * 4, t=[1, 2, 2, 2], x=[1.0, 2.0, 4.0, None], z=[None, None, None, 7.0])
    found = gather(rows, series_id="s", time="t", target=[])
    # z is one value only, so it does not change: it stays a column
    assert found.frame.get_column("z").to_list() == [7.0]
    assert cells(found, "x") == [{"times": [0, 1], "channels": {"x": [1, 3]}}]
    assert "2 rows stand at a time that their series already had: averaged." in found.notes


def test_without_times_the_rows_are_in_order():
    rows = table(s=["A", "B", "A"], x=[3, 9, 1], yes=[True, False, False])
    assert cells(gather(rows, series_id="s", time=None, target=[]))[0] == {"channels": {"x": [3, 1], "yes": [1, 0]}}


def test_what_changes_and_is_no_number_is_left_out_with_a_note():
    rows = table(s=["A", "A"], x=[1, 2], remark=["fine", "late"], codes=[["a"], ["b"]])
    found = gather(rows, series_id="s", time=None, target=[])
    assert found.frame.columns == ["s", "x"]
    assert found.notes[-1].endswith("are no numbers: remark, codes.")


def test_rows_without_id_or_time_are_bad_rows():
    rows = table(s=["A", "A", " ", None, "A"], t=["1", "2", "3", "4", "soon"], x=[1, 2, 3, 4, 5])
    found = gather(rows, series_id="s", time="t", target=[])
    assert [str(bad) for bad in found.bad_rows] == [
        "long.csv, row 4, column 's': expected the id of a series, got nothing",
        "long.csv, row 5, column 's': expected the id of a series, got nothing",
        "long.csv, row 6, column 't': expected a time, got 'soon'",
    ]
    assert cells(found, "x") == [{"times": [0, 1], "channels": {"x": [1, 2]}}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"series_id": "patent", "time": None}, r"no column 'patent' as --series-id says\. Did you mean 'patient'"),
        ({"series_id": "patient", "time": "tiem"}, r"no column 'tiem' as --time says\. Did you mean 'time'"),
        ({"series_id": "time", "time": "time"}, "'time' cannot be both --series-id and --time"),
        ({"series_id": "patient", "time": "time", "target": ["time"]}, "'time' cannot be both --target and --time"),
        ({"series_id": "patient", "time": "ward"}, "expected times .*got 'north' in row 2 and others in 4 more"),
        ({"series_id": "patient", "time": None, "channels": ["x"]}, "expected the channels x, got none of them"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        gather(wards(), **{"target": [], **options})


def test_series_of_one_row_and_series_without_numbers_are_refused():
    with pytest.raises(UserError, match="'s': expected several rows for a series, got another id in each of 3 rows"):
        gather(table(s=["A", "B", "C"], x=[1, 2, 3]), series_id="s", time=None, target=[])
    with pytest.raises(UserError, match="numbers that change within a series, got none beside w, which hold no num"):
        gather(table(s=["A", "A"], x=[1, 1], w=["a", "b"]), series_id="s", time=None, target=[])
    with pytest.raises(UserError, match="expected ids of series, got none"):
        gather(table(s=[None, ""], x=[1, 1]), series_id="s", time=None, target=[])


def test_a_trained_model_names_its_channels_and_finds_them_in_a_single_row():
    rows = table(s=["A", "B", "B"], x=["5", "6", "6"], z=["1", "1", "2"])
    found = gather(rows, series_id="s", time=None, target=[], channels=["x", "more"])
    assert [cell["channels"] for cell in cells(found, "x")] == [{"x": [5]}, {"x": [6, 6]}]
    assert "Left out" in found.notes[-1]


def test_the_new_column_takes_no_name_that_is_taken():
    rows = table(series=["A", "A"], x=[1, 2], z=[3, 4])
    assert gather(rows, series_id="series", time=None, target=[]).frame.columns == ["series", "channels"]


def test_whole_numbers_as_ids_and_dates_as_types_work():
    rows = table(s=[7, 7, 8], t=[date(2024, 1, day) for day in (2, 1, 1)], x=[1.5, 2.5, 3.5])
    found = gather(rows, series_id="s", time="t", target=[])
    assert found.names == ("7", "8") and found.frame.get_column("s").to_list() == [7, 8]
    assert cells(found, "x")[0] == {"times": [0, 86400], "channels": {"x": [2.5, 1.5]}}


def test_errors_speak_of_series_from_then_on():
    rows = table(s=["A", "A", "B", "B"], x=[1, 2, 3, 4], note=["good well"] * 4, y=["up", "up", None, None])
    found = gather(rows, series_id="s", time=None, target=["y"])
    bad = found.bad(1, "y", "expected a label, got nothing")
    assert str(bad) == "long.csv, series 'B', column 'y': expected a label, got nothing"
    assert "1 other row has the same problem ('A')" in str(refusal([bad, found.bad(0, "y", bad.problem)]))
    plain = schema.from_plain(
        [
            {"name": "x", "role": "input", "kind": "text", "reason": ""},
            {"name": "y", "role": "target", "kind": "category", "reason": ""},
        ],
        "here",
    )
    records = clean(found, plain, min_classes=1)
    assert [bad.name for bad in records.skipped] == ["B"] and len(records) == 1


def test_a_hundred_thousand_rows_take_no_loop_over_rows():
    import time

    size = 100_000
    rows = table(s=[k % 1000 for k in range(size)], t=[size - k for k in range(size)], x=[k * 0.5 for k in range(size)])
    start = time.monotonic()
    found = gather(rows, series_id="s", time="t", target=[])
    assert found.frame.height == 1000 and time.monotonic() - start < 10
    assert cells(found, "x")[3]["channels"]["x"][0] == (size - 1000 + 3) * 0.5
