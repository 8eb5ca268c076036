"""AdamW over many weights at once, and the norm of their gradients (adamw.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zaowu.trunk.kernels.call import address, call, is_low


@dataclass(frozen=True)
class Update:
    """One weight, its gradient, and where its copy in bfloat16 is to be written, if there is one.

    first, second: its moments. steps: () how many updates there were before; apply adds one.
    """

    weight: Tensor
    gradient: Tensor
    first: Tensor
    second: Tensor
    copy: Tensor | None
    steps: Tensor
    rate: float
    decay: float


class _Weight(ctypes.Structure):
    """`Weight` in adamw.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "first", "second", "gradient", "copy")),
        *((name, ctypes.c_int64) for name in ("size", "low")),
        *((name, ctypes.c_double) for name in ("rate", "decay", "correction1", "correction2")),
    )


class Updates:
    """One step of AdamW over `updates`, whose tensors lie on the CPU and are contiguous."""

    def __init__(self, updates: Sequence[Update], *, betas: tuple[float, float]) -> None:
        self.updates, self.betas = updates, betas
        self._table = (_Weight * len(updates))(*(self._row(update) for update in updates))

    def _row(self, update: Update) -> _Weight:
        tensors = update.weight, update.first, update.second, update.gradient, update.copy
        numbers = update.weight.numel(), is_low(update.gradient), update.rate, update.decay
        count = int(update.steps) + 1
        return _Weight(*map(address, tensors), *numbers, *(1 - beta**count for beta in self.betas))

    def sum_of_squares(self) -> float:
        """Of all gradients; NaN or infinite where one of them is."""
        found = ctypes.c_double()
        call("squares", len(self.updates), ctypes.addressof(self._table), ctypes.addressof(found))
        return found.value

    def apply(self, shrink: float, *, eps: float) -> None:
        """shrink: what the gradients are multiplied with."""
        call("adamw", len(self.updates), ctypes.addressof(self._table), shrink, *self.betas, eps)
        for update in self.updates:
            update.steps.add_(1)
            for changed in (update.weight, update.copy):
                if changed is not None:
                    torch.autograd.graph.increment_version(changed)  # C does it unseen
