"""Log-mel spectrogram: how much power a sound has in each band of pitch, frame by frame.

    frame_t = hann * wave[160 t - 200 : 160 t + 200]                  25 ms every 10 ms, reflected at the ends
    mel_t   = filters . |FFT(frame_t)|^2                              bands as wide as the ear's (Slaney 1998)
    x_t     = (max(log10 mel_t, peak - 8) + 4) / 4                    peak: of all frames and bands

Clamped 8 decades below the peak, so silence carries no information. Source: Radford et al. 2022, section 2.2.
"""

from __future__ import annotations

from functools import cache

import numpy as np

RATE_HZ = 16_000
WINDOW, HOP = 400, 160  # samples: 25 ms and 10 ms
FRAMES_PER_S = RATE_HZ // HOP
NUM_MELS = 80
FLOOR = 1e-10  # of power, before the logarithm
_CHUNK = 3000  # frames at once: bounds the memory of one long wave


def num_frames(samples: int) -> int:
    """Frames of a wave of so many samples at 16 kHz: one for every whole hop, and at least a window's two."""
    return max(samples, WINDOW) // HOP


def log_mel(wave: np.ndarray, *, num_mels: int = NUM_MELS) -> np.ndarray:
    """Log-mel features of one waveform.

    wave: (S,) float in [-1, 1], mono, 16 kHz. One that is shorter than a window is filled up with silence.
    Returns (F, num_mels) float32; F = num_frames(S), one frame is 10 ms. Raises ValueError for an empty wave.
    """
    from scipy.fft import rfft

    if not len(wave):
        raise ValueError("a sound needs at least one sample")
    wave = np.pad(wave.astype(np.float64), (0, max(0, WINDOW - len(wave))))
    wave = np.pad(wave, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP][:-1]  # (F, 400); the field drops the last
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    filters = mel_filters(num_mels)
    mels = np.empty((len(frames), num_mels))
    for start in range(0, len(frames), _CHUNK):
        spectrum = rfft(frames[start : start + _CHUNK] * hann, axis=1)  # (F, 201)
        mels[start : start + _CHUNK] = (spectrum.real**2 + spectrum.imag**2) @ filters
    logs = np.log10(np.maximum(mels, FLOOR))
    return ((np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


@cache
def mel_filters(num_mels: int) -> np.ndarray:
    """(201, num_mels) triangles of equal area, evenly spread in mel from 0 to 8 kHz.

    Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4.
    """
    hertz = _hertz(np.linspace(0.0, _mel(RATE_HZ / 2), num_mels + 2))  # edges of the triangles
    bins = np.linspace(0.0, RATE_HZ / 2, WINDOW // 2 + 1)[:, None]
    rise = (bins - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    fall = (hertz[2:] - bins) / (hertz[2:] - hertz[1:-1])
    return np.maximum(0.0, np.minimum(rise, fall)) * (2.0 / (hertz[2:] - hertz[:-2]))


_KNEE_HZ, _MELS_PER_HZ, _STEP = 1000.0, 3.0 / 200.0, np.log(6.4) / 27.0


def _mel(hertz: float) -> float:
    if hertz < _KNEE_HZ:
        return hertz * _MELS_PER_HZ
    return _KNEE_HZ * _MELS_PER_HZ + float(np.log(hertz / _KNEE_HZ) / _STEP)


def _hertz(mels: np.ndarray) -> np.ndarray:
    knee = _KNEE_HZ * _MELS_PER_HZ
    return np.where(mels < knee, mels / _MELS_PER_HZ, _KNEE_HZ * np.exp(_STEP * (mels - knee)))
