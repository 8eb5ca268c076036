"""What the loop learns from, and what judges it. `labelled.py` has both for records with labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from zaowu.batching.batch import Batch
from zaowu.model import Model


class Feed(Protocol):
    """Batches that are functions of (epoch, number) and of nothing else: training may go on from any of them."""

    def num_batches(self, epoch: int) -> int:
        """For planning: about, where counting them would take a pass over the data."""
        ...

    def num_tokens(self, epoch: int, number: int) -> int:
        """Real tokens of that batch, known without making it. Raises IndexError beyond the epoch's end."""
        ...

    def epoch_tokens(self, epoch: int) -> int:
        """Real tokens of all its batches, as exactly as `num_batches`."""
        ...

    def batch(self, epoch: int, number: int) -> Batch:
        """On the CPU, with its `coins`."""
        ...

    def named(self, epoch: int, number: int) -> str:
        """What is in it, as words for a sentence."""
        ...


@dataclass(frozen=True)
class Judged:
    """One evaluation. scores: metric -> value, with several targets "column: metric". rank, noise: see `stop.Point`."""

    scores: dict[str, float] = field(default_factory=dict)
    rank: tuple[float, ...] = ()
    noise: float = 0.0


class Judge(Protocol):
    def __call__(self, model: Model) -> Judged: ...
