"""AdamW over the weights, and over only those rows of a token table that a step touched."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.config import TrainConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.adamw import Update, Updates
from zaowu.trunk.transformer.linear import Linear

BETAS = (0.9, 0.999)
EPS = 1e-8


def rate(step: int, *, num_steps: int, warmup: float) -> float:
    """The learning rate at `step` (from 0) as a share of its peak: linear up, then linear down to zero."""
    rising = max(1, round(warmup * num_steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (num_steps - step) / max(1, num_steps - rising))


class TouchedRows:
    """AdamW for one token table, on the rows that a step gathered (`TokenEmbedding.touched_only`).

    Moments, decay and the count of steps belong to a row: a row that is not touched stays as it is, so a step
    costs what its batch costs. When every row is touched at every step this is AdamW, number for number.
    Source: Loshchilov and Hutter 2019, algorithm 2; lazy moments as in Kingma's sparse Adam, counts kept per row.
    """

    def __init__(self, table: TokenEmbedding) -> None:
        self.table = table
        table.weight.requires_grad_(False)
        table.touched_only = True
        self.first, self.second = _zeros(table.weight), _zeros(table.weight)  # (V, D)
        self.steps = torch.zeros(len(table.weight), dtype=torch.int32, device=table.weight.device)

    def gather(self) -> tuple[Tensor, Tensor] | None:
        """Rows (U,) and their gradients (U, D), summed over the step's micro-batches; the leaves are released."""
        leaves = [(rows, leaf.grad) for rows, leaf in self.table.leaves if leaf.grad is not None]
        self.table.leaves.clear()
        if not leaves:
            return None
        if len(leaves) == 1:
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

    Of a table of 250,000 rows a short training touches a few thousand.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return torch.zeros_like(weight)
    return torch.from_numpy(np.zeros(weight.shape, np.float32))


class Optimizer:
    """AdamW as one object: dense weights through a fused kernel, ours or torch's, token tables by touched rows.

    Biases, norms and gains are not decayed. Clipping bounds the norm of all gradients together.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        assert config.lr is not None
        self.config = config
        self.tables = {
            name: TouchedRows(module)
            for name, module in model.named_modules()
            if isinstance(module, TokenEmbedding) and not module.tied
        }
        self.named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        self.groups = _groups(self.named, config)
        self.dense = torch.optim.AdamW(
            [{"params": group["params"], "weight_decay": group["weight_decay"]} for group in self.groups],
            lr=config.lr,
            betas=BETAS,
            eps=EPS,
            fused=True,
        )
        weights = [weight for _, weight in self.named]
        self.in_c = all(weight.dtype == torch.float32 for weight in weights) and available(*weights)
        self.layers = {module.weight: module for module in model.modules() if isinstance(module, Linear)}
        for weight, layer in self.layers.items():
            layer.defers = self.in_c and weight.requires_grad

    def step(self, share: float) -> float:
        """One update at `share` of the peak rate, from the gradients that stand in the weights; clears them.

        Returns the gradients' norm before clipping. Where that is no number nothing is updated.
        """
        assert self.config.lr is not None
        lr = self.config.lr * share
        touched = {name: found for name, rows in self.tables.items() if (found := rows.gather()) is not None}
        rows = [gradient for _, gradient in touched.values()]
        if self.in_c:
            updates = self._updates(lr)
            norm = math.hypot(math.sqrt(updates.sum_of_squares()), *(float(gradient.norm()) for gradient in rows))
        else:
            norms = torch._foreach_norm([weight.grad for _, weight in self.named if weight.grad is not None] + rows)
            norm = torch.linalg.vector_norm(torch.stack(norms)).item()
        if math.isfinite(norm):
            shrink = min(1.0, self.config.clip / (norm + 1e-6))
            if self.in_c:
                updates.apply(shrink, eps=EPS)
                self._say_fresh(updates)
            else:
                self._step_in_torch(lr, shrink)
            for name, (places, gradient) in touched.items():
                gradient.mul_(shrink)
                self.tables[name].step(places, gradient, lr=lr, weight_decay=self.config.weight_decay)
        self.dense.zero_grad()
        for layer in self.layers.values():
            layer.gradient = None
        return norm

    def _step_in_torch(self, lr: float, shrink: float) -> None:
        # The fused kernel divides by its scale on the way, so that clipping costs no pass of its own.
        self.dense.grad_scale = torch.tensor(1 / shrink, device=self.named[0][1].device)  # type: ignore[attr-defined]
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
                self.dense.state[weight] = {key: tensors[f"{name}/{key}"].to(weight.device, copy=True) for key in keys}
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
        decay = config.weight_decay if weight.ndim > 1 else 0.0
        scale = config.layer_decay ** (top - depth)
        group = groups.setdefault((decay, scale), {"params": [], "weight_decay": decay, "scale": scale})
        group["params"].append(weight)
    return list(groups.values())


def _layer(name: str) -> int | None:
    numbers = [part for part in name.split(".") if part.isdigit()]
    return int(numbers[0]) if numbers and name.startswith("trunk.") else None
