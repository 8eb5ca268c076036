"""Next sentence prediction: does B follow A, or is it from another document? (Devlin et al. 2019, 3.1)

    [CLS] A [SEP] B [SEP],  segments 0 ... 0 1 ... 1,  label 0: B follows A, 1: it does not

A and B are spans of consecutive sentences. As in the published code, a document is walked from its start: a stretch
that fills a row is cut in two at a sentence's end; where B comes from elsewhere, the walk goes on behind A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.batching.order import chance
from zaowu.batching.rows import STEPS, Plan, Rows, cut, cut_at, documents_of, draw, lay_out
from zaowu.batching.shards import Shard
from zaowu.config import TrunkConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.objectives import Recipe, Tally
from zaowu.records.identity import mixed
from zaowu.targets import LossSum, Metric

FOLLOWS, OTHER = 0, 1
TRIES = 8  # draws of a sentence that fits
SPECIAL = 3  # pieces of a row with two segments


class NextSentence:
    """Half of the pairs follow each other. A stretch of one sentence has no answer, and stands alone in its row."""

    name: ClassVar[str] = "next_sentence"
    reads: ClassVar[Literal["tokens", "first"]] = "first"
    layout: ClassVar[Literal["pairs", "packed"]] = "pairs"
    head_name: ClassVar[str] = "next_sentence"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(higher_is_better=False),
        "accuracy": Metric(higher_is_better=True, is_share=True),
    }
    primary: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.start, self.between = recipe.pieces.need("start", "between")

    def plan(self, shard: Shard, *, epoch: int) -> Plan:
        """A shard of one document has no other to draw from, and so no answers."""
        plan = pairs(shard, self.recipe, epoch=epoch, other=from_elsewhere)
        return plan if len(_filled(shard)) > 1 else replace(plan, labels=np.full_like(plan.labels, -1))

    def rows(self, shard: Shard, plan: Plan, index: np.ndarray, *, epoch: int) -> Rows:
        how = {"seed": self.recipe.seed, "epoch": epoch}
        return lay_out(shard, plan, index, **how, opening=self.start, closing=self.between, apart=False)

    def answers(self, rows: Rows) -> np.ndarray:
        """(B,): 0 where the second span follows, 1 where it does not, -1 where there is none."""
        return rows.labels.astype(np.int64)

    def head(self, config: TrunkConfig, table: TokenEmbedding) -> nn.Module:
        return nn.Linear(config.dim, 2)

    def loss(self, head: nn.Module, states: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Cross-entropy of two logits, summed over the rows that have an answer."""
        weights = weights * (answers >= 0)
        losses = nn.functional.cross_entropy(head(states).float(), answers.clamp(min=0), reduction="none")
        return LossSum(sum=(losses * weights).sum(), count=float(weights.sum()))

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float((weights * (answers >= 0)).sum())

    @torch.no_grad()
    def judge(self, head: nn.Module, states: Tensor, answers: Tensor, weights: Tensor) -> Tally:
        weights = weights * (answers >= 0)
        logits = head(states).float()
        losses = nn.functional.cross_entropy(logits, answers.clamp(min=0), reduction="none")
        right = (logits.argmax(1) == answers) * weights
        return Tally(float((losses * weights).sum()), float(right.sum()), float(weights.sum()))

    def score(self, tally: Tally) -> dict[str, float]:
        loss, right = tally.means()
        return {"loss": loss, "accuracy": right}


@dataclass(frozen=True)
class Stretches:
    """Stretches of documents with a sentence's end inside, each cut into A and what follows it.

    places: (K,) of their documents. starts, middles, stops: (K,) in tokens. chances: (K,) uint64, each one's own.
    """

    places: np.ndarray
    starts: np.ndarray
    middles: np.ndarray
    stops: np.ndarray
    chances: np.ndarray


