"""A raw column of images -> paths or encoded files that can be read, each opened here once and whole."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.inputs.image.pixels import ENDINGS, Unreadable, decode, looks_like_image, read
from zaowu.records.records import Cleaned

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 5000
PORTION = 1024  # values that are opened together
MOST = 0.95  # of the values that are there must look like an image
LEAST_SIDE, MOST_RATIO = 8, 2  # of nested lists; a few channels of a long series are no picture
ADDRESS = r"(?i)^[a-z][a-z0-9+.-]+://"


def guess(values: pl.Series) -> str | None:
    """Images are paths with an image's ending, bytes that begin as an image does, or arrays of two or three
    dimensions: unsigned bytes, or about as wide as high."""
    import polars as pl

    sample = values.drop_nulls().head(SAMPLE)
    if sample.is_empty():
        return None
    if sample.dtype == pl.String:
        names = sample.str.strip_chars().filter(sample.str.strip_chars() != "").str.to_lowercase()
        image = names.str.contains(rf"({'|'.join(map(_escaped, ENDINGS))})$") & ~names.str.contains(ADDRESS)
        share = float(image.mean() or 0)  # type: ignore[arg-type]
        return f"paths of images, {share:.0%} by their ending" if share >= MOST else None
    if sample.dtype == pl.Binary:
        share = float(np.mean([looks_like_image(value) for value in sample]))
        return f"image files, {share:.0%} by their first bytes" if share >= MOST else None
    depth, inner = _nesting(sample.dtype)
    if sample.dtype == pl.Object or (depth in (2, 3) and inner.is_numeric()):
        shapes = {_shape(value, depth) for value in sample.head(200)}
        if None in shapes or not all(_picture_like(shape, inner) for shape in shapes if shape):
            return None
        return f"arrays of {len(next(iter(shapes)) or ())} dimensions"
    return None


def _escaped(ending: str) -> str:
    return ending.replace(".", r"\.")


def _nesting(dtype: Any) -> tuple[int, Any]:
    """How many lists lie in one another, and what lies in the last."""
    depth = 0
    while hasattr(dtype, "inner"):
        depth, dtype = depth + len(getattr(dtype, "shape", (0,))), dtype.inner
        while getattr(dtype, "shape", None) and hasattr(dtype, "inner"):  # an Array's shape names all its levels
            dtype = dtype.inner
    return depth, dtype


def _shape(value: Any, depth: int) -> tuple[int, ...] | None:
    """The shape of a nested list or array of numbers, or None where rows differ in length."""
    try:
        array = np.asarray(value.to_list() if hasattr(value, "to_list") else value)
    except ValueError:
        return None
    return array.shape if array.dtype.kind in "buif" and array.ndim in (2, 3) else None


def _picture_like(shape: tuple[int, ...], inner: Any) -> bool:
    import polars as pl

    if len(shape) == 3:
        return shape[2] in (1, 3, 4)
    short, long = sorted(shape)
    return inner == pl.UInt8 or (short >= LEAST_SIDE and long <= MOST_RATIO * short)


def clean(values: pl.Series, folder: Path | None) -> Cleaned:
    """Every image opened, decoded in full and hashed; what cannot be used is a problem, in words.

    folder: of the table; relative paths are read against it. Paths become absolute; arrays become .npy bytes.
    """
    import polars as pl

    text = values.dtype == pl.String
    raw: list[Any] = values.to_list()
    kept: list[str | bytes | None] = []
    digests: list[str | None] = []
    problems: dict[int, str] = {}
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        for start in range(0, len(raw), PORTION):  # what waits in a pool takes memory for each value
            for value, digest, problem in pool.map(lambda own: _one(own, folder), raw[start : start + PORTION]):
                if problem:
                    problems[len(kept)] = f"expected an image, got {problem}"
                kept.append(value)
                digests.append(digest)
    return Cleaned(pl.Series(values.name, kept, dtype=pl.String if text else pl.Binary), digests, problems)


def _one(value: Any, folder: Path | None) -> tuple[str | bytes | None, str | None, str]:
    """The value as `Input` reads it, the digest of its contents, and its problem, or "" where it has none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, None, ""
    try:
        if isinstance(value, str):
            path = Path(value.strip()).expanduser()
            value = str((path if folder is None else folder / path).absolute())  # an absolute one stays as it is
        elif not isinstance(value, bytes):
            value = as_npy(value)
        data = read(value)
        decode(data)
    except Unreadable as error:
        return None, None, str(error)
    return value, blake2b(data, digest_size=16).hexdigest(), ""


def as_npy(value: Any) -> bytes:
    """A nested list or an array as the bytes of an .npy file. Raises Unreadable."""
    try:
        array = np.asarray(value.to_list() if hasattr(value, "to_list") else value)
    except ValueError:
        raise Unreadable("rows of different length") from None
    if array.dtype.kind not in "buif":
        raise Unreadable("an array with something in it that is no number")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()
