"""Which channels the series of a column have, and how a cell gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.series.cells import MAX_CHANNELS, Points

TIMES_LONGER = 4  # a list of lists is read point by point where it is that much longer than its lists


@dataclass(frozen=True)
class Layout:
    """channels: their names, in order; 1, 2, ... where cells have none. named: whether they have.

    by_points: a list of lists holds the points, each with a value of every channel, and not the channels.
    """

    channels: tuple[str, ...]
    named: bool = False
    by_points: bool = False

    @property
    def num_channels(self) -> int:
        return len(self.channels)

    @classmethod
    def of(cls, every: Sequence[Points], *, where: str) -> Layout:
        """What fits all of them. Raises UserError, naming `where`, for series of different channels."""
        names = sorted({name for points in every for name in points.names or ()})
        if names:
            if len(names) > MAX_CHANNELS:
                raise UserError(f"{where}: expected at most {MAX_CHANNELS} channels, got {len(names):,} names.")
            found = cls(tuple(names), named=True)
            for points in every:
                found.aligned(points, where=where)
            return found
        by_points = is_by_points([points.values.shape for points in every])
        counts = sorted({points.values.shape[1 if by_points else 0] for points in every})
        if len(counts) > 1:
            raise UserError(
                f"{where}: expected the same channels in every series, got series of {counts[0]} and of {counts[1]} "
                'channels. Give them names: {"a": [...], "b": [...]}.'
            )
        if counts[0] > MAX_CHANNELS:
            raise UserError(f"{where}: expected at most {MAX_CHANNELS} channels, got {counts[0]:,}.")
        return cls(tuple(str(place + 1) for place in range(counts[0])), by_points=by_points)

    def aligned(self, points: Points, *, where: str = "a series") -> Points:
        """`points` with these channels in this order; one that is not there is missing. Raises UserError."""
        values = points.values
        if points.names is None:
            if self.by_points:
                values = values.T
            if len(values) != self.num_channels:
                raise UserError(
                    f"{where}: expected {self.num_channels} channels ({shorten(', '.join(self.channels), 100)}), "
                    f"got {len(values)}."
                )
            return replace(points, values=values)
        if not set(points.names) & set(self.channels):
            if len(points.names) == 1 == self.num_channels:  # there is but one that it can be
                return replace(points, names=self.channels)
            raise UserError(
                f"{where}: expected the channels {shorten(', '.join(self.channels), 100)}, "
                f"got {shorten(', '.join(points.names), 100)}."
            )
        found = np.full((self.num_channels, values.shape[1]), np.nan)
        for place, name in enumerate(self.channels):
            if name in points.names:
                found[place] = values[points.names.index(name)]
        return Points(found, points.times, self.channels)

    def state(self) -> dict[str, Any]:
        return {"channels": list(self.channels), "named": self.named, "by_points": self.by_points}

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Layout:
        if not isinstance(state, dict) or set(state) != set(cls.__dataclass_fields__):
            raise UserError(f"{where}: expected the channels of a series, got {shorten(state)}.")
        channels = state["channels"]
        if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
            raise UserError(f"{where}: expected a list of channels, got {shorten(channels)}.")
        if not 1 <= len(channels) <= MAX_CHANNELS or len(set(channels)) < len(channels):
            raise UserError(f"{where}: expected 1 to {MAX_CHANNELS} different channels, got {shorten(channels)}.")
        if not all(type(state[name]) is bool for name in ("named", "by_points")):
            raise UserError(f"{where}: expected true or false for named and by_points, got {shorten(state)}.")
        return cls(tuple(channels), state["named"], state["by_points"])


def is_by_points(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether lists of lists, of such (outer, inner) lengths, hold points and not channels.

    As many inner lists everywhere are channels, unless there are far more of them than each has numbers.
    """
    outer, inner = {shape[0] for shape in shapes}, {shape[1] for shape in shapes}
    if len(outer) == 1:
        return len(inner) == 1 and min(outer) >= TIMES_LONGER * max(inner) and max(inner) > 1
    return len(inner) == 1


def thinned(points: Points, most: int) -> Points:
    """A series of at most `most` points: the mean of neighbours, missing where all of them are."""
    size = points.values.shape[1]
    if size <= most:
        return points
    step = -(-size // most)
    num_blocks = -(-size // step)
    padded = np.full((len(points.values), num_blocks * step), np.nan)
    padded[:, :size] = points.values
    blocks = padded.reshape(len(padded), num_blocks, step)
    known = np.isfinite(blocks)
    count = known.sum(2)
    values = np.where(count > 0, np.where(known, blocks, 0).sum(2) / np.maximum(count, 1), np.nan)
    return Points(values, None if points.times is None else points.times[::step], points.names)


def filled(values: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """(C, n) with every missing point on the line between its neighbours, or as the nearest one at an end; a channel
    without any point is zero."""
    known = np.isfinite(values)
    if known.all():
        return values
    places = np.arange(values.shape[1], dtype=np.float64) if times is None else times
    return np.stack(
        [
            np.interp(places, places[own], channel[own]) if own.any() else np.zeros_like(channel)
            for channel, own in zip(values, known, strict=True)
        ]
    )
