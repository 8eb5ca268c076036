"""One object that turns gradients into new weights, whatever the optimizer and wherever the weights lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zaowu.config import TrainConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.train.optim.lamb import Lamb
from zaowu.train.optim.norms import local, norms
from zaowu.train.optim.touched import BETAS, EPS, TouchedRows
from zaowu.train.parallel import ALONE, Ranks
from zaowu.train.parallel.shards import spread_as
from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.adamw import Update, Updates
from zaowu.trunk.transformer.linear import Linear


class Optimizer:
    """AdamW or LAMB over all weights of a model. Biases, norms and gains are neither decayed nor adapted (LAMB).

    AdamW on one device takes token tables by touched rows and the rest through a fused kernel, ours or torch's.
    Taken densely are tables that the output layer uses too, and all tables by LAMB, which needs their norm, and in
    sharded training (`engine.shard`, also where one rank does it: the number of ranks changes nothing). Clipping
    bounds the norm of all gradients together.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, *, ranks: Ranks = ALONE) -> None:
        assert config.lr is not None
        self.config = config
        dense = config.engine.shard or config.engine.optimizer == "lamb"
        embeddings = {name: module for name, module in model.named_modules() if isinstance(module, TokenEmbedding)}
        for table in embeddings.values():
            table.touched_only = False
        self.tables = {
            name: TouchedRows(table, ranks=ranks)
            for name, table in embeddings.items()
            if not (dense or table.tied or table.frozen)
        }
        self.named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        self.groups = _groups(self.named, config)
        groups = [{"params": group["params"], "weight_decay": group["weight_decay"]} for group in self.groups]
        self.dense: torch.optim.Optimizer
        if config.engine.optimizer == "lamb":
            for settings, group in zip(groups, self.groups, strict=True):
                settings["adapts"] = group["adapts"]
            self.dense = Lamb(groups, lr=config.lr, betas=BETAS)
        else:
            self.dense = torch.optim.AdamW(groups, lr=config.lr, betas=BETAS, eps=EPS, fused=True)
        weights = [weight for _, weight in self.named]
        self.in_c = not dense and all(weight.dtype == torch.float32 for weight in weights) and available(*weights)
        self.layers = {module.weight: module for module in model.modules() if isinstance(module, Linear)}
        for weight, layer in self.layers.items():
            layer.defers = self.in_c and weight.requires_grad and ranks.world == 1

    def step(self, share: float) -> float:
        """One update at `share` of the peak rate, from the gradients that stand in the weights; clears them.

        Returns the gradients' norm before clipping. Where that is no number nothing is updated.
        """
        assert self.config.lr is not None
        lr = self.config.lr * share
        touched = {name: found for name, rows in self.tables.items() if (found := rows.gather()) is not None}
        rows = [gradient for _, gradient in touched.values()]
        gradients = [weight.grad for _, weight in self.named if weight.grad is not None]
        if self.in_c:
            updates = self._updates(lr)
            norm = math.hypot(math.sqrt(updates.sum_of_squares()), *(float(gradient.norm()) for gradient in rows))
        else:
            norm = torch.linalg.vector_norm(norms(gradients + rows)).item()
        if math.isfinite(norm):
            shrink = min(1.0, self.config.clip / (norm + 1e-6))
            if self.in_c:
                updates.apply(shrink, eps=EPS)
                self._say_fresh(updates)
            else:
                self._step_in_torch(lr, shrink, gradients)
            for name, (places, gradient) in touched.items():
                gradient.mul_(shrink)
                self.tables[name].step(places, gradient, lr=lr, weight_decay=self.config.weight_decay)
        self.discard()
        return norm

    def discard(self) -> None:
        """Lets the gradients go that stand in the weights."""
        self.dense.zero_grad()
        for layer in self.layers.values():
            layer.gradient = None
        for table in self.tables.values():
            table.table.leaves.clear()

    def _step_in_torch(self, lr: float, shrink: float, gradients: list[Tensor]) -> None:
        if self.config.engine.optimizer == "adamw" and not self.config.engine.shard:
            # The fused kernel divides by its scale on the way, so that clipping costs no pass of its own.
            self.dense.grad_scale = torch.tensor(1 / shrink, device=self.named[0][1].device)  # type: ignore[attr-defined]
        elif shrink < 1:
            torch._foreach_mul_([local(gradient) for gradient in gradients], shrink)
        for settings, group in zip(self.dense.param_groups, self.groups, strict=True):
            settings["lr"] = lr * group["scale"]
        self.dense.step()

    def _updates(self, lr: float) -> Updates:
        """What the kernel is to do, with moments where torch's own optimizer keeps them."""
        updates = []
        for group in self.groups:
            for weight in group["params"]:
                layer, gradient = self.layers.get(weight), weight.grad
                if layer is not None and layer.gradient is not None:
                    gradient = layer.gradient if gradient is None else gradient + layer.gradient
                if gradient is None:
                    continue
                state = self.dense.state[weight]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
                update = Update(
                    weight=weight,
                    gradient=gradient.contiguous(),
                    first=state["exp_avg"],
                    second=state["exp_avg_sq"],
                    copy=None if layer is None or layer.dtype != torch.bfloat16 else layer.copy,
                    steps=state["step"],
                    rate=lr * group["scale"],
                    decay=group["weight_decay"],
                )
                updates.append(update)
        return Updates(updates, betas=BETAS)

    def _say_fresh(self, updates: Updates) -> None:
        for update in updates.updates:
            if update.copy is not None:
                self.layers[update.weight].fresh = update.weight._version

    def release(self) -> None:
        """The model's gradients are autograd's again."""
        for layer in self.layers.values():
            layer.defers = False

    def tensors(self) -> dict[str, Tensor]:
        """All moments by weight name, for a checkpoint."""
        state = {}
        for name, weight in self.named:
            for key, value in self.dense.state.get(weight, {}).items():
                state[f"{name}/{key}"] = value
        for name, table in self.tables.items():
            state |= {f"{name}/first": table.first, f"{name}/second": table.second, f"{name}/steps": table.steps}
        return state

    def load(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        for name, weight in self.named:
            keys = ("step", "exp_avg", "exp_avg_sq")
            if f"{name}/step" in tensors:
                state = {key: tensors[f"{name}/{key}"] for key in keys}
                self.dense.state[weight] = {
                    key: (value if key == "step" else spread_as(value, weight)).to(weight.device, copy=True)
                    for key, value in state.items()
                }
        for name, table in self.tables.items():
            for key in ("first", "second", "steps"):
                getattr(table, key).copy_(tensors[f"{name}/{key}"])


def _groups(named: list[tuple[str, nn.Parameter]], config: TrainConfig) -> list[dict]:
    """Weights that share decay and rate. With `layer_decay` < 1, lower layers learn more slowly."""
    numbers = [_layer(name) for name, _ in named]
    top = max((number for number in numbers if number is not None), default=0) + 1
    groups: dict[tuple, dict] = {}
    for (name, weight), number in zip(named, numbers, strict=True):
        depth = top if number is None else number
        if name.startswith("trunk.") and number is None:
            depth = -1  # positions, segments, entry norm: below the first layer
        is_matrix = weight.ndim > 1
        decay = config.weight_decay if is_matrix else 0.0
        scale = config.layer_decay ** (top - depth)
        fresh = {"params": [], "weight_decay": decay, "scale": scale, "adapts": is_matrix}
        groups.setdefault((is_matrix, scale), fresh)["params"].append(weight)
    return list(groups.values())


def _layer(name: str) -> int | None:
    numbers = [part for part in name.split(".") if part.isdigit()]
    return int(numbers[0]) if numbers and name.startswith("trunk.") else None
