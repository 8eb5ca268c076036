"""What is asked of every task of the gallery: it comes with its data, says what it must reach, and imports lightly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from zaowu import listing, tasks
from zaowu.inputs import guessers
from zaowu.records import schema
from zaowu.records.check import clean
from zaowu.records.findings import find
from zaowu.records.read import read

FOLDER = Path(tasks.__path__[0])
TASKS = [name for name in listing.names(tasks) if (FOLDER / f"{name}.py").is_file()]


def test_there_are_tasks():
    assert "news_zh" in TASKS


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is_and_what_it_must_reach(name):
    module = listing.load(tasks, name, where="test")
    assert module.__doc__ and re.search(r"^data: .*To reach: .*\d", module.__doc__, re.MULTILINE | re.DOTALL)
    assert callable(module.demo)


@pytest.mark.parametrize("name", TASKS)
def test_its_data_come_with_the_package_and_pass_the_gate(name):
    module = listing.load(tasks, name, where="test")
    assert FOLDER in module.DATA.parents and module.DATA.stat().st_size < 1_000_000
    table = read(module.DATA)
    guessed = schema.guess(table, guessers=guessers())
    assert guessed.targets and guessed.inputs
    records = clean(table, guessed, on_bad_row="stop")
    assert find({"train": records}).problems is False, find({"train": records}).lines()


@pytest.mark.parametrize("name", TASKS)
def test_its_examples_are_not_in_its_data(name):
    module = listing.load(tasks, name, where="test")
    words = module.DATA.read_text("utf-8")
    assert module.EXAMPLES and not [text for text in module.EXAMPLES if text in words]


@pytest.mark.parametrize("name", TASKS)
def test_it_goes_the_whole_way(name, tiny_base, news_csv, tmp_path, monkeypatch):
    """With a small slice of its data and a tiny base in place of its own, so that it is over in seconds."""
    module = listing.load(tasks, name, where="test")
    real, seen = module.fit, {}

    def small(data, **settings):
        seen.update(settings, data=data)
        return real(str(news_csv), base=str(tiny_base), **{**settings, "epochs": 1})

    monkeypatch.setattr(module, "fit", small)
    run, predictions = module.demo(out=tmp_path / "run", quiet=True)
    assert seen["data"] == module.DATA
    assert run.folder == tmp_path / "run" and (run.folder / "report.html").is_file()
    header, rows = predictions.table()
    assert len(header) == 3 and len(rows) == len(module.EXAMPLES)


def test_the_front_door_of_the_tasks_is_light():
    code = "import zaowu.tasks, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
