"""`benchmarks/generate.py` on a tiny shape: both parts run, keep their cells, and the numbers are theirs."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import generate
import torch
from shared.measure import Rows


def run(monkeypatch, out: Path, *flags: str) -> list[dict]:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--shape", "tiny", "--out", str(out), *flags])
    generate.main()
    return Rows(out).read()


def test_speed(monkeypatch, tmp_path):
    flags = ("--part", "speed", "--rounds", "1", "--tokens", "6", "--cells", "one text", "eight texts, four beams")
    found = run(monkeypatch, tmp_path / "rows.jsonl", *flags)
    assert [row["cell"] for row in found] == ["one text", "eight texts, four beams"]
    for row in found:
        assert set(row["tokens/s"]) == {"theirs fp32", "theirs bf16", "ours fp32", "ours bf16"}
        assert min(row["tokens/s"].values()) > 0


def test_numbers_are_theirs(monkeypatch, tmp_path):
    logits, tokens = run(monkeypatch, tmp_path / "rows.jsonl", "--part", "equal", "--steps", "20")
    assert logits["largest difference"] < 1e-4
    assert tokens["texts"] == tokens["equal, greedy"] == tokens["equal, beams"] == 50


@pytest.mark.parametrize(("num", "beams"), [(1, 1), (3, 1), (2, 4)])
def test_both_sides_write_as_many_tokens(num, beams, tmp_path):
    theirs, ours = generate.models(tmp_path, "tiny")
    ids = torch.randint(5, 200, (num, 7), generator=torch.Generator().manual_seed(1))
    texts = generate.write_ours(ours["fp32"], ids, beams, 9)
    assert [len(text) for text in texts] == [9] * num
    assert [len(text) for text in generate.write_theirs(theirs, ids, beams, 9)] == [9] * num
