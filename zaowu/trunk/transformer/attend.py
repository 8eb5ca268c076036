"""Scaled dot-product attention.

    O = softmax(Q K^T / sqrt(K)) V                                             (Vaswani et al. 2017, eq. 1)

If the entries of q and k are independent with mean 0 and variance 1, q . k has variance K; dividing by
sqrt(K) keeps the softmax out of the region where its gradient vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Toss = Callable[[int, int], Tensor]  # (start, stop) -> dropout's factors for those matrices of weights

FUSED_FROM = 64  # positions from which torch's fused kernel is faster; on a CPU it knows no dropout
CHUNK = 2**20  # scores; where there are more, they are made a few heads at a time, and again for the gradient


def attend(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None, toss: Toss | None = None) -> Tensor:
    """softmax(q k^T / sqrt(K) + bias) v.

    q: (B, H, T, K). k, v: (B, G, T, K); H / G query heads share one of theirs. bias: (B, 1 or T, T).
    toss: dropout's factors of the weights, (stop - start, H / G * T, T) for the matrices start to stop of B G.
    Returns (B, H, T, K).
    """
    batch, num_heads, length, head_dim = q.shape
    num_groups = k.shape[1]
    shared = num_heads // num_groups  # R
    bias = None if bias is None else bias.to(q.dtype)
    if toss is None and length >= FUSED_FROM:
        if shared > 1:
            k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias[:, None])
    if bias is not None:
        bias = bias.repeat(1, shared if bias.shape[1] > 1 else 1, 1).repeat_interleave(num_groups, dim=0)
    # The query heads of a group are rows of one matrix, so keys and values are never repeated.
    q = q.reshape(batch * num_groups, shared * length, head_dim)
    k, v = k.flatten(0, 1), v.flatten(0, 1)
    size = max(1, CHUNK // max(1, shared * length * length))
    if len(q) <= size:
        out = _attend(q, k, v, bias, toss, 0, len(q))
    else:
        parts = [(start, min(start + size, len(q))) for start in range(0, len(q), size)]
        out = torch.cat(
            [
                checkpoint(_attend, q, k, v, bias, toss, *part, use_reentrant=False, preserve_rng_state=False)
                for part in parts
            ]
        )
    return out.view(batch, num_heads, length, head_dim)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, toss: Toss | None, start: int, stop: int) -> Tensor:
    """q: (M, Q, K). k, v: (M, T, K). bias: (M, 1 or Q, T). Returns matrices start to stop of (M, Q, K)."""
    part = slice(start, stop)
    turned = k[part].transpose(1, 2).contiguous()  # small products are much faster on it than on a view
    scores = torch.bmm(q[part] / math.sqrt(q.shape[-1]), turned)  # (M, Q, T)
    if bias is not None:
        scores += bias[part]
    weights = scores.softmax(dim=-1)
    if toss is not None:
        weights = weights * toss(start, stop)
    return torch.bmm(weights, v[part])
