"""AdamW: touched rows and kernels against torch's own."""

import math
import sys

import pytest
import torch
from torch import nn

from zaowu.config import TrainConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.train.estimate.machine import resident_bytes
from zaowu.train.optim import Optimizer, TouchedRows
from zaowu.trunk.kernels import build
from zaowu.trunk.precision import use
from zaowu.trunk.transformer.linear import Linear, side_by_side

V, D = 12, 4
CONFIG = TrainConfig(lr=0.01, weight_decay=0.1, clip=1e9)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = TokenEmbedding(V, D, pad_id=0)
        self.table.initialise(torch.Generator().manual_seed(0))
        self.last = nn.Linear(D, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.last(self.table(ids)).square().sum()


def torch_adamw(model: Net) -> torch.optim.AdamW:
    decayed = [model.table.weight, model.last.weight]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": [model.last.bias], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.01)


def test_equals_adamw_when_every_row_is_touched() -> None:
    ours, theirs = Net(), Net()
    optimizer, reference = Optimizer(ours, CONFIG), torch_adamw(theirs)
    everything = torch.arange(V).view(3, 4)
    for _ in range(5):
        ours(everything).backward()
        optimizer.step(1.0)
        theirs(everything).backward()
        reference.step()
        reference.zero_grad()
    torch.testing.assert_close(ours.table.weight, theirs.table.weight)
    torch.testing.assert_close(ours.last.weight, theirs.last.weight)
    torch.testing.assert_close(ours.last.bias, theirs.last.bias)


def test_a_tied_table_is_trained_like_any_other_weight() -> None:
    ours, theirs = Net(), Net()
    ours.table.tied = True
    optimizer, reference = Optimizer(ours, CONFIG), torch_adamw(theirs)
    assert not optimizer.tables and ours.table.weight.requires_grad and not ours.table.touched_only
    for ids in ([[3, 5, 3]], [[1, 5, 2]]):
        for model, step in ((ours, lambda: optimizer.step(1.0)), (theirs, reference.step)):
            model(torch.tensor(ids)).backward()
            step()
        reference.zero_grad()
    torch.testing.assert_close(ours.table.weight, theirs.table.weight)


def test_other_rows_stay_as_they_are() -> None:
    model = Net()
    before = model.table.weight.detach().clone()
    optimizer = Optimizer(model, CONFIG)
    model(torch.tensor([[3, 5, 3]])).backward()
    optimizer.step(1.0)
    changed = (model.table.weight != before).any(1).nonzero().flatten().tolist()
    assert changed == [3, 5]


def test_a_row_touched_late_takes_a_first_step_of_the_same_size() -> None:
    """Counts of steps belong to a row: its first step is lr in size, whenever it comes."""
    model = Net()
    optimizer = Optimizer(model, TrainConfig(lr=0.01, weight_decay=0.0, clip=1e9))
    for _ in range(50):
        model(torch.tensor([[1]])).backward()
        optimizer.step(1.0)
    before = model.table.weight[2].detach().clone()
    model(torch.tensor([[2]])).backward()
    optimizer.step(1.0)
    torch.testing.assert_close((model.table.weight[2] - before).abs(), torch.full((D,), 0.01), rtol=1e-3, atol=0)


def test_micro_batches_are_summed_before_the_step() -> None:
    one, two = Net(), Net()
    whole, parts = Optimizer(one, CONFIG), Optimizer(two, CONFIG)
    one(torch.tensor([[1, 2, 2, 3]])).backward()
    whole.step(1.0)
    for ids in ([[1, 2]], [[2, 3]]):
        two(torch.tensor(ids)).backward()
    parts.step(1.0)
    torch.testing.assert_close(one.table.weight, two.table.weight)


def test_clipping_counts_the_touched_rows_too() -> None:
    model = Net()
    with torch.no_grad():
        model.table.weight.mul_(1000)
    optimizer = Optimizer(model, TrainConfig(lr=0.01, clip=0.5))
    model(torch.tensor([[1, 2]])).backward()
    _, leaf = model.table.leaves[0]
    gradients = [model.last.weight.grad, model.last.bias.grad, leaf.grad]
    expected = torch.stack([g.norm() for g in gradients]).norm()
    assert optimizer.step(1.0) == pytest.approx(float(expected), rel=1e-5)
    scaled = optimizer.dense.state[model.last.weight]["exp_avg"] / 0.1
    assert scaled.norm() < 0.5


def test_moments_survive_a_checkpoint() -> None:
    ours, again = Net(), Net()
    first = Optimizer(ours, CONFIG)
    ids = torch.tensor([[1, 2, 3]])
    ours(ids).backward()
    first.step(1.0)
    again.load_state_dict(ours.state_dict())
    second = Optimizer(again, CONFIG)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    for model, optimizer in ((ours, first), (again, second)):
        model(ids).backward()
        optimizer.step(0.5)
    assert torch.equal(ours.table.weight, again.table.weight)
    assert torch.equal(ours.last.weight, again.last.weight)


def test_lower_layers_learn_more_slowly() -> None:
    model = nn.Module()
    model.trunk = nn.Module()
    model.trunk.blocks = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(2))
    model.trunk.positions = nn.Embedding(3, 2)
    model.head = nn.Linear(2, 2, bias=False)
    optimizer = Optimizer(model, TrainConfig(lr=1.0, layer_decay=0.5))
    scale = {id(p): group["scale"] for group in optimizer.groups for p in group["params"]}
    found = [scale[id(p)] for p in (model.trunk.positions.weight, *(b.weight for b in model.trunk.blocks))]
    assert found == [0.125, 0.25, 0.5]
    assert scale[id(model.head.weight)] == 1.0


