"""Token ids -> token vectors, paying only for the rows that a batch touches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenEmbedding(nn.Module):
    """A table of token vectors, (V, D).

    In training with `touched_only`, a step gathers the rows that its batch uses as a small dense leaf, so that
    backward, clipping and the optimizer work on those alone: on a table of 250,000 rows a dense gradient costs
    more than the Transformer above it. The leaves of the step wait in `leaves` for the optimizer.

    tied: an output layer reads the table as well, so every step touches every row: its gradient is dense, and it is
    trained like any other weight. frozen: it is not trained at all.
    """

    def __init__(self, num_pieces: int, dim: int, *, pad_id: int) -> None:
        super().__init__()
        self.pad_id = pad_id
        self.weight = nn.Parameter(torch.empty(num_pieces, dim))
        self.leaves: list[tuple[Tensor, Tensor]] = []  # (rows (U,), their vectors (U, D))
        self.touched_only = False
        self.tied = False
        self.frozen = False

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with deviation 0.02, as BERT; the pad row is zero."""
        with torch.no_grad():
            self.weight.normal_(0.0, 0.02, generator=generator)
            self.weight[self.pad_id] = 0.0

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, T) int -> (B, T, D)."""
        if not (self.touched_only and self.training and torch.is_grad_enabled()):
            return F.embedding(ids, self.weight)
        rows, places = torch.unique(ids, return_inverse=True)
        leaf = self.weight.detach()[rows].requires_grad_()
        self.leaves.append((rows, leaf))
        return F.embedding(places, leaf)  # (B, T, D)
