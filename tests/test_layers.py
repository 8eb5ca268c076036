"""The law of the rooms: a file imports only rooms above its own. Imports inside functions count."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zaowu

PACKAGE = Path(zaowu.__file__).parent
ORDER = """
errors progress listing config options metrics
bases records inputs batching trunk targets objectives
model decode evaluate train learn report run
explain audit compress private serve
verbs tasks front_door
"""
LAW = ORDER.split()
FRONT_DOOR = ("__init__", "__main__", "cli", "sklearn")  # one room at the bottom: nothing imports it


def room_of(module: str) -> str:
    """`zaowu.records.read` -> `records`; the package itself and the command line are the front door."""
    parts = module.split(".")
    return "front_door" if len(parts) == 1 or parts[1] in FRONT_DOOR else parts[1]


def module_of(path: Path) -> str:
    parts = ("zaowu", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imported(source: str, module: str) -> dict[str, int]:
    """Modules of this package that `source` imports, anywhere in it, with the line of each.

    `from zaowu import listing` is an import of the room, not of the front door. Names given as text to
    `import_module` count as well.
    """
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(module.split(".")[: -node.level]) if node.level else ""
            start = ".".join(part for part in (parent, node.module) if part)
            names = [f"zaowu.{alias.name}" for alias in node.names] if start == "zaowu" else [start]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        for name in names:
            if name.split(".")[0] == "zaowu":
                found.setdefault(name, node.lineno)
    return found


def violations(source: str, module: str) -> list[str]:
    """One line for every import of a room that is not above the module's own."""
    own = room_of(module)
    wrong = []
    for name, line in imported(source, module).items():
        other = room_of(name)
        if other != own and LAW.index(other) >= LAW.index(own):
            wrong.append(f"{module}, line {line}: '{own}' imports '{other}', which is not above it")
    return wrong


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def test_every_room_has_its_place_in_the_law():
    rooms = {room_of(module_of(path)) for path in files()}
    assert rooms <= set(LAW), "a new room needs a place in LAW, the README and CONTRIBUTING.md"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_rooms_above_its_own(path):
    module = module_of(path)
    if path.name == "__init__.py" and path.parent != PACKAGE:
        module += ".__init__"  # so that its relative imports start from its own folder
    assert violations(path.read_text("utf-8"), module) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import zaowu.verbs.fit", "zaowu.records.read"),
        ("from zaowu.train.loop import train", "zaowu.trunk.transformer.block"),
        ("from zaowu.train import loop", "zaowu.model"),
        ("from zaowu import run", "zaowu.learn"),
        ("import zaowu", "zaowu.verbs.fit"),
        ("def f():\n    from zaowu.inputs import text", "zaowu.records.schema"),
        ("if TYPE_CHECKING:\n    from zaowu.model import Model", "zaowu.targets.category"),
        ("from ..model import Model", "zaowu.batching.batch"),
        ("from .. import model", "zaowu.batching.batch"),
        ("from . import cli", "zaowu.model"),
        ("import_module('zaowu.cli')", "zaowu.verbs.fit"),
        ("importlib.import_module('zaowu.model')", "zaowu.targets.category"),
    ],
)
def test_the_check_sees_a_violation(source, module):
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from zaowu.errors import UserError\nimport numpy as np", "zaowu.records.read"),
        ("from zaowu.records import names\nfrom zaowu.records.split import split", "zaowu.records.read"),
        ("from . import names", "zaowu.records.read"),
        ("from zaowu import listing", "zaowu.inputs.__init__"),
        ("from zaowu.report.write import write", "zaowu.run.save"),
        ("import_module(name)", "zaowu.records.read"),
        ("import zaowuish", "zaowu.errors"),
    ],
)
def test_the_check_lets_the_law_abiding_pass(source, module):
    assert violations(source, module) == []
