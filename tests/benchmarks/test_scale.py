"""`benchmarks/scale.py` on small tables: every cell once, a picture, and sampled headlines that all differ."""

import csv
import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import scale
from shared import measure


@pytest.fixture(scope="module")
def headlines(news, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "headlines.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("title", "topic"), *news])
    return path


def test_cells_and_picture(headlines, tmp_path, monkeypatch, capsys):
    out, picture = tmp_path / "rows.jsonl", tmp_path / "scale.svg"
    monkeypatch.setattr(scale, "SHAPES", {"batch": (2,), "length": (8, 16), "width": (64,)})
    monkeypatch.setattr(scale, "BASE", {"batch": 4, "length": 8, "width": 32})
    flags = ["--rows", "60", "200", "--steps", "3", "--shape-steps", "2", "--threads", "1"]
    places = ["--data", str(headlines), "--out", str(out), "--picture", str(picture), "--work", str(tmp_path / "w")]
    monkeypatch.setattr(sys, "argv", ["scale.py", *places, *flags])
    scale.main()
    cells = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(cell["batch"], cell["length"], cell["width"]) for cell in cells[:4]] == [
        (2, 8, 32), (4, 8, 32), (4, 16, 32), (4, 8, 64)
    ]  # fmt: skip
    assert [cell["rows"] for cell in cells[4:]] == [60, 200]
    assert all(cell["mb"] > 100 and min(cell["seconds"].values()) > 0 for cell in cells[4:])
    assert "FLOP formula" in picture.read_text("utf-8") and "memory at 200 rows" in capsys.readouterr().out
    before = out.read_bytes()
    scale.main()
    assert out.read_bytes() == before


def test_sampled_headlines_differ_and_follow_the_given_ones(headlines, news, tmp_path):
    table = tmp_path / "sampled.csv"
    scale.sample(headlines, table, 500)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["title"] for row in rows}) == 500
    assert {row["topic"] for row in rows} == {label for _, label in news}
    pairs = {a + b for title, _ in news for a, b in pairwise(title)}
    pairs |= {title[-1] + title[0] for title, _ in news}
    whole = [row["title"] for row in rows if " " not in row["title"]]
    assert whole and all(title[i : i + 2] in pairs for title in whole for i in range(len(title) - 1))


def test_a_training_is_stopped_after_its_steps(news_csv):
    from zaowu.config import FitConfig, TextConfig, TrainConfig
    from zaowu.learn import learn
    from zaowu.train.optim import Optimizer

    step = Optimizer.step
    records = scale.read(news_csv, "label")
    config = FitConfig(text=TextConfig(base="none", size="mini"), train=TrainConfig(epochs=9, batch_size=32, threads=1))
    with measure.step_ends(stop_after=5) as ends:
        learn(records, None, config)
        pytest.fail("the training went on")
    assert len(ends) == 5 and ends == sorted(ends) and Optimizer.step is step
