"""Which of three growers does a wine come from? Thirteen chemical measurements.

data: scikit-learn's `load_wine`, 178 wines (UCI, Forina 1991). To reach: 97 % of the wines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.tasks import Examples, apart

NEEDS = ""
TARGET = "grower"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.97)


def load(data: Path | None = None) -> Examples:
    return apart(read())


def read() -> Any:
    """Columns: the thirteen measurements; grower: A, B or C."""
    import polars as pl
    from sklearn.datasets import load_wine

    found = load_wine()
    frame = pl.DataFrame(found.data, schema=list(map(str, found.feature_names)))
    return frame.with_columns(pl.Series("grower", ["ABC"[place] for place in found.target]))
