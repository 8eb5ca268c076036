"""Stop? Pure functions over what has been measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One evaluation during training.

    valid: metric -> value, empty when there is nothing to validate on; with several targets "column: metric".
    rank: what decides between two points, the higher the better, in this order (`targets.rank`).
    noise: by how much two points must differ in the first number of their ranks to differ at all.
    """

    epoch: int
    step: int
    train_loss: float
    lr: float
    seconds: float
    valid: dict[str, float]
    rank: tuple[float, ...] = ()
    noise: float = 0.0


def best(history: Sequence[Point]) -> Point:
    """The point whose weights are kept: the earlier one of equals; without validation the last one.

    A lead of less than one standard error is no lead: there the second number decides. On two hundred validation
    rows the highest of five scores is often that of an unfinished epoch.
    """
    if not history[-1].rank:
        return history[-1]
    highest = max(history, key=lambda point: point.rank[0])
    close = [point for point in history if highest.rank[0] - point.rank[0] <= max(highest.noise, point.noise)]
    return max(close, key=lambda point: (point.rank[1:], point.rank[0], -point.step))


def reason_to_stop(history: Sequence[Point], *, epochs: int | None, patience: int) -> str | None:
    """Why training ends after the last of `history`, or None to go on."""
    last = history[-1]
    if epochs is not None and last.epoch >= epochs:
        return f"all {epochs} epochs done"
    if last.rank:
        # A gain in any of the numbers is one, noise or not: a hard task moves its loss long before its score.
        numbers = zip(*(point.rank for point in history), strict=True)  # each over the evaluations
        highest = [history[max(range(len(own)), key=own.__getitem__)] for own in numbers]
        gained = max(point.step for point in (best(history), *highest))
        since = sum(point.step > gained for point in history)
        if since >= patience:
            return f"no gain on validation in {since} evaluations"
    return None
