"""How far will a patient's diabetes have gone in a year? Ten measurements of today.

data: scikit-learn's `load_diabetes`, 442 patients (Efron et al. 2004). To reach: 46 points off on average, of a scale
from 25 to 346; a linear model is 44 off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.tasks import Examples, apart

NEEDS = ""
TARGET = "progress"
SETTINGS: dict[str, Any] = {}
GOAL = ("mae", 46.0)
NAMES = {"bp": "blood_pressure", "s1": "cholesterol", "s2": "ldl", "s3": "hdl", "s4": "cholesterol_to_hdl"}
NAMES |= {"s5": "log_triglycerides", "s6": "glucose"}


def load(data: Path | None = None) -> Examples:
    return apart(read())


def read() -> Any:
    """Columns: the ten measurements in their own units; progress."""
    import polars as pl
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    frame = pl.DataFrame(found.data, schema=[NAMES.get(name, name) for name in found.feature_names])
    return frame.with_columns(pl.Series("progress", found.target))
