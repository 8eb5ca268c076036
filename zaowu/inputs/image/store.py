"""The images of one column as items whose pixels are read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from zaowu.inputs.image import Input

LIMIT_MB = 512  # of decoded images that stay in memory; the others are decoded again in every epoch


class Store:
    """The images of one call of `features`, decoded when first asked for; as many as `LIMIT_MB` holds stay.

    Those that came first stay: epochs go through all images in ever new order, so that to put one in another's place
    would gain nothing.
    """

    def __init__(self, source: Input, values: Sequence[str | bytes | None]) -> None:
        self.source, self.values = source, values
        shape = (*source.size, source.channels)
        room = min(len(values), int(LIMIT_MB * 1e6 / math.prod(shape)))
        self.pixels = np.empty((room, *shape), np.uint8)  # the system gives memory when it is written to
        self.place: dict[int, int] = {}

    def image(self, record: int) -> np.ndarray:
        """(H, W, C) uint8. Raises UserError for a file that was there when the table was read, and is not now."""
        place = self.place.get(record)
        if place is not None:
            return self.pixels[place]
        value = self.values[record]
        assert value is not None
        image = self.source.image(value)
        if len(self.place) < len(self.pixels):
            self.pixels[len(self.place)] = image
            self.place[record] = len(self.place)
        return image


class LazyItem:
    """As `Item`; its pixels are read when they are asked for."""

    __slots__ = ("length", "record", "store")
    share = 1.0

    def __init__(self, store: Store, record: int, length: int) -> None:
        self.store, self.record, self.length = store, record, length

    @property
    def features(self) -> dict[str, np.ndarray]:
        return {"patches": self.store.source.patches(self.store.image(self.record))}
