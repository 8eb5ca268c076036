"""The C kernels against the torch code that they stand in for, and what happens where they cannot be."""

from __future__ import annotations

import copy
import math
import shutil

import pytest
import torch

from zaowu.trunk.kernels import attention as attention_kernel, available, build, gelu, residual
from zaowu.trunk.kernels.call import Chance
from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.layout import Layout

needs_kernels = pytest.mark.usefixtures("kernels")
F64, F32, BF16 = torch.float64, torch.float32, torch.bfloat16
LENGTHS = [5, 1, 17, 33, 0, 40]
SEED = 7


@pytest.fixture
def kernels():
    if build.library() is None:
        pytest.skip(f"no kernels: {build.missing()}")


def layout(lengths=LENGTHS, *, documents=False, causal=False):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    own = torch.randint(0, 2, mask.shape) if documents else None
    return Layout(mask, documents=own, causal=causal)


def coins_of(place):
    seeds = torch.arange(place.batch) * 1000 + SEED
    return Coins(seeds, batch=place.batch, length=place.length, places=place.places)


def in_torch(qkv, place, heads, groups, rate):
    """The path for other devices, in the numbers of `qkv` where these are wide."""
    counts = {"num_heads": heads, "num_groups": groups}
    toss = coins_of(place).for_weights(2, **counts, rate=rate, dtype=qkv.dtype) if rate else None
    q, k, v = place.to_heads(qkv, (heads, groups, groups))
    return place.from_heads(attend(q, k, v, bias=place.bias, toss=toss))


def in_c(qkv, place, heads, groups, rate):
    counts = {"num_heads": heads, "num_groups": groups}
    assert attention_kernel.fits(qkv, place, **counts)
    return attention_kernel.attention(qkv, place, **counts, chance=Chance(coins_of(place), 2, rate))


def value_and_gradient(f, x, *rest):
    x = x.detach().clone().requires_grad_()
    out = f(x, *rest)
    out.backward(torch.sin(torch.arange(out.numel(), dtype=torch.float64)).view(out.shape).to(out.dtype))
    return out.detach().double(), x.grad.double()


@needs_kernels
@pytest.mark.parametrize(("dtype", "tolerance"), [(F32, 2e-6), (BF16, 1e-2)])
@pytest.mark.parametrize(
    ("heads", "groups", "width", "rate", "more"),
    [
        (3, 3, 16, 0.1, {}),
        (4, 2, 8, 0.5, {"causal": True}),
        (4, 1, 24, 0.0, {"documents": True}),
        (1, 1, 64, 0.9, {"documents": True, "causal": True}),
    ],
)
def test_attention_equals_autograd_in_float64(dtype, tolerance, heads, groups, width, rate, more):
    torch.manual_seed(0)
    place = layout(**more)
    qkv = torch.randn(place.num_tokens, (heads + 2 * groups) * width).to(dtype)
    found = value_and_gradient(in_c, qkv, place, heads, groups, rate)
    expected = value_and_gradient(in_torch, qkv.double(), place, heads, groups, rate)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@needs_kernels
