"""Multi-head attention.

    head_h = Attention(x W_h^query, x W_h^key, x W_h^value)                    (Vaswani et al. 2017, 3.2.2)
    MultiHead(x) = [head_1 ... head_H] W^output

With fewer key/value heads than query heads, H / G query heads share one (Ainslie et al. 2023); G = 1 is
multi-query attention (Shazeer 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zaowu.config import TrunkConfig
from zaowu.trunk.kernels import attention as kernels
from zaowu.trunk.kernels.call import Chance
from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.decoder.beginning import Beginning
from zaowu.trunk.transformer.decoder.cache import Layer
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.linear import Linear, side_by_side
from zaowu.trunk.transformer.positions import rotate


class Heads(nn.Module):
    """The four matrices of multi-head attention, whatever is looked at."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.num_heads = config.attention.num_heads
        self.num_groups = config.attention.num_groups or self.num_heads
        self.dropout = config.attention.dropout
        head_dim, bias = config.dim // self.num_heads, config.attention.bias
        self.query = Linear(config.dim, config.dim, bias=bias)
        self.key = Linear(config.dim, self.num_groups * head_dim, bias=bias)
        self.value = Linear(config.dim, self.num_groups * head_dim, bias=bias)
        self.output = Linear(config.dim, config.dim, bias=config.attention.has_output_bias)


class SelfAttention(Heads):
    """(N, D) -> (N, D): every token looks at the tokens of its record that the layout allows."""

    def forward(
        self,
        x: Tensor,
        layout: Layout | None,
        *,
        rotation: tuple[Tensor, Tensor] | None,
        coins: Coins | None,
        site: int,
        stay_low: bool = False,
        cache: Layer | None = None,
        behind: tuple[Beginning, int] | None = None,
    ) -> Tensor:
        """cache: keys and values are kept there; without a layout, `x` is one more token of each of its rows.

        behind: what all rows go on from, and the number of this block.
        """
        heads, groups = self.num_heads, self.num_groups
        qkv = side_by_side(x, (self.query, self.key, self.value), stay_low=rotation is None)  # (N, (H + 2 G) K)
        if rotation is not None:
            rows = qkv.view(len(x), heads + 2 * groups, -1)
            turned = rotate(rows[:, : heads + groups], *rotation)
            qkv = torch.cat((turned, rows[:, heads + groups :]), dim=1).flatten(1)
        if layout is None:
            assert cache is not None
            return self.output(cache.attend(qkv, num_heads=heads), stay_low=stay_low)
        if cache is not None:
            cache.fill(qkv[:, heads * (qkv.shape[1] // (heads + 2 * groups)) :], layout)
        counts = {"num_heads": heads, "num_groups": groups}
        if behind is None and kernels.fits(qkv, layout, **counts):
            chance = Chance(coins, site, self.dropout)
            seen = kernels.attention(qkv, layout, **counts, chance=chance, dtype=self.output.dtype)
            return self.output(seen, stay_low=stay_low)
        q, k, v = layout.to_heads(qkv, (heads, groups, groups))  # (B, H, T, K), (B, G, T, K) twice; float32
        toss = None
        if coins is not None and self.dropout:
            toss = coins.for_weights(site, **counts, rate=self.dropout, dtype=x.dtype)
        if behind is not None:
            seen = behind[0].attend(behind[1], q, k, v, layout)
        else:
            seen = attend(q, k, v, bias=layout.bias, toss=toss)
        return self.output(layout.from_heads(seen.to(self.output.dtype or seen.dtype)), stay_low=stay_low)
