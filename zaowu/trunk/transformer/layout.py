"""Where each real token lies: packed (N, D) for everything but attention, padded (B, H, T, K) inside it."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

PACK_BELOW = 0.95  # share of real tokens from which packing no longer pays; benchmarks/trunk.py measures it


class _Gather(torch.autograd.Function):
    """rows[there], whose gradient is a gather as well: each real row is at one place on either side.

    torch's own backward of an index is a scatter-add that has to expect repeated rows. Rows of padding are
    copies of row 0 whose gradient is dropped, so nothing may depend on them: attention masks them.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(there, back)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.saved_tensors  # type: ignore[attr-defined]
        return _Gather.apply(grad.contiguous(), back, there), None, None


class Layout:
    """The places of one batch's N tokens.

    mask: (B, T), True = real. documents: (B, T) or None; a token attends only within equal values.
    causal: a token attends only to itself and to tokens before it.
    pack: work on real tokens only; None = when that pays. Otherwise all B T places are worked on.
    """

    def __init__(
        self, mask: Tensor, *, documents: Tensor | None = None, causal: bool = False, pack: bool | None = None
    ) -> None:
        self.batch, self.length = mask.shape
        real = torch.nonzero(mask.reshape(-1)).squeeze(1)
        self.full = len(real) == mask.numel()
        if pack is None:
            pack = len(real) < PACK_BELOW * mask.numel()
        self.places = real if pack and not self.full else torch.arange(mask.numel(), device=mask.device)
        self.mask, self.documents, self.causal = mask, documents, causal
        self._heads: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def num_tokens(self) -> int:
        return len(self.places)

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...)."""
        flat = x.flatten(0, 1)
        return flat if self.num_tokens == len(flat) else flat.index_select(0, self.places)

    def unpack(self, x: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zeros at padding."""
        if self.full:
            return x.unflatten(0, (self.batch, self.length))
        if self.num_tokens == self.mask.numel():
            return x.unflatten(0, (self.batch, self.length)).masked_fill(~self.mask[:, :, None], 0)
        out = x.new_zeros(self.mask.numel(), x.shape[1]).index_copy(0, self.places, x)
        return out.unflatten(0, (self.batch, self.length))

    def to_heads(self, x: Tensor, num_heads: int) -> Tensor:
        """(N, H K) -> (B, H, T, K)."""
        there, back = self._head_places(num_heads)
        rows = x.reshape(self.num_tokens * num_heads, -1)
        heads: Tensor = _Gather.apply(rows, there, back)
        return heads.view(self.batch, num_heads, self.length, -1)

    def from_heads(self, x: Tensor) -> Tensor:
        """(B, H, T, K) -> (N, H K)."""
        num_heads = x.shape[1]
        there, back = self._head_places(num_heads)
        rows: Tensor = _Gather.apply(x.reshape(-1, x.shape[-1]), back, there)
        return rows.view(self.num_tokens, -1)

    def _head_places(self, num_heads: int) -> tuple[Tensor, Tensor]:
        """there: (B H T,) rows of (N H, K); back: (N H,) rows of (B H T, K)."""
        if num_heads not in self._heads:
            places, device = self.places, self.places.device
            heads = torch.arange(num_heads, device=device)
            token = torch.zeros(self.batch * self.length, dtype=torch.long, device=device)
            token[places] = torch.arange(self.num_tokens, device=device)
            token = token.view(self.batch, 1, self.length)
            there = (token * num_heads + heads[:, None]).flatten()
            row, column = places // self.length, places % self.length
            back = ((row[:, None] * num_heads + heads) * self.length + column[:, None]).flatten()
            self._heads[num_heads] = there, back
        return self._heads[num_heads]

    @cached_property
    def bias(self) -> Tensor | None:
        """(B, 1 or T, T) to add to the scores before the softmax, or None where every key is allowed.

        Forbidden keys get the lowest finite number: their weight is exactly 0 where any key is allowed, and
        a row of padding that has none gets some finite values (nobody reads them) instead of NaN.
        """
        if self.full and self.documents is None and not self.causal:
            return None
        allowed = self.mask[:, None, :]  # (B, 1, T)
        if self.documents is not None:
            allowed = allowed & (self.documents[:, :, None] == self.documents[:, None, :])  # (B, T, T)
        if self.causal:
            square = torch.ones(self.length, self.length, dtype=torch.bool, device=allowed.device)
            allowed = allowed & square.tril()
        bias = torch.zeros(allowed.shape, device=allowed.device)
        return bias.masked_fill(~allowed, torch.finfo(bias.dtype).min)
