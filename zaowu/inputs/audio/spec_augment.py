"""SpecAugment: a spectrogram with some stretches of time and of pitch hidden (Park et al. 2019).

Louder or softer is a shift of the logarithm; a voice that is a little higher or lower, a shift along the mels.
All of it is a function of one number, which the batch makes of seed, epoch and record.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TIME_MASKS, TIME_SHARE = 2, 0.15  # each hides at most this share of the frames
MEL_MASKS, MEL_SHARE = 2, 0.2  # each hides at most this share of the mels
GAIN = 0.15  # deviation of loudness, in units of the features: 6 dB on Whisper's scale
SHIFT_SHARE = 0.04  # at most this share of the mels, up or down


def augmented(frames: np.ndarray, chance: int, *, gain: np.ndarray | float = GAIN) -> np.ndarray:
    """(F, M) float -> (F, M), the same frames changed. gain: () or (M,), its deviation in units of each mel."""
    random = np.random.Generator(np.random.Philox(chance))
    draws = iter(random.random(1 + 2 * (TIME_MASKS + MEL_MASKS)).tolist())
    length, num_mels = frames.shape
    found = frames + np.asarray(random.normal() * gain, np.float32)
    most = int(num_mels * SHIFT_SHARE)
    by = int(next(draws) * (2 * most + 1)) - most
    if by > 0:
        found[:, by:], found[:, :by] = found[:, :-by].copy(), found[:, :1].copy()
    elif by < 0:
        found[:, :by], found[:, by:] = found[:, -by:].copy(), found[:, -1:].copy()
    middle = found.mean()
    for _ in range(TIME_MASKS):
        found[_stretch(length, TIME_SHARE, draws)] = middle
    for _ in range(MEL_MASKS):
        found[:, _stretch(num_mels, MEL_SHARE, draws)] = middle
    return found


def _stretch(size: int, share: float, draws: Iterator[float]) -> slice:
    """A stretch of `size` places, from none to `share` of them long."""
    width = int(next(draws) * (int(size * share) + 1))
    start = int(next(draws) * (size - width + 1))
    return slice(start, start + width)
