"""Which digit was said? Short English recordings of several speakers.

data: the Free Spoken Digit Dataset (CC BY-SA 4.0), whose names are DIGIT_SPEAKER_TAKE.wav. To reach: 97 % of the
recordings.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zaowu.errors import UserError
from zaowu.tasks import Examples, apart

NEEDS = "a folder or a zip of recordings whose names are DIGIT_SPEAKER_TAKE.wav"
TARGET = "digit"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.97)
NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")


def load(data: Path | None) -> Examples:
    assert data is not None
    return apart(read(data).select("sound", "digit"))


def read(path: Path) -> Any:
    """Columns: sound, the bytes of a file; digit, speaker, take. In the order of names. Raises UserError."""
    import polars as pl

    found = []
    for name, sound in sorted(_files(path)):
        if shape := NAME.fullmatch(name):
            found.append({"sound": sound, "digit": shape[1], "speaker": shape[2], "take": int(shape[3])})
    if not found:
        raise UserError(f"{path}: expected {NEEDS}; there is none.")
    return pl.DataFrame(found)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each .wav in a folder or a zip."""
    try:
        if path.is_dir():
            yield from ((file.name, file.read_bytes()) for file in path.rglob("*.wav"))
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.rpartition("/")[2]
                if NAME.fullmatch(name):
                    yield name, archive.read(member)
    except (OSError, zipfile.BadZipFile) as problem:
        raise UserError(f"{path}: expected {NEEDS} ({problem}).") from None
