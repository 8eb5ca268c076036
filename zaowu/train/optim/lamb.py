"""LAMB: Adam's update, scaled for every weight to that weight's own size."""

from __future__ import annotations

from typing import Any

import torch

from zaowu.train.optim.norms import norms

EPS = 1e-6


class Lamb(torch.optim.Optimizer):
    """LAMB over groups of weights with `lr`, `weight_decay` and `adapts`, dense, whole or sharded.

    With m, v the moments and m^ = m / (1 - b1^t), v^ = v / (1 - b2^t), for each weight x:

        r = m^ / (sqrt(v^) + eps)        x <- x - lr |x| / |r + decay x| (r + decay x)

    A matrix so changes by the share `lr` of its norm whatever its gradient, which keeps large batches with large
    rates stable. Where either norm is zero, and where a group does not adapt (biases, norms, gains: their norm says
    nothing about how far they may move), the ratio is one.
    Source: You et al. 2020, "Large batch optimization for deep learning", algorithm 2, its phi the identity.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": EPS, "weight_decay": 0.0, "adapts": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            updates = [self._update(weight, group) for weight in weights]
            ratios = [1.0] * len(weights)
            if group["adapts"]:
                of_weights, of_updates = norms(weights), norms(updates)
                usable = (of_weights > 0) & (of_updates > 0)
                ratios = torch.where(usable, of_weights / of_updates, 1.0).tolist()
            for weight, update, ratio in zip(weights, updates, ratios, strict=True):
                weight.sub_(update, alpha=group["lr"] * ratio)

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        """r + decay x, with the moments moved on."""
        state, (first, second) = self.state[weight], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        steps, gradient = float(state["step"]), weight.grad
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (state["exp_avg_sq"] / (1 - second**steps)).sqrt_().add_(group["eps"])
        update = (state["exp_avg"] / (1 - first**steps)).div_(scale)
        return update.add_(weight, alpha=group["weight_decay"])
