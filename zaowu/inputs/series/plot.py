"""A series as a small picture: one line per channel, broken where points are missing."""

from __future__ import annotations

from base64 import b64encode

import numpy as np

WIDTH, HEIGHT, MARGIN = 320, 90, 4
MAX_LINES = 4  # channels drawn; of more, nobody could tell them apart
MAX_POINTS = 400  # of one line
COLOURS = ("#2a6fb0", "#c8553d", "#4f8a5b", "#7d5ba6")


def svg(values: np.ndarray, times: np.ndarray | None = None) -> str:
    """values: (C, n), NaN where missing; times: (n,) or None. Each channel has its own height. Returns a data URI."""
    places = np.arange(values.shape[1], dtype=np.float64) if times is None else times
    lines = []
    for channel, colour in zip(values[:MAX_LINES], COLOURS, strict=False):
        for run in _runs(*_thinned(_scaled(places, WIDTH), HEIGHT - _scaled(channel, HEIGHT))):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            mark = (
                f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="1.5" fill="{colour}"/>'
                if len(run) == 1
                else f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
            )
            lines.append(mark)
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"{''.join(lines)}</svg>"
    )
    return "data:image/svg+xml;base64," + b64encode(picture.encode()).decode()


def _scaled(values: np.ndarray, size: int) -> np.ndarray:
    """`values` moved to where a picture of `size` shows them all; a constant stands in the middle."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    if high <= low:
        return np.where(np.isfinite(values), size / 2, np.nan)
    return MARGIN + (values - low) / (high - low) * (size - 2 * MARGIN)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about MAX_POINTS of the points: of each block its lowest and highest, so that peaks stay."""
    if len(x) <= MAX_POINTS:
        return x, y
    kept: list[int] = []
    for block in np.array_split(np.arange(len(x)), MAX_POINTS // 2):
        known = block[np.isfinite(y[block])]
        kept += sorted({known[y[known].argmin()], known[y[known].argmax()]}) if known.size else [int(block[0])]
    return x[kept], y[kept]


def _runs(x: np.ndarray, y: np.ndarray) -> list[list[tuple[float, float]]]:
    """The points in runs without a missing one between them."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, height in zip(x.tolist(), y.tolist(), strict=True):
        if height == height:
            runs[-1].append((place, height))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
