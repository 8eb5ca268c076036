"""One block: attention, in a decoder attention to the source, then feed-forward, each inside a residual branch.

norm after (Vaswani et al. 2017):   x <- norm(x + dropout(f(x)))
norm before (Xiong et al. 2020):    x <- x + dropout(f(norm(x)))
ReZero (Bachlechner et al. 2020):   f(x) is multiplied by a scalar a that starts at 0, so that without a
                                    norm behind it the block starts as the identity, whatever its depth
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from zaowu.config import TrunkConfig
from zaowu.trunk.kernels import residual
from zaowu.trunk.kernels.call import Chance
from zaowu.trunk.transformer.attention import SelfAttention
from zaowu.trunk.transformer.decoder.beginning import Beginning
from zaowu.trunk.transformer.decoder.cache import Cache
from zaowu.trunk.transformer.decoder.cross import CrossAttention, Memory
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.feedforward import FeedForward
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.norm import norm

SITES = 3  # of dropout in a block: attention weights, attention's output, feed-forward's output
OF_DECODER = 10_000  # its sites lie beyond those of an encoder: no token of one side has the coins of one on the other


class _Branch(Protocol):
    def __call__(self, x: Tensor, *, stay_low: bool = False) -> Tensor: ...


class Block(nn.Module):
    """(N, D) -> (N, D), twice: for the next sum, and for the next product, where that is in lower precision.

    `index` is its number in the stack, from 0. cross: whether it attends to a source as well.
    """

    def __init__(self, config: TrunkConfig, *, index: int, cross: bool = False) -> None:
        super().__init__()
        self.index = index
        self.first_site = 1 + (OF_DECODER + (SITES + 2) * index if cross else SITES * index)  # the entry's is before
        self.norm_before = config.norm_place == "before"
        self.dropout = config.dropout
        self.attention = SelfAttention(config)
        self.attention_norm = norm(config)
        self.cross = CrossAttention(config) if cross else None
        self.cross_norm = norm(config) if cross else None
        self.ffn = FeedForward(config)
        self.ffn_norm = norm(config)
        self.attention_scale: nn.Parameter | None = None
        self.cross_scale: nn.Parameter | None = None
        self.ffn_scale: nn.Parameter | None = None
        if config.residual == "rezero":
            self.attention_scale = nn.Parameter(torch.zeros(()))
            self.cross_scale = nn.Parameter(torch.zeros(())) if cross else None
            self.ffn_scale = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        x: Tensor,
        low: Tensor,
        layout: Layout | None,
        *,
        rotation: tuple[Tensor, Tensor] | None = None,
        coins: Coins | None = None,
        memory: Memory | None = None,
        cache: Cache | None = None,
        beginning: Beginning | None = None,
    ) -> tuple[Tensor, Tensor]:
        """low: `x`, or its copy in the precision of the matrix products. Returns both for the next block.

        memory: the source, in a decoder. cache: where keys and values are kept; without a layout, `x` is one more
        token of each of its rows. beginning: what all rows go on from.
        """
        site = self.first_site
        at = cache.layer(self.index) if cache is not None else None
        behind = None if beginning is None else (beginning, self.index)

        def attend(x: Tensor, *, stay_low: bool = False) -> Tensor:
            return self.attention(
                x, layout, rotation=rotation, coins=coins, site=site, stay_low=stay_low, cache=at, behind=behind
            )

        def look_back(x: Tensor, *, stay_low: bool = False) -> Tensor:
            assert self.cross is not None
            return self.cross(x, layout, memory, coins=coins, site=site + 3, stay_low=stay_low, cache=at)

        x, low = self._branch(x, low, attend, self.attention_norm, self.attention_scale, coins, site + 1)
        if self.cross_norm is not None:
            x, low = self._branch(x, low, look_back, self.cross_norm, self.cross_scale, coins, site + 4)
        return self._branch(x, low, self.ffn, self.ffn_norm, self.ffn_scale, coins, site + 2)

    def _branch(
        self,
        x: Tensor,
        low: Tensor,
        f: _Branch,
        norm: nn.Module,
        scale: nn.Parameter | None,
        coins: Coins | None,
        site: int,
    ) -> tuple[Tensor, Tensor]:
        dtype = self.attention.output.dtype
        fused = not self.norm_before and residual.fits(x, norm, dtype)
        y = f(norm(x) if self.norm_before else low, stay_low=fused and scale is None)
        if scale is not None:
            y = y * scale
        if fused:
            assert isinstance(norm, nn.LayerNorm)
            return residual.residual_norm(x, y, norm, chance=Chance(coins, site, self.dropout), low=dtype)
        if coins is not None and self.dropout:
            keep = coins.for_tokens(site, width=y.shape[1], rate=self.dropout, dtype=y.dtype)
            x = torch.addcmul(x, y, keep)
        else:
            x = x + y
        x = x if self.norm_before else norm(x)
        return x, x
