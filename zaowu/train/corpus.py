"""Batches of a tokenised corpus: shard after shard, each in an order of the epoch's own, made when they are asked for.

A batch is a function of (epoch, number) and of nothing else, so training goes on anywhere. Only the plans of the last
shards that were asked for are in memory, whatever the size of the corpus.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from zaowu.batching.batch import Batch, spread
from zaowu.batching.order import chance
from zaowu.batching.rows import Plan
from zaowu.batching.shards import Shard, Shards
from zaowu.objectives import Objective, layout
from zaowu.records.identity import mixed

BUCKET = 200  # batches that are sorted by length together
JUDGED_TOKENS = 200_000  # of the held-out documents, at most: the same ones at every evaluation
KEPT = 2  # plans in memory: a shard's end and the next one's begin may be asked for in turn
SHARDS, ROWS, BATCHES = (np.uint64(salt) for salt in (0x54A6D5, 0x60E5, 0xBA7C4E5))


@dataclass(frozen=True)
class Opened:
    """One shard in one epoch: its rows, and which of them make a batch. tokens: (batches,) real ones of each."""

    shard: Shard
    plan: Plan
    batches: list[np.ndarray]
    tokens: np.ndarray


class CorpusFeed:
    """The batches of one side of a corpus, of about `batch_tokens` real tokens each.

    objectives: name -> objective, of one recipe. side: train or valid. An epoch has every row exactly once.
    """

    def __init__(
        self,
        shards: Shards,
        objectives: Mapping[str, Objective],
        *,
        batch_tokens: int,
        side: str = "train",
        group: str = "text",
    ) -> None:
        self.shards, self.objectives = shards, dict(objectives)
        self.entries = list(shards.train if side == "train" else shards.valid)
        self.batch_tokens, self.side, self.group = batch_tokens, side, group
        self.layout = layout(self.objectives)
        self.recipe = self.layout.recipe
        self._opened: OrderedDict[tuple[int, int], Opened] = OrderedDict()  # by epoch and place of the shard
        self._tokens: dict[tuple[int, int], np.ndarray] = {}

    def num_batches(self, epoch: int) -> int:
        return sum(len(self.tokens_of(epoch, place)) for place in range(len(self.entries)))

    def num_tokens(self, epoch: int, number: int) -> int:
        """Real tokens of that batch, without making it."""
        place, number = self._find(epoch, number)
        return int(self.tokens_of(epoch, place)[number])

    def epoch_tokens(self, epoch: int) -> int:
        """Real tokens of all its batches."""
        return sum(int(self.tokens_of(epoch, place).sum()) for place in range(len(self.entries)))

    def named(self, epoch: int, number: int) -> str:
        """The rows of that batch, for one sentence."""
        place, number = self._find(epoch, number)
        rows = ", ".join(str(row + 1) for row in sorted(self.opened(epoch, place).batches[number])[:8])
        return f"rows {rows}, ... of {self.side} shard {place + 1} of {len(self.entries)}"

    def batch(self, epoch: int, number: int) -> Batch:
        """That batch, on the CPU. Raises IndexError beyond the epoch's end."""
        place, number = self._find(epoch, number)
        opened = self.opened(epoch, place)
        index = opened.batches[number]
        rows = self.layout.rows(opened.shard, opened.plan, index, epoch=epoch)
        answers = {name: objective.answers(rows) for name, objective in self.objectives.items()}
        by_token = frozenset(name for name, objective in self.objectives.items() if objective.reads == "tokens")
        mask = np.arange(int(rows.lengths.max())) < rows.lengths[:, None]  # (B, T)
        targets = {
            name: spread(own, mask, pad=-1) if name in by_token else torch.from_numpy(own)
            for name, own in answers.items()
        }
        return Batch(
            inputs={self.group: {"ids": spread(rows.ids, mask, pad=self.recipe.pieces.pad)}},
            mask=torch.from_numpy(mask),
            positions=spread(rows.positions, mask),
            segments=spread(rows.segments, mask),
            documents=spread(rows.documents, mask, pad=-1) if rows.documents.any() else None,
            targets=targets,
            target_mask={name: (own >= 0).reshape(len(index), -1).any(1) for name, own in targets.items()},
            weights=torch.ones(len(index)),
            ids=opened.plan.ids[index],
            index=index,
            coins=torch.from_numpy(rows.chances.view(np.int64)),
            by_token=by_token,
        )

    # ---- which shard, and what is in it

    def order(self, epoch: int) -> np.ndarray:
        """The places of the shards in the order in which this epoch visits them."""
        places = np.arange(len(self.entries), dtype=np.uint64)
        return np.argsort(chance(places ^ SHARDS, seed=self.recipe.seed, epoch=epoch), kind="stable")

    def _find(self, epoch: int, number: int) -> tuple[int, int]:
        """The shard that holds a batch, and the batch's number in it. Shards before it are planned, none behind."""
        left = number
        for place in self.order(epoch).tolist():
            if left < (count := len(self.tokens_of(epoch, place))):
                return place, left
            left -= count
        raise IndexError(f"epoch {epoch} has no batch {number}")

    def tokens_of(self, epoch: int, place: int) -> np.ndarray:
        """(batches,) real tokens of the batches of a shard; kept, for a corpus has few batches."""
        key = epoch, place
        if key not in self._tokens:
            self._tokens[key] = self.opened(epoch, place).tokens
        return self._tokens[key]

    def opened(self, epoch: int, place: int) -> Opened:
        key = epoch, place
        if key in self._opened:
            self._opened.move_to_end(key)
        else:
            shard = self.shards.open(self.entries[place])
            plan = self.layout.plan(shard, epoch=epoch)
            batches = batches_of(plan, batch_tokens=self.batch_tokens, seed=self.recipe.seed, epoch=epoch)
            tokens = np.array([plan.lengths[index].sum() for index in batches], np.int64)
            self._opened[key] = Opened(shard, plan, batches, tokens)
            while len(self._opened) > KEPT:
                self._opened.popitem(last=False)
        return self._opened[key]


