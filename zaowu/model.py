"""Inputs, trunk and targets joined: the only file that knows all three."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.batching.batch import Batch
from zaowu.config import ModelConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.objectives import Objective, Tally
from zaowu.targets import LossSum, Target, sum_losses
from zaowu.trunk import adapters
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.linear import INIT_STD

MIN_REAL = 1e-9


class Model(nn.Module):
    """Columns go in, one Transformer thinks, an answer comes out for every target.

    inputs: column group -> its `Input`; targets: column -> its `Target`. They give this model its first and last
    parts; `heads` stand in the order of the targets. objectives: name -> its `Objective`, beside targets or instead;
    their heads stand under names of their own, and know the embedder of the one group that there is then.
    """

    is_sharded = False  # whether this process holds only a part of each weight (`train/parallel`)
    frozen: frozenset[str] = frozenset()  # names of weights that training leaves as they are (`trunk/adapters`)

    def __init__(
        self,
        inputs: Mapping[str, Any],
        targets: Mapping[str, Target],
        config: ModelConfig,
        *,
        objectives: Mapping[str, Objective] | None = None,
    ) -> None:
        super().__init__()
        dim = config.trunk.dim
        self.config, self.targets, self.objectives = config, dict(targets), dict(objectives or {})
        self.embedders = nn.ModuleDict({group: given.embedder(dim) for group, given in inputs.items()})
        self.marks = nn.Embedding(len(inputs), dim) if len(inputs) > 1 else None  # which group a token is of
        self.trunk = Encoder(config.trunk)
        reads = {objective.reads for objective in self.objectives.values()}
        self.pooler = nn.Linear(dim, dim) if config.head == "first" or "first" in reads else None
        table = self.embedders["text"] if "text" in inputs else None
        self.heads = nn.ModuleList(
            target.head(config.trunk, table) if target.reads == "states" else target.head(dim)  # type: ignore[call-arg, arg-type]
            for target in targets.values()
        )
        for objective in self.objectives.values():  # beside them there is one group
            read: Any = next(iter(self.embedders.values()))
            self.add_module(objective.head_name, objective.head(config.trunk, read))

    def states(self, batch: Batch, *, seed: int | Tensor | None = None) -> Tensor:
        """The trunk's last states, (B, T, D). seed: of this step's dropout, one or (B,); None means none."""
        return self.trunk(
            self.vectors(batch),
            mask=batch.mask,
            positions=batch.positions,
            segments=batch.segments,
            documents=batch.documents,
            seed=seed,
        )

    def vectors(self, batch: Batch) -> Tensor:
        """What goes into the trunk, (B, T, D): of several groups each token with the mark of its group."""
        found = [embedder(**batch.inputs[group]) for group, embedder in self.embedders.items()]
        if self.marks is None:
            return found[0]
        assert batch.places is not None
        side_by_side = torch.cat([own + mark for own, mark in zip(found, self.marks.weight, strict=True)], 1)
        return side_by_side.take_along_dim(batch.places.unsqueeze(-1), 1)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) -> (B, D): the mean of the real states, or tanh(W first + b) as in BERT."""
        if self.config.head == "first":
            return self.first(states)
        real = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        return (states * real).sum(1) / real.sum(1).clamp(min=MIN_REAL)

    def first(self, states: Tensor) -> Tensor:
        """(B, T, D) -> (B, D): tanh(W first + b), as in BERT."""
        assert self.pooler is not None
        return torch.tanh(self.pooler(states[:, 0]))

    def forward(self, batch: Batch, *, seed: int | Tensor | None = None) -> dict[str, Tensor]:
        """Target column -> that target's raw outputs: (B, C) for a category of C classes, (B, T, C) by token.

        Of a target that reads states what its head makes of the batch's answers; without answers it has none.
        """
        return self.outputs(self.states(batch, seed=seed), batch, seed=seed)

    def outputs(
        self, states: Tensor, batch: Batch, *, seed: int | Tensor | None = None, only: str = ""
    ) -> dict[str, Any]:
        """The same from the trunk's states. only: of targets that read in that way."""
        found: dict[str, Any] = {}
        pooled: Tensor | None = None
        for (name, target), head in zip(self.targets.items(), self.heads, strict=True):
            if only not in ("", target.reads):
                continue
            if target.reads == "tokens":
                found[name] = head(states)
            elif target.reads == "pooled":
                pooled = self.pool(states, batch.mask) if pooled is None else pooled
                found[name] = head(pooled)
            elif name in batch.targets:
                found[name] = head(states, batch.mask, batch.targets[name], seed=seed)
        return found

    def loss(self, batch: Batch, *, seed: int | Tensor | None = None) -> dict[str, LossSum]:
        """Sums and counts by target column; the loop divides once, over micro-batches and ranks together."""
        states = self.states(batch, seed=seed)
        losses = {
            name: _both([self.targets[name].loss(outputs, *given) for given in _answers(batch, name)])
            for name, outputs in self.outputs(states, batch, seed=seed).items()
        }
        return losses | {name: objective.loss(*given) for name, objective, given in self._given(states, batch)}

    def total(self, batch: Batch, counts: Mapping[str, float], *, among_ranks: bool = False) -> Tensor:
        """(): the sums of a part of a batch, divided by the counts of the whole.

        among_ranks: every head gets a gradient, of zeros where this part has no answer for it, since ranks wait for
        one another's.
        """
        total = sum_losses(self.loss(batch, seed=batch.coins), counts)
        if among_ranks:
            for module in self.last_parts().values():
                for weight in module.parameters():
                    total = total + weight.sum() * 0.0
        return total

    def writers(self) -> dict[str, tuple[Any, Any]]:
        """Target column -> target and head, of those that write."""
        both = zip(self.targets.items(), self.heads, strict=True)
        return {name: (target, head) for (name, target), head in both if target.reads == "states"}

    def last_parts(self) -> dict[str, nn.Module]:
        """What stands behind the trunk: target or objective -> its head, and the pooler."""
        found: dict[str, nn.Module] = dict(zip(self.targets, self.heads, strict=True))
        found |= {name: getattr(self, one.head_name) for name, one in self.objectives.items()}
        return found if self.pooler is None else found | {"": self.pooler}

    def counts(self, batch: Batch) -> dict[str, float]:
        """The counts that `loss` will have, from the batch alone."""
        everything: dict[str, Target | Objective] = {**self.targets, **self.objectives}
        return {name: sum(one.count(*given) for given in _answers(batch, name)) for name, one in everything.items()}

    @torch.no_grad()
    def told(self, batch: Batch) -> dict[str, Tensor]:
        """Target column -> (B, 3), what is said of the batch's answers, of targets that read states (`Told.judge`)."""
        own = self.outputs(self.states(batch), batch, only="states")
        return {name: outputs.judge() for name, outputs in own.items()}

    @torch.no_grad()
    def judge(self, batch: Batch) -> dict[str, Tally]:
        """Objective -> the sums of what it says about this batch; `Objective.score` makes figures of them."""
        return {name: objective.judge(*given) for name, objective, given in self._given(self.states(batch), batch)}

    def _given(self, states: Tensor, batch: Batch) -> Iterator[tuple[str, Objective, tuple[Any, ...]]]:
        """For each objective its head, the states that it reads, its answers and their weights."""
        for name, objective in self.objectives.items():
            seen = self.first(states) if objective.reads == "first" else states
            weights = batch.weights * batch.target_mask[name]
            yield name, objective, (getattr(self, objective.head_name), seen, batch.targets[name], weights)

    def decode(self, outputs: Mapping[str, Tensor | np.ndarray]) -> dict[str, Any]:
        """Target column -> its prediction."""
        return {name: self.targets[name].decode(raw) for name, raw in outputs.items()}

    def initialise(self, seed: int, *, std: float = INIT_STD) -> None:
        """Fresh weights from `seed` alone: normal with deviation `std` for matrices, as BERT; zero biases."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.modules():
                own = getattr(module, "initialise", None)
                if own is not None and module is not self:
                    own(generator)
                elif isinstance(module, nn.Linear):
                    module.weight.normal_(0.0, std, generator=generator)
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.Embedding):
                    module.weight.normal_(0.0, INIT_STD, generator=generator)

    def make_buffers(self, inputs: Mapping[str, Any]) -> None:
        """What embedders compute from their configs and no file holds, for a model that was built without memory."""
        for group, embedder in self.embedders.items():
            if any(buffer.is_meta for buffer in embedder.buffers()):
                fresh = inputs[group].embedder(self.config.trunk.dim)
                unmade = {name for name, buffer in embedder.named_buffers() if buffer.is_meta}
                for name, buffer in fresh.named_buffers():
                    owner, _, last = name.rpartition(".")
                    if name in unmade:
                        setattr(embedder.get_submodule(owner), last, buffer)

    def base_weights(self) -> set[int]:
        """Ids of the weights that adapters stand beside: of the trunk, of token tables, and of heads that `stays`."""
        parts = [self.trunk, *(own for own in self.embedders.modules() if isinstance(own, TokenEmbedding))]
        parts += [part for part in self.last_parts().values() if getattr(part, "stays", False)]
        return {id(weight) for part in parts for weight in part.parameters()}

    def adapt(self, *, rank: int, alpha: float, seed: int) -> None:
        """From here on adapters of the trunk are trained, and what no base of texts has: last parts, other columns."""
        base = self.base_weights()
        adapters.add(self.trunk, rank=rank, alpha=alpha, seed=seed)
        for table in self.embedders.modules():
            if isinstance(table, TokenEmbedding):
                table.frozen = True
        self.frozen = frozenset(name for name, weight in self.named_parameters() if id(weight) in base)
        for name in self.frozen:
            self.get_parameter(name).requires_grad_(False)

    def merge(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Puts adapters into the weights they stand beside; returns what they were, by the layers of the trunk."""
        self.frozen = frozenset()
        return adapters.merge(self.trunk)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def _answers(batch: Batch, name: str) -> list[tuple[Tensor, Tensor]]:
    """Answers and their weights; of mixed records each one's own, and those of the other by its share."""
    weights = batch.weights * batch.target_mask[name]
    if batch.shares is None or name not in batch.others:
        return [(batch.targets[name], weights)]
    own, other = batch.shares, 1 - batch.shares
    return [(batch.targets[name], weights * own), (batch.others[name], weights * other)]


def _both(losses: list[LossSum]) -> LossSum:
    """As one: sums and counts are linear in the weights."""
    first = losses[0]
    for loss in losses[1:]:
        first = LossSum(sum=first.sum + loss.sum, count=first.count + loss.count, weight=first.weight)
    return first
