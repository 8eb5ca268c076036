"""AdamW on those rows of a token table that a step used."""

from __future__ import annotations

import mmap
from contextlib import suppress

import torch
from torch import Tensor

from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.train.parallel import ALONE, Ranks

BETAS = (0.9, 0.999)
EPS = 1e-8


class TouchedRows:
    """AdamW for one token table, on the rows that a step gathered (`TokenEmbedding.touched_only`).

    Moments, decay and the count of steps belong to a row: a row that is not touched stays as it is, so a step
    costs what its batch costs. When every row is touched at every step this is AdamW, number for number.
    Source: Loshchilov and Hutter 2019, algorithm 2; lazy moments as in Kingma's sparse Adam, counts kept per row.
    """

    def __init__(self, table: TokenEmbedding, *, ranks: Ranks = ALONE) -> None:
        self.table, self.ranks = table, ranks
        table.weight.requires_grad_(False)
        table.touched_only = True
        self.first, self.second = _zeros(table.weight), _zeros(table.weight)  # (V, D)
        self.steps = torch.zeros(len(table.weight), dtype=torch.int32, device=table.weight.device)

    def gather(self) -> tuple[Tensor, Tensor] | None:
        """Rows (U,) and their gradients (U, D), summed over the step's micro-batches; the leaves are released.

        With ranks the sum of all their rows, divided by their number, as DDP does it for the other weights.
        """
        leaves = [(rows, leaf.grad) for rows, leaf in self.table.leaves if leaf.grad is not None]
        self.table.leaves.clear()
        if self.ranks.world > 1:
            weight = self.table.weight
            none = torch.zeros(0, dtype=torch.long, device=weight.device), weight.detach()[:0]
            rows, parts = (torch.cat(own) for own in zip(none, *leaves, strict=True))
            leaves = [self.ranks.rows(rows, parts / self.ranks.world)]
        elif not leaves:
            return None
        elif len(leaves) == 1:
            return leaves[0]
        rows, places = torch.unique(torch.cat([rows for rows, _ in leaves]), return_inverse=True)
        gradient = leaves[0][1].new_zeros(len(rows), leaves[0][1].shape[1])
        return rows, gradient.index_add_(0, places, torch.cat([part for _, part in leaves]))

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, *, lr: float, weight_decay: float) -> None:
        steps = self.steps[rows] + 1
        first = self.first[rows].lerp_(gradient, 1 - BETAS[0])
        second = self.second[rows].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        self.steps[rows], self.first[rows], self.second[rows] = steps, first, second
        count = steps.to(gradient.dtype).unsqueeze(1)  # (U, 1)
        scale = second.div_(1 - BETAS[1] ** count).sqrt_().add_(EPS)
        update = first.div_(1 - BETAS[0] ** count).div_(scale)
        weight = self.table.weight
        weight[rows] = weight[rows].mul_(1 - lr * weight_decay).sub_(update, alpha=lr)


def _zeros(weight: Tensor) -> Tensor:
    """Zeros of its shape, which take memory on a CPU only where they are first written; those of torch do so at once.

    Of a table of 250,000 rows a short training touches a few thousand. Arrays of numpy ask the system for pages of
    2 MB, each of which holds a row that is touched: so these ask it for small ones.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not weight.numel():
        return torch.zeros_like(weight)
    # Windows knows no kinds of memory; what is shared elsewhere would be written by a copy of the process as well.
    kinds = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, weight.numel() * weight.element_size(), **kinds)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a system without large pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=weight.dtype).view(weight.shape)
