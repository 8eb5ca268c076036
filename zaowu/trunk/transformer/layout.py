"""Where each real token lies: packed (N, D) for everything but attention, padded (B, H, T, K) inside it.

Attention needs a gather of its heads anyway, so packing costs nothing more and pays from the first padded place.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

FORBIDDEN = -1e30  # finite in float32 and in bfloat16


def wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class _Spread(torch.autograd.Function):
    """rows[there], not below float32, cut into parts of `sizes` rows; the gradient is a gather as well: grad[back].

    torch's own backward of an index is a scatter-add, which has to expect repeated rows. Here every real row
    is at one place on either side; a padded place holds some real row's copy, which attention masks, and whose
    gradient is dropped.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, there: Tensor, back: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(back)
        ctx.dtype = rows.dtype  # type: ignore[attr-defined]
        return wide(rows.index_select(0, there)).split(sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (back,) = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = torch.cat(grads).to(ctx.dtype)  # type: ignore[attr-defined]
        return grad.index_select(0, back), None, None, None


class _Collect(torch.autograd.Function):
    """rows[there], and back by grad[back], times `real`: (rows, 1), 0 at the padded rows; None = there are none."""

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
        self._spread: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._collect: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...)."""
        flat = x.flatten(0, 1)
        return flat if self.full else flat.index_select(0, self.places)

    def unpack(self, x: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zeros at padding."""
        if not self.full:
            x = x.new_zeros(self.mask.numel(), x.shape[1]).index_copy(0, self.places, x)
        return x.unflatten(0, (self.batch, self.length))

    def to_heads(self, x: Tensor, counts: tuple[int, ...]) -> tuple[Tensor, ...]:
        """(N, sum(counts) K) -> (B, count, T, K) for each of `counts`, not below float32."""
        if self.full and not torch.is_grad_enabled():
            heads = x.view(self.batch, self.length, sum(counts), -1).transpose(1, 2)
            return wide(heads).split(counts, dim=1)
        there, back = self._spread_places(counts)
        sizes = [count * self.batch * self.length for count in counts]
        parts = _Spread.apply(x.reshape(self.num_tokens * sum(counts), -1), there, back, sizes)
        return tuple(part.view(self.batch, count, self.length, -1) for part, count in zip(parts, counts, strict=True))

    def from_heads(self, x: Tensor) -> Tensor:
        """(B, H, T, K) -> (N, H K)."""
        if self.full and not torch.is_grad_enabled():
            return x.transpose(1, 2).reshape(self.num_tokens, -1)
        there, back, real = self._collect_places(x.shape[1])
        rows: Tensor = _Collect.apply(x.reshape(-1, x.shape[-1]), there, back, real)
        return rows.view(self.num_tokens, -1)

    def _spread_places(self, counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """there: rows of (N, sum(counts)) for (B, count, T) of each count in turn; back: the reverse."""
        if counts not in self._spread:
            token = torch.zeros(self.batch * self.length, dtype=torch.long, device=self.places.device)
            token[self.places] = torch.arange(self.num_tokens, device=token.device)
            token = token.view(self.batch, 1, self.length) * sum(counts)
            there, back, first = [], [], 0
            for count in counts:
                heads = torch.arange(count, device=token.device)
                there.append((token + first + heads[:, None]).flatten())
                back.append(self._head_rows(count) + first * self.batch * self.length)
                first += count
            self._spread[counts] = torch.cat(there), torch.cat(back, dim=1).flatten()
        return self._spread[counts]

    def _collect_places(self, num_heads: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """there: rows of (B, H, T) for (N, H); back: the reverse; real: (B H T, 1), or None if all are."""
        if num_heads not in self._collect:
            back, _ = self._spread_places((num_heads,))
            real = None if self.full else self.mask.repeat_interleave(num_heads, dim=0).reshape(-1, 1).float()
            self._collect[num_heads] = self._head_rows(num_heads).flatten(), back, real
        return self._collect[num_heads]

    def _head_rows(self, num_heads: int) -> Tensor:
        """(N, H): rows of (B, H, T)."""
        row, column = self.places // self.length, self.places % self.length
        heads = torch.arange(num_heads, device=self.places.device)
        return (row[:, None] * num_heads + heads) * self.length + column[:, None]

    @cached_property
    def starts(self) -> Tensor | None:
        """(B + 1,) first packed row of each record, or None where some record has padding before a real token."""
        if self.full:
            return torch.arange(self.batch + 1, device=self.mask.device) * self.length
        if bool((self.mask[:, 1:] & ~self.mask[:, :-1]).any()):
            return None
        return F.pad(self.mask.sum(1).cumsum(0), (1, 0))

    @cached_property
    def packed_documents(self) -> Tensor | None:
        """(N,), or None as `documents`."""
        return None if self.documents is None else self.pack(self.documents).long().contiguous()

    @cached_property
    def bias(self) -> Tensor | None:
        """(1 or B, 1 or T, T) to add to the scores before the softmax, or None where every key is allowed.

        Forbidden keys get a huge negative number, not -inf: their weight is exactly 0 where any key is allowed,
        and a row of padding that has none gets some finite values (nobody reads them) instead of NaN.
        """
        if self.full and self.documents is None and not self.causal:
            return None
        alike = self.full and self.documents is None  # all records: one square serves them
        allowed = self.mask[: 1 if alike else None, None, :]  # (1 or B, 1, T)
        if self.documents is not None:
            allowed = allowed & (self.documents[:, :, None] == self.documents[:, None, :])  # (B, T, T)
        if self.causal:
            square = torch.ones(self.length, self.length, dtype=torch.bool, device=allowed.device)
            allowed = allowed & square.tril()
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, FORBIDDEN)
