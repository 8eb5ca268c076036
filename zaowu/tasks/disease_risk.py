"""Is the tumour malignant? Thirty measurements of cell nuclei under a microscope.

data: scikit-learn's `load_breast_cancer`, 569 patients (UCI, Wolberg 1995). To reach: 96 % of the patients, as gradient
boosting does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.tasks import Examples, apart

NEEDS = ""
TARGET = "diagnosis"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.96)


def load(data: Path | None = None) -> Examples:
    return apart(read())


def read() -> Any:
    """Columns: the thirty measurements; diagnosis, malignant or benign."""
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    frame = pl.DataFrame(found.data, schema=list(map(str, found.feature_names)))
    return frame.with_columns(pl.Series("diagnosis", found.target_names[found.target].astype(str)))
