"""Stop? Pure functions over what has been measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One evaluation during training. valid: metric -> value, empty when there is nothing to validate on."""

    epoch: int
    step: int
    train_loss: float
    lr: float
    seconds: float
    valid: dict[str, float]


def rank(point: Point) -> tuple[float, float]:
    """Higher is better: macro-F1, then log-loss. Without validation the last point is the best."""
    if not point.valid:
        return float(point.step), 0.0
    return round(point.valid["macro_f1"], 6), -point.valid["log_loss"]


def best(history: Sequence[Point]) -> Point:
    """The point whose weights are kept; the earlier one of equals."""
    return max(history, key=lambda point: (rank(point), -point.step))


def reason_to_stop(history: Sequence[Point], *, epochs: int, patience: int) -> str | None:
    """Why training ends after the last of `history`, or None to go on."""
    last = history[-1]
    if last.epoch >= epochs:
        return f"all {epochs} epochs done"
    if last.valid and last.step - best(history).step > 0:
        since = sum(point.step > best(history).step for point in history)
        if since >= patience:
            return f"no gain on validation in {since} evaluations"
    return None