def test_attentions_coins_are_those_of_the_module():
    """Equal scores and values that name their key: what comes out is the coins themselves."""
    place, width = layout([16, 9]), 16
    qkv = torch.zeros(place.num_tokens, 3 * 2 * width)
    column = place.places % place.length
    qkv.view(-1, 3, 2, width)[:, 2] = torch.nn.functional.one_hot(column, width).float()[:, None]
    out = in_c(qkv, place, 2, 2, 0.3).view(-1, 2, width)  # (N, H, keys)
    toss = coins_of(place).for_weights(2, num_heads=2, num_groups=2, rate=0.3, dtype=F32)(0, 4)
    keep = toss.view(2, 2, 16, 16).transpose(1, 2).flatten(0, 1)[place.places]  # (N, H, keys)
    real = column.new_tensor([16, 9])[place.places // place.length]
    seen = torch.arange(width) < real[:, None]
    assert torch.equal(out > 0, (keep > 0) & seen[:, None])


@needs_kernels
def test_nan_comes_out_where_it_goes_in():
    place = layout([3, 4])
    qkv = torch.randn(7, 3 * 16)
    qkv[4, 20] = math.nan  # a key of the second record
    out, gradient = value_and_gradient(in_c, qkv, place, 2, 2, 0.1)
    assert out[:3].isfinite().all() and gradient[:3].isfinite().all()
    assert out[3:, 8:].isnan().any() or out[3:, :8].isnan().any()


@needs_kernels
@pytest.mark.parametrize("low", [None, BF16])
@pytest.mark.parametrize("width", [24, 32, 75])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_a_residual_with_its_norm_equals_autograd_in_float64(low, width, rate):
    torch.manual_seed(0)
    place, norm = layout(), torch.nn.LayerNorm(width, eps=1e-5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, y = torch.randn(place.num_tokens, width), torch.randn(place.num_tokens, width).to(low or F32)
    coins, g, g_low = coins_of(place), torch.randn_like(x), torch.randn_like(x).to(low or F32)
    assert residual.fits(x, norm, low)

    def in_c(x, y, norm):
        return residual.residual_norm(x, y, norm, chance=Chance(coins, 4, rate), low=low)

    def in_torch(x, y, norm):
        out = norm(x + y * coins.for_tokens(4, width=width, rate=rate, dtype=F64) if rate else x + y)
        return out, out

    found = []
    for f, dtype in ((in_c, None), (in_torch, F64)):
        own = norm if dtype is None else copy.deepcopy(norm).to(dtype)
        leaves = [part.to(dtype or part.dtype, copy=True).requires_grad_() for part in (x, y)]
        out, lower = f(*leaves, own)
        own.zero_grad()
        ((out * g).sum() + (lower.to(out.dtype) * g_low).sum()).backward()
        gradients = [leaf.grad for leaf in (*leaves, own.weight, own.bias)]
        found.append([part.detach().double() for part in (out, lower, *gradients)])
    for name, one, other in zip(("out", "low", "x", "y", "gain", "bias"), *found, strict=True):
        tolerance = 1e-2 if low and name in ("low", "y") else 5e-6
        assert (one - other).abs().max() <= tolerance * other.abs().max(), name


@needs_kernels
def test_gelu_is_as_near_as_bfloat16_can_be():
    """Every finite bfloat16, against float64: two roundings, each within 2^-8 of a number."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(BF16)
    x = every[every.isfinite() & (every.abs() < 1e18)]
    found = value_and_gradient(gelu.gelu, x)
    expected = value_and_gradient(torch.nn.functional.gelu, x.double())
    for one, other in zip(found, expected, strict=True):
        assert ((one - other).abs() <= other.abs() * 2**-7 + 1e-6).all()
    assert gelu.gelu(torch.tensor([math.nan, math.inf], dtype=BF16)).tolist()[1] == math.inf
    assert gelu.gelu(torch.tensor([math.nan], dtype=BF16)).isnan().all()


@needs_kernels
def test_sums_of_columns():
    rows = torch.randn(70, 130).bfloat16()
    torch.testing.assert_close(residual.column_sums(rows), rows.double().sum(0).float())


@needs_kernels
def test_what_the_kernels_do_not_take():
    assert not available(torch.zeros(1, dtype=torch.float64))
    assert not available(torch.zeros(1, device="meta"))
    holes = Layout(torch.tensor([[True, False, True]]))
    assert not attention_kernel.fits(torch.zeros(2, 24), holes, num_heads=1, num_groups=1)


@needs_kernels
def test_results_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    place, before, found = layout(), torch.get_num_threads(), []
    qkv = torch.randn(place.num_tokens, 3 * 64)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(value_and_gradient(in_c, qkv, place, 4, 4, 0.1))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and nothing found yet."""
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path))
    monkeypatch.delenv("ZAOWU_KERNELS", raising=False)
    build.forget()
    yield tmp_path / "kernels"
    monkeypatch.undo()
    build.forget()


def test_without_a_compiler_torch_does_the_work(fresh, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert build.library() is None and build.missing() == "there is no C compiler"
    assert not available(torch.zeros(1))


def test_off_is_off(fresh, monkeypatch):
    monkeypatch.setenv("ZAOWU_KERNELS", "off")
    assert build.library() is None and "off" in build.missing()
    assert not fresh.exists()


@needs_kernels
def test_a_compiler_that_fails_is_no_error(fresh, monkeypatch):
    monkeypatch.setattr(build, "FLAGS", ("--no-such-flag",))
    assert build.library() is None
    assert "no-such-flag" in build.missing()
    assert list(fresh.iterdir()) == []


@needs_kernels
def test_a_folder_that_cannot_be_written_is_no_error(fresh):
    fresh.parent.mkdir(exist_ok=True)
    fresh.write_text("a file where the folder should be")
    assert build.library() is None and build.missing()


@needs_kernels
def test_a_library_is_kept_and_a_damaged_one_made_again(fresh):
    assert build.library() is not None
    (path,) = fresh.iterdir()
    whole = path.read_bytes()
    path.unlink()  # the one in use stays as it is
    path.write_bytes(whole[:1000])
    build.forget()
    assert build.library() is not None
    (again,) = fresh.iterdir()
    assert again.stat().st_size >= len(whole) // 2
    before = again.stat().st_mtime_ns
    build.forget()
    assert build.library() is not None and again.stat().st_mtime_ns == before
