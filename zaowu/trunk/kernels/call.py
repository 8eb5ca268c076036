"""Calls into the compiled library: addresses and numbers go in, results are written where they point."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from zaowu.trunk.kernels import build


def address(x: Tensor | None) -> int:
    """Where the numbers of `x`, which must be contiguous and must outlive the call, lie; 0 for None."""
    if x is None:
        return 0
    assert x.is_contiguous()
    return x.data_ptr()


def is_low(x: Tensor) -> int:
    return int(x.dtype == torch.bfloat16)


def call(name: str, *arguments: int | float) -> None:
    """All integers and addresses are 64 bits wide in the library, all other numbers are double."""
    library = build.library()
    assert library is not None
    function = getattr(library, name)  # which the library object keeps
    if function.argtypes is None:
        function.argtypes = [ctypes.c_double if isinstance(x, float) else ctypes.c_int64 for x in arguments]
    if function(*arguments):
        raise MemoryError(name)
