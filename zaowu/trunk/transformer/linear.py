"""y = x W^T + b: the only place where the trunk multiplies by a weight matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.residual import column_sums

TOKENS = 256  # of a product, for which weights are laid out; other numbers are only a little slower
INIT_STD = 0.02  # Devlin et al. 2019, section A.2 and the published code


class Linear(nn.Linear):
    """(..., in) -> (..., out). Weights start as a normal of 0.02, biases at zero."""

    dtype: torch.dtype | None = None  # what the product is computed in; None = the weights' own
    _low: Tensor | None = None
    _packed: tuple[list[tuple[int, ...]], Tensor, Tensor | None] | None = None  # versions, weights, biases
    # What an optimizer may ask for and do: with `defers`, the gradient of the weights is left in `gradient` as the
    # product made it, in `dtype`, and not in `weight.grad`; where it writes `copy`, the rows of the low weights, along
    # with the weights, it says so with `fresh`, the version of the weights that they equal.
    defers: bool = False
    gradient: Tensor | None = None
    copy: Tensor | None = None
    fresh: int | None = None
    # Weights that are put together for each pass and let go after it (FSDP): their versions say nothing, and a copy
    # that is kept would take the memory that is to be saved.
    comes_and_goes: bool = False
    lora_a: nn.Parameter | None  # (r, in) and (out, r) of an adapter; where they are, nothing else of it learns
    lora_b: nn.Parameter | None
    share: float = 0.0  # of an adapter (`trunk/adapters`): W + share B A is what counts

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.register_parameter("lora_a", None)
        self.register_parameter("lora_b", None)

    @property
    def whole(self) -> Tensor:
        """(out, in): the weights with what an adapter adds to them. No gradient."""
        weight = self.weight.detach()
        if self.lora_a is None or self.lora_b is None:
            return weight
        return torch.addmm(weight, self.lora_b.detach(), self.lora_a.detach(), alpha=self.share)

    @property
    def version(self) -> tuple[int, ...]:
        """Another one whenever any of the weights has changed."""
        return tuple(weight._version for weight in (self.weight, self.lora_a, self.lora_b) if weight is not None)

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:  # as in `encoder._table`
            nn.init.normal_(self.weight, std=INIT_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, *, stay_low: bool = False) -> Tensor:
        """stay_low: leave the result in `dtype`, for what comes before the next product and cannot lose by it."""
        return side_by_side(x, (self,), stay_low=stay_low)

    def low(self, *others: Linear) -> Tensor:
        """The weights, those of `others` below them, in `dtype`, for a product with a gradient: cast at every call.

        In training an optimizer may have written them already (`fresh`); then nothing is cast. Nor are weights that
        stay as they are beside an adapter, which is left out. The same `others` at every call.
        """
        layers, low = (self, *others), self._low
        if (
            low is None
            or not self.training
            or self.comes_and_goes
            or any(layer.fresh != layer.weight._version for layer in layers)
        ):
            weights = [layer.weight.detach().to(self.dtype) for layer in layers]
            low = torch.cat(weights) if others else weights[0]
            if self.training and not self.comes_and_goes:
                self._low = low
                for layer, part in zip(layers, low.split([len(weight) for weight in weights]), strict=True):
                    layer.copy = part
        for layer in layers:  # a word counts once: who else writes weights may not raise their version
            layer.fresh = None if layer.lora_a is None else layer.weight._version
        return low

    def packed(self, *others: Linear) -> tuple[Tensor, Tensor | None]:
        """Weights and biases in `dtype` for products without a gradient, in the layout that the library likes best.

        With few tokens, laying the weights out anew for every product would cost more than the product. They are made
        again where a weight has another version than the one that was packed.
        """
        layers, found = (self, *others), self._packed
        versions = [layer.version for layer in layers]
        if found is None or found[0] != versions or self.comes_and_goes:
            biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
            bias = torch.cat(biases).to(self.dtype) if biases else None
            weight = torch.cat([layer.whole.to(self.dtype) for layer in layers])
            if _packs(weight):
                weight = torch.ops.mkldnn._reorder_linear_weight(weight, TOKENS)
            found = versions, weight, bias
            self._packed = None if self.comes_and_goes else found
        return found[1:]

    def compute_in(self, dtype: torch.dtype) -> None:
        """From here on, products in `dtype`."""
        self.dtype = None if dtype == self.weight.dtype else dtype
        self.forget()

    def train(self, mode: bool = True) -> Linear:
        self.forget()  # the masters may have changed since
        super().train(mode)
        return self

    def forget(self) -> None:
        """Lets the low weights go, and a gradient that nobody fetched."""
        self._low = self._packed = self.copy = self.fresh = self.gradient = None

    def _apply(self, fn: Any, recurse: bool = True) -> Linear:
        self.forget()  # to another device or precision
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For copies: all but what can be made again, some of which cannot be copied."""
        made = ("_low", "_packed", "copy", "fresh", "gradient", "defers")
        return {name: value for name, value in self.__dict__.items() if name not in made}


def side_by_side(x: Tensor, layers: Sequence[Linear], *, stay_low: bool = False) -> Tensor:
    """(..., in) -> (..., sum of out): several layers on one input, in low precision as one product."""
    if layers[0].dtype is None:
        found = [_adapted(x, F.linear(x, layer.weight, layer.bias), layer) for layer in layers]
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)
    if not layers[0].training and not torch.is_grad_enabled():
        rows = _without_gradient(x.flatten(0, -2).to(layers[0].dtype), *layers[0].packed(*layers[1:]))
        rows = rows.view(*x.shape[:-1], sum(layer.out_features for layer in layers))
        return rows if stay_low else rows.float()
    biases = [layer.bias for layer in layers if layer.bias is not None]
    low = layers[0].low(*layers[1:])
    if any(layer.lora_a is not None for layer in layers):
        return _low_adapted(x, low, biases, layers, stay_low=stay_low)
    weights = [layer.weight for layer in layers]
    y: Tensor = _LowLinear.apply(x, low, stay_low, layers, *weights, *biases)
    return y


