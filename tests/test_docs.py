"""The documents are held to the code: their examples run, their lists are whole, their links lead somewhere."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from test_layers import FRONT_DOOR, LAW

from zaowu.bases import cache
from zaowu.bases.names import CATALOGUE, DEFAULT

ROOT = Path(__file__).parents[1]
PAIRS = {"README.md": "README.zh.md", "docs/start.md": "docs/zh/start.md"}  # English: Chinese
DOCUMENTS = sorted(
    path for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "zh", ROOT / "benchmarks") for path in folder.glob("*.md")
)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def marked_blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every block under the comment `<!-- run -->`."""
    return re.findall(r"^<!-- run -->\n```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path, news, tiny_base, monkeypatch) -> Path:
    """A folder with the tables that the documents speak of, and a tiny stand-in for the default base in the cache.

    With it the examples run as they are printed: the same commands, no network, a few seconds.
    """
    for name, rows in (("news.csv", news[:48]), ("more.csv", news[48:72])):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("title", "topic"), *rows])
    place = tmp_path / "home" / "bases" / DEFAULT
    place.mkdir(parents=True)
    for path in tiny_base.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    sizes = {path.name: path.stat().st_size for path in place.iterdir()}
    receipt = {"conversion": cache.CONVERSION, "sizes": sizes}
    (place / cache.RECEIPT).write_text(json.dumps(receipt), "utf-8")
    assert cache.damage(place) == ""
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # this checkout, whatever is installed
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("name", PAIRS)
def test_the_examples_run_as_they_are_printed(name, desk):
    blocks = marked_blocks(read(name))
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, code in blocks:
        command = ["bash", "-e", "-c", code] if language == "sh" else [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=desk, capture_output=True, encoding="utf-8", timeout=300, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert (desk / "runs" / "news" / "report.html").is_file()
    answers = (desk / "answers.csv").read_text("utf-8").splitlines()
    assert answers[0] == "title,topic,predicted_topic,confidence" and len(answers) == 25


def test_the_walk_runs_as_it_is_printed(tmp_path, monkeypatch, capsys):
    """In this process, so that torch is imported once; what the blocks assert is part of the test."""
    from zaowu.cli import main

    monkeypatch.chdir(tmp_path)
    blocks = marked_blocks(read("docs/walkthrough.md"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, code in blocks:
        if language == "python":
            place = tmp_path / "block.py"
            place.write_text(code, "utf-8")
            runpy.run_path(str(place), run_name="__main__")
            place.unlink()
            continue
        for line in code.splitlines():
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as ended:
                main()
            assert line.startswith("zaowu ") and not ended.value.code, f"{line}\n{capsys.readouterr().err}"
    for name in ("runs/tickets/report.html", "runs/comparison.html", "report-zh.html"):
        assert "<html" in (tmp_path / name).read_text("utf-8"), name
    assert (tmp_path / "answers.csv").read_text("utf-8").startswith("message,predicted_team,confidence\n")


@pytest.mark.parametrize("name", PAIRS)
def test_both_languages_show_the_same_examples(name):
    assert marked_blocks(read(PAIRS[name])) == marked_blocks(read(name))


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_tree_of_rooms_is_the_folder_in_the_order_of_the_law(name):
    (tree,) = re.findall(r"^<!-- tree -->\n```\nzaowu/\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)
    shown = [line.split()[0] for line in tree.splitlines()]
    assert all(len(line.split(maxsplit=1)) == 2 for line in tree.splitlines()), "every entry says what it is"
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "zaowu").iterdir() if path.name[:2] != "__"}
    there = {entry for entry in there if entry.endswith(("/", ".py"))} | {"__init__.py"}
    assert set(shown) == there
    rooms = [entry.removesuffix("/").removesuffix(".py") for entry in shown]
    assert rooms == sorted(rooms, key=lambda room: len(LAW) if room in FRONT_DOOR else LAW.index(room))


def test_the_law_of_the_rooms_is_the_one_in_contributing():
    (line,) = re.findall(r"^<!-- law -->\n```\n(.*?)^```$", read("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL)
    assert line.replace("<", " ").replace(",", " ").split() == [room for room in LAW if room != "front_door"]


def test_every_command_and_every_flag_is_described():
    """`docs/commands.md` has a section per command, and in it a line for each of its flags and no other."""
    described = {
        title: set(re.findall(r"^\| `(-[\w-]+)", body, re.MULTILINE))
        for title, body in re.findall(r"^## zaowu ([\w ]+)\n(.*?)(?=^## |\Z)", read("docs/commands.md"), re.M | re.S)
    }
    assert described == {name: set(flags) for name, flags in commands().items()}


def test_every_default_that_is_described_is_the_real_one():
    from zaowu.cli import app

    text = read("docs/commands.md")
    for command in all_commands(typer.main.get_command(app)).values():
        for option in command.params:
            if option.param_type_name == "option" and option.default and isinstance(option.default, (str, int)):
                assert f"`{option.opts[0]}" in text and f"`{option.default}`" in text, option.name


def test_every_rare_setting_is_described():
    from zaowu.options import RARE

    (table,) = re.findall(r"^### Rare settings\n(.*?)(?=^##|\Z)", read("docs/commands.md"), re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(RARE)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_table_of_bases_is_the_catalogue(name):
    for base in CATALOGUE.values():
        (line,) = [line for line in read(name).splitlines() if line.startswith(f"| `{base.name}`")]
        for fact in (f"{base.download_mb} MB", f"{base.disk_mb} MB", base.licence.split()[0]):
            assert fact in line
        assert ("(default)" in line or "（默认）" in line) == (base.name == DEFAULT)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", aim.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], target


def all_commands(group, prefix: str = "") -> dict:
    """name -> command; a group that does something by itself is one too."""
    found = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if hasattr(command, "commands"):
            found |= all_commands(command, f"{prefix}{name} ")
    return found


def commands() -> dict[str, list[str]]:
    """Command -> its flags by their long names."""
    from zaowu.cli import app

    return {
        name: [option.opts[0] for option in command.params if option.param_type_name == "option"]
        for name, command in all_commands(typer.main.get_command(app)).items()
    }
