"""Inputs, trunk and target joined: the only file that knows all three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zaowu.batching.batch import Batch
from zaowu.config import ModelConfig
from zaowu.targets import LossSum
from zaowu.trunk.transformer.encoder import Encoder

MIN_REAL = 1e-9


class Model(nn.Module):
    """Columns go in, one Transformer thinks, an answer comes out.

    inputs: column group -> its `Input`; target: the answer's object. Both give this model its first and last part.
    """

    def __init__(self, inputs: Mapping[str, Any], target: Any, config: ModelConfig) -> None:
        super().__init__()
        dim = config.trunk.dim
        self.config, self.target = config, target
        self.embedders = nn.ModuleDict({group: given.embedder(dim) for group, given in inputs.items()})
        self.trunk = Encoder(config.trunk)
        self.pooler = nn.Linear(dim, dim) if config.head == "first" else None
        self.head = target.head(dim)

    def states(self, batch: Batch, *, seed: int | Tensor | None = None) -> Tensor:
        """The trunk's last states, (B, T, D). seed: of this step's dropout, one or (B,); None means none."""
        vectors = [embedder(**batch.inputs[group]) for group, embedder in self.embedders.items()]
        return self.trunk(
            vectors[0] if len(vectors) == 1 else torch.cat(vectors, 1),  # (B, T, D)
            mask=batch.mask,
            positions=batch.positions,
            segments=batch.segments,
            documents=batch.documents,
            seed=seed,
        )

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) -> (B, D): the mean of the real states, or tanh(W first + b) as in BERT."""
        if self.pooler is not None:
            return torch.tanh(self.pooler(states[:, 0]))
        real = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        return (states * real).sum(1) / real.sum(1).clamp(min=MIN_REAL)

    def forward(self, batch: Batch, *, seed: int | Tensor | None = None) -> Tensor:
        """The target's raw outputs, (B, C) for a category."""
        return self.head(self.pool(self.states(batch, seed=seed), batch.mask))

    def loss(self, batch: Batch, *, seed: int | Tensor | None = None) -> dict[str, LossSum]:
        """Named sums and counts; the loop divides once, over micro-batches and ranks together."""
        return self.target.loss(self(batch, seed=seed), batch)

    def initialise(self, seed: int) -> None:
        """Fresh weights from `seed` alone: normal with deviation 0.02 for matrices, as BERT; zero biases."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.modules():
                own = getattr(module, "initialise", None)
                if own is not None and module is not self:
                    own(generator)
                elif isinstance(module, nn.Linear):
                    module.weight.normal_(0.0, 0.02, generator=generator)
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.Embedding):
                    module.weight.normal_(0.0, 0.02, generator=generator)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
