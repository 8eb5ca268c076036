"""The model among the ranks: the same weights everywhere (DDP), or a part of them each (FSDP)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from zaowu.batching.batch import Batch
from zaowu.errors import UserError
from zaowu.model import Model
from zaowu.progress import note
from zaowu.train.parallel.ranks import current
from zaowu.trunk.adapters import changing, restore
from zaowu.trunk.transformer.linear import Linear


def sharded(model: Model, *, device: str) -> Model:
    """A copy of `model` whose weights are spread over the ranks, block by block (`fully_shard`, FSDP2).

    device: auto, cpu or cuda. Each block goes there only when it is divided.

    A block's weights are put together for its forward and its backward pass and let go after each; gradients and the
    optimizer's moments only ever exist in parts. `model` waits where it is for what comes out (`give_back`).
    Raises UserError for a model with scalars for weights, which cannot be divided, and for a torch without it.
    """
    if any(weight.ndim == 0 for weight in model.parameters()):
        raise UserError("--shard: ReZero's scalars cannot be divided among ranks; leave out --shard or ReZero.")
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
    except ImportError:
        raise UserError(f"--shard needs torch 2.6 or later, and {torch.__version__} is here.") from None
    spread = copy.deepcopy(model)
    spread.is_sharded = True
    for layer in spread.modules():
        if isinstance(layer, Linear):
            layer.comes_and_goes = True
    kind = "cuda" if torch.cuda.is_available() and device != "cpu" else "cpu"
    mesh = init_device_mesh(kind, (current().world,))
    for block in spread.trunk.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(spread, mesh=mesh)
    for method in ("total", "judge", "told"):
        register_fsdp_forward_method(spread, method)
    note("Sharded: rows of token tables that a step does not use are decayed with all others, as on one rank.")
    return spread


def give_back(spread: Model, model: Model, weights: Mapping[str, Tensor] | None) -> None:
    """The weights of a sharded copy, or `weights` of its shape, whole, into `model`, on every rank."""
    whole = {}
    for name, tensor in (changing(spread) if weights is None else weights).items():
        whole[name] = tensor.full_tensor().cpu() if hasattr(tensor, "full_tensor") else tensor
    restore(model, whole)


class Losses(nn.Module):
    """Batch -> loss, as one forward pass, which is what DDP wraps."""

    def __init__(self, model: Model, *, among_ranks: bool) -> None:
        super().__init__()
        self.model, self.among_ranks = model, among_ranks

    def forward(self, batch: Batch, counts: Mapping[str, float]) -> Tensor:
        return self.model.total(batch, counts, among_ranks=self.among_ranks)


class Passes:
    """Forward and backward passes over a batch: in micro-batches, by every rank over its share of the rows.

    Gradients of weights are added up over micro-batches and ranks by autograd and torch; those of token tables by
    touched rows, by the optimizer.
    """

    def __init__(self, model: Model, *, accumulate: int) -> None:
        self.ranks, self.model, self.accumulate = current(), model, accumulate
        self.device = next(model.parameters()).device
        self.ddp = self.ranks.world > 1 and not model.is_sharded
        self.losses: nn.Module = Losses(model, among_ranks=self.ranks.world > 1)
        if self.ddp:
            self.losses = nn.parallel.DistributedDataParallel(self.losses, gradient_as_bucket_view=True)

    def __call__(self, batch: Batch) -> float | None:
        """Leaves the gradients of the loss where an optimizer looks for them; returns this rank's part of the loss.

        None: every record weighs nothing, and there is no gradient.
        """
        counts = self.model.counts(batch)
        if not any(counts.values()):
            return None
        # torch takes the mean over ranks, each of which divides by the counts of the whole batch.
        scale = float(self.ranks.world)
        value = 0.0
        parts = self.parts(batch)
        for number, (part, factor) in enumerate(parts, 1):
            last = number == len(parts)
            waits: Any = self.losses.no_sync() if self.ddp and not last else nullcontext()  # type: ignore[operator]
            with waits:
                loss = self.losses(part.to(self.device), counts)
                if factor * scale != 1:
                    loss = loss * (factor * scale)
                loss.backward()
            value += float(loss.detach()) / scale
        for name, head in self.model.last_parts().items() if self.ranks.world > 1 else ():
            if not counts.get(name, 1.0):
                head.zero_grad()  # nobody had an answer for it: as if it had taken no part
        return value

    def parts(self, batch: Batch) -> list[tuple[Batch, float]]:
        """This rank's micro-batches, each with what its loss is multiplied by.

        Rows are dealt out in turn, so that long ones, which stand together, come to all. A rank without a row works
        on one of another's, for nothing: it must take part in what all do together.
        """
        size, world, found = len(batch.mask), self.ranks.world, []
        for micro in range(min(self.accumulate, -(-size // world))):
            first, hands = micro * world + self.ranks.rank, world * self.accumulate
            if first < size:
                found.append((batch if hands == 1 else batch.part(slice(first, None, hands)), 1.0))
            else:
                found.append((batch.part(slice(0, 1)), 0.0))
        return found
