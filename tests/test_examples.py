"""The worked example: runs as the docs say, its numbers are the blocks' own, and its picture says what it shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def test_the_fox_goes_through_both_blocks(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("fox", ROOT / "examples" / "fox.py")
    fox = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fox)
    found = fox.main(tmp_path / "fox.svg")
    said = capsys.readouterr().out
    assert f"written token by token: {' '.join(fox.TARGET)}\n" in said
    for shape in ("(9, 32)", "(10, 32)", "(4, 9, 8)", "(4, 10, 8)", "(4, 10, 9)", "(4, 10, 10)", "(10, 64)"):
        assert shape in said
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "encoder": (4, 9, 9),
        "decoder": (4, 10, 10),
        "cross": (4, 10, 9),
    }
    for weights in found.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert bool((found["decoder"].triu(1) == 0).all()) and bool((found["encoder"] > 0).all())
    picture = (tmp_path / "fox.svg").read_text("utf-8")
    assert all(f">{word}<" in picture for word in (*fox.SOURCE, *fox.TARGET))
