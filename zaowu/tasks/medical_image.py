"""Does a chest X-ray show pneumonia? Grey images of 28 x 28 pixels of children's chests.

data: PneumoniaMNIST of MedMNIST (CC BY 4.0, Yang et al. 2023), `pneumoniamnist.npz` or a part of it. To reach: 95 % of
the images kept aside; most show pneumonia, so look at the macro F1 beside it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from zaowu.errors import UserError, shorten
from zaowu.tasks import NUM_ASKED, Examples

NEEDS = "an .npz with train_images, train_labels, val_images and val_labels, as MedMNIST publishes it"
TARGET = "finding"
SETTINGS: dict[str, Any] = {}
GOAL = ("accuracy", 0.95)
FINDINGS = ("normal", "pneumonia")


def load(data: Path | None) -> Examples:
    assert data is not None
    sides = read(data)
    return Examples(sides["train"], sides["val"].head(NUM_ASKED))


def read(path: Path) -> dict[str, Any]:
    """train and val. Columns: image, as .npy bytes; finding. Raises UserError for another file."""
    import numpy as np
    import polars as pl

    from zaowu.inputs.image.clean import as_npy

    sides = {}
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            for side in ("train", "val"):
                images, labels = arrays[f"{side}_images"], arrays[f"{side}_labels"].ravel()
                if images.ndim != 3 or len(images) != len(labels) or not set(labels.tolist()) <= {0, 1}:
                    raise ValueError("images and labels do not fit")
                found = [pl.Series("image", [as_npy(image) for image in images], pl.Binary)]
                found.append(pl.Series("finding", [FINDINGS[label] for label in labels]))
                sides[side] = pl.DataFrame(found)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as problem:
        raise UserError(f"{path}: expected {NEEDS} ({shorten(problem, 80)}).") from None
    return sides
