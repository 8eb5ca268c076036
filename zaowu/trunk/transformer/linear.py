"""y = x W^T + b: the only place where the trunk multiplies by a weight matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

INIT_STD = 0.02  # Devlin et al. 2019, section A.2 and the published code


class Linear(nn.Linear):
    """(..., in) -> (..., out). Weights start as a normal of 0.02, biases at zero."""

    dtype: torch.dtype | None = None  # what the product is computed in; None = the weights' own
    _low: Tensor | None = None

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:  # as in `encoder._table`
            nn.init.normal_(self.weight, std=INIT_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.dtype is None:
            return F.linear(x, self.weight, self.bias)
        y: Tensor = _LowLinear.apply(x, self.weight, self.bias, self.low())
        return y

    def low(self) -> Tensor:
        """The weights in `dtype`: cast once a step in training, once in all between two trainings."""
        if self.training or self._low is None:
            self._low = self.weight.detach().to(self.dtype)
        return self._low

    def train(self, mode: bool = True) -> Linear:
        self._low = None  # the masters may have changed since
        super().train(mode)
        return self


class _LowLinear(torch.autograd.Function):
    """x W^T + b with the three matrix products in low precision; everything outside them stays float32."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, low: Tensor) -> Tensor:
        low_x = x.to(low.dtype)
        ctx.save_for_backward(low_x, low)
        ctx.has_bias = bias is not None  # type: ignore[attr-defined]
        y = F.linear(low_x, low).to(x.dtype)
        return y if bias is None else y.add_(bias)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        low_x, low = ctx.saved_tensors  # type: ignore[attr-defined]
        low_grad = grad.to(low.dtype)
        grad_x = (low_grad @ low).to(grad.dtype)
        grad_weight = (low_grad.flatten(0, -2).t() @ low_x.flatten(0, -2)).to(grad.dtype)
        grad_bias = grad.flatten(0, -2).sum(0) if ctx.has_bias else None  # type: ignore[attr-defined]
        return grad_x, grad_weight, grad_bias, None
