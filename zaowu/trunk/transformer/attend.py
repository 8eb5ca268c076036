"""Scaled dot-product attention and its gradient.

    A = softmax(Q K^T / sqrt(K)),  O = (A * keep) V                            (Vaswani et al. 2017, eq. 1)

If the entries of q and k are independent with mean 0 and variance 1, q . k has variance K; dividing by
sqrt(K) keeps the softmax out of the region where its gradient vanishes. keep: dropout's factors, or 1.

With dO the gradient of O, and * elementwise:

    dV = (A * keep)^T dO
    dS = A * (keep * dO V^T - t),   t = rowsum(dA * A) = rowsum(dO * O)        (Dao et al. 2022, appendix B.2)
    dQ = dS K / sqrt(K)
    dK = dS^T Q / sqrt(K)

A is kept for the gradient where it is small (short texts). Else it is made a few heads at a time, small enough
for the processor's cache, and made again for the gradient, dropout's coins included: memory is linear in T.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

Toss = Callable[[int, int], Tensor]  # (start, stop) -> dropout's factors for those matrices of weights

FUSED_FROM = 64  # positions from which torch's fused kernel is faster; on a CPU it knows no dropout
KEPT = 2**23  # scores of one layer that are kept: 32 MB
CHUNK = 2**18  # scores that are made at once where there are more


def attend(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None, toss: Toss | None = None) -> Tensor:
    """softmax(q k^T / sqrt(K) + bias) v.

    q: (B, H, T, K). k, v: (B, G, T, K); H / G query heads share one of theirs. bias: (1 or B, 1 or T, T).
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
    if bias is not None and bias.shape[1] > 1:
        bias = bias.repeat(1, shared, 1)
    # The query heads of a group are rows of one matrix, so keys and values are never repeated.
    rows = q.reshape(batch * num_groups, shared * length, head_dim)
    out: Tensor = _Attend.apply(rows, k.flatten(0, 1), v.flatten(0, 1), bias, toss)
    return out.view(batch, num_heads, length, head_dim)


class _Attend(torch.autograd.Function):
    """q: (M, Q, K). k, v: (M, T, K). bias: (1 or B, 1 or Q, T) or None, shared evenly. Returns (M, Q, K)."""

    @staticmethod
    def forward(ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, toss: Toss | None) -> Tensor:
        parts, keeps = _parts(q, k)
        out = torch.empty_like(q)
        made = []
        for part in parts:
            made = _weights(q, k, bias, toss, part)
            torch.bmm(made[-1], v[part], out=out[part])
        ctx.save_for_backward(q, k, v, out, bias, *(made if keeps else ()))  # type: ignore[arg-type]
        ctx.toss = toss  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, bias, *made = ctx.saved_tensors  # type: ignore[attr-defined]
        parts, keeps = _parts(q, k)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for part in parts:
            if not keeps:
                made = _weights(q, k, bias, ctx.toss, part)  # type: ignore[attr-defined]
            weights, dropped = made[0], made[-1]
            g = grad[part]
            t = (g * out[part]).sum(-1, keepdim=True)  # (m, Q, 1)
            torch.bmm(dropped.transpose(1, 2), g, out=dv[part])
            scores = torch.bmm(g, v[part].transpose(1, 2))
            if dropped is weights:
                scores.sub_(t).mul_(weights)
            else:
                scores.mul_(dropped).addcmul_(weights, t, value=-1)
            torch.bmm(scores, k[part], out=dq[part])
            torch.bmm(scores.transpose(1, 2), q[part], out=dk[part])
        scale = 1 / math.sqrt(q.shape[-1])
        return dq.mul_(scale), dk.mul_(scale), dv, None, None


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, toss: Toss | None, part: slice) -> list[Tensor]:
    """A and, with dropout, A * keep; (m, Q, T) each."""
    scale, turned = 1 / math.sqrt(q.shape[-1]), k[part].transpose(1, 2)
    if bias is None:
        scores = torch.bmm(q[part], turned).mul_(scale)
    else:
        row = torch.arange(part.start, part.stop, device=q.device) // (len(q) // len(bias))
        scores = torch.baddbmm(bias[row], q[part], turned, alpha=scale)
    weights = scores.softmax(dim=-1)
    return [weights] if toss is None else [weights, weights * toss(part.start, part.stop)]


def _parts(q: Tensor, k: Tensor) -> tuple[list[slice], bool]:
    """The matrices that are worked on at once, and whether their weights are kept (there is one part then)."""
    scores = q.shape[1] * k.shape[1]
    if len(q) * scores <= KEPT:
        return [slice(0, len(q))], True
    size = max(1, CHUNK // scores)
    return [slice(start, min(start + size, len(q))) for start in range(0, len(q), size)], False
