"""Sentence order prediction, the harder form of NSP: do A and B stand as they were written? (Lan et al. 2020, 3.1)

Both spans are always from one place of one document, so their topic tells nothing. Label 0: in order, 1: swapped.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from zaowu.batching.shards import Shard
from zaowu.objectives import Plan
from zaowu.objectives.next_sentence import OTHER, NextSentence, Stretches, pairs


class SentenceOrder(NextSentence):
    """The layout, head and loss of `next_sentence`."""

    name: ClassVar[str] = "sentence_order"

    def plan(self, shard: Shard, *, epoch: int) -> Plan:
        return pairs(shard, self.recipe, epoch=epoch, other=swapped)


def swapped(shard: Shard, parts: Stretches, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What follows A comes first. Returns spans (K, 4), labels (K,), and where the walk goes on (K,)."""
    spans = np.stack([parts.middles, parts.stops, parts.starts, parts.middles], 1)
    return spans, np.full(len(spans), OTHER), parts.stops
