"""`benchmarks/precision.py` on a small model from scratch: a cell for each seed and precision, measured once."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import precision


def test_both_precisions_on_every_seed(news_csv, tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.jsonl"
    flags = ["--rows", "60", "--test-rows", "40", "--seeds", "2", "--epochs", "1", "--base", "none", "--size", "mini"]
    places = ["--data", str(news_csv), "--target", "label", "--out", str(out), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["precision.py", *places, *flags])
    precision.main()
    cells = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {(cell["seed"], cell["precision"]) for cell in cells} == {(s, p) for s in (0, 1) for p in ("fp32", "bf16")}
    assert all(len(cell["right"]) == 40 for cell in cells)
    assert "bf16 minus fp32" in capsys.readouterr().out
    precision.main()
    assert len(out.read_text("utf-8").splitlines()) == 4
