"""Low-rank adapters: a large model learns a task in a few numbers, and is its old self with them taken away.

    y = x W^T + b + (alpha / r) x A^T B^T        A: (r, in), B: (out, r)        (Hu et al. 2021, section 4.1)

W and b stay as they are: they have no gradients and no moments. A begins at random and B at zero, so the first step
is the base's own. When all is learned, W <- W + (alpha / r) B A, and nothing behind this file knows of adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zaowu.trunk.transformer.linear import Linear

PARTS = (".lora_a", ".lora_b")  # ends of their names


@dataclass(frozen=True)
class Adapters:
    """What was learned. pairs: the layer's name in the trunk -> A (r, in) and B (out, r), on the CPU."""

    rank: int
    alpha: float
    pairs: dict[str, tuple[Tensor, Tensor]]


def add(trunk: nn.Module, *, rank: int, alpha: float, seed: int) -> None:
    """One for each matrix of the blocks: of attention and of the feed-forward network.

    A is uniform up to 1 / sqrt(in), drawn from `seed` alone.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in _layers(trunk).values():
        bound = layer.in_features**-0.5
        down = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
        layer.lora_a = nn.Parameter(down.to(layer.weight.device))
        layer.lora_b = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        layer.share = alpha / rank
        layer.forget()


def count(trunk: nn.Module, *, rank: int) -> int:
    """Their numbers."""
    return sum(rank * (layer.in_features + layer.out_features) for layer in _layers(trunk).values())


@torch.no_grad()
def merge(trunk: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Puts them into the weights and takes them away; returns their pairs, by the layers' names."""
    pairs = {}
    for name, layer in _layers(trunk).items():
        if layer.lora_a is None or layer.lora_b is None:
            continue
        pairs[name] = layer.lora_a.detach().cpu(), layer.lora_b.detach().cpu()
        layer.weight.copy_(layer.whole)
        layer.lora_a = layer.lora_b = None
        layer.forget()
    return pairs


def _layers(trunk: nn.Module) -> dict[str, Linear]:
    return {name: layer for name, layer in trunk.named_modules() if isinstance(layer, Linear)}


def changing(module: nn.Module) -> dict[str, Tensor]:
    """What training changes of its state: all but its `frozen` weights."""
    frozen: frozenset[str] = getattr(module, "frozen", frozenset())
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def restore(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The inverse of `changing`. Raises KeyError for a state of other names."""
    if odd := state.keys() ^ changing(module).keys():
        raise KeyError(min(odd))
    module.load_state_dict(state, strict=False)
