"""Multi-head attention.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(K)) V                            (Vaswani et al. 2017, eq. 1)
    head_h = Attention(x W_h^query, x W_h^key, x W_h^value)                    (3.2.2)
    MultiHead(x) = [head_1 ... head_H] W^output

If the entries of q and k are independent with mean 0 and variance 1, q . k has variance K; dividing by
sqrt(K) keeps the softmax out of the region where its gradient vanishes.

With fewer key/value heads than query heads, H / G query heads share one (Ainslie et al. 2023); G = 1 is
multi-query attention (Shazeer 2019).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zaowu.config import TrunkConfig
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.linear import Linear
from zaowu.trunk.transformer.positions import rotate


class SelfAttention(nn.Module):
    """(N, D) -> (N, D): every token looks at the tokens of its record that the layout allows."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.num_heads = config.attention.num_heads
        self.num_groups = config.attention.num_groups or self.num_heads
        self.dropout = config.attention.dropout
        head_dim, bias = config.dim // self.num_heads, config.attention.bias
        self.query = Linear(config.dim, config.dim, bias=bias)
        self.key = Linear(config.dim, self.num_groups * head_dim, bias=bias)
        self.value = Linear(config.dim, self.num_groups * head_dim, bias=bias)
        self.output = Linear(config.dim, config.dim, bias=bias)

    def forward(
        self, x: Tensor, layout: Layout, *, rotation: tuple[Tensor, Tensor] | None, coins: Coins | None, site: int
    ) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        if rotation is not None:
            q = rotate(q.view(len(x), self.num_heads, -1), *rotation)
            k = rotate(k.view(len(x), self.num_groups, -1), *rotation)
        q = layout.to_heads(q, self.num_heads)  # (B, H, T, K)
        k, v = layout.to_heads(k, self.num_groups), layout.to_heads(v, self.num_groups)  # (B, G, T, K)
        keep = None
        if coins is not None and self.dropout:
            keep = coins.weights(site, num_heads=self.num_heads, rate=self.dropout, dtype=x.dtype)
        return self.output(layout.from_heads(attend(q, k, v, bias=layout.bias(self.num_groups), keep=keep)))


def attend(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None, keep: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(K) + bias) v.

    q: (B, H, T, K). k, v: (B, G, T, K). bias: (B G, 1 or T, T). keep: (B, H, T, T) factors of the weights.
    Returns (B, H, T, K). Query heads of one group are folded into the rows of one matrix, so keys and values
    are never repeated.
    """
    batch, num_heads, length, head_dim = q.shape
    num_groups = k.shape[1]
    shared = num_heads // num_groups  # R
    rows = q.reshape(batch * num_groups, shared * length, head_dim)
    keys, values = k.flatten(0, 1), v.flatten(0, 1)  # (B G, T, K)
    scale = 1 / math.sqrt(head_dim)
    if bias is None:
        scores = torch.bmm(rows * scale, keys.transpose(1, 2))  # (B G, R T, T)
    else:
        if bias.shape[1] > 1 and shared > 1:
            bias = bias.repeat(1, shared, 1)
        scores = torch.baddbmm(bias.to(q.dtype), rows, keys.transpose(1, 2), alpha=scale)
    weights = scores.softmax(dim=-1)
    if keep is not None:
        weights = weights * keep.view_as(weights)
    return torch.bmm(weights, values).view(batch, num_heads, length, head_dim)
