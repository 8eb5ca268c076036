"""Patches of a series -> token vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchEmbedding(nn.Module):
    """One linear map of a patch, as in PatchTST (Nie et al. 2023, section 3.1), and beside it a bent one.

    The bent part can multiply a patch's shape by its series' own deviation, which no linear map can.
    """

    def __init__(self, num_features: int, dim: int) -> None:
        super().__init__()
        self.straight = nn.Linear(num_features, dim)
        self.inner = nn.Linear(num_features, dim)
        self.outer = nn.Linear(dim, dim)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal, with outputs of about unit size for features of unit size, however many there are."""
        with torch.no_grad():
            for layer in (self.straight, self.inner, self.outer):
                layer.weight.normal_(0.0, 1 / math.sqrt(layer.in_features), generator=generator)
                layer.bias.zero_()

    def forward(self, patches: Tensor) -> Tensor:
        """patches: (B, T, F) -> (B, T, D)."""
        return self.straight(patches) + self.outer(F.gelu(self.inner(patches)))  # (B, T, D)
