"""`benchmarks/corpus.py` on small corpora: every cell once, and sampled paragraphs that all differ."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import corpus


def test_cells(news, tmp_path, monkeypatch, capsys):
    data, out = tmp_path / "news.txt", tmp_path / "rows.jsonl"
    data.write_text("\n".join(text for text, _ in news), "utf-8")
    monkeypatch.setattr(corpus, "WALKERS", 20)
    monkeypatch.setattr(corpus, "SHARES", (0.5, 1.0))
    places = ["--data", str(data), "--out", str(out), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["corpus.py", *places, "--gb", "0.0004"])
    corpus.main()
    small, large = (json.loads(line) for line in out.read_text("utf-8").splitlines())
    assert 200_000 <= small["bytes"] < 220_000 and 400_000 <= large["bytes"] < 420_000
    assert 1.8 < large["tokens"] / small["tokens"] < 2.2
    assert min(small["read_mb"], small["learn_mb"]) > 20 and large["duplicates"] == 0
    assert "2 times the text takes" in capsys.readouterr().out
    before = out.read_bytes()
    corpus.main()
    assert out.read_bytes() == before


def test_sampled_characters_follow_as_in_the_text():
    given = "甲乙丙。甲乙丁。" * 3
    walk = next(corpus.walks(given, np.random.default_rng(0)))
    text = walk.replace("\n", "")
    assert {text[place : place + 3] for place in range(len(text) - 2)} == {
        "甲乙丙", "乙丙。", "丙。甲", "。甲乙", "甲乙丁", "乙丁。", "丁。甲"
    }  # fmt: skip
    assert len(walk.split("\n\n")) == corpus.PARAGRAPHS
