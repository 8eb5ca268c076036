"""A beginning that many texts go on from: its keys and values are made once, and read by all of them.

    A(q, [K_0; K], [V_0; V]),  K_0, V_0: of the S tokens of the beginning, the same for every row

Behind a text several branches can stand side by side, of which none sees another: answers to compare. Each is worth
its own tokens only, for all share the text before them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.decoder.cache import Cache
from zaowu.trunk.transformer.layout import FORBIDDEN, Layout

TEXT = 0  # the branch that all others are behind


class Beginning:
    """The tokens that one row of a `Cache` holds, for rows that are read behind them. Nothing is added to the cache.

    branches: (B, T) of the rows to be read; `TEXT`, or the number of a branch, which sees the text and itself.
    """

    def __init__(self, cache: Cache, branches: Tensor) -> None:
        assert cache.num_rows == 1
        self.cache, self.branches = cache, branches
        self.size = cache.longest  # S
        self._bias: Tensor | None = None

    def attend(self, index: int, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
        """In the block `index` of the stack. q: (B, H, T, K). k, v: (B, G, T, K). Returns (B, H, T, K)."""
        own = self.cache.layer(index).all()[..., : self.size, :].to(k.dtype)  # (1, 2, G, S, K)
        own = own.expand(len(k), -1, -1, -1, -1)
        k, v = torch.cat((own[:, 0], k), dim=2), torch.cat((own[:, 1], v), dim=2)
        return attend(q, k, v, bias=self._allowed(layout))

    def _allowed(self, layout: Layout) -> Tensor:
        """(B, T, S + T) to add to the scores."""
        if self._bias is None:
            branches = self.branches
            square = torch.ones(layout.length, layout.length, dtype=torch.bool, device=branches.device).tril()
            same = (branches[:, None, :] == branches[:, :, None]) | (branches == TEXT)[:, None, :]  # (B, T, T)
            allowed = same & square & layout.mask[:, None, :]
            bias = torch.zeros(*allowed.shape[:2], self.size + layout.length, device=branches.device)
            bias[..., self.size :].masked_fill_(~allowed, FORBIDDEN)
            self._bias = bias
        return self._bias
