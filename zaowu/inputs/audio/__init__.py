"""Audio: a recording -> log-mel frames -> groups of frames -> token vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs import Feature, Shown
from zaowu.inputs.audio.excerpt import (
    MAX_TRAIN_WINDOWS,
    MAX_WINDOWS,
    Cache,
    Excerpt,
    num_frames,
    thinned,
    windows,
)
from zaowu.inputs.audio.log_mel import FRAMES_PER_S, NUM_MELS
from zaowu.inputs.audio.read import ENDINGS, begins, clean, header
from zaowu.inputs.audio.spec_augment import GAIN, augmented
from zaowu.inputs.audio.statistics import BaselineFeatures

if TYPE_CHECKING:
    import polars as pl

    from zaowu.inputs.audio.embedder import Stem

__all__ = ["ENDINGS", "SETTINGS", "BaselineFeatures", "Input", "begins", "clean", "guess"]

KIND = "audio"
SETTINGS: dict[str, tuple[str, ...]] = {"window_s": (), "frames": ("2", "4"), "mixup": ("yes", "no")}
WINDOW_S, MAX_WINDOW_S = 10, 600  # seconds that are one item
FRAMES, BASE_FRAMES = 4, 2  # of 10 ms that become one token; in Whisper's stem
MAX_MELS = 1024
MEASURED = 1000  # recordings, evenly spread, that the statistics are taken from
MIN_DEVIATION = 0.02  # a band in which nothing sounds must not be blown up
SOUND_SHARE = 0.9  # of the values, for the column to be sound


def guess(values: pl.Series) -> str | None:
    """Audio is paths whose endings are those of sound files, or the bytes of such files."""
    import polars as pl

    if values.dtype not in (pl.String, pl.Binary):
        return None
    sample = values.drop_nulls().head(5000)
    if values.dtype == pl.String:
        sample = sample.str.strip_chars().filter(sample.str.strip_chars() != "")
        named = sample.str.to_lowercase().str.contains(rf"\S({'|'.join(ENDINGS).replace('.', chr(92) + '.')})$")
        found, what = int(named.sum()), f"paths that end in {', '.join(ENDINGS)}"
    else:
        found, what = sum(map(begins, sample.to_list())), "the bytes of sound files"
    if not len(sample) or found < SOUND_SHARE * len(sample):
        return None
    return f"{what}: {found:,} of {len(sample):,}"


class Input:
    """One column of recordings, each a row of tokens; a token is `frames` frames of a log-mel spectrogram.

    mean, deviation: of each mel in training; features are standardised by them. A base has its own scale: 0 and 1.
    window_s: a longer recording becomes several items of at most this length. mixes: training mixes recordings, two
    and two.
    """

    mixes = False

    kind = KIND
    numbered = True

    def __init__(
        self,
        columns: Sequence[str],
        *,
        mean: Sequence[float],
        deviation: Sequence[float],
        window_s: int = WINDOW_S,
        frames: int = FRAMES,
    ) -> None:
        self.columns = tuple(columns)
        self.mean, self.deviation = np.asarray(mean, np.float32), np.asarray(deviation, np.float32)
        self.window_s, self.frames = window_s, frames
        self.max_tokens = -(-window_s * FRAMES_PER_S // frames)
        self.cache = Cache()

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str | bytes | None]],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        base: Mapping[str, int] | None = None,
        max_tokens: int | None = None,
    ) -> Input:
        """Learns each mel's mean and deviation from training values only.

        base: facts of a base whose stem is to be used: `num_mels`. max_tokens: the most that a trunk has places for.
        Raises UserError for a setting out of bounds.
        """
        (name,) = columns
        given = (settings or {}).get(name, {})
        frames = int(given.get("frames", FRAMES if base is None else BASE_FRAMES))
        if base is not None and frames != BASE_FRAMES:
            raise UserError(f"--column {name}:frames: expected {BASE_FRAMES}, as the base has it, got {frames}.")
        longest = MAX_WINDOW_S if max_tokens is None else min(MAX_WINDOW_S, max_tokens * frames // FRAMES_PER_S)
        window_s = int(given.get("window_s", min(WINDOW_S, longest)))
        if not 1 <= window_s <= longest:
            raise UserError(f"--column {name}:window_s: expected 1 to {longest} seconds, got {window_s}.")
        num_mels = NUM_MELS if base is None else base["num_mels"]
        made = cls(columns, mean=[0.0] * num_mels, deviation=[1.0] * num_mels, window_s=window_s, frames=frames)
        made.mixes = given.get("mixup") == "yes"
        if base is None:
            made.mean, made.deviation = made._statistics(values[0])
        return made

    def _statistics(self, values: Sequence[str | bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each mel, (M,) float32 each, over the frames of at most `MEASURED` recordings."""
        heard = [value for value in values if value is not None]
        chosen = np.unique(np.linspace(0, len(heard) - 1, min(MEASURED, len(heard))).round().astype(int))
        total, squares, count = np.zeros(len(self.mean)), np.zeros(len(self.mean)), 0
        for item in self.features([heard[place] for place in chosen], training=True):
            frames = item.spectrogram.astype(np.float64)
            total, squares, count = total + frames.sum(0), squares + (frames**2).sum(0), count + len(frames)
        mean = total / max(1, count)
        deviation = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 0.0))
        return mean.astype(np.float32), np.maximum(deviation, MIN_DEVIATION).astype(np.float32)

    @property
    def num_mels(self) -> int:
        return len(self.mean)

    @property
    def specs(self) -> dict[str, Feature]:
        return {"frames": Feature(np.float32, pad=0.0, shape=(self.frames, self.num_mels))}

    def features(
        self, *values: Sequence[str | bytes | None], training: bool = False, whole: bool = False
    ) -> list[Excerpt]:
        """One item per recording, or one per window of a long one; a missing one has none. Sounds are read later.

        whole: one item for each; a long recording is thinned to `window_s`.
        """
        (recordings,) = values
        items = []
        for record, value in enumerate(recordings):
            if value is None:
                continue
            found = header(value)
            most = MAX_TRAIN_WINDOWS if training else MAX_WINDOWS
            pieces = [thinned(found, self.window_s)] if whole else windows(found, self.window_s, most=most)
            for spans in pieces:
                length = -(-num_frames(spans, found.rate) // self.frames)
                share = 1 / len(pieces)
                items.append(
                    Excerpt(value, found.rate, spans, record, share, length, self.num_mels, self._group, self.cache)
                )
        return items

    def _group(self, spectrogram: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """(F, M) -> `frames` (T, R, M) float32, standardised; what is missing of the last group is zero."""
        rows = np.zeros((length * self.frames, self.num_mels), np.float32)
        rows[: len(spectrogram)] = (spectrogram.astype(np.float32) - self.mean) / self.deviation
        return {"frames": rows.reshape(length, self.frames, self.num_mels)}

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """SpecAugment, louder or softer, higher or lower: a function of `chance` alone."""
        frames = features["frames"]
        changed = augmented(frames.reshape(-1, self.num_mels), chance, gain=GAIN / self.deviation)
        return {"frames": changed.reshape(frames.shape)}

    def mix(self, features: dict[str, np.ndarray], other: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
        """share of one spectrogram over the rest of another, from the beginning of both; it keeps its length."""
        mixed = np.float32(share) * features["frames"]
        length = min(len(mixed), len(other["frames"]))
        mixed[:length] += np.float32(1 - share) * other["frames"][:length]
        return {"frames": mixed}

    def embedder(self, dim: int) -> Stem:
        from zaowu.inputs.audio.embedder import Stem

        return Stem(self.num_mels, dim, frames=self.frames)

    def shown(self, *values: str | bytes | None) -> Shown:
        from zaowu.inputs.audio.show import shown

        (value,) = values
        return Shown("no recording") if value is None else shown(value)

    def words(self, *values: str | bytes | None) -> str:
        from zaowu.inputs.audio.show import words

        (value,) = values
        return "no recording" if value is None else words(value, header(value))

    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "window_s": self.window_s,
            "frames": self.frames,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
        }

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes. Raises UserError for anything made up."""
        if not isinstance(state, dict):
            raise UserError(f"{where}: expected an object, got {type(state).__name__}.")
        columns, window_s, frames = (state.get(key) for key in ("columns", "window_s", "frames"))
        if not (isinstance(columns, list) and len(columns) == 1 and isinstance(columns[0], str)):
            raise UserError(f"{where}: expected the name of one column, got {shorten(repr(columns))}.")
        if type(window_s) is not int or not 1 <= window_s <= MAX_WINDOW_S:
            raise UserError(f"{where}: expected window_s from 1 to {MAX_WINDOW_S}, got {shorten(repr(window_s))}.")
        if type(frames) is not int or str(frames) not in SETTINGS["frames"]:
            raise UserError(f"{where}: expected frames 2 or 4, got {shorten(repr(frames))}.")
        mean = _numbers(state.get("mean"), least=-1e6, where=f"{where}, 'mean'")
        deviation = _numbers(state.get("deviation"), least=1e-6, where=f"{where}, 'deviation'")
        if len(mean) != len(deviation):
            raise UserError(f"{where}: expected as many deviations as means, got {len(deviation)} and {len(mean)}.")
        return cls(columns, mean=mean, deviation=deviation, window_s=window_s, frames=frames)


def _numbers(found: Any, *, least: float, where: str) -> list[float]:
    fits = isinstance(found, list) and 1 <= len(found) <= MAX_MELS
    if not fits or not all(type(number) is float and least <= number <= 1e6 for number in found):
        raise UserError(f"{where}: expected a list of finite numbers, one for each mel, got {shorten(found)}.")
    return found
