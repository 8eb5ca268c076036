"""What a person names -> the files in it, in a fixed order, each with its kind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import remote
from zaowu.records.corpus.text import opened
from zaowu.records.reading import archives, encoding

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".jsonl": "rows",
    ".ndjson": "rows",
    ".parquet": "parquet",
    ".html": "page",
    ".htm": "page",
    ".xhtml": "page",
}
PACKINGS = (".gz", ".bz2", ".xz")
EXPECTED = ".txt, .md, .jsonl, .parquet, .html, or one of these with .gz"
MOST_WEIGHT = 1000  # of a source: how often an epoch sees it
MAX_SOURCES = 256  # a document keeps the place of its source in one byte


@dataclass(frozen=True)
class Source:
    """One path that was named. bytes, digest: of its files' names and sizes, so that a change is seen at once."""

    path: str
    weight: float
    files: int = 0
    bytes: int = 0
    digest: str = ""


@dataclass(frozen=True)
class File:
    """path: where its bytes are, or "" for a URL. name: what a person calls it. kind: of `KINDS`, "" for others."""

    path: Path
    name: str
    kind: str
    size: int
    source: int


def sources_of(given: Sequence[tuple[str, float]]) -> tuple[tuple[Source, ...], tuple[File, ...]]:
    """Every source and all files in them, in order. Raises UserError for one that is not there or holds no file."""
    if not given:
        raise UserError("pretrain: expected at least one file or folder of text, got none.")
    if len(given) > MAX_SOURCES:
        raise UserError(f"pretrain: expected at most {MAX_SOURCES} sources, got {len(given)}. Join them in folders.")
    sources, every = [], []
    for place, (path, weight) in enumerate(given):
        refuse_weight(weight, where=f"--mix {path}")
        files = list(_files(str(path), place))
        if not files:
            raise UserError(f"{path}: the folder holds no file. Expected {EXPECTED}.")
        digest = hashlib.sha256()
        for file in files:
            name = file.path.relative_to(path).as_posix() if Path(path).is_dir() else file.path.name or file.name
            digest.update(f"{name}\0{file.size}\n".encode("utf-8", "surrogateescape"))
        size = sum(file.size for file in files)
        sources.append(Source(str(path), float(weight), len(files), size, digest.hexdigest()))
        every += files
    return tuple(sources), tuple(every)


def refuse_weight(weight: float, *, where: str) -> None:
    """Raises UserError for a mixing weight out of its range. where: the flag or the file that it came from."""
    if not 0 < weight <= MOST_WEIGHT:
        raise UserError(
            f"{where}: expected a weight above 0 and at most {MOST_WEIGHT:,}, got {weight:g}. Leave a source out that "
            "is not to be seen."
        )


def _files(source: str, place: int) -> Iterator[File]:
    if remote.is_remote(source):
        yield File(Path(), source, kind_of(source.partition("?")[0]), 0, place)
        return
    path = Path(source)
    try:
        if path.is_dir():
            for folder, below, names in os.walk(path):
                below[:] = sorted(name for name in below if not name.startswith("."))
                for name in sorted(names):
                    own = Path(folder, name)
                    if not name.startswith(".") and own.is_file():
                        yield File(own, str(own), kind_of(name), own.stat().st_size, place)
        elif path.is_file():
            yield File(path, source, kind_of(path.name), path.stat().st_size, place)
        else:
            hint = nearest(path.name, (other.name for other in path.parent.iterdir())) if path.parent.is_dir() else ""
            raise UserError(f"{source}: there is no such file or folder.{hint}")
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or error}).") from error


def kind_of(name: str) -> str:
    """ "text", "rows", "parquet", "page", or "" by the ending of the name."""
    name = name.lower()
    packing = next((ending for ending in PACKINGS if name.endswith(ending)), "")
    return KINDS.get(Path(name.removesuffix(packing)).suffix, "")


@contextmanager
def local(file: File) -> Iterator[Path]:
    """Where the file's bytes are: itself, a copy of what a URL names, or the unpacked form of a packed .parquet."""
    if remote.is_remote(file.name):
        with remote.fetched(file.name) as path, _seekable(path, file.kind) as ready:
            yield ready
    else:
        with _seekable(file.path, file.kind) as ready:
            yield ready


@contextmanager
def _seekable(path: Path, kind: str) -> Iterator[Path]:
    if kind == "parquet" and path.suffix.lower() in PACKINGS:
        with archives.unpacked(path, part="") as inner:
            yield inner.path
    else:
        yield path


def refusal(path: Path, kind: str) -> str:
    """Why the file cannot be read, in a few words; "" when it can."""
    if not kind:
        return "its name has another ending"
    try:
        with opened(path) as file:
            head = file.read(encoding.HEAD_BYTES)
    except Exception as error:  # damage of a packed file has many names
        return f"cannot be read ({shorten(error, 80)})"
    if not head:
        return "the file is empty"
    if kind == "parquet":
        return "" if head.startswith(b"PAR1") else "this is no Parquet file"
    what = encoding.binary(head)
    return f"this is {what}" if what else ""
