"""The benchmark of many files: its cells run at a tiny size, and its figures are what they are called."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import files


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SIZES", {**files.SIZES, "hidden_size": 24, "num_hidden_layers": 2})
    more = ["--files", "40", "--images", "40", "--steps", "8", "--threads", "1", "--precision", "fp32"]
    return files.arguments([*more, "--work", str(tmp_path)])


@pytest.mark.parametrize("cell", list(files.CELLS))
def test_every_cell_tells_its_figures(cell, small, capsys):
    found = files.CELLS[cell](small)
    assert json.loads(json.dumps(found)) == found and found["mb"] > 20
    if cell == "ours":
        assert 0 < found["loading"] < 1 and found["ms"] > 0
    folder = files.folder_of(small.work, 40, files.SMALL)
    if cell not in ("ours", "trainer"):
        assert len(list(folder.rglob("*.png"))) == 40


def test_the_report_holds_the_pace_against_what_is_asked(small, capsys, tmp_path):
    out = files.Rows(tmp_path / "rows.jsonl")
    for cell in files.MEMORY:
        out.append({"cell": cell, "files": 40, "mb": 100.0})
    for ours, code in ((10.0, 0), (14.0, 1)):
        for cell, ms in (("ours", ours), ("trainer", 15.0)):
            out.append({"cell": cell, "steps": 8, "ms": ms, "loading": 0.05})
        assert files.report(out, small) == code
        out.path.write_text("".join(f"{line}\n" for line in out.path.read_text().splitlines()[:3]))
    said = capsys.readouterr().out
    assert "1.50x (asked 1.3x)" in said and "1.07x" in said and "5.0% of a step" in said
