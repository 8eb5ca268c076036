"""Causal language modelling: every token is told from those before it in its document (Radford et al. 2018, 3.1).

Documents, each with an end piece behind it, make one stream in an order of the epoch's own, which is cut every
`length` tokens: no place is wasted. No token attends to another document, and positions restart with each.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.batching.order import chance
from zaowu.batching.rows import ORDER, Plan, Rows, documents_of, grouped, lay_out
from zaowu.batching.shards import Shard
from zaowu.config import TrunkConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.objectives import Recipe
from zaowu.objectives.masked import OfTokens
from zaowu.records.identity import mixed
from zaowu.trunk.transformer.linear import INIT_STD
from zaowu.trunk.vocabulary import Vocabulary


class Causal(OfTokens):
    """The answer at a place is the token at the next one, where that is of the same document and row."""

    name: ClassVar[str] = "causal"
    head_name: ClassVar[str] = "lm_head"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        (self.end,) = recipe.pieces.need("end")

    def plan(self, shard: Shard, *, epoch: int) -> Plan:
        seed, length = self.recipe.seed, self.recipe.length
        places, ids = documents_of(shard, seed=seed, epoch=epoch, weights=self.recipe.weights)
        order = np.argsort(chance(ids ^ ORDER, seed=seed, epoch=epoch), kind="stable")
        places, ids = places[order], ids[order]
        documents = np.asarray(shard.documents)
        begins = documents[places]
        ends = np.cumsum(documents[places + 1] - begins + 1)  # in the stream, end pieces included
        heads = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        total = int(ends[-1]) if len(ends) else 0
        edges = np.union1d(heads, np.arange(0, total, length))
        widths = np.diff(edges, append=total)
        owner = np.searchsorted(heads, edges, side="right") - 1
        offset = edges - heads[owner]
        closed = edges + widths == ends[owner]
        starts = begins[owner] + offset
        ids = mixed(ids[owner] + offset.astype(np.uint64))
        return grouped(edges // length, ids, starts, starts + widths - closed, closed.astype(np.int64), closed)

    def rows(self, shard: Shard, plan: Plan, index: np.ndarray, *, epoch: int) -> Rows:
        how = {"seed": self.recipe.seed, "epoch": epoch}
        return lay_out(shard, plan, index, **how, opening=None, closing=self.end, apart=True)

    def answers(self, rows: Rows) -> np.ndarray:
        """(N,) the next token, or -1."""
        answers = np.full(len(rows.ids), -1, np.int64)
        row = rows.row
        goes_on = (row[1:] == row[:-1]) & (rows.documents[1:] == rows.documents[:-1])
        answers[:-1][goes_on] = rows.ids[1:][goes_on]
        return answers

    def head(self, config: TrunkConfig, table: TokenEmbedding) -> CausalHead:
        return CausalHead(config, table, tied=self.recipe.tied)


class CausalHead(nn.Module):
    """(M, D) states against a table (V, D): the input's, held without being registered again, or an own `weight`."""

    def __init__(self, config: TrunkConfig, table: TokenEmbedding, *, tied: bool) -> None:
        super().__init__()
        assert config.causal, "a trunk that sees the next token has nothing to tell"
        self.output = Vocabulary()
        self._table = (table if tied else None,)
        self.weight = None if tied else nn.Parameter(torch.empty(len(table.weight), config.dim))
        table.tied = tied
        if self.weight is not None and not self.weight.is_meta:
            nn.init.normal_(self.weight, std=INIT_STD)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with deviation 0.02, as the other matrices."""
        if self.weight is not None:
            with torch.no_grad():
                self.weight.normal_(0.0, INIT_STD, generator=generator)

    @property
    def table(self) -> Tensor:
        tied = self._table[0]
        found = self.weight if tied is None else tied.weight
        assert found is not None
        return found

    def forward(self, states: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """The summed loss. labels: (M,). weights: (M,)."""
        total: Tensor = self.output(states, self.table, labels, weights=weights)
        return total

    @torch.no_grad()
    def judge(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) losses, and (M,) bool where the most probable piece is right."""
        return self.output.judge(states, self.table, labels)

    @torch.no_grad()
    def logits(self, states: Tensor) -> Tensor:
        """(M, V)."""
        return self.output.logits(states, self.table)
