"""`benchmarks/predict.py` on a tiny model: every part runs and keeps its cells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import predict
from shared import streaming

BENCHMARKS = Path(predict.__file__).parent
TINY = ("--base", "tiny", "--fit-rows", "120", "--threads", "1", "--rows", "40", "--rounds", "1", "--calls", "2")


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.mark.parametrize("part", ["speed", "latency", "cold", "stream"])
def test_a_part_runs_and_keeps_its_cells(part, work, tmp_path):
    out = tmp_path / "rows.jsonl"
    flags = ["--part", part, "--work", str(work), "--out", str(out), "--times", "1", "--stream-rows", "400", *TINY]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    command = [sys.executable, str(BENCHMARKS / "predict.py"), *flags]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    cells = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {cell["part"] for cell in cells} == {part}
    if part == "speed":
        assert cells[1]["agree"]["zaowu and pipeline"] == cells[1]["agree"]["zaowu"] == 1.0
        assert "zaowu / pipeline" in done.stdout
    if part == "cold":
        assert cells[0]["seconds"]["zaowu"] > cells[0]["seconds"]["import torch"]
    if part == "stream":
        assert [(cell["rows"], cell["in_order"]) for cell in cells] == [(4, True), (40, True), (400, True)]


def test_sentences_are_those_of_the_seed():
    texts, labels = predict.sentences(300, seed=7)
    assert (texts, labels) == predict.sentences(300, seed=7) != predict.sentences(300, seed=8)
    assert {len(text.split()) for text in texts} >= {5, 60} and max(len(text.split()) for text in texts) == 60
    assert set(labels) == set(predict.SUBJECTS)


def test_rows_that_changed_places_are_seen(tiny_run, tmp_path):
    import zaowu

    source, answers = tmp_path / "given.csv", tmp_path / "answered.csv"
    streaming.write(source, 50)
    zaowu.predict(tiny_run, str(source), out=answers, quiet=True)
    assert streaming.in_order(tiny_run, source, answers)
    answered = answers.read_text("utf-8").splitlines()
    answered[3], answered[4] = answered[4], answered[3]
    answers.write_text("\n".join(answered), "utf-8")
    assert not streaming.in_order(tiny_run, source, answers)
