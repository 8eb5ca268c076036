"""A training image as it might have looked as well: moved, turned over, in another light, partly hidden.

Everything that is drawn hangs on one number, so that a record looks the same in any batch of that epoch. Values stay
bytes: an image of 28 x 28 takes some 40 microseconds.
"""

from __future__ import annotations

import numpy as np

from zaowu.records.identity import mixed

MOVE = 8  # an image is moved by up to its side / 8 each way (He et al. 2016: 4 of 32)
ZOOM_FROM, ZOOM = 64, 0.2  # sides of that many pixels are drawn up to this much larger or smaller as well
LIGHT = 0.2  # of brightness (share of the full range) and contrast
HIDDEN, HIDDEN_CHANCE = 0.35, 0.5  # side of the hidden square; how often there is one (DeVries and Taylor 2017)
DRAWS = np.arange(10, dtype=np.uint64)
VALUES = np.arange(256, dtype=np.float32)


def cut(image: np.ndarray, patch: int) -> np.ndarray:
    """(H, W, C) -> (T, C patch patch), row by row."""
    height, width, channels = image.shape
    grid = image.reshape(height // patch, patch, width // patch, patch, channels)
    return grid.transpose(0, 2, 4, 1, 3).reshape(-1, channels * patch * patch)


def join(patches: np.ndarray, patch: int, size: tuple[int, int]) -> np.ndarray:
    """The inverse of `cut`: (T, C patch patch) -> (H, W, C)."""
    rows, columns = size[0] // patch, size[1] // patch
    grid = patches.reshape(rows, columns, -1, patch, patch)
    return grid.transpose(0, 3, 1, 4, 2).reshape(*size, -1)


def augment(image: np.ndarray, chance: int, *, flip: bool, fill: np.ndarray | None) -> np.ndarray:
    """(H, W, C) uint8 -> a new one. chance: 64 bits. fill: (C,) uint8, what hides; None: moved and turned over only."""
    height, width, _ = image.shape
    draws = (mixed(np.uint64(chance) + DRAWS) >> np.uint64(11)) * 2.0**-53  # each in [0, 1)
    rows = _moved(height, draws[0], draws[1])
    columns = _moved(width, draws[2], draws[1])
    if flip and draws[3] < 0.5:
        columns = columns[::-1]
    moved = image[rows[:, None], columns]
    if fill is None:
        return moved
    contrast = 1 + LIGHT * (2 * draws[4] - 1)
    shift = 255 * LIGHT / 2 * (2 * draws[5] - 1) + (1 - contrast) * float(fill.mean())
    table = np.clip(VALUES * np.float32(contrast) + np.float32(shift + 0.5), 0, 255).astype(np.uint8)
    moved = table[moved]
    if draws[6] < HIDDEN_CHANCE:
        down, right = max(1, round(HIDDEN * height)), max(1, round(HIDDEN * width))
        top, left = int(draws[7] * (height - down + 1)), int(draws[8] * (width - right + 1))
        moved[top : top + down, left : left + right] = fill
    return moved


def _moved(side: int, draw: float, zoom: float) -> np.ndarray:
    """(side,) which row each row is taken from; beyond the edge, the edge."""
    room = side // MOVE
    shift = int(draw * (2 * room + 1)) - room
    places = np.arange(side)
    if side >= ZOOM_FROM:
        scale = 1 + ZOOM * (2 * zoom - 1)
        places = np.floor((places + 0.5 - side / 2) * scale + side / 2).astype(np.int64)
    return np.clip(places + shift, 0, side - 1)
