"""Masked language modelling: some tokens are hidden, and the model says what they were (Devlin et al. 2019, 3.1).

Of the tokens 15 % are chosen; 80 % of them become the mask piece, 10 % a random piece, 10 % stay. With whole words
(Cui et al. 2021) all tokens of a word are chosen together; each word with the same chance, so the share of tokens is
15 % in expectation as well. The draws hang on (seed, epoch, row, place): every epoch hides others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.batching.order import chance
from zaowu.batching.rows import CORRUPTION, Plan, Rows, cut, documents_of, draw, grouped, lay_out, pack
from zaowu.batching.shards import Shard
from zaowu.config import TrunkConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.objectives import Recipe, Tally
from zaowu.records.identity import mixed
from zaowu.targets import LossSum, Metric
from zaowu.trunk.transformer.feedforward import activate
from zaowu.trunk.transformer.layout import wide
from zaowu.trunk.transformer.linear import Linear
from zaowu.trunk.vocabulary import Vocabulary

SHARE = 0.15
MASKED, RANDOM = 0.8, 0.1  # of the chosen; the rest stays


class OfTokens:
    """What objectives share whose answers are tokens: the loss over the vocabulary and its figures."""

    reads: ClassVar[Literal["tokens", "first"]] = "tokens"
    layout: ClassVar[Literal["pairs", "packed"]] = "packed"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(higher_is_better=False),
        "perplexity": Metric(higher_is_better=False),
        "accuracy": Metric(higher_is_better=True, is_share=True),
    }
    primary: ClassVar[tuple[str, ...]] = ("loss",)

    def loss(self, head: Any, states: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Cross-entropy over the vocabulary, summed over the places that have an answer; each weighs as its row."""
        rows, labels, weight = _at_answers(states, answers, weights)
        if not len(labels):
            return LossSum(sum=states.sum() * 0, count=0.0)
        return LossSum(sum=head(rows, labels, weight), count=float(weight.sum()))

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float(((answers >= 0).sum(1) * weights).sum())

    def judge(self, head: Any, states: Tensor, answers: Tensor, weights: Tensor) -> Tally:
        rows, labels, weight = _at_answers(states, answers, weights)
        if not len(labels):
            return Tally()
        losses, right = head.judge(rows, labels)
        return Tally(float(losses @ weight), float(right.to(weight.dtype) @ weight), float(weight.sum()))

    def score(self, tally: Tally) -> dict[str, float]:
        """loss, perplexity = exp(loss), and accuracy: the share of places where the most probable piece is right."""
        loss, right = tally.means()
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": right}


