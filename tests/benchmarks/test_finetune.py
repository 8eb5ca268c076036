"""`benchmarks/finetune.py` on a tiny model: every part runs, keeps its cells and goes on from them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def headlines(news, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "headlines.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("title", "topic"), *news])
    return path


def run(headlines: Path, folder: Path, *flags: str) -> tuple[str, list[dict]]:
    """What the script prints, and its cells. `tiny-8` is a random BERT of 2 x 64."""
    command = [sys.executable, str(BENCHMARKS / "finetune.py"), "--data", str(headlines), "--only", "tiny-8"]
    command += ["--threads", "1", "--out", str(folder / "rows.jsonl"), "--work", str(folder / "bases"), *flags]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]


def test_speed(headlines, tmp_path):
    printed, cells = run(headlines, tmp_path, "--rounds", "1", "--steps", "2")
    assert [cell["round"] for cell in cells] == [0, 1]
    assert cells[1]["rates"].keys() == {"zaowu", "trainer fp32", "trainer bf16"}
    assert min(cells[1]["rates"].values()) > 0 and "of peak" in printed and "zaowu / trainer" in printed
    again, same = run(headlines, tmp_path, "--rounds", "1", "--steps", "2")
    assert same == cells and printed.endswith(again)


def test_memory(headlines, tmp_path):
    printed, cells = run(headlines, tmp_path, "--part", "memory", "--steps", "2")
    assert [cell["side"] for cell in cells] == ["zaowu", "trainer fp32", "trainer bf16"]
    assert all(50 < cell["mb"] < 5000 for cell in cells) and "asked for" in printed


def test_accuracy(headlines, tmp_path):
    flags = ("--rows", "80", "--test-rows", "30", "--seeds", "2", "--epochs", "1", "--rates", "1e-4", "1e-3")
    printed, cells = run(headlines, tmp_path, "--part", "accuracy", "--steps", "2", "--ours-epochs", "1", *flags)
    assert [(cell["side"], cell["seed"]) for cell in cells[1:]] == [
        ("trainer", 0), ("trainer", 0), ("trainer", 1), ("zaowu", 0), ("zaowu", 1)
    ]  # fmt: skip
    evaluations = {"trainer": 1, "zaowu": 2}  # the head that begins fitted is judged before the first step too
    assert all(len(cell["right"]) == 30 for cell in cells[1:])
    assert all(len(cell["history"]) == evaluations[cell["side"]] for cell in cells[1:])
    assert "zaowu minus trainer" in printed and "median ratio of the times" in printed
