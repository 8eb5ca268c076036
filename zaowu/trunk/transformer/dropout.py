"""Dropout whose coins are a function of (seed, record, place, site, channel) and of nothing else.

    dropout(x) = x * keep / (1 - rate),  keep ~ Bernoulli(1 - rate)          (Srivastava et al. 2014)

A counter-based hash (splitmix64: Steele, Lea and Flood 2014) gives every coin its bits, as in Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3". So the coins of a token do not depend on the batch
around it, on padding, on how work is split, or on torch's generator, and they cost a tenth of
`torch.nn.functional.dropout` on a CPU, which draws them one by one on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MAX_RATE = 0.99
_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: consecutive counters lie far apart
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


class Coins:
    """The coins of one step.

    seed: an integer, or (B,) integers, one for each record: a record's coins are then the same in any batch.
    batch, length: B and T of the padded batch. places: (N,) b T + t of the tokens that are worked on.
    grid: (B, T) uint64, a key for each place; packed: (N,), those of the tokens.
    """

    def __init__(self, seed: int | Tensor, *, batch: int, length: int, places: Tensor) -> None:
        if isinstance(seed, int):
            rows = np.full(batch, seed % 2**64, np.uint64) + _counters(batch)
        else:
            rows = seed.cpu().numpy().astype(np.int64).view(np.uint64)
        self.grid = _mix(_mix(rows.copy())[:, None] + _counters(length))  # (B, T)
        self.packed = self.grid.reshape(-1)[places.cpu().numpy()]  # (N,)
        self._device = places.device

    def for_tokens(self, site: int, *, width: int, rate: float, dtype: torch.dtype) -> Tensor:
        """(N, width): 0 with probability `rate`, else 1 / (1 - rate). `site` numbers the places in the trunk."""
        keys = _mix(self.packed + _counter(site))
        return _toss(keys, width=width, rate=rate).to(self._device, dtype)

    def for_weights(
        self, site: int, *, num_heads: int, num_groups: int, rate: float, dtype: torch.dtype, width: int | None = None
    ) -> Callable[[int, int], Tensor]:
        """The same for attention weights: (start, stop) -> (stop - start, H / G T, T) for those matrices of B G.

        width: keys, where these are not the T tokens themselves.

        Every query of every head has a key of its own, so part of the matrices gets the coins it has in the whole.
        """
        batch, length = len(self.grid), width or self.grid.shape[1]
        heads = _mix(_counters(num_heads) + _counter(site))
        keys = _mix(self.grid[:, None, :] + heads[:, None]).reshape(batch * num_groups, -1)  # (B G, H / G T)

        def toss(start: int, stop: int) -> Tensor:
            return _toss(keys[start:stop], width=length, rate=rate).to(self._device, dtype)

        return toss


def _toss(keys: np.ndarray, *, width: int, rate: float) -> Tensor:
    """(...) keys -> (..., width) float32."""
    coins = _mix(keys[..., None] + _counters(-(-width // 8))).view(np.uint8)[..., :width]  # eight in a word
    # A coin has but 256 sides: for an exact rate, each key rounds the number of losing sides up or down by chance.
    losing = ((keys >> np.uint64(32)) * 2.0**-32 + rate * 256).astype(np.uint8)
    keep = (coins >= losing[..., None]).astype(np.float32)
    keep *= np.float32(1 / (1 - rate))
    return torch.from_numpy(keep)


def _mix(z: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser, in place: every bit of the result depends on every bit of `z`, uint64."""
    shifted = np.empty_like(z)
    for shift, factor in _MIX:
        np.right_shift(z, np.uint64(shift), out=shifted)
        np.bitwise_xor(z, shifted, out=z)
        np.multiply(z, np.uint64(factor), out=z)
    np.right_shift(z, np.uint64(31), out=shifted)
    return np.bitwise_xor(z, shifted, out=z)


def _counters(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.uint64) * _STEP


def _counter(number: int) -> np.uint64:
    return np.uint64((number + 1) * int(_STEP) % 2**64)
