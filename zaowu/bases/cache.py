"""Where fetched bases lie, and whether one is whole."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

RECEIPT = "zaowu_base.json"
CONVERSION = 1  # raised when `convert` writes something else, so that older folders are made again
PIECES = "tokenizer.json"
NEEDED = ("config.json", PIECES, "model.safetensors")


def home() -> Path:
    """`ZAOWU_HOME`, or `zaowu` inside the platform's cache folder. It need not exist yet."""
    chosen = os.environ.get("ZAOWU_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches).absolute() / "zaowu"


def place(name: str) -> Path:
    """The folder of the base `name`, whether or not it exists."""
    return home() / "bases" / name


def damage(folder: Path) -> str:
    """What is wrong with a fetched base, in a few words; empty when it is whole.

    Sizes are compared with the receipt, contents are not: hashing 250 MB at every start would cost more than
    reading them.
    """
    try:
        receipt = json.loads((folder / RECEIPT).read_text("utf-8"))
        sizes = receipt["sizes"]
        if receipt["conversion"] != CONVERSION:
            return "another version of Zaowu converted it"
        for name in {*NEEDED, *sizes}:
            if not (folder / name).is_file():
                return f"'{name}' is missing"
            if (folder / name).stat().st_size != sizes.get(name):
                return f"'{name}' has {(folder / name).stat().st_size:,} bytes, not {sizes.get(name):,}"
    except FileNotFoundError:
        return f"'{RECEIPT}' is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"'{RECEIPT}' cannot be read"
    return ""


def sha256(path: Path) -> str:
    """The checksum of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
