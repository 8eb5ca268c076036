"""The cheap method's features of a recording: where its power lies, how much that moves, and how it goes over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.audio.excerpt import Cache, Excerpt, thinned
from zaowu.inputs.audio.log_mel import NUM_MELS
from zaowu.inputs.audio.read import header

NUM_CEPSTRA = 20  # the spectrum's shape without its ripple (Davis and Mermelstein 1980)
SEGMENTS = 8  # equal parts of the recording, in their order
WINDOW_S = 30  # longer recordings are thinned to as much
NUM_FEATURES = 4 * NUM_MELS + 2 * NUM_CEPSTRA * SEGMENTS
SMALLEST = 1e-6  # deviation of a feature that says something


class BaselineFeatures:
    """log-mel frames -> their mean, deviation, maximum and mean step from frame to frame, and for each eighth of the
    recording the mean and deviation of its cepstra. Standardised with training values; a missing one is all zeros.
    """

    name: ClassVar[str] = "log-mel statistics"

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.mean, self.deviation = mean, deviation

    @classmethod
    def fit(
        cls, *values: Sequence[Any], max_features: int = NUM_FEATURES, kinds: Mapping[str, str] | None = None
    ) -> tuple[BaselineFeatures, Any]:
        """Learns from training values only. Returns the features, and the matrix of these values (N, F)."""
        (recordings,) = values
        rows, known = _rows(recordings, min(max_features, NUM_FEATURES))
        seen = rows[known] if known.any() else rows
        mean, deviation = seen.mean(0), seen.std(0)
        features = cls(mean.astype(np.float32), np.where(deviation > SMALLEST, deviation, 1.0).astype(np.float32))
        return features, features._scaled(rows, known)

    def transform(self, *values: Sequence[Any]) -> Any:
        """(N, F) float32 scipy CSR matrix."""
        (recordings,) = values
        return self._scaled(*_rows(recordings, self.num_features))

    def _scaled(self, rows: np.ndarray, known: np.ndarray) -> Any:
        from scipy import sparse

        scaled = (rows - self.mean) / self.deviation * known[:, None]
        return sparse.csr_matrix(scaled.astype(np.float32))

    @property
    def num_features(self) -> int:
        return len(self.mean)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"features": self.num_features}, {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> BaselineFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        count = plain.get("features") if isinstance(plain, dict) else None
        if type(count) is not int or not 1 <= count <= NUM_FEATURES:
            raise UserError(f"{where}: expected 1 to {NUM_FEATURES} features, got {shorten(repr(count))}.")
        for name in ("mean", "deviation"):
            array = arrays.get(name)
            if array is None or array.shape != (count,) or array.dtype != np.float32 or not np.isfinite(array).all():
                raise UserError(f"{where}, '{name}': expected {count} finite float32 numbers.")
        if (arrays["deviation"] <= 0).any():
            raise UserError(f"{where}, 'deviation': expected numbers above 0.")
        return cls(arrays["mean"], arrays["deviation"])


def _rows(recordings: Sequence[Any], width: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, width) float32, and (N,) whether there is a recording."""
    rows = np.zeros((len(recordings), width), np.float32)
    known = np.array([recording is not None for recording in recordings], bool)
    cache = Cache(0)  # everything is looked at once
    for row, value in enumerate(recordings):
        if value is None:
            continue
        found = header(value)
        excerpt = Excerpt(value, found.rate, thinned(found, WINDOW_S), row, 1.0, 0, NUM_MELS, _none, cache)
        rows[row] = statistics(excerpt.spectrogram.astype(np.float32))[:width]
    return rows, known


def _none(spectrogram: np.ndarray, length: int) -> dict[str, np.ndarray]:
    raise AssertionError("a spectrogram is all that is asked for")


def statistics(frames: np.ndarray) -> np.ndarray:
    """(F, NUM_MELS) log-mel frames -> (NUM_FEATURES,)."""
    from scipy.fft import dct

    steps = np.abs(np.diff(frames, axis=0))
    cepstra = dct(frames, norm="ortho", axis=1)[:, :NUM_CEPSTRA]
    edges = np.linspace(0, len(frames), SEGMENTS + 1)
    parts = [cepstra[int(a) : max(int(a) + 1, int(np.ceil(b)))] for a, b in pairwise(edges)]
    whole = [frames.mean(0), frames.std(0), frames.max(0), steps.mean(0) if len(steps) else frames[0] * 0]
    return np.concatenate([*whole, *(part.mean(0) for part in parts), *(part.std(0) for part in parts)])