class Masked(OfTokens):
    """Hides tokens in the rows that any layout made; alone, it packs documents into rows itself."""

    name: ClassVar[str] = "masked"
    head_name: ClassVar[str] = "masked"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.start, self.between, self.mask = recipe.pieces.need("start", "between", "mask")
        self.is_special = np.zeros(recipe.pieces.count, bool)
        self.is_special[list(recipe.pieces.special)] = True
        self.ordinary = np.flatnonzero(~self.is_special).astype(np.int32)

    def plan(self, shard: Shard, *, epoch: int) -> Plan:
        """[CLS] document [SEP] [CLS] document [SEP] ...: long ones in pieces, each row as full as can be."""
        seed, length = self.recipe.seed, self.recipe.length
        places, ids = documents_of(shard, seed=seed, epoch=epoch, weights=self.recipe.weights)
        owner, starts, stops = cut(shard, places, room=length - 2)
        ids = mixed(ids[owner] + (starts - np.asarray(shard.documents)[places[owner]]).astype(np.uint64))
        order = np.lexsort((chance(ids, seed=seed, epoch=epoch), starts - stops))  # the longest first, else by chance
        ids, starts, stops = ids[order], starts[order], stops[order]
        two, closed = np.full(len(ids), 2), np.ones(len(ids), bool)
        return grouped(pack(stops - starts + 2, room=length), ids, starts, stops, two, closed)

    def rows(self, shard: Shard, plan: Plan, index: np.ndarray, *, epoch: int) -> Rows:
        how = {"seed": self.recipe.seed, "epoch": epoch}
        return lay_out(shard, plan, index, **how, opening=self.start, closing=self.between, apart=True)

    def answers(self, rows: Rows) -> np.ndarray:
        """(N,) the piece that stood at a chosen place, else -1; `rows.ids` are corrupted there."""
        row, ids = rows.row, rows.ids
        ordinary = ~self.is_special[ids]
        chances = mixed(mixed(rows.chances ^ CORRUPTION)[row] + mixed(rows.place.astype(np.uint64)))
        chosen = self._chosen(rows, row, ordinary, chances)
        found = np.flatnonzero(chosen)
        answers = np.full(len(ids), -1, np.int64)
        answers[found] = ids[found]
        fate = (mixed(chances[found]) >> np.uint64(11)) * 2.0**-53
        ids[found[fate < MASKED]] = self.mask
        drawn = found[(fate >= MASKED) & (fate < MASKED + RANDOM)]
        ids[drawn] = self.ordinary[draw(chances[drawn], 1, len(self.ordinary))]
        return answers

    def _chosen(self, rows: Rows, row: np.ndarray, ordinary: np.ndarray, chances: np.ndarray) -> np.ndarray:
        """(N,) bool. Where chance chooses nothing in a row, the token or word that was next to it is chosen."""
        if self.recipe.whole_word and rows.starts_word is not None:
            word = np.maximum.accumulate(np.where(rows.starts_word, np.arange(len(row)), 0))  # special pieces start one
            chances = chances[word]
        key = np.where(ordinary, chances, np.uint64(2**64 - 1))
        chosen = key < np.uint64(int(SHARE * 2**64))
        first = np.cumsum(rows.lengths) - rows.lengths
        least = np.minimum.reduceat(key, first)
        lacking = least >= np.uint64(int(SHARE * 2**64))
        if lacking.any():
            chosen |= ordinary & lacking[row] & (key == least[row])
        return chosen

    def head(self, config: TrunkConfig, table: TokenEmbedding) -> MaskedHead:
        return MaskedHead(config, table)


class MaskedHead(nn.Module):
    """(M, D) states -> (M, D) through dense, activation and norm, then against the token table (V, D) with a bias.

    The shape of BERT's `cls.predictions`. The table is the input's; it is held without being registered again.
    """

    def __init__(self, config: TrunkConfig, table: TokenEmbedding) -> None:
        super().__init__()
        self.kind = "gelu" if config.activation == "swiglu" else config.activation
        self.dense = Linear(config.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(len(table.weight)))
        self.output = Vocabulary()
        self._table = (table,)  # a module that is an attribute would stand in the saved weights twice
        table.tied = True

    def forward(self, states: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """The summed loss. labels: (M,). weights: (M,)."""
        return self.output(self.turned(states), self._table[0].weight, labels, weights=weights, bias=self.bias)

    def turned(self, states: Tensor) -> Tensor:
        """(M, D) -> (M, D), what is held against the table."""
        turned: Tensor = self.norm(wide(activate(self.dense(states, stay_low=True), kind=self.kind)))
        return turned

    @torch.no_grad()
    def judge(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) losses, and (M,) bool where the most probable piece is right."""
        return self.output.judge(self.turned(states), self._table[0].weight, labels, bias=self.bias)

    @torch.no_grad()
    def logits(self, states: Tensor) -> Tensor:
        """(M, V)."""
        return self.output.logits(self.turned(states), self._table[0].weight, bias=self.bias)


def _at_answers(states: Tensor, answers: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, D) -> the M states that have an answer (M, D), the answers (M,), and the weights of their rows (M,)."""
    places = torch.nonzero(answers.reshape(-1) >= 0).squeeze(1)
    rows = states.reshape(-1, states.shape[-1]).index_select(0, places)
    return rows, answers.reshape(-1)[places], weights[places // answers.shape[1]]
