"""Which piece of clothing is it? Grey pictures of 28 x 28 pixels, ten kinds.

data: Fashion-MNIST, 60,000 + 10,000 pictures (MIT, Xiao et al. 2017), in Debian's package dataset-fashion-mnist. To
reach: 91.5 % of the pictures, within half an hour on two cores.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from zaowu.errors import UserError
from zaowu.tasks import NUM_ASKED, Examples

NEEDS = "the folder with train-images-idx3-ubyte.gz and the like, as Debian's dataset-fashion-mnist installs it"
TARGET = "kind"
SETTINGS: dict[str, Any] = {"time_limit": "30m"}  # what a person may be asked to wait
GOAL = ("accuracy", 0.915)
KINDS = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FILES = {"train": "train", "test": "t10k"}
BYTES = 8  # the code for unsigned bytes, third of an IDX file


def load(data: Path | None) -> Examples:
    assert data is not None
    sides = read(data)
    return Examples(sides["train"], sides["test"].head(NUM_ASKED))


def read(folder: Path) -> dict[str, Any]:
    """train and test. Columns: image, as .npy bytes; kind. Raises UserError for a folder without the files."""
    import polars as pl

    from zaowu.inputs.image.clean import as_npy

    sides = {}
    for side, name in FILES.items():
        pixels, labels = (idx(_file(folder, f"{name}-{part}")) for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        if len(pixels) != len(labels) or labels.max(initial=0) >= len(KINDS):
            raise UserError(f"{folder}: expected a label from 0 to 9 for each of the {len(pixels):,} {side} images.")
        kinds = pl.Series("kind", [KINDS[label] for label in labels])
        sides[side] = pl.DataFrame([pl.Series("image", [as_npy(image) for image in pixels], pl.Binary), kinds])
    return sides


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise UserError(f"{folder}: expected {name}.gz in it: {NEEDS}.")


def idx(path: Path) -> Any:
    """The array of unsigned bytes in an IDX file, packed or not. Raises UserError for anything else.

    Two zero bytes, the code of the type, the number of dimensions, each as a big-endian whole number, the values.
    Source: LeCun et al., "The MNIST database of handwritten digits".
    """
    import numpy as np

    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as problem:
        raise UserError(f"{path}: cannot be read ({problem}).") from None
    num = data[3] if len(data) > 4 else 0
    shape = tuple(int.from_bytes(data[4 + 4 * place : 8 + 4 * place], "big") for place in range(num))
    begin = 4 + 4 * num
    if (
        data[:3] != bytes((0, 0, BYTES))
        or len(data) - begin != int(np.prod(shape, dtype=np.int64))
        or num not in (1, 3)
    ):
        raise UserError(f"{path}: expected an IDX file of unsigned bytes in one or three dimensions.")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)
