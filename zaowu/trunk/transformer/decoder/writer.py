"""A trunk and its table of token vectors as something that writes: `step(state, tokens) -> logits, state`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zaowu.trunk.kernels import write as kernel
from zaowu.trunk.transformer.decoder.beginning import Beginning
from zaowu.trunk.transformer.decoder.cache import Cache
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.vocabulary import Vocabulary


class Writer:
    """Makes logits of the next token; what to do with them is decided elsewhere (`decode/`).

    trunk: causal, or a decoder. table: (V, D) vectors of the tokens. output: (V, D), what states are compared with;
    the table where they are tied. bias: (V,) of the logits. dtype: what products are computed in, None as they are.
    """

    def __init__(
        self,
        trunk: Encoder,
        *,
        table: Tensor,
        output: Tensor,
        bias: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        assert trunk.config.causal and not trunk.training
        self.trunk, self.table, self.output, self.bias = trunk, table, output, bias
        self.vocabulary = Vocabulary()
        self.dtype = dtype or torch.float32
        self.vocabulary.compute_in(self.dtype)
        self._stack: kernel.Stack | None = None  # made when it is needed first
        self._fits = kernel.fits(trunk, output, self.dtype)

    @torch.no_grad()
    def begin(self, ids: Tensor, mask: Tensor, *, each: int = 1, memory: Memory | None = None) -> tuple[Tensor, Cache]:
        """Reads B beginnings. ids, mask: (B, T), padding behind. Returns (B, V) logits and the state of B * each rows.

        Rows b * each to (b + 1) * each - 1 of the state go on from beginning b. memory: what a decoder looks back to.
        """
        cache = Cache(self.trunk.config, num_rows=len(ids) * each, dtype=self.dtype, device=ids.device)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        states = self.trunk(
            F.embedding(ids, self.table),
            mask=mask,
            positions=positions,
            segments=torch.zeros_like(positions),
            memory=memory,
            cache=cache,
        )
        last = states[torch.arange(len(ids), device=ids.device), cache.lengths - 1]
        cache.repeat(each)
        return self.logits(last), cache

    @torch.no_grad()
    def step(self, state: Cache, tokens: Tensor) -> tuple[Tensor, Cache]:
        """One more token of each row, (R,) -> (R, V) logits of the one behind it. The state goes on in its place."""
        vectors = F.embedding(tokens, self.table)
        if not self._fits or len(tokens) > kernel.ROWS:
            return self.logits(self.trunk.step(vectors, state)), state
        if self._stack is None:
            self._stack = kernel.Stack(self.trunk, output=self.output, bias=self.bias, dtype=self.dtype)
        x, turn = self.trunk.enter(vectors, state)
        logits = self._stack(x, state, turn)
        state.close()
        return logits, state

    @torch.no_grad()
    def read_behind(
        self, state: Cache, ids: Tensor, *, mask: Tensor, positions: Tensor, branches: Tensor, wanted: Tensor
    ) -> Tensor:
        """(M, V) logits of the tokens behind M `wanted` places of B texts that all go on from the one row of `state`.

        ids, mask, positions, branches: (B, T), padding behind; positions count from the first token of the beginning,
        branches as in `Beginning`. wanted: (B, T) bool. The state stays as it is.
        """
        states = self.trunk(
            F.embedding(ids, self.table),
            mask=mask,
            positions=positions,
            segments=torch.zeros_like(positions),
            beginning=Beginning(state, branches),
        )
        return self.logits(states[wanted])

    @torch.no_grad()
    def logits(self, states: Tensor) -> Tensor:
        """(R, D) -> (R, V) float32."""
        return self.vocabulary.logits(states, self.output, bias=self.bias)
