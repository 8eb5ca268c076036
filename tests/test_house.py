"""What holds for the whole house: linter and types, sizes, nothing that runs code from data, a light front door."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

import zaowu
from zaowu import config

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "zaowu"
MAX_LINES, MAX_FILES, MAX_BYTES, MAX_FIELDS, MAX_OPTIONS = 400, 10, 1_000_000, 20, 22
LISTS = ("inputs", "targets", "tasks", "verbs", "families")  # folders where every file is one more of the same
# Nothing above `batching` needs torch: a person who only checks their data does not wait for it.
WITHOUT_TORCH = ("errors", "progress", "listing", "config", "options", "metrics", "bases", "records", "inputs")
HEAVY = ("torch", "sklearn", "matplotlib", "polars", "transformers", "pandas", "scipy")


def python_files() -> list[Path]:
    folders = [ROOT / name for name in ("zaowu", "tests", "benchmarks")]
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def kept_files() -> list[Path]:
    """What is under version control; in an unpacked archive, everything that came with it."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    if listed:
        return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    made = {".venv", "runs", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not made & set(path.relative_to(ROOT).parts)]


def run(*command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", env=os.environ | extra, timeout=300, check=False
    )


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)], ids=" ".join)
def test_linter_and_type_checker_find_nothing(command):
    done = run(sys.executable, "-m", *command)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_files_stay_short():
    long = {name_of(path): lines for path in python_files() if (lines := _lines(path)) >= MAX_LINES}
    assert long == {}, f"split these: {MAX_LINES} lines are the most"


def test_folders_stay_small():
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts} - {PACKAGE}
    full = {
        name_of(folder): count
        for folder in folders
        if folder.name not in LISTS and (count := sum(path.name != "__init__.py" for path in folder.glob("*.py"))) > 0
        if count > MAX_FILES
    }
    # The reader of tables is one flow of small files: raw bytes to records on their sides.
    assert full.keys() <= {"zaowu/records"}, full


def test_nothing_large_is_kept():
    assert [name_of(path) for path in kept_files() if path.stat().st_size > MAX_BYTES] == []


@pytest.mark.parametrize("path", python_files(), ids=name_of)
def test_no_file_runs_code_that_comes_from_data(path):
    assert dangers(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "torch.load('model.bin')",
        "eval('1')",
        "exec(code)",
        "builtins.eval(text)",
        "np.load(path, allow_pickle=True)",
        "from_pretrained(name, trust_remote_code=True)",
        "joblib.load(path)",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_the_check_for_such_code_sees_it(line):
    assert len(dangers(line)) >= 1


@pytest.mark.parametrize("line", ["model.eval()", "run.exec_time = 3", "json.loads(text)", "load_file(path)"])
def test_the_check_for_such_code_lets_the_rest_pass(line):
    assert dangers(line) == []


def dangers(source: str) -> list[str]:
    """Imports and calls that would let a file run code when it is opened."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if {name.split(".")[0] for name in names} & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}:
            found.append(ast.unparse(node))
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            flags = {word.arg for word in node.keywords if getattr(word.value, "value", None) is True}
            named = ("eval", "exec", "builtins.eval", "builtins.exec", "torch.load", "os.system", "joblib.load")
            if called in named or flags & {"allow_pickle", "trust_remote_code", "shell"}:
                found.append(ast.unparse(node))
    return found


def test_nothing_kept_names_a_place_of_one_machine():
    places = re.compile(rb"(?<![\w.:/<])/(?:work|root|home/\w+|tmp/w|Users/\w+)(?:/|\b)")
    own = Path(__file__).resolve()
    texts = [path for path in kept_files() if path.suffix not in (".safetensors", ".gz", ".png") and path != own]
    assert [name_of(path) for path in texts if places.search(path.read_bytes())] == []
    assert places.search(b"data in /root/data and") and not places.search(b"a/work/b https://x.org/root/")


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_a_room_above_batching_works_without_torch(room):
    paths = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").is_file() else sorted((PACKAGE / room).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    light = [name for name in names if not name.endswith(".embedder")]  # the parts that are made of torch
    assert light
    assert not {"torch", "sklearn", "matplotlib"} & modules_after(f"import {', '.join(light)}")


def test_every_room_above_batching_is_tested_for_that():
    from test_layers import LAW

    assert tuple(LAW[: LAW.index("batching")]) == WITHOUT_TORCH


@pytest.mark.parametrize(
    "statement",
    ["import zaowu", "import zaowu.cli", "import zaowu.cli\nsys.argv = ['zaowu', '--version']\n{main}"],
    ids=["package", "command line", "version"],
)
def test_the_front_door_is_light(statement):
    main = "try:\n    zaowu.cli.main()\nexcept SystemExit:\n    pass"
    assert not set(HEAVY) & modules_after(statement.format(main=main))


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["predict", "--help"]], ids=" ".join)
def test_help_is_light(arguments):
    code = f"sys.argv = ['zaowu', *{arguments!r}]\ntry:\n    from zaowu.cli import main\n    main()\nexcept SystemExit:"
    assert not set(HEAVY) & modules_after(f"{code}\n    pass")


def test_opening_a_run_is_light(tiny_run):
    """Neither what draws reports and fits baselines, nor torch's compiler, which takes seconds to import."""
    code = f"import sys, zaowu\nzaowu.load({str(tiny_run)!r}).predict(['姚明宣布退役'])\nprint(*sys.modules)"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not {"torch._dynamo", "matplotlib", "transformers", "sklearn"} & set(done.stdout.split())


def test_everything_that_the_package_offers_is_there():
    assert {name: hasattr(zaowu, name) for name in zaowu.__all__} == dict.fromkeys(zaowu.__all__, True)
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = zaowu.nothing_of_this_name


def test_configs_stay_small():
    kinds = [kind for kind in vars(config).values() if dataclasses.is_dataclass(kind)]
    assert len(kinds) >= 5
    assert {kind.__name__: n for kind in kinds if (n := len(dataclasses.fields(kind))) > MAX_FIELDS} == {}


def test_a_verb_has_few_options_of_its_own():
    """Beside those that mean the same everywhere, and beside `--settings`, which lists the rare ones."""
    from zaowu.cli import COMMON, app

    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        own = [
            option.name
            for option in command.params
            if option.param_type_name == "option" and getattr(option, "rich_help_panel", None) != COMMON
        ]
        assert len(own) - ("show_settings" in own) <= MAX_OPTIONS, own


@pytest.mark.parametrize("verb", ["fit", "predict", "evaluate", "check", "report"])
def test_a_command_and_its_verb_have_the_same_parameters(verb):
    """A command does nothing that the Python call cannot: same names, same defaults, `--json` apart."""
    import inspect

    function = getattr(import_module(f"zaowu.verbs.{verb}"), verb)
    parameters = inspect.signature(function).parameters
    command = inspect.signature(getattr(import_module("zaowu.cli"), verb)).parameters
    renamed = {"column": "columns"}
    theirs = {renamed.get(name, name): p for name, p in command.items() if name not in ("as_json", "show_settings")}
    assert theirs.keys() == parameters.keys()
    for name, parameter in parameters.items():
        if parameter.default in ((), inspect.Parameter.empty):  # the command line gives None for no list
            continue
        assert theirs[name].default == parameter.default, name


def _lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n")
