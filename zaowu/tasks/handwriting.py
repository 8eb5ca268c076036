"""Which digit was written? Images of 8 x 8 pixels.

data: scikit-learn's `load_digits`, 1,797 images (UCI, Alpaydin and Kaynak 1998). To reach: 98 % of the images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zaowu.tasks import Examples, apart

NEEDS = ""
TARGET = "digit"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.98)
MOST = 16  # of a pixel


def load(data: Path | None = None) -> Examples:
    return apart(read())


def read() -> Any:
    """Columns: image, an array of 8 x 8 bytes; digit."""
    import polars as pl
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * (255 / MOST)).round().astype("uint8")
    image = pl.Series("image", list(pixels), pl.Array(pl.UInt8, pixels.shape[1:]))
    return pl.DataFrame([image, pl.Series("digit", found.target.astype(str))])
