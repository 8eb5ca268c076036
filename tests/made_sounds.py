"""Recordings that are made when a test asks: tones and noise, as the bytes of a file."""

from __future__ import annotations

import io

import numpy as np


def tone(seconds: float, *, hertz: float = 440.0, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """(S,) float64: a tone that swells, with a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time)) * 0.01
    return 0.4 * np.sin(2 * np.pi * hertz * time) * np.linspace(0.2, 1, len(time)) + noise


def recording(samples: np.ndarray, *, rate: int = 16_000, form: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of a sound file. samples: (S,) or (S, channels)."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def sound(seconds: float, **more) -> bytes:
    return recording(tone(seconds, **more), rate=more.get("rate", 16_000))
