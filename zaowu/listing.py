"""A name is a file: what can be chosen is what lies in a folder, and it is found by importing it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from zaowu.errors import UserError, nearest


def names(package: ModuleType) -> list[str]:
    """The modules and packages directly inside `package`, by file name, sorted."""
    found = set()
    for folder in package.__path__:
        for path in Path(folder).iterdir():
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and not path.name.startswith("_"):
                found.add(path.stem)
    return sorted(found)


def load(package: ModuleType, name: object, *, where: str) -> ModuleType:
    """The module `name` of `package`. The name may come from a file: it is imported only when it is on the list.

    Raises UserError naming `where` (the file or flag the name came from) and the choices.
    """
    choices = names(package)
    if not isinstance(name, str) or name not in choices:
        kind = package.__name__.rsplit(".", 1)[-1]
        hint = nearest(str(name), choices)
        raise UserError(f"{where}: '{name}' is not one of the {kind}: {', '.join(choices)}.{hint}")
    return import_module(f"{package.__name__}.{name}")
