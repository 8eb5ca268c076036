"""Activations that are made again: the same gradients to the bit, and less that is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zaowu.config import AttentionConfig, PositionConfig, TrainConfig, TrunkConfig
from zaowu.train.optim import Optimizer
from zaowu.train.rule import from_scratch
from zaowu.trunk import precision
from zaowu.trunk.kernels import build
from zaowu.trunk.transformer.encoder import Encoder

DIM, LAYERS, LENGTH = 32, 6, 24
BERT = TrunkConfig(
    dim=DIM,
    num_layers=LAYERS,
    ffn_dim=64,
    dropout=0.2,
    positions=PositionConfig(max_positions=LENGTH),
    attention=AttentionConfig(num_heads=4, dropout=0.2),
)
CONFIGS = {
    "bert": BERT,
    "llama": replace(
        from_scratch("mini", max_positions=LENGTH, causal=True),
        dim=DIM,
        num_layers=LAYERS,
        ffn_dim=64,
        dropout=0.2,
        attention=AttentionConfig(num_heads=4, num_groups=2, bias=False, dropout=0.2),
    ),
    "rezero": replace(BERT, residual="rezero", norm="none", activation="relu"),
}


@pytest.fixture(params=["on", "off"])
def kernels(request, monkeypatch):
    if request.param == "off":
        monkeypatch.setenv("ZAOWU_KERNELS", "off")
    build.forget()
    if request.param == "on" and build.library() is None:
        pytest.skip(f"no kernels: {build.missing()}")
    yield
    monkeypatch.undo()
    build.forget()


def model(name: str, dtype: torch.dtype, *, recompute: bool) -> Encoder:
    trunk = Encoder(CONFIGS[name]).train()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in trunk.parameters():
            weight.copy_(torch.randn_like(weight) * 0.2)
    precision.use(trunk, dtype)
    trunk.recompute = recompute
    return trunk


def run(trunk: Encoder, vectors: Tensor, *, seed: int = 3) -> Tensor:
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 7, LENGTH - 2])[:, None]
    places = torch.arange(LENGTH).expand(mask.shape)
    return trunk(vectors, mask=mask, positions=places, segments=places % 2, documents=places // 9, seed=seed)


def vectors() -> Tensor:
    return torch.randn(3, LENGTH, DIM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("kernels")
def test_gradients_are_the_same_bits(name, dtype):
    found = []
    for recompute in (False, True):
        trunk, x = model(name, dtype, recompute=recompute), vectors().requires_grad_()
        states = run(trunk, x)
        states.pow(2).sum().backward()
        grads = {key: weight.grad for key, weight in trunk.named_parameters()}
        assert all(grad.abs().sum() > 0 for key, grad in grads.items() if "key.bias" not in key)
        found.append({"states": states, "vectors": x.grad, **grads})
    for key in found[0]:
        assert torch.equal(found[0][key], found[1][key]), key
    other = run(model(name, dtype, recompute=True), vectors(), seed=4)
    assert not torch.equal(found[0]["states"], other), "dropout was off"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", ["bert", "llama"])
@pytest.mark.usefixtures("kernels")
def test_training_takes_the_same_steps(name, dtype):
    """With the optimizer that keeps gradients as the products made them, and writes the low weights itself."""
    found = []
    for recompute in (False, True):
        trunk = model(name, dtype, recompute=recompute)
        start = trunk.blocks[0].ffn.up.weight.detach().clone()
        optimizer = Optimizer(trunk, TrainConfig(lr=1e-2))
        for step in range(3):
            for part in range(2):  # micro-batches
                run(trunk, vectors(), seed=10 * step + part).pow(2).sum().backward()
            assert optimizer.step(1.0) > 0
        assert not torch.equal(trunk.blocks[0].ffn.up.weight, start)
        found.append(trunk.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def kept(trunk: Encoder, x: Tensor) -> int:
    """Bytes of what is saved for the gradient, each storage once, the weights aside."""
    sizes: dict[int, int] = {}
    alive = []  # so that no address is used twice
    own = {weight.untyped_storage().data_ptr() for weight in trunk.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run(trunk, x).sum().backward()
    return sum(sizes.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("kernels")
def test_less_is_kept(name, dtype):
    plain, again = (
        kept(model(name, dtype, recompute=recompute), vectors().requires_grad_()) for recompute in (False, True)
    )
    assert again < plain / 3
    inputs = LAYERS * 3 * LENGTH * DIM * 4  # what goes into each block, in float32
    assert again < 3 * inputs


def test_blocks_run_again_in_training_alone(monkeypatch):
    trunk = model("bert", torch.float32, recompute=True)
    runs = []
    block = trunk.blocks[2]
    monkeypatch.setattr(block, "forward", lambda *a, **k: runs.append(1) or type(block).forward(block, *a, **k))
    run(trunk, vectors()).sum().backward()
    assert len(runs) == 2
    with torch.no_grad():
        run(trunk, vectors())
    assert len(runs) == 3
    assert isinstance(trunk, nn.Module) and "recompute" not in trunk.state_dict()
