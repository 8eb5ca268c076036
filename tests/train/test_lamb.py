"""LAMB against the formulas of its paper, worked out in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from zaowu.config import EngineConfig, TrainConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.train.optim import Optimizer
from zaowu.train.optim.lamb import Lamb
from zaowu.trunk.transformer.linear import Linear

LR, DECAY, B1, B2, EPS = 0.02, 0.1, 0.9, 0.999, 1e-6


def by_hand(x: np.ndarray, gradients: list[np.ndarray], rates: list[float], *, matrix: bool) -> np.ndarray:
    """You et al. 2020, algorithm 2, in float64."""
    m = v = np.zeros_like(x)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        r = (m / (1 - B1**t)) / (np.sqrt(v / (1 - B2**t)) + EPS)
        u = r + (DECAY * x if matrix else 0)
        ratio = np.linalg.norm(x) / np.linalg.norm(u) if matrix and np.linalg.norm(x) > 0 else 1.0
        x = x - rate * ratio * u
    return x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = TokenEmbedding(5, 4, pad_id=0)
        self.table.initialise(torch.Generator().manual_seed(1))
        self.middle, self.last, self.fresh = Linear(4, 6), nn.Linear(6, 2), nn.Linear(2, 2, bias=False)
        nn.init.zeros_(self.fresh.weight)  # its norm is zero at first


def test_follows_the_paper_over_several_steps() -> None:
    model = Net()
    config = TrainConfig(lr=LR, weight_decay=DECAY, clip=1e9, engine=EngineConfig(optimizer="lamb"))
    optimizer = Optimizer(model, config)
    rng = np.random.default_rng(0)
    shares = [0.25, 0.5, 1.0, 0.75, 0.3, 0.1]
    start = {name: weight.detach().double().numpy().copy() for name, weight in model.named_parameters()}
    given = {name: [rng.normal(size=x.shape) for _ in shares] for name, x in start.items()}
    assert len(given) == 6
    for step, share in enumerate(shares):
        for name, weight in model.named_parameters():
            weight.grad = torch.from_numpy(given[name][step]).float()
        optimizer.step(share)
        assert all(weight.grad is None for weight in model.parameters())
    for name, weight in model.named_parameters():
        expected = by_hand(start[name], given[name], [LR * share for share in shares], matrix=weight.ndim > 1)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_matrix_moves_by_the_rate_times_its_norm_whatever_its_gradient() -> None:
    for scale in (1e-3, 1.0, 1e3):
        weight = nn.Parameter(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
        before = weight.detach().clone()
        weight.grad = scale * torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
        Lamb([{"params": [weight], "weight_decay": 0.1}], lr=0.01, betas=(B1, B2)).step()
        assert float((weight.detach() - before).norm()) == pytest.approx(0.01 * float(before.norm()), rel=1e-5)


def test_token_tables_are_dense_and_their_gradients_autograd_s() -> None:
    model = Net()
    optimizer = Optimizer(model, TrainConfig(lr=LR, engine=EngineConfig(optimizer="lamb")))
    model.middle(model.table(torch.tensor([[1, 2]]))).square().sum().backward()
    assert not model.table.leaves and model.table.weight.grad is not None and model.middle.weight.grad is not None
    before = model.table.weight.detach().clone()
    optimizer.step(1.0)
    assert (model.table.weight != before)[3].all()  # decayed, though no token used it


def test_clipping_divides_all_gradients_alike() -> None:
    given = [torch.full((2, 2), 3.0), torch.full((2,), 4.0)]
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    layers[1].load_state_dict(layers[0].state_dict())
    norm = float(torch.stack([gradient.norm() for gradient in given]).norm())
    engine = EngineConfig(optimizer="lamb")
    clipped = Optimizer(layers[0], TrainConfig(lr=LR, clip=1.0, engine=engine))
    free = Optimizer(layers[1], TrainConfig(lr=LR, clip=1e9, engine=engine))
    for layer, shrink in zip(layers, (1.0, norm), strict=True):
        layer.weight.grad, layer.bias.grad = given[0] / shrink, given[1] / shrink
    assert clipped.step(1.0) == pytest.approx(norm)
    assert free.step(1.0) == pytest.approx(1.0)
    torch.testing.assert_close(layers[0].weight, layers[1].weight, rtol=1e-4, atol=0)
    torch.testing.assert_close(layers[0].bias, layers[1].bias, rtol=1e-4, atol=0)


def test_moments_survive_a_checkpoint() -> None:
    first, second = Net(), Net()
    config = TrainConfig(lr=LR, engine=EngineConfig(optimizer="lamb"))
    one = Optimizer(first, config)
    for weight in first.parameters():
        weight.grad = torch.ones_like(weight)
    one.step(1.0)
    second.load_state_dict(first.state_dict())
    other = Optimizer(second, config)
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    for model, optimizer in ((first, one), (second, other)):
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, -0.5)
        optimizer.step(0.5)
    assert all(map(torch.equal, first.parameters(), second.parameters()))
