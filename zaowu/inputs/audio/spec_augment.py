"""SpecAugment: a spectrogram with some stretches of time and of pitch hidden (Park et al. 2019).

Louder or softer is a shift of the logarithm; a voice that is a little higher or lower, a shift along the mels.
All of it is a function of one number, which the batch makes of seed, epoch and record.
"""

from __future__ import annotations

import numpy as np

TIME_MASKS, TIME_SHARE = 2, 0.15  # each hides at most this share of the frames
MEL_MASKS, MEL_SHARE = 2, 0.2  # each hides at most this share of the mels
GAIN = 0.15  # deviation of loudness, in units of the features: 6 dB on Whisper's scale
SHIFT_SHARE = 0.04  # at most this share of the mels, up or down


def augmented(frames: np.ndarray, chance: int, *, gain: np.ndarray | float = GAIN) -> np.ndarray:
    """(F, M) float -> (F, M), the same frames changed. gain: () or (M,), its deviation in units of each mel."""
    random = np.random.Generator(np.random.Philox(chance))
    length, num_mels = frames.shape
    found = frames + np.float32(random.normal()) * np.asarray(gain, np.float32)
    most = int(num_mels * SHIFT_SHARE)
    by = int(random.integers(-most, most + 1))
    if by:
        edge = found[:, :1] if by > 0 else found[:, -1:]
        found = np.roll(found, by, axis=1)
        found[:, slice(0, by) if by > 0 else slice(by, None)] = edge
    middle = found.mean()
    for masks, share, size, axis in ((TIME_MASKS, TIME_SHARE, length, 0), (MEL_MASKS, MEL_SHARE, num_mels, 1)):
        for _ in range(masks):
            width = int(random.integers(0, int(size * share) + 1))
            start = int(random.integers(0, size - width + 1))
            found[(slice(None),) * axis + (slice(start, start + width),)] = middle
    return found.astype(np.float32)
