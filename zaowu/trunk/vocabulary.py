"""Token cross-entropy, once for the whole house: states against the table of token vectors.

    z = x E^T + b,   loss = log sum exp(z) - z_y                               (Devlin et al. 2019, 3.1)
    dz = w (softmax(z) - onehot(y)),   dx = dz E,   dE = dz^T x,   db = sum of the rows of dz

The (M, V) logits of one batch are larger than all states of the trunk, so they are made some rows at a time, and the
gradient is made at once while they are there: the backward pass only multiplies it by a number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from zaowu.trunk.kernels import softmax as kernel
from zaowu.trunk.transformer.linear import even

CHUNK = 2**24  # logits at a time: 32 MB in bfloat16


class Vocabulary(nn.Module):
    """(M, D) states -> what they say about V pieces. Has no weights: table (V, D) and bias (V,) come with each call.

    So a table that is the input's as well stands in the model once. Sums are float32 in any precision.
    """

    dtype: torch.dtype | None = None  # what products are computed in; None = the table's own

    def compute_in(self, dtype: torch.dtype) -> None:
        """From here on, products in `dtype`."""
        self.dtype = None if dtype == torch.float32 else dtype

    def forward(
        self,
        states: Tensor,
        table: Tensor,
        labels: Tensor,
        *,
        weights: Tensor,
        bias: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> Tensor:
        """The sum of weight x cross-entropy, a number. labels: (M,) int64 below V. weights: (M,).

        smoothing: the share of the right answer that is spread evenly over all V (Szegedy et al. 2016, section 7). It
        adds smoothing x (z_y - the mean of z), which needs no logits: x (E_y - the mean row of E).
        """
        total: Tensor = _CrossEntropy.apply(states, table, bias, labels, weights, self.dtype or table.dtype)
        if smoothing and len(states):
            gap = (states * (F.embedding(labels, table) - table.mean(0))).sum(1)
            if bias is not None:
                gap = gap + bias[labels] - bias.mean()
            total = total + smoothing * (gap @ weights.to(gap.dtype))
        return total

    @torch.no_grad()
    def judge(
        self, states: Tensor, table: Tensor, labels: Tensor, *, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(M,) losses and (M,) bool, where the most probable piece is the right one. No gradient."""
        losses, right = [], []
        for part in _parts(len(states), len(table)):
            z = self.logits(states[part], table, bias=bias)
            losses.append(torch.logsumexp(z, 1) - z.gather(1, labels[part, None]).squeeze(1))
            right.append(z.argmax(1) == labels[part])
        return torch.cat(losses), torch.cat(right)

    @torch.no_grad()
    def logits(self, states: Tensor, table: Tensor, *, bias: Tensor | None = None) -> Tensor:
        """(M, D) -> (M, V), at least float32. No gradient."""
        dtype = self.dtype or table.dtype
        z = F.linear(even(states, dtype), table.to(dtype))[: len(states)].to(table.dtype)
        return z if bias is None else z.add_(bias)


def _parts(num_rows: int, num_pieces: int) -> list[slice]:
    """Rows that are worked on at once, as even as can be; one part at least."""
    count = max(1, -(-num_rows * num_pieces // CHUNK))
    size = max(1, -(-num_rows // count))
    return [slice(start, min(start + size, num_rows)) for start in range(0, max(1, num_rows), size)]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        states: Tensor,
        table: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        num_rows, low, wants = len(states), table.detach().to(dtype), ctx.needs_input_grad  # type: ignore[attr-defined]
        x = even(states.detach(), dtype)
        more = len(x) - num_rows  # rows of zeros, which weigh nothing
        labels, weights = F.pad(labels, (0, more)), F.pad(weights.to(table.dtype), (0, more))
        weighted = x * weights.to(dtype).unsqueeze(1) if wants[1] else None
        low_bias = None if bias is None else bias.detach().to(dtype)
        total = table.new_zeros(())
        dx = torch.empty_like(x) if wants[0] else None
        dtable: Tensor | None = None
        dbias = torch.zeros_like(bias) if bias is not None and wants[2] else None
        parts = _parts(len(x), len(table))
        for part in parts:
            dz, losses = _softmax_gradient(F.linear(x[part], low, low_bias), labels[part], table.dtype)
            total += losses @ weights[part]
            if dx is not None:
                torch.mm(dz, low, out=dx[part])
            if weighted is not None:
                product = dz.t() @ weighted[part]
                if dtable is not None:
                    dtable.add_(product)
                else:
                    dtable = product if len(parts) == 1 else product.to(table.dtype)
            if dbias is not None:
                dbias += (weights[part].to(dtype) @ dz).to(dbias.dtype)
        if dx is not None:
            dx = dx[:num_rows].to(states.dtype).mul_(weights[:num_rows, None])
        ctx.save_for_backward(dx, dtable, dbias)  # type: ignore[arg-type]
        ctx.dtype = table.dtype  # type: ignore[attr-defined]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        dx, dtable, dbias = ctx.saved_tensors  # type: ignore[attr-defined]
        if dtable is not None:
            dtable = torch.mul(dtable, grad, out=torch.empty_like(dtable, dtype=ctx.dtype))  # type: ignore[attr-defined]
        dx, dbias = (None if d is None else d * grad for d in (dx, dbias))
        return dx, dtable, dbias, None, None, None


def _softmax_gradient(z: Tensor, labels: Tensor, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits (m, V) -> softmax(z) - onehot(y) in their precision, maybe written over them; losses (m,), `wide`."""
    if kernel.fits(z):
        return kernel.softmax_gradient(z, labels)
    logs = F.log_softmax(z.to(wide), 1)
    losses = -logs.gather(1, labels[:, None]).squeeze(1)
    dz = logs.exp_().to(z.dtype)
    dz.scatter_(1, labels[:, None], torch.expm1(-losses).to(z.dtype)[:, None])
    return dz, losses
