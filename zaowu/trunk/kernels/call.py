"""Calls into the compiled library: addresses and numbers go in, results are written where they point."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from zaowu.trunk.kernels import build
from zaowu.trunk.transformer.dropout import Coins


@dataclass(frozen=True)
class Chance:
    """Dropout at one site: with `rate`, and with the coins that `Coins` tosses there; no coins, no dropout."""

    coins: Coins | None = None
    site: int = 0
    rate: float = 0.0

    @property
    def on(self) -> bool:
        return self.coins is not None and self.rate > 0

    def keys(self) -> int:
        """Where the keys of the tokens (N,) lie; 0 without dropout."""
        return self.coins.packed.ctypes.data if self.coins is not None and self.on else 0

    def grid(self) -> int:
        """Where the keys of all places (B, T) lie; 0 without dropout."""
        return self.coins.grid.ctypes.data if self.coins is not None and self.on else 0


NO_CHANCE = Chance()


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
