"""Dropout's coins: fair, independent, scaled, and a function of (seed, record, place, site) alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.encoder import Encoder

N, WIDTH = 2000, 96  # 192,000 coins


def coins(seed: int | torch.Tensor = 0, *, batch: int = 40, length: int = 50) -> Coins:
    return Coins(seed, batch=batch, length=length, places=torch.arange(batch * length))


def kept(of: Coins, site: int, rate: float = 0.5) -> np.ndarray:
    return of.for_tokens(site, width=WIDTH, rate=rate, dtype=torch.float32).numpy() > 0


def of_weights(of: Coins):
    return of.for_weights(1, num_heads=2, num_groups=2, rate=0.5, dtype=torch.float32)


def z_score(share: float, expected: float, count: int) -> float:
    return abs(share - expected) / math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.1, 1 / 3, 0.5, 0.9])
def test_rate_and_scale(rate):
    """A coin has 256 sides, yet 0.1 is 0.1 and not 26/256: over 4 million coins the difference would show."""
    total, lost = 0, 0
    for site in range(20):
        factors = coins().for_tokens(site, width=WIDTH, rate=rate, dtype=torch.float32)
        assert factors.shape == (N, WIDTH)
        values = factors.unique().tolist()
        assert values == pytest.approx([0, 1 / (1 - rate)])
        total, lost = total + factors.numel(), lost + int((factors == 0).sum())
    assert z_score(lost / total, rate, total) < 4


def test_every_channel_place_and_record_is_fair():
    toss = np.mean([kept(coins(seed), 0, 0.3) for seed in range(50)], axis=0)  # (N, WIDTH)
    for axis, count in ((0, N), (1, WIDTH)):
        shares = toss.mean(axis)
        worst = max(z_score(share, 0.7, 50 * count) for share in shares)
        assert worst < 5, (axis, worst)


def test_coins_are_independent_between_sites_places_channels_records_and_seeds():
    a = kept(coins(0), 3)
    pairs = {
        "sites": (a, kept(coins(0), 4)),
        "seeds": (a, kept(coins(1), 3)),
        "site and seed": (a, kept(coins(1), 2)),
        "places": (a[:-1], a[1:]),
        "rows": (a[:-50], a[50:]),
        "channels": (a[:, :-1], a[:, 1:]),
        "words": (a[:, :-8], a[:, 8:]),
    }
    for name, (left, right) in pairs.items():
        agree = (left == right).mean()
        assert z_score(agree, 0.5, left.size) < 4.5, name


def test_no_two_layers_or_tokens_share_their_coins():
    rows = np.concatenate([np.packbits(kept(coins(), site), axis=1) for site in range(8)])
    assert len(np.unique(rows, axis=0)) == 8 * N


def test_a_record_has_its_coins_in_any_batch():
    seeds = torch.tensor([5, -7, 2**62])
    whole = coins(seeds, batch=3, length=20).for_tokens(2, width=WIDTH, rate=0.5, dtype=torch.float32)
    alone = coins(seeds[1:2], batch=1, length=9).for_tokens(2, width=WIDTH, rate=0.5, dtype=torch.float32)
    assert torch.equal(whole.view(3, 20, WIDTH)[1, :9], alone)

    toss = coins(seeds, batch=3, length=20).for_weights(1, num_heads=2, num_groups=2, rate=0.5, dtype=torch.float32)
    other = coins(seeds[1:2], batch=1, length=9).for_weights(
        1, num_heads=2, num_groups=2, rate=0.5, dtype=torch.float32
    )
    assert torch.equal(toss(2, 4)[:, :9, :9], other(0, 2))
    assert torch.equal(toss(0, 6)[2:4], toss(2, 4))
    assert not torch.equal(toss(0, 1), toss(1, 2))


CONFIG = TrunkConfig(
    dim=16,
    num_layers=2,
    ffn_dim=32,
    dropout=0.2,
    positions=PositionConfig(max_positions=16),
    attention=AttentionConfig(num_heads=4, dropout=0.3),
)


def given(*lengths: int) -> dict[str, torch.Tensor]:
    size = (len(lengths), max(lengths))
    vectors = torch.randn(*size, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    positions = torch.arange(max(lengths)).expand(size)
    return {"vectors": vectors, "mask": mask, "positions": positions, "segments": positions * 0}


def run(encoder: Encoder, batch: dict[str, torch.Tensor], seed: int | torch.Tensor | None) -> torch.Tensor:
    batch = dict(batch)
    return encoder(batch.pop("vectors"), **batch, seed=seed)


def test_the_seed_is_all_the_chance_there_is():
    torch.manual_seed(0)
    encoder, batch = Encoder(CONFIG), given(9, 6)
    state = torch.get_rng_state()
    first = run(encoder, batch, 3)
    assert torch.equal(torch.get_rng_state(), state), "torch's own generator was used"
    torch.manual_seed(99)
    assert torch.equal(run(encoder, batch, 3), first)
    assert not torch.equal(run(encoder, batch, 4), first)


def test_eval_and_rate_zero_are_exactly_without_dropout():
    torch.manual_seed(0)
    encoder, batch = Encoder(CONFIG), given(9, 6)
    none = Encoder(replace(CONFIG, dropout=0.0, attention=AttentionConfig(num_heads=4)))
    none.load_state_dict(encoder.state_dict())
    expected = run(none, batch, 3)
    assert torch.equal(run(encoder, batch, None), expected)
    assert not torch.equal(run(encoder, batch, 3), expected)
    assert torch.equal(run(encoder.eval(), batch, 3), expected)


@pytest.mark.parametrize("kept", [2**20, 0])
def test_padding_and_company_do_not_change_a_record_in_training(kept, monkeypatch):
    from zaowu.trunk.transformer import attend

    monkeypatch.setattr(attend, "KEPT", kept)
    monkeypatch.setattr(attend, "CHUNK", 100)
    torch.manual_seed(0)
    encoder, batch, seeds = Encoder(CONFIG), given(9, 6, 3), torch.tensor([11, 12, 13])
    together = run(encoder, batch, seeds)
    for row, length in enumerate([9, 6, 3]):
        alone = run(encoder, {key: value[row : row + 1, :length] for key, value in batch.items()}, seeds[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kept", [2**20, 0])
def test_gradient_through_dropout(kept, monkeypatch):
    """Against finite differences: the coins stand still while the inputs move."""
    from zaowu.trunk.transformer import attend

    monkeypatch.setattr(attend, "KEPT", kept)
    monkeypatch.setattr(attend, "CHUNK", 100)
    torch.manual_seed(0)
    encoder, batch = Encoder(CONFIG).double(), given(5, 3)
    vectors = batch.pop("vectors").double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: encoder(x, **batch, seed=7), vectors, fast_mode=True)


def test_dropout_keeps_the_mean():
    """One linear layer of it: over many seeds the mean is the value without dropout."""
    x = torch.linspace(-1, 2, WIDTH).expand(N, WIDTH)
    mean = (x * coins(5).for_tokens(0, width=WIDTH, rate=0.1, dtype=torch.float32)).mean(0)
    deviation = x[0].abs() * math.sqrt(0.1 / 0.9 / N)
    assert ((mean - x[0]).abs() < 4.5 * deviation + 1e-6).all()


@pytest.mark.parametrize(("kept", "linear"), [(2**20, False), (0, True)])
def test_long_attention_keeps_no_square_for_the_gradient(kept, linear, monkeypatch):
    from zaowu.trunk.transformer import attend

    monkeypatch.setattr(attend, "KEPT", kept)
    encoder, batch, shapes = Encoder(replace(CONFIG, num_layers=1)), given(13, 11), []

    def look(tensor: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        run(encoder, batch, 1)
    squares = [shape for shape in shapes if shape[-2:] == (13, 13)]
    assert shapes
    assert bool(squares) != linear
