"""Linear probing, then fine-tuning: a head that already reads the base's states before the first step changes them.

A fresh head says nothing at first, and its gradients then pull at a trunk that was right. With a linear head fitted to
the states as they are, the first step starts from a working model, after one pass forward over the records.

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution" (LP-FT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.batching.batch import Batch
from zaowu.batching.order import chance
from zaowu.evaluate.predict import pass_over
from zaowu.inputs import Inputs, Item
from zaowu.model import Model
from zaowu.targets import answered, sum_losses

MOST = 4096  # records that the heads are fitted to
STRENGTHS = (1.0, 0.1, 0.01)  # of the penalty on squared weights, where states have a deviation of 1
HELD = 5  # one record in so many chooses among them
ITERATIONS = 100
LEAST_DEVIATION = 1e-4


def linear_heads(model: Model) -> dict[str, nn.Linear]:
    """Target column -> its head, of those that read a record's states as one."""
    heads = zip(model.targets.items(), model.heads, strict=True)
    return {
        name: head
        for (name, target), head in heads
        if target.reads == "pooled" and isinstance(head, nn.Linear) and model.config.head == "mean"
    }


def fit_heads(
    model: Model,
    source: Inputs,
    items: Sequence[Item],
    answers: dict[str, np.ndarray],
    *,
    ids: np.ndarray,
    weights: np.ndarray | None,
    seed: int,
) -> None:
    """Sets the weights of the model's linear heads, the same for equal records and seed.

    items: of N records, (N,) uint64 `ids`. answers: target column -> (N, ...), as its `features` are. weights: (N,).
    """
    chances = chance(ids, seed=seed, epoch=0)
    chosen = np.sort(np.argsort(chances, kind="stable")[:MOST])
    states = _states(model, source, items, chosen)
    for name, head in linear_heads(model).items():
        has = answered(answers[name][chosen])
        if has.sum() < 2 * HELD:
            continue
        own = chosen[has]
        share = np.ones(len(own), np.float32) if weights is None else weights[own].astype(np.float32)
        data = _Data.of(states[has], answers[name][own], share)
        _fit(head, model.targets[name], data, held=torch.from_numpy(chances[own] % HELD == 0))


def _states(model: Model, source: Inputs, items: Sequence[Item], chosen: np.ndarray) -> Tensor:
    """(n, D) float32: each chosen record's states as its head will read them; of a long one the mean over windows."""
    place = np.full(max(chosen.max(), max(item.record for item in items)) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    found = np.zeros((len(chosen), model.config.trunk.dim), np.float32)
    own = [item for item in items if place[item.record] >= 0]

    def read(some: list[Item], _: list[Any], batch: Batch) -> None:
        pooled = model.pool(model.states(batch), batch.mask).float().cpu().numpy()
        shares = np.array([item.share for item in some], np.float32)[:, None]
        np.add.at(found, place[[item.record for item in some]], pooled * shares)

    pass_over(model, source, own, read, label="reading with the base")
    return torch.from_numpy(found)


class _Data:
    """states: (n, D) with mean 0 and deviation 1; answers, weights: (n, ...)."""

    def __init__(self, states: Tensor, answers: Tensor, weights: Tensor, middle: Tensor, deviation: Tensor) -> None:
        self.states, self.answers, self.weights = states, answers, weights
        self.middle, self.deviation = middle, deviation

    @classmethod
    def of(cls, states: Tensor, answers: np.ndarray, weights: np.ndarray) -> _Data:
        middle, deviation = states.mean(0), states.std(0).clamp(min=LEAST_DEVIATION)
        return cls(
            (states - middle) / deviation, torch.from_numpy(answers), torch.from_numpy(weights), middle, deviation
        )

    def take(self, which: Tensor) -> _Data:
        return _Data(self.states[which], self.answers[which], self.weights[which], self.middle, self.deviation)


def _fit(head: nn.Linear, target: Any, data: _Data, *, held: Tensor) -> None:
    """Chooses the penalty on records that the head does not see, then fits it to all."""
    inner, outer = data.take(~held), data.take(held)
    strength = STRENGTHS[0]
    if len(outer.states) and len(inner.states):
        tried = {one: _loss(target, *_solved(target, inner, head, one), outer).item() for one in STRENGTHS}
        strength = min(STRENGTHS, key=lambda one: tried[one])
    weight, bias = _solved(target, data, head, strength)
    weight = weight / data.deviation
    with torch.no_grad():
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias - weight @ data.middle)


def _loss(target: Any, weight: Tensor, bias: Tensor, data: _Data) -> Tensor:
    outputs = nn.functional.linear(data.states, weight, bias)
    return sum_losses({"": target.loss(outputs, data.answers, data.weights)})


def _solved(target: Any, data: _Data, head: nn.Linear, strength: float) -> tuple[Tensor, Tensor]:
    """(num_outputs, D) and (num_outputs,): the lowest loss of the target plus the penalty, by L-BFGS from zeros."""
    weight = torch.zeros(head.weight.shape, requires_grad=True)
    bias = torch.zeros(len(head.weight), requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        total = _loss(target, weight, bias, data) + strength * weight.square().sum() / 2
        total.backward()
        return total

    with torch.enable_grad():
        solver.step(loss)
    return weight.detach(), bias.detach()
