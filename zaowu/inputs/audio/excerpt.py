"""Pieces of recordings that are read when they are needed: their length is known from the file's header alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.inputs.audio import log_mel, read

LIMIT_MB = 512  # of spectrograms that are kept from epoch to epoch: some nine hours of sound
MAX_TRAIN_WINDOWS = 8  # of one long recording in one epoch
MAX_WINDOWS = 64  # of one recording in prediction, evenly spread over it
PIECE_S = 1  # a long recording that must be one item is thinned to pieces of this length


class Cache:
    """Arrays by key, as float16 up to a limit; what is in stays, for every epoch asks for everything once."""

    def __init__(self, limit_mb: int = LIMIT_MB) -> None:
        self.left = limit_mb << 20
        self.arrays: dict[Any, np.ndarray] = {}

    def get(self, key: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
        """float16, whether it was kept or is made anew."""
        found = self.arrays.get(key)
        if found is None:
            found = make().astype(np.float16)
            if found.nbytes <= self.left and key not in self.arrays:
                self.left -= found.nbytes
                self.arrays[key] = found
        return found


@dataclass(frozen=True, eq=False)
class Excerpt:
    """One item: a recording, or pieces of it. The sound is read when `features` is asked for.

    spans: the pieces [start, stop), in samples of the recording's own rate. length: tokens.
    prepare: its (F, M) spectrogram -> features of that length.
    """

    value: str | bytes = field(repr=False)
    rate: int
    spans: tuple[tuple[int, int], ...]
    record: int
    share: float
    length: int
    num_mels: int
    prepare: Callable[[np.ndarray, int], dict[str, np.ndarray]] = field(repr=False)
    cache: Cache = field(repr=False)

    @cached_property
    def key(self) -> Any:
        """Equal where content is equal; of a file, its path, size and time of change stand for the content."""
        if isinstance(self.value, bytes):
            content: Any = blake2b(self.value, digest_size=16).digest()
        else:
            try:
                facts = Path(self.value).stat()
            except OSError:
                return None, self.value  # reading it will say what is wrong
            content = self.value, facts.st_size, facts.st_mtime_ns
        return content, self.spans, self.num_mels

    @property
    def spectrogram(self) -> np.ndarray:
        """(F, M) float16 log-mel features."""
        return self.cache.get(self.key, self._heard)

    @property
    def features(self) -> dict[str, np.ndarray]:
        return self.prepare(self.spectrogram, self.length)

    def _heard(self) -> np.ndarray:
        return log_mel.log_mel(read.wave(self.value, self.spans), num_mels=self.num_mels)


def num_frames(spans: tuple[tuple[int, int], ...], rate: int) -> int:
    """Frames of a spectrogram of these pieces."""
    return log_mel.num_frames(read.resampled(sum(stop - start for start, stop in spans), rate))


def windows(header: read.Header, window_s: int, *, most: int) -> list[tuple[tuple[int, int], ...]]:
    """A recording in windows of equal length, each at most `window_s`; beyond `most` of them, evenly spread ones."""
    longest = window_s * header.rate
    count = -(-header.samples // longest)
    edges = [index * header.samples // count for index in range(count + 1)]
    found: list[tuple[tuple[int, int], ...]] = [(span,) for span in pairwise(edges)]
    if count > most:
        found = [found[index] for index in np.linspace(0, count - 1, most).round().astype(int)]
    return found


def thinned(header: read.Header, window_s: int) -> tuple[tuple[int, int], ...]:
    """A recording as one window: whole, or pieces of a second that are evenly spread over it."""
    count = window_s // PIECE_S
    if header.samples <= window_s * header.rate:
        return ((0, header.samples),)
    piece = PIECE_S * header.rate
    starts = [index * (header.samples - piece) // max(1, count - 1) for index in range(count)]
    return tuple((start, start + piece) for start in starts)
