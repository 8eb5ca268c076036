"""The cheap method's features: in which directions brightness changes, cell by cell, beside the image made small.

    g = gradient of the brightness; each pixel votes with |g| for the two nearest of nine directions (mod 180 degrees)
    of its cell; blocks of 2 x 2 cells are normalised (L2, cut at 0.2, L2) and put side by side.
Source: Dalal and Triggs 2005, sections 6.1 to 6.4 (the cells are hard, without votes for neighbours in space).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.image.pixels import Unreadable, decode, levels_of, read, to_size

BINS, BLOCK, CUT = 9, 2, 0.2
SIDES = (16, 28, 32, 48, 64)  # an image is brought to the square that is nearest to it, at most the last
CELLS = {16: 4, 28: 4, 32: 4, 48: 6, 64: 8}
SMALL = 14  # side of the small image, or its own where that is less
CHUNK = 256  # images at a time
SAMPLE = 500


class HogFeatures:
    """One column of images as a matrix: HOG and a small image less the mean one, each L2-normalised.

    side: of the square in pixels. colour: whether the small image has its three channels. levels: as in `Input`.
    center: (small features,) float32, the mean small image.
    """

    name: ClassVar[str] = "HOG and a small image"
    max_rows: ClassVar[int] = 20_000  # to fit on: each takes some 80 kB while a linear model is fitted

    def __init__(
        self, *, side: int, colour: bool, levels: tuple[float, float] | None, center: np.ndarray, hog: bool = True
    ) -> None:
        self.side, self.colour, self.levels, self.center, self.hog = side, colour, levels, center, hog

    @classmethod
    def fit(
        cls, values: Sequence[str | bytes | None], *, max_features: int = 300_000, **kinds: Any
    ) -> tuple[HogFeatures, Any]:
        """Learns from training images only. Returns the features, and the matrix of these images.

        max_features: where HOG has more, the small image stands alone.
        """
        there = [value for value in values if value is not None]
        samples = [_decoded(one) for one in there[:: max(1, len(there) // SAMPLE)]]
        longest = float(np.median([max(one.shape[:2]) for one in samples])) if samples else SIDES[0]
        side = min(SIDES, key=lambda one: abs(math.log(one / longest)))
        deep = [one for one in samples if one.dtype != np.uint8]
        colour = any(one.shape[2] == 3 and bool((np.ptp(one, axis=2) > 8).any()) for one in samples)
        levels = levels_of(deep) if deep else None
        found = cls(side=side, colour=colour, levels=levels, center=np.zeros(0, np.float32))
        found.hog = found.num_hog + found.num_small <= max_features
        small = [found._small(found._image(one)) for one in samples]
        found.center = np.stack([*small, *[np.zeros(found.num_small, np.float32)] * (not small)]).mean(0)
        return found, found.transform(values)

    @property
    def num_hog(self) -> int:
        cells = self.side // CELLS[self.side] - BLOCK + 1
        return cells**2 * BLOCK**2 * BINS

    @property
    def num_small(self) -> int:
        return SMALL**2 * (3 if self.colour else 1)

    @property
    def num_features(self) -> int:
        return self.num_small + (self.num_hog if self.hog else 0)

    def transform(self, values: Sequence[str | bytes | None]) -> Any:
        """(N, num_features) float32 scipy CSR matrix; zeros where there is no image."""
        from scipy import sparse

        blocks = [sparse.csr_matrix((0, self.num_features), dtype=np.float32)]
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            blank = np.zeros((self.side, self.side, 3 if self.colour else 1), np.uint8)
            images = [blank if value is None else self._image(_decoded(value)) for value in part]
            found = _unit(np.stack([self._small(image) for image in images]) - self.center)
            if self.hog:
                found = np.concatenate((hog(np.stack(images).mean(3, np.float32), CELLS[self.side]), found), 1)
            found[[value is None for value in part]] = 0
            blocks.append(sparse.csr_matrix(found, dtype=np.float32))
        return sparse.vstack(blocks, format="csr", dtype=np.float32)

    def _image(self, pixels: np.ndarray) -> np.ndarray:
        return to_size(pixels, (self.side,) * 2, channels=3 if self.colour else 1, levels=self.levels)

    def _small(self, image: np.ndarray) -> np.ndarray:
        """(num_small,) float32 in [0, 1]."""
        small = to_size(image, (SMALL,) * 2, channels=image.shape[2], levels=None)
        return small.ravel().astype(np.float32) / 255

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        levels = None if self.levels is None else list(self.levels)
        plain = {"side": self.side, "colour": self.colour, "levels": levels, "hog": self.hog}
        return plain, {"center": self.center}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> HogFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(plain, dict) or type(plain.get("side")) is not int or plain["side"] not in SIDES:
            raise UserError(f"{where}: expected a side of {', '.join(map(str, SIDES))}, got {shorten(plain)}.")
        if type(plain.get("colour")) is not bool or type(plain.get("hog")) is not bool:
            raise UserError(f"{where}: expected 'colour' and 'hog' to be true or false, got {shorten(plain)}.")
        levels = plain.get("levels")
        if levels is not None:
            numbers = isinstance(levels, list) and all(type(value) in (int, float) for value in levels)
            if not numbers or len(levels) != 2 or not -math.inf < levels[0] < levels[1] < math.inf:
                raise UserError(f"{where}, 'levels': expected two numbers, the lower first, got {shorten(levels)}.")
            levels = (levels[0], levels[1])
        center = arrays.get("center", np.zeros(0))
        found = cls(side=plain["side"], colour=plain["colour"], levels=levels, center=center, hog=plain["hog"])
        if center.shape != (found.num_small,) or center.dtype != np.float32 or not np.isfinite(center).all():
            raise UserError(f"{where}, 'center': expected {found.num_small} float32 numbers.")
        return found


def hog(images: np.ndarray, cell: int) -> np.ndarray:
    """(N, S, S) float32, of any scale -> (N, F) float32, each row of length 1. cell: side in pixels, a divisor of S."""
    count, side = images.shape[:2]
    across, down = np.zeros_like(images), np.zeros_like(images)
    across[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    down[:, 1:-1] = images[:, 2:] - images[:, :-2]
    strength = np.hypot(across, down)
    place = (np.arctan2(down, across) / np.pi % 1) * BINS - 0.5  # in directions, from the middle of the first
    lower = np.floor(place)
    share = strength * (place - lower)
    first = lower.astype(np.int64) % BINS
    cells = side // cell
    row = np.arange(side) // cell
    at = (np.arange(count)[:, None, None] * cells + row[:, None]) * cells + row  # (N, S, S), which cell
    size = count * cells * cells * BINS
    votes = np.bincount((at * BINS + first).ravel(), (strength - share).ravel(), size)
    votes += np.bincount((at * BINS + (first + 1) % BINS).ravel(), share.ravel(), size)
    histogram = votes.reshape(count, cells, cells, BINS).astype(np.float32)
    last = cells - BLOCK + 1
    corners = [histogram[:, i : i + last, j : j + last] for i in range(BLOCK) for j in range(BLOCK)]
    blocks = _unit(np.minimum(_unit(np.concatenate(corners, 3)), CUT))
    return _unit(blocks.reshape(count, -1))


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1, or of zeros."""
    return x / np.sqrt((x**2).sum(-1, keepdims=True) + np.float32(1e-12))


def _decoded(value: str | bytes) -> np.ndarray:
    try:
        return decode(read(value), near=(SIDES[-1],) * 2)
    except Unreadable as error:
        name = f"'{shorten(value)}': " if isinstance(value, str) else ""
        raise UserError(f"{name}expected an image, got {error}.") from None
