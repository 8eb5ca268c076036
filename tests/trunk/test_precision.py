"""Low precision inside the matrix products, float32 everywhere else."""

import copy

import pytest
import torch

from zaowu.errors import UserError
from zaowu.trunk.precision import choose, use
from zaowu.trunk.transformer.linear import Linear, even, side_by_side


def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(16, 8)


def test_products_are_rounded_and_sums_are_not() -> None:
    """Against the product of bfloat16 copies, computed in float64."""
    linear, x = layer(), torch.randn(5, 16, requires_grad=True)
    whole = linear(x)
    use(linear, torch.bfloat16)
    y = linear(x)
    y.square().sum().backward()
    assert y.dtype == linear.weight.grad.dtype == x.grad.dtype == torch.float32
    exact = x.bfloat16().double() @ linear.weight.bfloat16().double().t() + linear.bias.double()
    torch.testing.assert_close(y.double(), exact, rtol=1e-2, atol=1e-2)
    assert not torch.equal(y, whole)
    grad = (2 * exact).t() @ x.double()
    torch.testing.assert_close(linear.weight.grad.double(), grad.detach(), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(linear.bias.grad.double(), (2 * exact).sum(0).detach(), rtol=2e-2, atol=2e-2)


def test_layers_side_by_side_are_each_for_itself() -> None:
    """Results and gradients of one product are those of several; between two products values may stay low."""
    for dtype in (torch.float32, torch.bfloat16):
        layers, x = [layer(), Linear(16, 4)], torch.randn(5, 16, requires_grad=True)
        found = []
        for joined in (True, False):
            for each in layers:
                each.zero_grad()
                use(each, dtype)
            x.grad = None
            y = side_by_side(x, layers) if joined else torch.cat([each(x) for each in layers], dim=-1)
            (y * torch.arange(12)).sum().backward()
            found.append([y, x.grad, *(part.grad.clone() for each in layers for part in each.parameters())])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-1)
        stays = layers[0](x, stay_low=True)
        assert stays.dtype == dtype
        torch.testing.assert_close(stays.float(), layers[0](x), rtol=1e-2, atol=1e-2)


def test_the_low_copy_follows_its_masters() -> None:
    """torch's fused AdamW does not raise the version of what it writes, so a cache by version would go stale."""
    linear, x = layer(), torch.randn(3, 16)
    use(linear, torch.bfloat16)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        linear(x).sum().backward()
        optimizer.step()
    linear.eval()
    assert torch.equal(linear.low(), linear.weight.bfloat16())
    assert linear.packed()[0] is linear.packed()[0]
    linear.train()
    linear(x).sum().backward()
    optimizer.step()
    linear(x)
    assert torch.equal(linear.low(), linear.weight.bfloat16())


def test_there_and_back() -> None:
    linear, x = layer().eval(), torch.randn(2, 16)
    before = linear(x)
    use(linear, torch.bfloat16)
    assert not torch.equal(linear(x), before)
    use(linear, torch.float32)
    assert torch.equal(linear(x), before)


def test_words() -> None:
    cpu = torch.device("cpu")
    assert choose("fp32", cpu) == torch.float32
    assert choose("bf16", cpu) == torch.bfloat16
    assert choose("auto", cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(UserError, match="--precision"):
        choose("fp16", cpu)


@pytest.mark.parametrize("num_tokens", [1, 7, 300])
@pytest.mark.parametrize("bias", [True, False])
def test_without_a_gradient_the_weights_lie_as_the_library_likes_them(num_tokens: int, bias: bool) -> None:
    """The same numbers within bfloat16's rounding, and those of the newest weights."""
    torch.manual_seed(0)
    layers, x = [Linear(16, 8, bias=bias), Linear(16, 4, bias=bias)], torch.randn(num_tokens, 16)
    for each in layers:
        use(each.eval(), torch.bfloat16)
    for _ in range(2):
        exact = torch.cat([torch.nn.functional.linear(x.double(), e.weight.double(), None) for e in layers], dim=-1)
        if bias:
            exact += torch.cat([each.bias for each in layers]).double()
        with torch.inference_mode():
            y, low = side_by_side(x, layers), side_by_side(x, layers, stay_low=True)
        assert (y.dtype, low.dtype) == (torch.float32, torch.bfloat16)
        torch.testing.assert_close(y.double(), exact, rtol=2e-2, atol=2e-3)
        torch.testing.assert_close(low.double(), exact, rtol=2e-2, atol=2e-3)
        for each in layers:
            torch.nn.init.normal_(each.weight, std=0.02)
            each.train().eval()


def test_sizes_of_products_are_few_and_little_is_added() -> None:
    """Each size means kernels made anew. 1 to 4,096 rows come in some 200 sizes; rows stay, zeros come below."""
    sizes = set()
    for num_rows in range(1, 4097):
        out = even(torch.ones(num_rows, 1), torch.float32)
        assert num_rows <= len(out) <= num_rows * (1 + 1 / 31)
        assert out.sum() == num_rows == out[:num_rows].sum()
        sizes.add(len(out))
    assert len(sizes) <= 32 * 8 + 1


def test_answers_follow_the_weights_and_a_layer_that_answered_can_be_copied() -> None:
    """Loaded weights are seen without a word to the layer; what was packed for the processor is not copied along."""
    linear, x = layer().eval(), torch.randn(3, 16)
    use(linear, torch.bfloat16)
    with torch.inference_mode():
        before = linear(x)
    other = copy.deepcopy(linear)
    linear.load_state_dict({"weight": torch.zeros(8, 16), "bias": torch.zeros(8)})
    with torch.inference_mode():
        assert torch.equal(other(x), before)
        assert not linear(x).any()
        assert linear(x[:0]).shape == (0, 8)
    x.requires_grad_()
    other(x).sum().backward()  # after an answer, a gradient
    torch.testing.assert_close(x.grad, other.weight.sum(0).expand(3, 16), rtol=2e-2, atol=1e-3)
