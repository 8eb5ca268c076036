"""Batches of a tokenised corpus: shard after shard, each in an order of the epoch's own, made when they are asked for.

A batch is a function of (epoch, number) and of nothing else, so training goes on anywhere. Only the plans of the last
shards that were asked for are in memory, whatever the size of the corpus, and a shard is planned when it is come to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
KEPT = 2  # plans, and epochs, in memory: one's end and the next one's begin may be asked for in turn
SURVEYED = 4  # shards by which the size of an epoch is known; exactly, where there are no more
SHARDS, ROWS, BATCHES = (np.uint64(salt) for salt in (0x54A6D5, 0x60E5, 0xBA7C4E5))


@dataclass(frozen=True)
class Opened:
    """One shard in one epoch: its rows, and which of them make a batch. tokens: (batches,) real ones of each."""

    shard: Shard
    plan: Plan
    batches: list[np.ndarray]
    tokens: np.ndarray


@dataclass
class Visit:
    """One epoch's way through the shards. order: their places. ends: batches up to the end of each that was come to."""

    order: np.ndarray
    ends: list[int] = field(default_factory=list)


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
        self._visits: OrderedDict[int, Visit] = OrderedDict()  # by epoch
        self._sizes: dict[int, tuple[int, int]] = {}

    def num_batches(self, epoch: int) -> int:
        """About, where there are more than `SURVEYED` shards: only the epoch's end tells it then."""
        return self._size(epoch)[0]

    def num_tokens(self, epoch: int, number: int) -> int:
        """Real tokens of that batch, without making it. Raises IndexError beyond the epoch's end."""
        place, number = self._find(epoch, number)
        return int(self.opened(epoch, place).tokens[number])

    def epoch_tokens(self, epoch: int) -> int:
        """Real tokens of all its batches, as exactly as `num_batches`."""
        return self._size(epoch)[1]

    def _size(self, epoch: int) -> tuple[int, int]:
        """Batches and tokens of an epoch, told from the shards of which it sees the most."""
        if epoch not in self._sizes:
            places, times = list(range(len(self.entries))), 1.0
            if len(places) > SURVEYED:
                seen = np.array([self.shards.seen_tokens(entry, self.recipe.weights) for entry in self.entries])
                places = np.argsort(-seen, kind="stable")[:SURVEYED].tolist()
                times = float(seen.sum() / max(1.0, seen[places].sum()))
            found = [self.opened(epoch, place).tokens for place in places]
            batches, tokens = sum(map(len, found)), sum(int(own.sum()) for own in found)
            self._sizes[epoch] = round(batches * times), round(tokens * times)
        return self._sizes[epoch]

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
        if epoch not in self._visits:
            self._visits[epoch] = Visit(self.order(epoch))
        self._visits.move_to_end(epoch)
        while len(self._visits) > KEPT:
            self._visits.popitem(last=False)
        order, ends = (visit := self._visits[epoch]).order, visit.ends
        while not ends or number >= ends[-1]:
            if len(ends) == len(order):
                raise IndexError(f"epoch {epoch} has no batch {number}")
            ends.append((ends[-1] if ends else 0) + len(self.opened(epoch, int(order[len(ends)])).batches))
        turn = bisect_right(ends, number)
        return int(order[turn]), number - (ends[turn - 1] if turn else 0)

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
