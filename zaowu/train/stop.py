"""Stop? Pure functions over what has been measured so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOSSES = ("loss", "log_loss")
RISEN = 2.0  # times the lowest training loss, and above the first: not noise, a divergence


@dataclass(frozen=True)
class Point:
    """One evaluation during training.

    valid: metric -> value, empty when there is nothing to validate on; with several targets "column: metric".
    rank: what decides between two points, the higher the better, in this order (`targets.rank`).
    noise: by how much two points must differ in the first number of their ranks to differ at all.
    tokens: real ones that were learned from so far. train_loss: None before the first step.
    """

    epoch: int
    step: int
    train_loss: float | None
    lr: float
    seconds: float
    valid: dict[str, float]
    rank: tuple[float, ...] = ()
    noise: float = 0.0
    tokens: int = 0

    @property
    def valid_loss(self) -> float | None:
        """The loss on validation, where there is one answer and its target measures it."""
        return next((self.valid[name] for name in LOSSES if name in self.valid), None)


def best(history: Sequence[Point]) -> Point:
    """The point whose weights are kept: the last one whose score is within one standard error of the highest.

    On two hundred validation rows the highest of five scores is often that of an unfinished epoch. The loss does not
    decide there either: it rises with the confidence of a model whose answers still get better. What does is the rate,
    which falls to zero at the end.
    """
    if not history[-1].rank:
        return history[-1]
    highest = max(history, key=lambda point: point.rank[0])
    return [point for point in history if highest.rank[0] - point.rank[0] <= max(highest.noise, point.noise)][-1]


def reason_to_stop(
    history: Sequence[Point],
    *,
    epochs: int | None = None,
    patience: int | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    reach: float | None = None,
) -> str | None:
    """Why training ends after the last of `history`, or None to go on; of several reasons the first one below.

    What is None does not bound. reach: a validation loss (`Point.valid_loss`). seconds: of training, by the clock.
    """
    last = history[-1]
    found = (
        "diverged: the training loss rose far above where it was" if diverged(history) else None,
        f"target reached: validation loss {last.valid_loss:.4f}" if reached(last, reach) else None,
        f"all {epochs} epochs done" if epochs is not None and last.epoch >= epochs else None,
        f"all {steps:,} steps done" if steps is not None and last.step >= steps else None,
        f"all {tokens:,} tokens read" if tokens is not None and last.tokens >= tokens else None,
        "time limit reached" if seconds is not None and last.seconds >= seconds else None,
        _out_of_patience(history, patience),
    )
    return next((reason for reason in found if reason), None)


def reached(point: Point, loss: float | None) -> bool:
    """Whether the validation loss is at or below `loss`."""
    return loss is not None and point.valid_loss is not None and point.valid_loss <= loss


def diverged(history: Sequence[Point]) -> bool:
    """Whether a loss is no number, or that of training is above its first and far above its lowest.

    Single wild steps never come this far (`diverge.Watch`); this sees a loss that climbs from one to the next.
    """
    losses = [point.train_loss for point in history if point.train_loss is not None]
    if not losses:
        return False
    if not math.isfinite(losses[-1]) or not math.isfinite(history[-1].valid_loss or 0.0):
        return True
    return losses[-1] > max(losses[0], RISEN * min(losses))


def _out_of_patience(history: Sequence[Point], patience: int | None) -> str | None:
    learned = [point for point in history if point.step]  # what came before the first step is no gain to wait for
    if patience is None or not history[-1].rank or not learned:
        return None
    # A gain in any of the numbers is one, noise or not: a hard task moves its loss long before its score.
    numbers = zip(*(point.rank for point in learned), strict=True)  # each over the evaluations
    highest = [learned[max(range(len(own)), key=own.__getitem__)] for own in numbers]
    gained = max(point.step for point in highest)
    since = sum(point.step > gained for point in history)
    return f"no gain on validation in {since} evaluations" if since >= patience else None
