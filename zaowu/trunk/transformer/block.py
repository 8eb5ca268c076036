"""One block: attention, then feed-forward, each inside a residual branch.

norm after (Vaswani et al. 2017):   x <- norm(x + dropout(f(x)))
norm before (Xiong et al. 2020):    x <- x + dropout(f(norm(x)))
ReZero (Bachlechner et al. 2020):   f(x) is multiplied by a scalar a that starts at 0, so that without a
                                    norm behind it the block starts as the identity, whatever its depth
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zaowu.config import TrunkConfig
from zaowu.trunk.transformer.attention import SelfAttention
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.feedforward import FeedForward
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.norm import norm

SITES = 3  # of dropout in a block: attention weights, attention's output, feed-forward's output


class Block(nn.Module):
    """(N, D) -> (N, D). `index` is its number in the encoder, from 0."""

    def __init__(self, config: TrunkConfig, *, index: int) -> None:
        super().__init__()
        self.first_site = 1 + SITES * index  # site 0 is the encoder's entry
        self.norm_before = config.norm_place == "before"
        self.dropout = config.dropout
        self.attention = SelfAttention(config)
        self.attention_norm = norm(config)
        self.ffn = FeedForward(config)
        self.ffn_norm = norm(config)
        self.attention_scale: nn.Parameter | None = None
        self.ffn_scale: nn.Parameter | None = None
        if config.residual == "rezero":
            self.attention_scale = nn.Parameter(torch.zeros(()))
            self.ffn_scale = nn.Parameter(torch.zeros(()))

    def forward(
        self, x: Tensor, layout: Layout, *, rotation: tuple[Tensor, Tensor] | None = None, coins: Coins | None = None
    ) -> Tensor:
        def attend(y: Tensor) -> Tensor:
            return self.attention(y, layout, rotation=rotation, coins=coins, site=self.first_site)

        x = self._branch(x, attend, self.attention_norm, self.attention_scale, coins, self.first_site + 1)
        return self._branch(x, self.ffn, self.ffn_norm, self.ffn_scale, coins, self.first_site + 2)

    def _branch(
        self,
        x: Tensor,
        f: Callable[[Tensor], Tensor],
        norm: nn.Module,
        scale: nn.Parameter | None,
        coins: Coins | None,
        site: int,
    ) -> Tensor:
        y = f(norm(x) if self.norm_before else x)
        if scale is not None:
            y = y * scale
        if coins is not None and self.dropout:
            keep = coins.for_tokens(site, width=y.shape[1], rate=self.dropout, dtype=y.dtype)
            x = torch.addcmul(x, y, keep)
        else:
            x = x + y
        return x if self.norm_before else norm(x)
