"""What a person hands to `predict` -> a table: texts, files that are values, or anything that `fit` reads."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.inputs import HEAD_BYTES, Inputs, files_of
from zaowu.records import read
from zaowu.records.reading import archives, encoding
from zaowu.records.records import Table
from zaowu.records.remote import TABLES, is_remote

NUM_NAMED = 4  # endings


def as_table(data: Any, source: Inputs, *, expect: Collection[str]) -> Table:
    """Texts become a table of the model's one column; everything else is read as `fit` reads it.

    Of a model that reads nothing but images, or nothing but recordings, a path is the value: one file, several, a
    folder of them at any depth, a pattern such as `*.png`. Raises UserError for a file that is neither that nor a
    table.
    """
    if isinstance(data, Table):
        return data
    several = isinstance(data, (list, tuple)) and all(isinstance(item, (str, Path)) for item in data)
    files = files_read(source)
    if files is not None and (several or isinstance(data, (str, Path))):
        given = [str(item) for item in (data if several else [data])]
        if values := files.values(given):
            return _column(source, values, values[0] if len(values) == 1 else "the given files")
        (data,) = given
    elif several:
        return _column(source, [str(item) for item in data], "the given texts")
    return read.read(data, expect=expect)


def _column(source: Inputs, values: Sequence[str], name: str) -> Table:
    if len(source.columns) > 1:
        columns = ", ".join(source.columns)
        raise UserError(f"This model reads {len(source.columns)} columns ({columns}): give it a table.")
    frame = pl.Series(source.columns[0], values, pl.String).to_frame()
    return Table(frame=frame, rows=np.arange(1, len(values) + 1), source=name)


@dataclass(frozen=True)
class Files:
    """Files of one kind. endings: of their names; begins: whether first bytes are those of one."""

    kind: str
    endings: tuple[str, ...]
    begins: Callable[[bytes], bool]

    def values(self, given: Sequence[str]) -> list[str]:
        """The paths of all files that were given; none where the only thing given is a table.

        Raises UserError for what is not there, and for a file that is no table either.
        """
        found: list[str] = []
        tables: list[str] = []
        for item in given:
            path = Path(item)
            if _is(path, Path.is_dir):
                found += self._inside(path)
            elif _is(path, Path.is_file):
                (found if self._is_one(path) else tables).append(item)
            elif glob.has_magic(item):
                found += self._matching(item)
            elif (
                is_remote(item)
                or item.lower().endswith(TABLES)
                or _is(path, lambda path: read.part_of(path)[0].is_file())
            ):
                tables.append(item)
            else:
                others = (other.name for other in path.parent.iterdir()) if _is(path.parent, Path.is_dir) else ()
                raise UserError(f"{shorten(item, 200)}: there is no such file.{nearest(path.name, others)}")
        if tables and len(given) > 1:
            raise UserError(
                f"{shorten(tables[0], 200)}: expected {self} as the others, got something else. "
                "Give files of one kind, or one table alone."
            )
        return found

    def __str__(self) -> str:
        return f"an {self.kind} file ({', '.join(self.endings[:NUM_NAMED])}, ...)"

    def _is_one(self, path: Path) -> bool:
        """Whether it is a value, by its name or its first bytes. Raises UserError where it is no table either."""
        if path.suffix.lower() in self.endings:
            return True
        try:
            with path.open("rb") as file:
                head = file.read(encoding.HEAD_BYTES)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
        if self.begins(head[:HEAD_BYTES]):
            return True
        what = None if archives.kind(path, head) or head.startswith(b"PAR1") else encoding.binary(head)
        if what:
            raise UserError(f"{path}: expected {self}, or a table with a column of them, got {what}.")
        return False

    def _inside(self, folder: Path) -> Iterator[str]:
        """At any depth, by their names, in order; what is hidden is passed over."""
        inside = sorted(path for path in folder.rglob("*") if path.suffix.lower() in self.endings and path.is_file())
        found = [str(path) for path in inside if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
        if not found:
            raise UserError(f"{folder}: expected a folder that holds at least {self}, found none.")
        yield from found

    def _matching(self, pattern: str) -> list[str]:
        matching = glob.glob(pattern, recursive=True)  # noqa: PTH207  `Path.glob` takes no absolute pattern
        found = sorted(path for path in matching if Path(path).is_file())
        found = [path for path in found if self._is_one(Path(path))]
        if not found:
            raise UserError(f"{shorten(pattern, 200)}: expected a pattern of at least {self}, found none.")
        return found


def files_read(source: Inputs) -> Files | None:
    """The files that a model reads which has one column, of a kind whose values are files; else None."""
    if source.alone is None or len(source.columns) > 1 or (found := files_of(source.alone.kind)) is None:
        return None
    return Files(source.alone.kind, *found)


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
