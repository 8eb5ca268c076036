"""Where each real token lies: packed (N, D) for everything but attention, padded (B, H, T, K) inside it.

Attention needs a gather of its heads anyway, so packing costs nothing more and pays from the first padded place.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

FORBIDDEN = -1e30  # finite in float32 and in bfloat16


class _Gather(torch.autograd.Function):
    """rows[there], whose gradient is a gather as well: grad[back].

    torch's own backward of an index is a scatter-add, which has to expect repeated rows. Here every real row
    is at one place on either side; a padded place holds some real row's copy, which attention masks, and whose
    gradient is dropped. `real`, (rows, 1), is 0 for the padded rows that must get no gradient; None = no such.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, there: Tensor, back: Tensor, real: Tensor | None) -> Tensor:
        ctx.save_for_backward(back, real)  # type: ignore[arg-type]
        return rows.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        back, real = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = grad.contiguous().index_select(0, back)
        return grad if real is None else grad.mul_(real), None, None, None


class Layout:
    """The places of one batch's N real tokens.

    mask: (B, T), True = real. documents: (B, T) or None; a token attends only within equal values.
    causal: a token attends only to itself and to tokens before it.
    """

    def __init__(self, mask: Tensor, *, documents: Tensor | None = None, causal: bool = False) -> None:
        self.batch, self.length = mask.shape
        self.mask, self.documents, self.causal = mask, documents, causal
        self.places = torch.nonzero(mask.reshape(-1)).squeeze(1)  # (N,) b T + t
        self.num_tokens = len(self.places)
        self.full = self.num_tokens == mask.numel()
        self._heads: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...)."""
        flat = x.flatten(0, 1)
        return flat if self.full else flat.index_select(0, self.places)

    def unpack(self, x: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zeros at padding."""
        if not self.full:
            x = x.new_zeros(self.mask.numel(), x.shape[1]).index_copy(0, self.places, x)
        return x.unflatten(0, (self.batch, self.length))

    def to_heads(self, x: Tensor, num_heads: int) -> Tensor:
        """(N, H K) -> (B, H, T, K)."""
        there, back, _ = self._head_places(num_heads)
        rows = x.reshape(self.num_tokens * num_heads, -1)
        heads: Tensor = _Gather.apply(rows, there, back, None)
        return heads.view(self.batch, num_heads, self.length, -1)

    def from_heads(self, x: Tensor) -> Tensor:
        """(B, H, T, K) -> (N, H K)."""
        there, back, real = self._head_places(x.shape[1])
        rows: Tensor = _Gather.apply(x.reshape(-1, x.shape[-1]), back, there, real)
        return rows.view(self.num_tokens, -1)

    def _head_places(self, num_heads: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """there: (B H T,) rows of (N H, K); back: (N H,) rows of (B H T, K); real: (B H T, 1), or None if all are."""
        if num_heads not in self._heads:
            places, device = self.places, self.places.device
            heads = torch.arange(num_heads, device=device)
            token = torch.zeros(self.batch * self.length, dtype=torch.long, device=device)
            token[places] = torch.arange(self.num_tokens, device=device)
            token = token.view(self.batch, 1, self.length)
            there = (token * num_heads + heads[:, None]).flatten()
            row, column = places // self.length, places % self.length
            back = ((row[:, None] * num_heads + heads) * self.length + column[:, None]).flatten()
            real = None if self.full else self.mask.repeat_interleave(num_heads, dim=0).reshape(-1, 1).float()
            self._heads[num_heads] = there, back, real
        return self._heads[num_heads]

    @cached_property
    def bias(self) -> Tensor | None:
        """(B, 1 or T, T) to add to the scores before the softmax, or None where every key is allowed.

        Forbidden keys get a huge negative number, not -inf: their weight is exactly 0 where any key is allowed,
        and a row of padding that has none gets some finite values (nobody reads them) instead of NaN.
        """
        if self.full and self.documents is None and not self.causal:
            return None
        allowed = self.mask[:, None, :]  # (B, 1, T)
        if self.documents is not None:
            allowed = allowed & (self.documents[:, :, None] == self.documents[:, None, :])  # (B, T, T)
        if self.causal:
            square = torch.ones(self.length, self.length, dtype=torch.bool, device=allowed.device)
            allowed = allowed & square.tril()
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, FORBIDDEN)
