"""A residual branch with dropout and the layer norm behind it, with its gradient (residual.c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.call import NO_CHANCE, Chance, address, call, is_low


def fits(x: Tensor, norm: nn.Module, low: torch.dtype | None) -> bool:
    """Whether `residual_norm` can take the residual stream `x`, the norm behind its branch, and this precision."""
    if not isinstance(norm, nn.LayerNorm) or norm.bias is None or x.dtype != torch.float32:
        return False
    if low not in (None, torch.bfloat16):
        return False
    return norm.weight.dtype == norm.bias.dtype == torch.float32 and available(x, norm.weight)


def residual_norm(
    x: Tensor,
    y: Tensor,
    norm: nn.LayerNorm,
    *,
    chance: Chance = NO_CHANCE,
    low: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """norm(x + dropout(y)), in float32 and in `low` for the product that reads it (without `low` the same twice).

    x: (N, D) float32. y: (N, D). chance: dropout of y, with the coins of `Coins.for_tokens`.
    """
    out, lower = _ResidualNorm.apply(x, y, norm.weight, norm.bias, norm.eps, chance, low == torch.bfloat16)
    return out, out if lower is None else lower


class _ResidualNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, y: Tensor, gain: Tensor, bias: Tensor, eps: float, chance: Chance, lower: bool
    ) -> tuple[Tensor, Tensor | None]:
        x, y = x.contiguous(), y.contiguous()
        ctx.set_materialize_grads(False)
        out, h, moments = torch.empty_like(x), torch.empty_like(x), x.new_empty(len(x), 2)
        out_low = torch.empty_like(x, dtype=torch.bfloat16) if lower else None
        dropped = chance.keys(), chance.site, float(chance.rate)
        branch = address(x), address(y), is_low(y), address(gain), address(bias), eps, *dropped
        call("residual_norm_forward", *x.shape, *branch, address(h), address(out), address(out_low), address(moments))
        ctx.save_for_backward(h, moments, gain)
        ctx.chance, ctx.dtype = chance, y.dtype  # type: ignore[attr-defined]
        return out, out_low

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor | None, grad_low: Tensor | None = None) -> tuple[Tensor | None, ...]:
        h, moments, gain = ctx.saved_tensors  # type: ignore[attr-defined]
        chance: Chance = ctx.chance  # type: ignore[attr-defined]
        dropped = chance.keys(), chance.site, float(chance.rate)
        grad = None if grad is None else grad.contiguous()
        grad_low = None if grad_low is None else grad_low.contiguous()
        dx, dy = torch.empty_like(h), torch.empty_like(h, dtype=ctx.dtype)  # type: ignore[attr-defined]
        dgain, dbias = torch.empty_like(gain), torch.empty_like(gain)
        known = address(grad), address(grad_low), address(h), address(moments), address(gain), *dropped
        found = address(dx), address(dy), is_low(dy), address(dgain), address(dbias)
        call("residual_norm_backward", *h.shape, *known, *found)
        return dx, dy, dgain, dbias, None, None, None


def column_sums(rows: Tensor) -> Tensor:
    """(N, D) bfloat16 -> (D,) float32."""
    sums = rows.new_empty(rows.shape[1], dtype=torch.float32)
    call("column_sums", *rows.shape, address(rows), address(sums))
    return sums
