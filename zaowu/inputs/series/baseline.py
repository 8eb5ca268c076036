"""The cheap method's features of a series: statistics, its course at a few places, how it repeats itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.series.cells import Points, read
from zaowu.inputs.series.layout import Layout

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LAGS = (1, 2, 4, 8)
NUM_PLACES = 32  # at which the course is read; a series of just so many points is read whole
NUM_FREQUENCIES = 8
STATISTICS = 6  # mean, deviation, least, largest, slope, share missing
PER_CHANNEL = STATISTICS + len(QUANTILES) + len(LAGS) + NUM_PLACES + NUM_FREQUENCIES
OVERALL = 2  # of the whole series: logarithms of its length and of its duration
CLIP = 10.0  # deviations


class BaselineFeatures:
    """Standardised statistics of each channel. mean, scale: (F,) float32, of the training set."""

    name: ClassVar[str] = "statistics of the series"

    def __init__(self, layout: Layout, mean: np.ndarray, scale: np.ndarray) -> None:
        self.layout, self.mean, self.scale = layout, mean, scale

    @classmethod
    def fit(
        cls,
        *values: Sequence[str | None],
        max_features: int = 300_000,
        kinds: Mapping[str, str] | None = None,
    ) -> tuple[BaselineFeatures, Any]:
        """Learns from training values, one column, only. Returns the features, and the matrix of these series."""
        every = [read(cell) for cell in values[0] if cell is not None]
        if not every:
            raise UserError("expected series of numbers to learn from, got none.")
        layout = Layout.of(every, where="the column of series")
        most = max(1, (max_features - OVERALL) // PER_CHANNEL)
        made = cls(layout, np.zeros(0, np.float32), np.ones(0, np.float32))
        raw = made._raw(values[0])[:, : OVERALL + most * PER_CHANNEL]
        known = np.array([cell is not None for cell in values[0]])
        made.mean = raw[known].mean(0).astype(np.float32)
        scale = raw[known].std(0)
        made.scale = np.where(scale > 1e-9 * (1 + np.abs(made.mean)), scale, 1.0).astype(np.float32)
        return made, made._scaled(raw, known)

    @property
    def num_features(self) -> int:
        return len(self.mean)

    def transform(self, *values: Sequence[str | None]) -> Any:
        """(N, num_features) float32 scipy CSR matrix; a missing series is a row of zeros, the average."""
        known = np.array([cell is not None for cell in values[0]], bool)
        return self._scaled(self._raw(values[0])[:, : self.num_features], known)

    def _raw(self, cells: Sequence[str | None]) -> np.ndarray:
        raw = np.zeros((len(cells), OVERALL + self.layout.num_channels * PER_CHANNEL))
        for row, cell in zip(raw, cells, strict=True):
            if cell is not None:
                row[:] = described(self.layout.aligned(read(cell)))
        return raw

    def _scaled(self, raw: np.ndarray, known: np.ndarray) -> Any:
        from scipy import sparse

        scaled = np.clip((raw - self.mean) / self.scale, -CLIP, CLIP)
        scaled[~known] = 0.0
        return sparse.csr_matrix(scaled.astype(np.float32))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"layout": self.layout.state()}, {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> BaselineFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(plain, dict) or set(plain) != {"layout"}:
            raise UserError(f"{where}: expected the channels of a series, got {shorten(plain)}.")
        layout = Layout.from_state(plain["layout"], where=where)
        sizes = [OVERALL + number * PER_CHANNEL for number in range(1, layout.num_channels + 1)]
        mean, scale = arrays.get("mean"), arrays.get("scale")
        for array in (mean, scale):
            if array is None or array.dtype != np.float32 or array.ndim != 1 or len(array) not in sizes:
                raise UserError(f"{where}: expected a float32 mean and scale for each of {sizes[-1]} statistics.")
        assert mean is not None and scale is not None
        if len(mean) != len(scale) or not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise UserError(f"{where}: expected finite means and positive scales, one a statistic.")
        return cls(layout, mean, scale)


def described(points: Points) -> np.ndarray:
    """(OVERALL + C PER_CHANNEL,) statistics of one series of C channels."""
    size = points.values.shape[1]
    places = np.arange(size, dtype=np.float64) if points.times is None else points.times - points.times[0]
    duration = float(places[-1] - places[0]) if size else 0.0
    found = [np.array([np.log1p(size), np.log1p(max(0.0, duration))])]
    found += [_of_channel(channel, places) for channel in points.values]
    return np.concatenate(found)


def _of_channel(channel: np.ndarray, places: np.ndarray) -> np.ndarray:
    known = np.isfinite(channel)
    found = np.zeros(PER_CHANNEL)
    found[STATISTICS - 1] = 1 - known.mean() if len(channel) else 1.0
    if not known.any():
        return found
    values, at = channel[known], places[known]
    found[: STATISTICS - 1] = values.mean(), values.std(), values.min(), values.max(), _slope(values, at)
    end = STATISTICS + len(QUANTILES)
    found[STATISTICS:end] = np.quantile(values, QUANTILES)
    filled = np.interp(places, at, values)  # what is missing lies on the line between its neighbours
    centred = filled - filled.mean()
    power = float(centred @ centred)
    for lag in LAGS:
        found[end] = centred[:-lag] @ centred[lag:] / power if power > 0 and lag < len(centred) else 0.0
        end += 1
    course = np.interp(np.linspace(places[0], places[-1], NUM_PLACES), places, filled)
    if len(filled) <= NUM_PLACES:  # point by point, the last one last
        course = np.concatenate([np.full(NUM_PLACES - len(filled), filled[0]), filled])
    found[end : end + NUM_PLACES] = course
    waves = np.abs(np.fft.rfft(centred))[1 : NUM_FREQUENCIES + 1] / len(centred)
    found[end + NUM_PLACES : end + NUM_PLACES + len(waves)] = waves
    return found


def _slope(values: np.ndarray, at: np.ndarray) -> float:
    """Change per unit of place, by least squares; 0 for one point."""
    centred = at - at.mean()
    power = float(centred @ centred)
    return float(centred @ (values - values.mean())) / power if power > 0 else 0.0
