"""`zaowu bases`: which pretrained encoders there are, and fetching one ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.bases.cache import place
from zaowu.bases.fetch import resolve
from zaowu.bases.names import CATALOGUE, listing
from zaowu.errors import UserError, nearest
from zaowu.progress import note, speaking


def bases() -> list[dict[str, Any]]:
    """One row per base: name, default, languages, licence, download_mb, disk_mb, here, description, folder.

    folder is where it lies, or will lie; `here` says which.
    """
    return [{**row, "folder": str(place(row["name"]))} for row in listing()]


def fetch(name: str, *, quiet: bool = False) -> Path:
    """The folder of the base `name`, fetched when it is not here yet.

    Raises UserError when the name is unknown, or the base cannot be reached or stored.
    """
    if name not in CATALOGUE:
        raise UserError(
            f"'{name}' is not a base that can be fetched: {', '.join(CATALOGUE)} are.{nearest(name, CATALOGUE)}"
        )
    with speaking(quiet=quiet):
        folder = resolve(name)
        note(f"{name} is in {folder}.")
    return folder
