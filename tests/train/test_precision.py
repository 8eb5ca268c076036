"""Low precision inside the matrix products, float32 everywhere else."""

import pytest
import torch

from zaowu.errors import UserError
from zaowu.train.precision import choose, computing_in
from zaowu.trunk.transformer.linear import Linear


def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(16, 8)


def test_products_are_rounded_and_sums_are_not() -> None:
    """Against the product of bfloat16 copies, computed in float64."""
    linear, x = layer(), torch.randn(5, 16, requires_grad=True)
    with computing_in(linear, torch.bfloat16):
        y = linear(x)
        y.square().sum().backward()
    assert y.dtype == linear.weight.grad.dtype == x.grad.dtype == torch.float32
    exact = x.bfloat16().double() @ linear.weight.bfloat16().double().t() + linear.bias.double()
    torch.testing.assert_close(y.double(), exact, rtol=1e-2, atol=1e-2)
    assert not torch.equal(y, linear(x))
    grad = (2 * exact).t() @ x.double()
    torch.testing.assert_close(linear.weight.grad.double(), grad.detach(), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(linear.bias.grad.double(), (2 * exact).sum(0).detach(), rtol=2e-2, atol=2e-2)


def test_the_low_copy_follows_its_masters() -> None:
    """torch's fused AdamW does not raise the version of what it writes, so a cache by version would go stale."""
    linear, x = layer(), torch.randn(3, 16)
    with computing_in(linear, torch.bfloat16):
        optimizer = torch.optim.AdamW(linear.parameters(), lr=0.1, fused=True)
        for _ in range(2):
            linear(x).sum().backward()
            optimizer.step()
        linear.eval()
        assert torch.equal(linear.low(), linear.weight.bfloat16())
        assert linear.low() is linear.low()
        linear.train()
        linear(x).sum().backward()
        optimizer.step()
        linear(x)
        assert torch.equal(linear.low(), linear.weight.bfloat16())


def test_afterwards_everything_is_as_before() -> None:
    linear, x = layer(), torch.randn(2, 16)
    before = linear(x)
    with computing_in(linear, torch.bfloat16):
        linear(x)
    assert torch.equal(linear(x), before)


def test_fp32_is_untouched() -> None:
    linear, x = layer(), torch.randn(2, 16)
    before = linear(x)
    with computing_in(linear, torch.float32):
        assert torch.equal(linear(x), before)


def test_words() -> None:
    cpu = torch.device("cpu")
    assert choose("fp32", cpu) == torch.float32
    assert choose("bf16", cpu) == torch.bfloat16
    assert choose("auto", cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(UserError, match="--precision"):
        choose("fp16", cpu)
