"""All blocks in one call against the blocks one by one, and when which of the two does the work."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.trunk.kernels import build, encoder as kernel
from zaowu.trunk.precision import use
from zaowu.trunk.transformer.encoder import Encoder

CONFIG = TrunkConfig(
    dim=64,
    num_layers=3,
    ffn_dim=192,
    norm_eps=1e-5,
    dropout=0.1,
    positions=PositionConfig(max_positions=64),
    attention=AttentionConfig(num_heads=4),
)
FEW, MANY = (5, 1, 13, 0, 22), (40, 60, 33, 64, 50, 61, 64, 64, 64, 1, 0, 64)


@pytest.fixture(autouse=True)
def compiled():
    library = build.library()
    if library is None or not library.encoder_fits():
        pytest.skip(f"no kernel for all blocks: {build.missing() or 'another processor'}")


def made(config: TrunkConfig = CONFIG) -> Encoder:
    """In bfloat16, every weight random, also those that start at 0 or 1."""
    encoder = Encoder(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.1 if weight.dim() > 1 else 0.5))
    use(encoder, torch.bfloat16)
    return encoder


def batch(lengths: tuple[int, ...], *, documents: bool = False) -> dict[str, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    size = (len(lengths), max(lengths))
    return {
        "vectors": torch.randn(*size, CONFIG.dim, generator=generator),
        "mask": torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        "positions": torch.arange(max(lengths)).expand(size),
        "segments": torch.zeros(size, dtype=torch.long),
        "documents": torch.randint(0, 2, size, generator=generator) if documents else None,
    }


def run(encoder: Encoder, given: dict) -> torch.Tensor:
    given = dict(given)
    with torch.no_grad():
        return encoder(given.pop("vectors"), **given)


def one_by_one(encoder: Encoder, given: dict, monkeypatch) -> torch.Tensor:
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "fits", lambda *given: False)
        patch.delattr(kernel.Packed, "__call__")
        return run(encoder, given)


@pytest.mark.parametrize("lengths", [FEW, MANY, (17,)], ids=["few", "many", "one"])
@pytest.mark.parametrize(
    ("config", "documents"),
    [
        (CONFIG, False),
        (replace(CONFIG, causal=True), True),
        (replace(CONFIG, attention=AttentionConfig(num_heads=8, num_groups=4)), True),
    ],
    ids=["plain", "causal documents", "groups"],
)
def test_the_states_are_those_of_the_blocks(config, documents, lengths, monkeypatch):
    """In bfloat16 two orders of a sum differ by roundings: both are as far from float32."""
    encoder, given = made(config), batch(lengths, documents=documents)
    found, other = run(encoder, given), one_by_one(encoder, given, monkeypatch)
    assert encoder._packed is not None
    exact = copy.deepcopy(encoder)
    use(exact, torch.float32)
    truth = run(exact, given)
    error, usual = (found - truth).abs(), (other - truth).abs()
    assert error.mean() <= 1.2 * usual.mean() + 1e-6 and error.max() <= 2 * usual.max()
    assert usual.mean() < 0.01 * truth[given["mask"]].abs().mean()
    assert (found[~given["mask"]] == 0).all()


def test_neither_threads_nor_the_rest_of_the_batch_change_a_number():
    encoder, given, before = made(), batch(MANY), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):  # of 12 records in 8 spans each thread takes its own, or, with many, all work on all
            torch.set_num_threads(threads)
            found.append(run(encoder, given))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    for row, length in enumerate(MANY):
        own = {name: value if value is None else value[row : row + 1, :length] for name, value in given.items()}
        if length:
            assert torch.equal(run(encoder, own)[0], found[0][row, :length])


def test_new_weights_are_seen():
    encoder, given = made(), batch(FEW)
    before = run(encoder, given)
    packed = encoder._packed
    assert torch.equal(run(encoder, given), before) and encoder._packed is packed
    with torch.no_grad():
        encoder.blocks[1].ffn.down.bias.add_(1)
    after = run(encoder, given)
    assert not torch.equal(after, before) and encoder._packed is not packed
    encoder.train()
    assert encoder._packed is None
    assert copy.deepcopy(encoder.eval()) is not encoder


def test_nan_comes_out_where_it_goes_in():
    encoder, given = made(), batch((3, 4))
    given["vectors"][1, 2, 5] = torch.nan
    states = run(encoder, given)
    assert states[0, :3].isfinite().all() and states[1].isnan().all()


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, norm_place="before"),
        replace(CONFIG, residual="rezero"),
        replace(CONFIG, activation="gelu_tanh"),
        replace(CONFIG, norm="rms"),
        replace(CONFIG, ffn_dim=96),
        replace(CONFIG, ffn_bias=False),
        replace(CONFIG, positions=PositionConfig(kind="rotary", max_positions=64)),
    ],
    ids=["norm before", "rezero", "tanh", "rms", "width", "no bias", "rotary"],
)
def test_other_blocks_do_their_work_themselves(config):
    encoder = made(config)
    assert run(encoder, batch(FEW)).isfinite().all() and encoder._packed is None


def test_what_else_it_is_not_for(monkeypatch):
    encoder, given = made(), batch(FEW)
    vectors = given.pop("vectors")
    encoder(vectors, **given)  # with a gradient
    use(encoder, torch.float32)
    run(encoder, {"vectors": vectors, **given})
    assert encoder._packed is None
    use(encoder, torch.bfloat16)
    run(encoder.double(), {"vectors": vectors.double(), **given})
    assert encoder._packed is None
