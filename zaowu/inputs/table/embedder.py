"""The cells of a table -> one vector a column, all columns in one product.

A column's vector is a row of a table (missing, present, unknown, or the value of a category) plus, for numbers and
dates, the sum over bins k of W_k clamp(place - k, 0, 1): a line with its own slope in every bin, continuous at the
edges. Source: Gorishniy et al. 2021, 2022 (FT-Transformer; piecewise-linear encoding).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zaowu.inputs.table.columns import NUM_BINS

STD = 0.02


class TableEmbedding(nn.Module):
    """num_codes: rows for all columns together. T tokens: first the numbers, then the dates, then the categories."""

    def __init__(self, num_codes: int, *, num_numbers: int, num_dates: int, num_parts: int, dim: int) -> None:
        super().__init__()
        self.num_numbers, self.num_dates = num_numbers, num_dates
        self.rows = nn.Parameter(torch.empty(num_codes, dim))
        self.numbers = nn.Parameter(torch.empty(num_numbers, NUM_BINS, dim)) if num_numbers else None
        self.dates = nn.Parameter(torch.empty(num_dates, num_parts, NUM_BINS, dim)) if num_dates else None

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with deviation 0.02, as other embeddings."""
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.0, STD, generator=generator)

    def forward(self, codes: Tensor, places: Tensor) -> Tensor:
        """codes: (B, T) int, each column's own range. places: (B, T, P) float, below 0 where there is none."""
        vectors = nn.functional.embedding(codes, self.rows)  # (B, T, D)
        measured = []
        if self.numbers is not None:
            bins = _bins(places[:, : self.num_numbers, 0])  # (B, M, K)
            measured.append(torch.einsum("bmk,mkd->bmd", bins, self.numbers))
        if self.dates is not None:
            own = places[:, self.num_numbers : self.num_numbers + self.num_dates]
            measured.append(torch.einsum("bmpk,mpkd->bmd", _bins(own), self.dates))
        if not measured:
            return vectors
        rest = vectors[:, self.num_numbers + self.num_dates :]
        found = torch.cat(measured, 1)
        return torch.cat([vectors[:, : found.shape[1]] + found, rest], 1)


def _bins(places: Tensor) -> Tensor:
    """(...) -> (..., K): how much of each bin lies below the place, 0 to 1."""
    return (places.unsqueeze(-1) - torch.arange(NUM_BINS, device=places.device)).clamp(0, 1)
