"""The saved folder: written whole or not at all, and trusted only after every file was checked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from zaowu.bases.cache import sha256
from zaowu.errors import UserError, nearest, shorten

if TYPE_CHECKING:
    from zaowu.train.parallel import Ranks

MANIFEST = "zaowu.json"
FORMAT = 1
PARTIAL = ".partial"
UNLISTED = {MANIFEST, "checkpoint"}
ALWAYS = ("model.safetensors", "metrics.json")  # in every run


def partial(folder: Path) -> Path:
    """Where a run is built before it takes its name."""
    return folder.with_name(folder.name + PARTIAL)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or shorten(error, 200)
        raise UserError(f"{folder}: cannot be written ({reason}). Choose another place with --out.") from None


def place(out: str | Path | None, *, name: str, overwrite: bool, resume: bool = False) -> Path:
    """The folder that a run will have: `out`, or runs/`name`. It is made and tried at once, before any work.

    Raises UserError when it stands already (unless `overwrite`) or cannot be written.
    """
    folder = Path(out) if out is not None else Path("runs") / name
    if not folder.name or folder.name == ".." or folder.is_symlink():
        folder = folder.resolve()  # a name of its own, beside which the new run can be built
    if not folder.name:
        raise UserError(f"--out {out}: expected a folder that can be a run's, got the root of the disk.")
    if folder.is_file():
        raise UserError(f"{folder}: expected a folder for the run, found a file. Choose another place with --out.")
    if resume and folder.exists() and any(folder.iterdir()) and not _may_go_on(folder):
        what = "a run that was finished" if (folder / MANIFEST).is_file() else "something that is no run"
        raise UserError(
            f"{folder}: {what} stands here, and no interrupted run to go on with. Leave --resume out, and choose "
            "another place with --out."
        )
    if folder.exists() and not resume and any(folder.iterdir()):
        if not overwrite and not (folder / MANIFEST).is_file():
            raise UserError(f"{folder}: something that is no run stands here already. Choose another place with --out.")
        if not overwrite:
            raise UserError(f"{folder}: a run stands here already. Pass --overwrite to replace it, or another --out.")
        if not (folder / MANIFEST).is_file():
            raise UserError(
                f"{folder}: --overwrite replaces runs only, and this folder is none (it has no {MANIFEST}). "
                "Choose another place with --out."
            )
    if (partial(folder) / "checkpoint").exists() and not (resume or overwrite):
        raise UserError(
            f"{folder}: an interrupted run waits here. Pass --resume to go on with it, or --overwrite to start again."
        )
    with writing(folder):
        made = [path for path in (partial(folder), *partial(folder).parents) if not path.exists()]
        partial(folder).mkdir(parents=True, exist_ok=True)
        (partial(folder) / MANIFEST).write_bytes(b"")
        (partial(folder) / MANIFEST).unlink()
        with suppress(OSError):  # another run may have begun beside it
            for path in made:  # nothing is left lying about if the data is refused
                path.rmdir()
    return folder


def shared_place(
    out: str | Path | None, *, name: str, overwrite: bool, resume: bool, ranks: Ranks
) -> tuple[Path, bool]:
    """`place` by the first rank for all, and whether the run goes on: also where torchrun started the ranks again."""
    if ranks.is_first:
        folder = Path(out) if out is not None else Path("runs") / name
        resume = resume or (ranks.restarted and (partial(folder) / "checkpoint").exists())
        folder = place(out, name=name, overwrite=overwrite, resume=resume)
    told = ranks.told(json.dumps([str(folder), resume]) if ranks.is_first else "")
    where, goes_on = json.loads(told)
    return Path(where), goes_on


def _may_go_on(folder: Path) -> bool:
    """Whether an interrupted run waits in a run's folder or beside it."""
    waits = any((place / "checkpoint").is_dir() for place in (folder, partial(folder)))
    return waits and (folder / MANIFEST).is_file()


def begin(folder: Path) -> Path:
    """The partial folder, empty but for a checkpoint: nothing of a save that was cut short gets into the run."""
    fresh = partial(folder)
    fresh.mkdir(parents=True, exist_ok=True)
    for path in fresh.iterdir():
        if path.name == "checkpoint":
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return fresh


def settle(folder: Path) -> None:
    """The finished partial folder takes the run's name; a run that stood there goes only now."""
    old = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
    with writing(folder):
        standing = folder.exists()
        if standing and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
            raise UserError(
                f"{folder}: something that is no run stands here, and stays. The run is in {partial(folder)}."
            )
        if standing:
            folder.rename(old)
        try:
            partial(folder).rename(folder)
        except OSError:
            if standing:
                old.rename(folder)
            raise
        if standing:
            shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, data: Any) -> None:
    """Under a temporary name first, so that the file is never half there."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False), "utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """Raises UserError for a file that is missing or no JSON (NaN is none)."""
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise UserError(f"{path.parent}: expected a file '{path.name}', found none.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({shorten(error, 200)}).") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest last: with the sha256 of every other file."""
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in UNLISTED
    }
    write_json(folder / MANIFEST, {"format": FORMAT, **manifest, "files": files})


def opened(folder: Path) -> dict[str, Any]:
    """The manifest of a saved run whose files are all there and unchanged.

    Raises UserError for a folder that is none, a missing or changed file, another format, a hostile name.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        found = "found a file." if folder.exists() else f"found nothing.{_nearest_run(folder)}"
        raise UserError(f"{folder}: expected the folder of a run, {found}")
    if not path.is_file():
        raise UserError(f"{folder}: expected the folder of a run, found no {MANIFEST} in it.")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise UserError(f"{path}: expected an object with a list of files.")
    if manifest.get("format") != FORMAT:
        found = shorten(repr(manifest.get("format")))
        raise UserError(f"{path}: expected format {FORMAT}, got {found}; it needs another Zaowu.")
    listed(manifest, *ALWAYS, folder=folder)
    for name, digest in manifest["files"].items():
        _verify(folder, name, digest)
    return manifest


def _nearest_run(folder: Path) -> str:
    """The run beside it whose name is nearest; of a name alone, the one in runs/."""
    try:
        runs = [path for path in folder.parent.iterdir() if (path / MANIFEST).is_file()]
    except OSError:
        runs = []
    if close := nearest(folder.name, (path.name for path in runs)):
        return close
    usual = Path("runs") / folder.name
    return f" Did you mean '{usual}'?" if (usual / MANIFEST).is_file() else ""


def listed(manifest: dict[str, Any], *names: str, folder: Path) -> None:
    """Raises UserError when a file that is about to be read is not among those that were checked."""
    for name in names:
        if name not in manifest["files"]:
            raise UserError(f"{folder / MANIFEST}, 'files': '{name}' is missing. Copy the folder again, or fit again.")


def _verify(folder: Path, name: str, digest: Any) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise UserError(f"{folder / MANIFEST}: {shorten(repr(name))} is not the name of a file in this folder.")
    path = folder / name
    try:
        there = path.is_file()
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name that is no name, or a ring of links
        there = inside = False
    if not there:
        raise UserError(
            f"{folder}: the file {shorten(repr(name))} of this run is missing. Copy the whole folder, or fit again."
        )
    if not inside:
        raise UserError(f"{path}: is a link that leads out of the run. Copy the whole folder, or fit again.")
    try:
        found = sha256(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if found != digest:
        raise UserError(
            f"{path}: has changed since the run was saved (its sha256 is another). Copy the folder again, or fit again."
        )