Other = Callable[[Shard, Stretches, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def pairs(shard: Shard, recipe: Recipe, *, epoch: int, other: Other) -> Plan:
    """The plan of rows of two spans, or one where a stretch is one sentence.

    other: what becomes of the stretches that chance, half of the time, does not leave as they are.
    """
    room = recipe.length - SPECIAL
    documents, sentences = np.asarray(shard.documents), np.asarray(shard.sentences)
    places, owners = documents_of(shard, seed=recipe.seed, epoch=epoch, weights=recipe.weights)
    owner, starts, ends = cut(shard, places, room=STEPS * room)  # a book is walked from many places at once
    places, owners, begins = places[owner], owners[owner], documents[places[owner]]
    found = []
    while len(places):
        stops = cut_at(sentences, starts, ends, room)
        ids = mixed(owners + (starts - begins).astype(np.uint64))
        chances = mixed(chance(ids, seed=recipe.seed, epoch=epoch))
        low = np.searchsorted(sentences, starts, side="right")  # sentences that begin inside
        inside = np.searchsorted(sentences, stops, side="left") - low
        whole = inside > 0
        chosen = np.where(whole, low + draw(chances, 1, np.maximum(inside, 1)), 0)
        middles = np.where(whole, sentences[chosen], stops)
        labels = np.where(whole, draw(chances, 2, 2), -1)
        spans = np.stack([starts, middles, middles, stops], 1)  # (K, 4): A from, to; B from, to
        goes_on = stops.copy()
        change = np.flatnonzero(labels == OTHER)
        if len(change):
            parts = Stretches(*(own[change] for own in (places, starts, middles, stops, chances)))
            spans[change], labels[change], goes_on[change] = other(shard, parts, room)
        found.append((ids, spans, labels))
        left = goes_on < ends
        places, owners, begins, ends = places[left], owners[left], begins[left], ends[left]
        starts = goes_on[left]
    if not found:
        found = [(np.empty(0, np.uint64), np.empty((0, 4), np.int64), np.empty(0, np.int64))]
    ids, spans, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    has_two = spans[:, 2] < spans[:, 3]
    kept = np.stack([np.ones(len(ids), bool), has_two], 1).ravel()
    flat = spans.reshape(-1, 2)[kept]
    count = 1 + has_two
    return Plan(
        lengths=(spans[:, 1] - spans[:, 0] + spans[:, 3] - spans[:, 2] + 1 + count),
        ids=ids,
        first=np.concatenate([[0], np.cumsum(count)]),
        starts=flat[:, 0],
        stops=flat[:, 1],
        closed=np.ones(len(flat), bool),
        labels=labels.astype(np.int8),
    )


def from_elsewhere(shard: Shard, parts: Stretches, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B from a random sentence of another document on, as far as there is room; what followed A comes next in turn.

    The sentence after A always fits, so others are drawn until one does; after eight it is cut. Without that, how B
    ends would give the answer away. Returns spans (K, 4), labels (K,), and where the walk goes on (K,).
    """
    documents, sentences = np.asarray(shard.documents), np.asarray(shard.sentences)
    filled = _filled(shard)
    own, left = np.searchsorted(filled, parts.places), room - (parts.middles - parts.starts)
    labels = np.full(len(own), OTHER)
    if len(filled) < 2:  # whose answers nobody will read
        return np.stack([parts.starts, parts.middles, parts.middles, parts.stops], 1), labels, parts.stops
    starts, ends = np.empty_like(left), np.empty_like(left)
    open_ = np.arange(len(own))
    for number in range(3, 3 + 2 * TRIES, 2):
        chances = parts.chances[open_]
        theirs = filled[(own[open_] + 1 + draw(chances, number, len(filled) - 1)) % len(filled)]
        low = np.searchsorted(sentences, documents[theirs])
        place = low + draw(chances, number + 1, np.searchsorted(sentences, documents[theirs + 1]) - low)
        starts[open_], ends[open_] = sentences[place], documents[theirs + 1]
        open_ = open_[sentences[place + 1] - sentences[place] > left[open_]]
    stops = cut_at(sentences, starts, ends, left)
    return np.stack([parts.starts, parts.middles, starts, stops], 1), labels, parts.middles


def _filled(shard: Shard) -> np.ndarray:
    """The places of the documents that are not empty."""
    return np.flatnonzero(np.diff(shard.documents) > 0)
