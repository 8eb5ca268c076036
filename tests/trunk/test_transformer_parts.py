"""Positions, norms, feed-forward and attention against computations written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.attention import SelfAttention
from zaowu.trunk.transformer.feedforward import FeedForward
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.norm import norm
from zaowu.trunk.transformer.positions import rotate, rotation, sinusoids


def test_sinusoids_are_those_of_the_paper():
    got = sinusoids(torch.tensor([0, 1, 7, 511]), dim=6, base=10000.0)
    for row, place in enumerate([0, 1, 7, 511]):
        for i in range(3):
            angle = place / 10000 ** (2 * i / 6)
            assert got[row, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert got[row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_rotary_turns_pairs_as_complex_numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2, 8))  # (N, H, K)
    places = np.array([0, 1, 2, 10, 500])
    pairs = x[..., :4] + 1j * x[..., 4:]
    angles = places[:, None] * 100.0 ** (-np.arange(4) / 4)
    turned = pairs * np.exp(1j * angles)[:, None]
    expected = np.concatenate((turned.real, turned.imag), axis=-1)
    got = rotate(torch.from_numpy(x), *rotation(torch.from_numpy(places), head_dim=8, base=100.0))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_rotary_products_depend_on_the_distance_alone():
    q, k = torch.randn(2, 1, 1, 8, generator=torch.Generator().manual_seed(0)).unbind()

    def product(here: int, there: int) -> float:
        turned = [rotate(x, *rotation(torch.tensor([p]), head_dim=8, base=100.0)) for x, p in ((q, here), (k, there))]
        return (turned[0] * turned[1]).sum().item()

    assert product(3, 8) == pytest.approx(product(43, 48), abs=1e-5)
    assert product(3, 8) != pytest.approx(product(3, 9), abs=1e-3)


def test_rms_norm_by_hand():
    layer = norm(TrunkConfig(dim=3, norm="rms", norm_eps=1e-6))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    got = layer(torch.tensor([[3.0, 0.0, 4.0]]))
    root = math.sqrt((9 + 16) / 3)
    torch.testing.assert_close(got, torch.tensor([[3 / root, 0.0, 12 / root]]))


def test_swiglu_by_hand():
    ffn = FeedForward(TrunkConfig(dim=2, ffn_dim=1, activation="swiglu"))
    with torch.no_grad():
        ffn.gate.weight.copy_(torch.tensor([[1.0, 0.0]]))
        ffn.gate.bias.fill_(0.5)
        ffn.up.weight.copy_(torch.tensor([[0.0, 2.0]]))
        ffn.up.bias.fill_(-1.0)
        ffn.down.weight.copy_(torch.tensor([[1.0], [-3.0]]))
        ffn.down.bias.copy_(torch.tensor([0.25, 0.0]))
    gate = 1.5 / (1 + math.exp(-1.5))  # silu(1 + 0.5)
    inner = gate * (2 * 4 - 1)
    torch.testing.assert_close(ffn(torch.tensor([[1.0, 4.0]])), torch.tensor([[inner + 0.25, -3 * inner]]))


@pytest.mark.parametrize("num_groups", [1, 2, 4])
def test_heads_and_groups_by_hand(num_groups):
    """Loops over rows, heads and queries in numpy; heads h and h + 1 of a group share keys and values."""
    config = TrunkConfig(dim=8, attention=AttentionConfig(num_heads=4, num_groups=num_groups))
    layer = SelfAttention(config).double()
    generator = torch.Generator().manual_seed(num_groups)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    x = torch.randn(5, 8, generator=generator, dtype=torch.float64)  # the five real tokens
    got = layer(x, Layout(mask), rotation=None, coins=None, site=0).detach().numpy()

    def project(part, row):
        return part.weight.detach().numpy() @ row + part.bias.detach().numpy()

    expected = []
    for tokens in (x[:3].numpy(), x[3:].numpy()):
        q, k, v = ([project(part, row) for row in tokens] for part in (layer.query, layer.key, layer.value))
        for query in q:
            heads = []
            for h in range(4):
                g = h * num_groups // 4
                scores = np.array([query[2 * h : 2 * h + 2] @ key[2 * g : 2 * g + 2] / math.sqrt(2) for key in k])
                weights = np.exp(scores) / np.exp(scores).sum()
                heads.append(sum(w * value[2 * g : 2 * g + 2] for w, value in zip(weights, v, strict=True)))
            expected.append(project(layer.output, np.concatenate(heads)))
    np.testing.assert_allclose(got, np.array(expected), atol=1e-10)


def test_forbidden_keys_weigh_exactly_nothing():
    q, k, v = torch.randn(3, 1, 2, 4, 8, generator=torch.Generator().manual_seed(0)).unbind()
    mask = torch.tensor([[True, True, False, True]])
    v[:, :, 2] = 1e30
    out = attend(q * 50, k * 50, v, bias=Layout(mask).bias)
    assert out.abs().max() < 1e3


def test_sinusoidal_and_rotary_need_no_table():
    from zaowu.trunk.transformer.encoder import Encoder

    for kind in ("sinusoidal", "rotary", "none"):
        config = TrunkConfig(dim=8, num_layers=1, ffn_dim=8, positions=PositionConfig(kind=kind, max_positions=2))
        encoder = Encoder(config).eval()
        assert encoder.positions is None
        where = torch.arange(50)[None]
        states = encoder(torch.randn(1, 50, 8), mask=where >= 0, positions=where, segments=where * 0)
        assert states.isfinite().all()
