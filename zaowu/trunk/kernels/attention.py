"""Multi-head self attention over packed rows, with its gradient (attention.c)."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.call import NO_CHANCE, Chance, address, call, is_low
from zaowu.trunk.transformer.layout import Layout

LONGEST = 512  # tokens; above, large matrix products of torch are faster
WIDE = 8  # head widths are multiples of it


class Settings(ctypes.Structure):
    """`Attention` in attention.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "documents", "grid")),
        *((name, ctypes.c_int64) for name in ("batch", "length", "heads", "groups", "width", "site", "causal")),
        ("rate", ctypes.c_double),
    )


def fits(qkv: Tensor, layout: Layout, *, num_heads: int, num_groups: int) -> bool:
    """Whether `attention` can take it."""
    width = qkv.shape[1] // (num_heads + 2 * num_groups)
    return layout.length <= LONGEST and width % WIDE == 0 and available(qkv) and layout.starts is not None


def attention(
    qkv: Tensor,
    layout: Layout,
    *,
    num_heads: int,
    num_groups: int,
    chance: Chance = NO_CHANCE,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """(N, (H + 2 G) K) queries, keys and values side by side -> (N, H K) in `dtype`, or in that of `qkv`.

    chance: dropout of the weights, with the coins of `Coins.for_weights`.
    """
    assert layout.starts is not None
    settings = Settings(
        starts=address(layout.starts),
        documents=address(layout.packed_documents),
        grid=chance.grid(),
        batch=layout.batch,
        length=layout.length,
        heads=num_heads,
        groups=num_groups,
        width=qkv.shape[1] // (num_heads + 2 * num_groups),
        site=chance.site,
        causal=layout.causal,
        rate=chance.rate,
    )
    used = (layout, chance)  # what the settings point into
    out: Tensor = _Attention.apply(qkv, settings, used, dtype or qkv.dtype)
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, qkv: Tensor, settings: Settings, used: tuple, dtype: torch.dtype) -> Tensor:
        qkv = qkv.contiguous()
        out = qkv.new_empty(len(qkv), settings.heads * settings.width, dtype=dtype)
        sums = qkv.new_empty(len(qkv), settings.heads, dtype=torch.float32)
        at = ctypes.addressof(settings)
        call("attention_forward", at, address(qkv), is_low(qkv), address(out), is_low(out), address(sums))
        ctx.save_for_backward(qkv, sums)
        ctx.settings, ctx.used = settings, used  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        qkv, sums = ctx.saved_tensors  # type: ignore[attr-defined]
        grad, found = grad.contiguous(), torch.empty_like(qkv)
        at = ctypes.addressof(ctx.settings)  # type: ignore[attr-defined]
        given = address(grad), is_low(grad)
        call("attention_backward", at, address(qkv), is_low(qkv), *given, address(sums), address(found))
        return found, None, None, None
