"""Token cross-entropy against torch's own, with gradients, in chunks and in low precision."""

import pytest
import torch
from torch.nn import functional as F

import zaowu.trunk.vocabulary as module
from zaowu.trunk import precision
from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.softmax import softmax_gradient
from zaowu.trunk.vocabulary import Vocabulary

M, V, D = 37, 211, 16


def made(dtype=torch.float32, *, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    states = scale * torch.randn(M, D, generator=generator, dtype=dtype)
    table, bias = torch.randn(V, D, generator=generator, dtype=dtype), torch.randn(V, generator=generator, dtype=dtype)
    labels, weights = torch.randint(0, V, (M,), generator=generator), torch.rand(M, generator=generator, dtype=dtype)
    weights[3] = 0
    return [x.requires_grad_() for x in (states, table, bias)], labels, weights


def theirs(leaves, labels, weights):
    states, table, bias = leaves
    return (F.cross_entropy(states @ table.t() + bias, labels, reduction="none") * weights).sum()


@pytest.mark.parametrize("chunk", [2**24, 5 * V, 1])
def test_loss_and_gradients_are_those_of_torch(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    leaves, labels, weights = made(torch.float64)
    ours = Vocabulary()(leaves[0], leaves[1], labels, weights=weights, bias=leaves[2])
    reference = theirs(leaves, labels, weights)
    torch.testing.assert_close(ours, reference, rtol=1e-12, atol=0)
    found, expected = (torch.autograd.grad(loss / 7, leaves) for loss in (ours, reference))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_float32_is_exact_to_a_millionth():
    leaves, labels, weights = made()
    ours = Vocabulary()(leaves[0], leaves[1], labels, weights=weights, bias=leaves[2])
    reference = theirs(leaves, labels, weights)
    torch.testing.assert_close(ours, reference, rtol=1e-6, atol=0)
    for one, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(reference, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_logits_never_are_in_memory_all_at_once(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4 * V)
    largest = []
    real = module._softmax_gradient
    monkeypatch.setattr(module, "_softmax_gradient", lambda z, *more: largest.append(z.numel()) or real(z, *more))
    leaves, labels, weights = made()
    Vocabulary()(leaves[0], leaves[1], labels, weights=weights)
    assert len(largest) > 8 and max(largest) <= 4 * V


def test_without_a_bias_and_with_a_frozen_table():
    leaves, labels, weights = made()
    states, table, _ = leaves
    ours = Vocabulary()(states, table.detach(), labels, weights=weights)
    reference = (F.cross_entropy(states @ table.detach().t(), labels, reduction="none") * weights).sum()
    torch.testing.assert_close(*(torch.autograd.grad(loss, states)[0] for loss in (ours, reference)))


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("chunk", [2**24, 8 * V])
def test_bfloat16_is_within_its_rounding(kernels, chunk, monkeypatch):
    if kernels and not available(torch.zeros(1)):
        pytest.skip("there is no compiler")
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module.kernel, "available", lambda *x: kernels)
    leaves, labels, weights = made()
    output = Vocabulary()
    precision.use(output, torch.bfloat16)
    ours = output(leaves[0], leaves[1], labels, weights=weights, bias=leaves[2])
    reference = theirs(leaves, labels, weights)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, reference, rtol=5e-3, atol=0)
    for one, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(reference, leaves), strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.01 * other.norm()


@pytest.mark.parametrize("pieces", [1, 31, 64, 997])
def test_the_kernel_computes_what_torch_does(pieces):
    if not available(torch.zeros(1)):
        pytest.skip("there is no compiler")
    generator = torch.Generator().manual_seed(pieces)
    z = (8 * torch.randn(9, pieces, generator=generator)).bfloat16()
    labels = torch.randint(0, pieces, (9,), generator=generator)
    wide = z.double().requires_grad_()
    losses = F.cross_entropy(wide, labels, reduction="none")
    (expected,) = torch.autograd.grad(losses.sum(), wide)
    dz, found = softmax_gradient(z.clone(), labels)
    torch.testing.assert_close(found.double(), losses, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dz.double(), expected, rtol=2**-8, atol=1e-7)


def test_what_is_no_number_stays_visible():
    leaves, labels, weights = made()
    for dtype in (torch.float32, torch.bfloat16):
        output = Vocabulary()
        output.compute_in(dtype)
        states = leaves[0].detach().clone()
        states[5, 2] = float("nan")
        assert torch.isnan(output(states, leaves[1], labels, weights=weights))


@pytest.mark.parametrize("chunk", [2**24, 5 * V])
def test_judging_gives_losses_and_who_is_right(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    leaves, labels, _ = made(scale=3.0)
    states, table, bias = leaves
    logits = states @ table.t() + bias
    labels[:9] = logits[:9].argmax(1)
    losses, right = Vocabulary().judge(states, table, labels, bias=bias)
    torch.testing.assert_close(losses, F.cross_entropy(logits, labels, reduction="none"), rtol=1e-5, atol=1e-5)
    assert torch.equal(right, logits.argmax(1) == labels) and right[:9].all() and not right.all()
    assert not losses.requires_grad


def test_precision_reaches_it_and_fp32_brings_it_back():
    output = Vocabulary()
    precision.use(output, torch.bfloat16)
    assert output.dtype == torch.bfloat16 and not output.state_dict()
    precision.use(output, torch.float32)
    assert output.dtype is None
