"""Series: numbers in their order -> patches of them -> vectors. Several channels, missing points, uneven times.

A patch is a few neighbouring points of all channels. It is given twice: on the scale of the training set, and on that
of its own series (instance normalisation, as in PatchTST: Nie et al. 2023, section 3.1) with that series' mean and
deviation beside it, so that neither the level nor the shape is lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs import Feature, Shown
from zaowu.inputs.series import plot
from zaowu.inputs.series.baseline import BaselineFeatures
from zaowu.inputs.series.cells import MAX_CHANNELS, Points, clean, read
from zaowu.inputs.series.guess import guess
from zaowu.inputs.series.layout import Layout, filled, thinned

if TYPE_CHECKING:
    from zaowu.inputs.series.embedder import PatchEmbedding

__all__ = ["SETTINGS", "BaselineFeatures", "Input", "clean", "guess"]

KIND = "series"
SETTINGS: dict[str, tuple[str, ...]] = {"patch": ()}
MAX_TOKENS = 256
MAX_TRAIN_WINDOWS = 8  # of one very long series in one epoch
MAX_WINDOWS = 64  # of one series in prediction
TOKENS = 32  # that a series of median length should give
WHOLE_POINTS = 24  # up to this length every point is a token of its own
MAX_PATCH, MAX_FEATURES = 4096, 65536
CLIP = 20.0  # deviations: what is further out is an error of the sensor, and would drown the rest
TAIL = 0.001  # of the points at either end, which the statistics do not follow
NEAR_ZERO = 1e-3  # of a series' own deviation, in deviations of the training set


@dataclass(frozen=True)
class Facts:
    """What was counted in training. series, points, missing: their numbers, points over all channels.

    median: length of a series; longest: the largest. over: series that are longer than one window.
    """

    series: int
    points: int
    missing: int
    median: int
    longest: int
    over: int


@dataclass(frozen=True)
class Scaled:
    """One series on the scale of the training set. values: (C, n) float32, a missing point on the line between its
    neighbours. known: (C, n) bool, whether a point counts as there. own: (3 C,) float32.

    gaps: (n,) float32, the logarithm of each point's distance from the one before it, or None.
    """

    values: np.ndarray
    known: np.ndarray
    own: np.ndarray
    gaps: np.ndarray | None


@dataclass(frozen=True)
class Window:
    """One item, as `inputs.Item`; its patches are laid out when they are asked for, since they take three times the
    memory of the series."""

    source: Input
    series: Scaled
    start: int
    stop: int
    record: int
    share: float = 1.0

    @property
    def length(self) -> int:
        return math.ceil((self.stop - self.start) / self.source.patch)

    @property
    def features(self) -> dict[str, np.ndarray]:
        return {"patches": self.source.patches(self.series, self.start, self.stop)}


class Input:
    """One column of series as rows of patches. mean, std: (C,) of the training set. gap: the median distance of two
    points in time, or None where the training set has no times."""

    kind = KIND
    numbered = True

    def __init__(
        self,
        columns: Sequence[str],
        layout: Layout,
        *,
        mean: np.ndarray,
        std: np.ndarray,
        patch: int,
        gap: float | None,
        facts: Facts,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self.columns, self.layout, self.facts = tuple(columns), layout, facts
        self.mean, self.std = mean, std
        self.patch, self.gap, self.max_tokens = patch, gap, max_tokens

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str | None]],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> Input:
        """Learns channels, scale and the length of a patch from training values, cells as `clean` leaves them.

        settings: column -> its settings; patch=N chooses the points of a patch. Raises UserError for no series, or
        series of different channels.
        """
        (column,) = columns
        every = [read(cell) for cell in values[0] if cell is not None]
        if not every:
            raise UserError(f"column '{column}': expected series of numbers to learn from, got none.")
        layout = Layout.of(every, where=f"column '{column}'")
        every = [layout.aligned(points) for points in every]
        lengths = np.array([points.values.shape[1] for points in every])
        mean, std = _statistics(every)
        chosen = (settings or {}).get(column, {}).get("patch", "")
        patch = int(chosen) if chosen else patch_for(float(np.median(lengths)))
        if not 1 <= patch <= MAX_PATCH or patch * layout.num_channels > MAX_FEATURES:
            most = min(MAX_PATCH, MAX_FEATURES // layout.num_channels)
            raise UserError(f"--column {column}: expected patch from 1 to {most:,}, got {shorten(chosen or patch)}.")
        steps = [np.diff(points.times) for points in every if points.times is not None]
        forward = np.concatenate([step[step > 0] for step in steps]) if 2 * len(steps) >= len(every) else np.empty(0)
        facts = Facts(
            series=len(every),
            points=int(sum(points.values.size for points in every)),
            missing=int(sum(np.isnan(points.values).sum() for points in every)),
            median=int(np.median(lengths)),
            longest=int(lengths.max()),
            over=int((lengths > max_tokens * patch).sum()),
        )
        gap = float(np.median(forward)) if forward.size else None
        return cls(columns, layout, mean=mean, std=std, patch=patch, gap=gap, facts=facts, max_tokens=max_tokens)

    @property
    def channels(self) -> tuple[str, ...]:
        """Their names; 1, 2, ... where the cells give none."""
        return self.layout.channels

    @property
    def num_features(self) -> int:
        """Of one patch: its points twice and whether they are there, their gaps, and the series' own statistics."""
        points = self.layout.num_channels * self.patch
        return 3 * points + (0 if self.gap is None else self.patch) + 3 * self.layout.num_channels

    @cached_property
    def specs(self) -> dict[str, Feature]:
        return {"patches": Feature(np.float32, pad=0.0, shape=(self.num_features,))}

    def features(
        self, *values: Sequence[str | None], training: bool = False, whole: bool = False
    ) -> list[Window]:  # one column, as `fit`
        """One item per series, or one per window of one that is longer than `max_tokens` patches.

        whole: one item each; neighbouring points of a long series become their mean.
        """
        items: list[Window] = []
        room = self.max_tokens * self.patch
        most = MAX_TRAIN_WINDOWS if training else MAX_WINDOWS
        for record, cell in enumerate(values[0]):
            if cell is None:
                continue
            points = self.layout.aligned(read(cell))
            if whole:
                points = thinned(points, room)
            series = self._scaled(points)
            size = points.values.shape[1]
            starts = list(range(0, size, room))
            if len(starts) > most:
                starts = [starts[i] for i in np.linspace(0, len(starts) - 1, most).round().astype(int)]
            items += [Window(self, series, start, min(start + room, size), record, 1 / len(starts)) for start in starts]
        return items

    def _scaled(self, points: Points) -> Scaled:
        values = np.clip((points.values - self.mean[:, None]) / self.std[:, None], -CLIP, CLIP)
        known = np.isfinite(values)
        count = np.maximum(known.sum(1), 1)
        mean = np.where(known, values, 0.0).sum(1) / count
        deviation = np.sqrt(np.where(known, (values - mean[:, None]) ** 2, 0.0).sum(1) / count)
        own = np.concatenate([mean, deviation, np.log(deviation + NEAR_ZERO)])
        gaps = None
        if self.gap is not None:
            gaps = np.zeros(values.shape[1], np.float32)  # of a series without times: all as usual
            if points.times is not None:
                gaps[1:] = np.log1p(np.minimum(np.diff(points.times) / self.gap, 1e6)) - math.log(2)
        # A model that never saw a missing point in training does not know the sign for it.
        told = known if self.facts.missing else np.ones_like(known)
        return Scaled(filled(values, points.times).astype(np.float32), told, own.astype(np.float32), gaps)

    def patches(self, series: Scaled, start: int, stop: int) -> np.ndarray:
        """The points from `start` to `stop` as (T, F) float32; what the last patch lacks is zero and not there."""
        num_channels, num_tokens = len(series.values), math.ceil((stop - start) / self.patch)
        room = num_tokens * self.patch
        values, known = np.zeros((num_channels, room), np.float32), np.zeros((num_channels, room), bool)
        values[:, : stop - start], known[:, : stop - start] = series.values[:, start:stop], series.known[:, start:stop]
        mean, deviation = series.own[:num_channels, None], series.own[num_channels : 2 * num_channels, None]
        shape = np.clip((values - mean) / (deviation + NEAR_ZERO), -CLIP, CLIP)
        shape[:, stop - start :] = 0
        blocks = [values, shape, known.astype(np.float32)]
        if series.gaps is not None:
            gaps = np.zeros((1, room), np.float32)
            gaps[0, : stop - start] = series.gaps[start:stop]
            blocks.append(gaps)
        rows = np.concatenate(blocks).reshape(-1, num_tokens, self.patch).swapaxes(0, 1).reshape(num_tokens, -1)
        return np.concatenate([rows, np.broadcast_to(series.own, (num_tokens, len(series.own)))], 1)

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """As they are: what a shift or a stretch would leave true, only the person knows."""
        return features

    def embedder(self, dim: int) -> PatchEmbedding:
        from zaowu.inputs.series.embedder import PatchEmbedding

        return PatchEmbedding(self.num_features, dim)

    def shown(self, *values: str | None) -> Shown:
        """Of one record: its points in a sentence, and as a picture."""
        if values[0] is None:
            return Shown("")
        points = self.layout.aligned(read(values[0]))
        return Shown(self._told(points), picture=plot.svg(points.values, points.times))

    def words(self, *values: str | None) -> str:
        return "" if values[0] is None else self._told(self.layout.aligned(read(values[0])))

    def _told(self, points: Points) -> str:
        known = points.values[np.isfinite(points.values)]
        words = f"{points.values.shape[1]:,} points"
        if self.layout.num_channels > 1:
            words += f" of {self.layout.num_channels} channels ({shorten(', '.join(self.channels), 100)})"
        if known.size:
            words += f", from {known.min():.4g} to {known.max():.4g}, mean {known.mean():.4g}"
        if lacking := points.values.size - known.size:
            words += f", {lacking:,} missing"
        return words

    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "layout": self.layout.state(),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "patch": self.patch,
            "gap": self.gap,
            "max_tokens": self.max_tokens,
            "facts": asdict(self.facts),
        }

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes. Raises UserError naming `where` for anything made up."""
        if not isinstance(state, dict):
            raise UserError(f"{where}: expected an object, got {type(state).__name__}.")
        columns, patch, gap, most = (state.get(key) for key in ("columns", "patch", "gap", "max_tokens"))
        if not (isinstance(columns, list) and len(columns) == 1 and isinstance(columns[0], str)):
            raise UserError(f"{where}: expected the name of one column of series, got {shorten(repr(columns))}.")
        layout = Layout.from_state(state.get("layout"), where=where)
        num_channels = layout.num_channels
        mean, std = (_floats(state.get(key), num_channels) for key in ("mean", "std"))
        if mean is None or std is None or not (std > 0).all():
            raise UserError(f"{where}: expected a mean and a deviation for each of {num_channels} channels.")
        if type(patch) is not int or not 1 <= patch <= MAX_PATCH or patch * num_channels > MAX_FEATURES:
            raise UserError(f"{where}: expected a patch of 1 to {MAX_PATCH:,} points, got {shorten(patch)}.")
        if gap is not None and (type(gap) is not float or not 0 < gap < math.inf):
            raise UserError(f"{where}: expected the usual gap between two points, got {shorten(gap)}.")
        if type(most) is not int or not 1 <= most <= 100_000:
            raise UserError(f"{where}: expected max_tokens from 1 to 100,000, got {shorten(most)}.")
        facts = state.get("facts")
        if not isinstance(facts, dict) or set(facts) != set(Facts.__dataclass_fields__):
            raise UserError(f"{where}: expected {', '.join(Facts.__dataclass_fields__)}, got {shorten(facts)}.")
        if not all(type(count) is int and count >= 0 for count in facts.values()):
            raise UserError(f"{where}: expected counts from 0, got {shorten(facts)}.")
        return cls(columns, layout, mean=mean, std=std, patch=patch, gap=gap, facts=Facts(**facts), max_tokens=most)


def patch_for(length: float) -> int:
    """The points of a patch for series of that median length: a power of two that gives about TOKENS patches."""
    if length <= WHOLE_POINTS:
        return 1
    return min(256, max(1, 2 ** round(math.log2(length / TOKENS))))


def _statistics(every: Sequence[Points]) -> tuple[np.ndarray, np.ndarray]:
    """(C,) mean and deviation of all points, the furthest ones counted as if they were a little nearer."""
    mean, std = [], []
    for channel in range(len(every[0].values)):
        points = np.concatenate([series.values[channel] for series in every])
        points = points[np.isfinite(points)]
        if points.size:
            points = np.clip(points, *np.quantile(points, (TAIL, 1 - TAIL)))
        mean.append(points.mean() if points.size else 0.0)
        spread = points.std() if points.size else 0.0
        std.append(spread if spread > 1e-9 * (1 + abs(mean[-1])) else 1.0)  # a constant channel
    return np.array(mean), np.array(std)


def _floats(values: Any, size: int) -> np.ndarray | None:
    """(size,) float64 of a list of finite numbers, or None."""
    if not isinstance(values, list) or len(values) != size or size > MAX_CHANNELS:
        return None
    if not all(type(value) in (int, float) and abs(value) < 1e300 for value in values):
        return None
    return np.array(values, np.float64)
