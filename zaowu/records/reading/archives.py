"""What packs a table: gzip, bzip2, xz and zip. Unpacked into a temporary folder, within limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

from zaowu.errors import UserError, nearest, shorten

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", *SHEETS)
FREE_BYTES = 64 << 20  # that any archive may grow to
MAX_RATIO = 200  # of what is larger; tables shrink to a tenth, a bomb to a thousandth
MAX_BYTES = 16 << 30
_STREAMS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BLOCK = 1 << 20
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


class Unpacked(NamedTuple):
    """What was in an archive. name: what to call it. rest: what the person said beyond the member's name."""

    path: Path
    name: str
    rest: str
    note: str


def kind(path: Path, head: bytes) -> str:
    """ "stream" (one packed file), "zip", "sheets" (Excel and its like) or "" for the file that begins with `head`."""
    if head.startswith(tuple(_STREAMS)):
        return "stream"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "sheets"
    if not head.startswith(b"PK\x03\x04"):
        return ""
    with _opened(path) as archive:
        names = set(archive.namelist())
        if "mimetype" in names:
            try:
                with archive.open("mimetype") as file:
                    return "sheets" if b"spreadsheet" in file.read(100) else ""
            except (*_DAMAGED, RuntimeError) as error:
                raise _damaged(path, error) from error
    if "[Content_Types].xml" in names:
        return "sheets" if any(name.startswith("xl/") for name in names) else ""
    return "zip"


@contextmanager
def unpacked(path: Path, *, part: str) -> Iterator[Unpacked]:
    """The packed table, or the only one of them, in a folder that is gone afterwards.

    part: the member that a person chose, "" for none. Raises UserError for a damaged, locked or empty archive, for
    several tables of which none is chosen, and for one that grows beyond the limits.
    """
    with TemporaryDirectory(prefix="zaowu-") as folder:
        with path.open("rb") as file:
            opener = next((opener for magic, opener in _STREAMS.items() if file.peek(8).startswith(magic)), None)
        if opener:
            target = Path(folder) / (path.stem or "table")
            try:
                with opener(path, "rb") as stream:
                    _copy(stream, target, path, path.stat().st_size)
            except _DAMAGED as error:
                raise _damaged(path, error) from error
            yield Unpacked(target, str(path), part, "")
            return
        with _opened(path) as archive:
            yield _member(archive, path, part, Path(folder))


def check_size(path: Path) -> None:
    """UserError when the zip archive at `path`, such as an .xlsx, holds more than it should or is damaged.

    What a member says of its size is tested by its checksum, which a reader that goes beyond it never meets.
    """
    with _opened(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
        _check(total, path.stat().st_size, path)
        try:
            broken = archive.testzip()
        except (*_DAMAGED, RuntimeError) as error:
            raise _damaged(path, error) from error
    if broken:
        raise UserError(f"{path}: the file is damaged ({shorten(broken)} fails its checksum). Save it again.")


def _member(archive: zipfile.ZipFile, path: Path, part: str, folder: Path) -> Unpacked:
    members = {_name(info): info for info in archive.infolist() if not info.is_dir() and not _is_junk(_name(info))}
    if not members:
        raise UserError(f"{path}: the archive holds no file.")
    if any(info.flag_bits & 1 for info in members.values()):
        raise UserError(f"{path}: the archive is locked with a password. Unpack it, and give the file inside.")
    name, rest = part, ""
    if part not in members:
        name, _, rest = part.partition("#")
    if part and name not in members:
        hint = nearest(name, members) or f" It holds {shorten(', '.join(members), 200)}."
        raise UserError(f"{path}: there is no '{shorten(name)}' in the archive.{hint}")
    tables = [member for member in members if member.lower().endswith(TABLES)]
    tables = [member for member in tables if not member.lower().endswith(".txt")] or tables
    budget = path.stat().st_size
    if not part and len(tables) > 1 and all(member.lower().endswith(".txt") for member in tables):
        total = 0
        for place, member in enumerate(tables):
            parts = [part for part in PurePosixPath(member).parts[-2:] if part not in ("..", "/")]
            target = folder.joinpath("texts", *parts[:-1], parts[-1])
            if target.exists():
                target = target.with_name(f"{target.stem}-{place}{target.suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            total += _extract(archive, members[member], target, path, budget, total)
        return Unpacked(folder / "texts", str(path), "", "")
    if not part:
        tables = tables or list(members)
        if len(tables) > 1:
            every = ", ".join(tables)
            raise UserError(
                f"{path}: the archive holds {len(tables)} tables ({shorten(every, 200)}). "
                f"Choose one, such as '{path}#{tables[0]}'."
            )
        name = tables[0]
    target = folder / PurePosixPath(name).name
    _extract(archive, members[name], target, path, budget, 0)
    note = f"Read {name} out of the archive." if len(members) > 1 else ""
    return Unpacked(target, f"{path}#{name}", rest, note)


def _extract(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, path: Path, packed: int, before: int
) -> int:
    try:
        with archive.open(info) as stream:
            return _copy(stream, target, path, packed, before)
    except (*_DAMAGED, RuntimeError) as error:
        raise _damaged(path, error) from error


def _copy(stream: IO[bytes], target: Path, path: Path, packed: int, before: int = 0) -> int:
    total = 0
    with target.open("wb") as file:
        while block := stream.read(_BLOCK):
            total += len(block)
            _check(before + total, packed, path)
            file.write(block)
    return total


def _check(total: int, packed: int, path: Path) -> None:
    if total > FREE_BYTES and (total > MAX_RATIO * packed or total > MAX_BYTES):
        raise UserError(
            f"{path}: unpacked it grows to more than {MAX_RATIO} times its size or {MAX_BYTES >> 30} GB, as files do "
            "that are made to fill a disk. If you trust it, unpack it and give the file inside."
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGED, ValueError) as error:
        raise _damaged(path, error) from error
    with archive:
        yield archive


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: the archive is damaged or cut short ({shorten(error, 80)}). Fetch or pack it again.")


def _is_junk(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not parts or "__MACOSX" in parts or parts[-1].startswith((".", "~$")) or parts[-1].lower() == "thumbs.db"


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name. Chinese Windows writes GBK and says nothing of it, which is then read as cp437."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for codec in ("utf-8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            pass
    return info.filename