def batches_of(plan: Plan, *, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Rows of similar length in random order, each batch an index array of at most `batch_tokens` real tokens.

    A longer row goes alone; only the last batch of a shard may be smaller. Buckets are sorted up and down in turn: the
    batch on the border of two would else pad many short rows to the longest.
    """
    if not len(plan):
        return []
    chances = chance(plan.ids ^ ROWS, seed=seed, epoch=epoch)
    order = np.argsort(chances, kind="stable")
    bucket = BUCKET * max(1, int(batch_tokens / plan.lengths.mean()))
    number = np.arange(len(order)) // bucket
    lengths = plan.lengths[order]
    order = order[np.lexsort((np.where(number % 2, -lengths, lengths), number))]
    ends = np.cumsum(plan.lengths[order])
    batches, start, before = [], 0, 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(ends, before + batch_tokens, side="right")))
        batches.append(order[start:stop])
        start, before = stop, int(ends[stop - 1])
    firsts = mixed(np.array([plan.ids[index[0]] for index in batches], np.uint64) ^ BATCHES)
    return [batches[place] for place in np.argsort(chance(firsts, seed=seed, epoch=epoch), kind="stable")]


def held_out(
    shards: Shards, objectives: Mapping[str, Objective], *, batch_tokens: int, max_tokens: int = JUDGED_TOKENS
) -> list[Batch]:
    """The batches by which a training is judged: always the same, of the valid side, corrupted as in epoch 0.

    At most about `max_tokens` tokens, drawn by chance; every source weighs what it has.
    """
    recipe = replace(layout(objectives).recipe, weights=())
    alike = {name: type(objective)(recipe) for name, objective in objectives.items()}
    feed = CorpusFeed(shards, alike, batch_tokens=batch_tokens, side="valid")
    found: list[Batch] = []
    tokens = 0
    while tokens < max_tokens:
        try:
            found.append(feed.batch(0, len(found)))
        except IndexError:
            break
        tokens += feed.num_tokens(0, len(found) - 1)
    return found
