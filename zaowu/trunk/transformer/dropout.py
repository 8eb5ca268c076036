"""Dropout whose coins are a function of (seed, record, place, site, channel) and of nothing else.

    dropout(x) = x * keep / (1 - rate),  keep ~ Bernoulli(1 - rate)          (Srivastava et al. 2014)

A counter-based hash (splitmix64: Steele, Lea and Flood 2014) gives every coin its bits, as in Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3". So the coins of a token do not depend on the batch
around it, on padding, on how work is split, or on torch's generator, and they cost a tenth of
`torch.nn.functional.dropout` on a CPU, which draws them one by one on one thread.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: consecutive counters lie far apart
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def _mix(z: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser, in place: every bit of the result depends on every bit of `z`, uint64."""
    shifted = np.empty_like(z)
    for shift, factor in _MIX:
        np.right_shift(z, np.uint64(shift), out=shifted)
        np.bitwise_xor(z, shifted, out=z)
        np.multiply(z, np.uint64(factor), out=z)
    np.right_shift(z, np.uint64(31), out=shifted)
    return np.bitwise_xor(z, shifted, out=z)


class Coins:
    """The coins of one step.

    seed: an integer, or (B,) integers, one for each record: a record's coins are then the same in any batch.
    batch, length: B and T of the padded batch. places: (N,) b T + t of the tokens that are worked on.
    """

    def __init__(self, seed: int | Tensor, *, batch: int, length: int, places: Tensor) -> None:
        if isinstance(seed, int):
            rows = np.full(batch, seed % 2**64, np.uint64) + np.arange(batch, dtype=np.uint64) * _STEP
        else:
            rows = seed.cpu().numpy().astype(np.int64).view(np.uint64).copy()
        columns = np.arange(length, dtype=np.uint64) * _STEP
        self._grid = _mix(_mix(rows)[:, None] + columns)  # (B, T)
        self._packed = self._grid.reshape(-1)[places.cpu().numpy()]  # (N,)
        self._device = places.device

    def tokens(self, site: int, *, width: int, rate: float, dtype: torch.dtype) -> Tensor:
        """(N, width): 0 with probability `rate`, else 1 / (1 - rate). `site` numbers the places in the trunk."""
        return self._toss(self._packed, site, width, rate, dtype)

    def weights(self, site: int, *, num_heads: int, rate: float, dtype: torch.dtype) -> Tensor:
        """(B, H, T, T), the same for attention weights: query t of row b tosses for each head and key."""
        heads = np.arange(num_heads, dtype=np.uint64)[:, None] * _STEP
        keys = _mix(self._grid[:, None, :] + ~heads)  # (B, H, T)
        return self._toss(keys, site, keys.shape[-1], rate, dtype)

    def _toss(self, keys: np.ndarray, site: int, width: int, rate: float, dtype: torch.dtype) -> Tensor:
        keys = _mix(keys + np.uint64(site * int(_STEP) % 2**64))
        words = np.arange(1, -(-width // 4) + 1, dtype=np.uint64) * _STEP
        bits = _mix(keys[..., None] + words).view(np.uint16)[..., :width]  # four coins in a word
        dropped = round(rate * 2**16)  # of 65,536: the rate is exact to 1e-5
        keep = (bits >= dropped).astype(np.float32)
        keep *= np.float32(2**16 / (2**16 - dropped))
        return torch.from_numpy(keep).to(self._device, dtype)