class Two(nn.Module):
    """Two of our layers on one input, as one product, and one more."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.last = Linear(48, 400), Linear(48, 40), Linear(440, 1)

    def forward(self, x):
        return self.last(side_by_side(x, (self.one, self.two)).tanh()).square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_kernels_take_the_same_steps(dtype) -> None:
    """Ours reads gradients as the products leave them and writes the low weights; torch's does neither."""
    ours, theirs = Two(), Two()
    config = TrainConfig(lr=0.01, weight_decay=0.1, clip=0.05, layer_decay=0.9)
    optimizers = Optimizer(ours, config), Optimizer(theirs, config)
    if not optimizers[0].in_c:
        pytest.skip(f"no kernels: {build.missing()}")
    optimizers[1].in_c = False
    for layer in (theirs.one, theirs.two, theirs.last):
        layer.defers = False
    use(ours, dtype)
    use(theirs, dtype)
    for step in range(5):
        x = torch.randn(9, 48, generator=torch.Generator().manual_seed(step))
        norms = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            model(x).backward()
            norms.append(optimizer.step(0.5))
        assert norms[0] == pytest.approx(norms[1], rel=1e-3 if step else 1e-5)
        if dtype == torch.bfloat16:
            assert torch.equal(ours.two.copy, ours.two.weight.bfloat16())
            low = ours.one._low
            assert ours.one.low(ours.two) is low  # no cast
            assert ours.one.low(ours.two) is not low  # a word counts once
            with torch.no_grad():
                ours.one.weight.mul_(1.0)
            ours.one.fresh, ours.two.fresh = ours.one.weight._version - 1, ours.two.weight._version
            assert torch.equal(ours.one.low(ours.two)[:400], ours.one.weight.bfloat16())
    for (name, one), two in zip(optimizers[0].tensors().items(), optimizers[1].tensors().values(), strict=True):
        assert (one - two).abs().max() <= 1e-3 * two.abs().max(), name
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5 if dtype == torch.float32 else 2e-4)


def test_micro_batches_of_low_gradients_are_summed_and_no_number_changes_nothing() -> None:
    model = Two()
    optimizer = Optimizer(model, CONFIG)
    x = torch.ones(2, 48)
    use(model, torch.bfloat16)
    model(x).backward()
    once = optimizer.step(0.0)
    for _ in range(2):
        model(x).backward()
    assert optimizer.step(0.0) == pytest.approx(2 * once, rel=1e-2)
    before = [weight.detach().clone() for weight in model.parameters()]
    (model(x) * math.nan).backward()
    assert not math.isfinite(optimizer.step(1.0))
    assert all(map(torch.equal, before, model.parameters()))
    model(x).backward()
    assert optimizer.step(0.0) == pytest.approx(once, rel=1e-2)


def test_a_model_that_was_trained_gives_its_gradients_to_autograd_again() -> None:
    model = Two()
    use(model, torch.bfloat16)
    optimizer = Optimizer(model, CONFIG)
    optimizer.release()
    model(torch.ones(2, 48)).backward()
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the pages that Linux gave")
def test_moments_of_untouched_rows_take_no_memory():
    """One row in every 2 MB is touched: pages of that size would hold the whole table."""
    table = TokenEmbedding(2**19, 16, pad_id=0)  # 32 MB
    with torch.no_grad():
        table.weight.zero_()
    rows = torch.arange(0, 2**19, 2**14)
    moments = TouchedRows(table)
    before = resident_bytes()
    moments.step(rows, torch.ones(len(rows), 16), lr=0.1, weight_decay=0.0)
    assert resident_bytes() - before < 8e6
    assert moments.first[rows].abs().min() > 0 and moments.first.count_nonzero() == 16 * len(rows)
