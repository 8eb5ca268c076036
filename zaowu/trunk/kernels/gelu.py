"""gelu on bfloat16, with its gradient (gelu.c)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.call import address, call


def fits(x: Tensor) -> bool:
    """Whether `gelu` can take it; float32 is left to torch."""
    return x.dtype == torch.bfloat16 and available(x)


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), of any shape."""
    out: Tensor = _Gelu.apply(x)
    return out


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        call("gelu_forward", x.numel(), address(x), address(out))
        ctx.save_for_backward(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        grad, dx = grad.contiguous(), torch.empty_like(x)
        call("gelu_backward", x.numel(), address(x), address(grad), address(dx))
        return dx