def _adapted(x: Tensor, y: Tensor, layer: Linear) -> Tensor:
    """What an adapter adds to y, in the precision of x."""
    if layer.lora_a is None or layer.lora_b is None:
        return y
    return y + F.linear(F.linear(x, layer.lora_a.to(x.dtype)), layer.lora_b.to(x.dtype)) * layer.share


def _low_adapted(
    x: Tensor, low: Tensor, biases: Sequence[Tensor], layers: Sequence[Linear], *, stay_low: bool
) -> Tensor:
    """As `_LowLinear` where the weights stay as they are: their gradients are never made."""
    rows = _Even.apply(x.flatten(0, -2), low.dtype)
    bias = torch.cat(list(biases)) if biases else None
    parts = F.linear(rows, low).split([layer.out_features for layer in layers], dim=1)
    y = torch.cat([_adapted(rows, part, layer) for part, layer in zip(parts, layers, strict=True)], dim=1)
    y = y[: x.shape[:-1].numel()].view(*x.shape[:-1], len(low))
    if stay_low:
        return y if bias is None else y + bias.to(low.dtype)
    return y.float() if bias is None else y.float() + bias


def _without_gradient(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, in) -> (N, out), all in low precision."""
    if not weight.is_mkldnn:
        return F.linear(rows, weight, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(even(rows, rows.dtype), weight, bias, "none", [], "none")
    return y[: len(rows)]


def even(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, D) -> (M, D) in `dtype`, zeros below the N rows: one of 32 sizes between two powers of two.

    For every new size of a product oneDNN makes kernels, which takes milliseconds and megabytes, and it forgets the
    oldest: batches of any size would have them made all the time. At most 3 % of the rows are zeros.
    """
    num_rows, width = rows.shape
    more = even_size(num_rows) - num_rows
    if not more or rows.device.type != "cpu":
        return rows.to(dtype)
    out = torch.empty(num_rows + more, width, dtype=dtype)
    out[:num_rows].copy_(rows)
    out[num_rows:].zero_()
    return out


def even_size(num_rows: int) -> int:
    """How many rows `even` makes of so many."""
    step = max(1, 2 ** (num_rows.bit_length() - 6))
    return num_rows + -num_rows % step


def _packs(weight: Tensor) -> bool:
    """Whether torch can lay these weights out for its library (oneDNN): built with it, on a processor that it knows."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and torch.backends.mkldnn.is_available()
    return fits and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class _Even(torch.autograd.Function):
    """`even`, with its gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype, ctx.num_rows = rows.dtype, len(rows)  # type: ignore[attr-defined]
        found = even(rows, dtype)
        return found.view_as(found) if found is rows else found

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return grad[: ctx.num_rows].to(ctx.dtype), None  # type: ignore[attr-defined]


class _LowLinear(torch.autograd.Function):
    """x W^T + b with the three matrix products in low precision; everything outside them stays as it comes.

    low: the weights of `layers` below one another, in low precision. parts: the masters, then their biases (or none);
    they get the gradients.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, low: Tensor, stay_low: bool, layers: Sequence[Linear], *parts: Tensor
    ) -> Tensor:
        weights, biases = parts[: len(layers)], parts[len(layers) :]
        low_x = even(x.flatten(0, -2), low.dtype)
        ctx.save_for_backward(low_x, low)
        ctx.x_dtype, ctx.sizes, ctx.has_bias = x.dtype, [len(weight) for weight in weights], bool(biases)  # type: ignore[attr-defined]
        ctx.layers = layers  # type: ignore[attr-defined]
        bias = torch.cat(biases) if len(biases) > 1 else biases[0] if biases else None
        shape, num_rows = (*x.shape[:-1], len(low)), x.shape[:-1].numel()
        if stay_low:
            return F.linear(low_x, low, None if bias is None else bias.to(low.dtype))[:num_rows].view(shape)
        y = F.linear(low_x, low)[:num_rows].float()
        return (y if bias is None else y.add_(bias)).view(shape)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        low_x, low = ctx.saved_tensors  # type: ignore[attr-defined]
        x_dtype, sizes, has_bias = ctx.x_dtype, ctx.sizes, ctx.has_bias  # type: ignore[attr-defined]
        rows = grad.flatten(0, -2)
        low_grad = even(rows, low.dtype)
        grad_x = (low_grad @ low)[: len(rows)].to(x_dtype).view(*grad.shape[:-1], low.shape[1])
        grad_weights = (low_grad.t() @ low_x).split(sizes)
        grad_biases = _sum(rows).split(sizes) if has_bias else ()
        layers: Sequence[Linear] = ctx.layers  # type: ignore[attr-defined]
        kept = (_deliver(layer, part) for layer, part in zip(layers, grad_weights, strict=True))
        return grad_x, None, None, None, *kept, *grad_biases


def _deliver(layer: Linear, gradient: Tensor) -> Tensor | None:
    """The gradient of `layer`'s weights for autograd, unless an optimizer wants it as it is."""
    if not layer.defers:
        return gradient.float()
    layer.gradient = gradient if layer.gradient is None else layer.gradient.float() + gradient
    return None


def _sum(rows: Tensor) -> Tensor:
    """(N, D) -> (D,) float32."""
    low = rows.dtype == torch.bfloat16 and available(rows)
    return column_sums(rows.contiguous()) if low else rows.sum(0).float()
