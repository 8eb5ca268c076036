"""The encoder against torch's own, against itself without padding, and against small hand computations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.transformer.encoder import Encoder

DIM, HEADS, FFN, LAYERS = 16, 4, 24, 2
NO_POSITIONS = PositionConfig(kind="none")
SMALL = TrunkConfig(
    dim=DIM,
    num_layers=LAYERS,
    ffn_dim=FFN,
    norm_eps=1e-5,
    dropout=0.0,
    positions=PositionConfig(max_positions=32),
    attention=AttentionConfig(num_heads=HEADS),
)
PLAIN = replace(SMALL, positions=NO_POSITIONS, num_segments=0, entry_norm=False)


def build(config: TrunkConfig, *, seed: int = 0) -> Encoder:
    """An encoder whose every weight is random, also those that start at 0 or 1."""
    encoder = Encoder(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return encoder


def batch(*lengths: int, dim: int = DIM, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = (len(lengths), max(lengths))
    return {
        "vectors": torch.randn(*size, dim, generator=generator),
        "mask": torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        "positions": torch.arange(max(lengths)).expand(size),
        "segments": torch.randint(0, 2, size, generator=generator),
    }


def run(encoder: Encoder, given: dict[str, torch.Tensor], **more) -> torch.Tensor:
    given = {**given, **more}
    return encoder(given.pop("vectors"), **given)


def torch_encoder(ours: Encoder) -> nn.TransformerEncoder:
    """torch's encoder with the same weights."""
    config = ours.config
    before = config.norm_place == "before"
    layer = nn.TransformerEncoderLayer(
        DIM, HEADS, FFN, 0.0, config.activation, config.norm_eps, batch_first=True, norm_first=before
    )
    norm = nn.LayerNorm(DIM, config.norm_eps) if before else None
    theirs = nn.TransformerEncoder(layer, LAYERS, norm=norm, enable_nested_tensor=False)
    with torch.no_grad():
        if before:
            theirs.norm.load_state_dict(ours.exit_norm.state_dict())
        for mine, other in zip(ours.blocks, theirs.layers, strict=True):
            attention = mine.attention
            heads = (attention.query, attention.key, attention.value)
            other.self_attn.in_proj_weight.copy_(torch.cat([head.weight for head in heads]))
            other.self_attn.in_proj_bias.copy_(torch.cat([head.bias for head in heads]))
            other.self_attn.out_proj.load_state_dict(attention.output.state_dict())
            other.linear1.load_state_dict(mine.ffn.up.state_dict())
            other.linear2.load_state_dict(mine.ffn.down.state_dict())
            other.norm1.load_state_dict(mine.attention_norm.state_dict())
            other.norm2.load_state_dict(mine.ffn_norm.state_dict())
    return theirs.train()  # eval mode would take its fused path; there is no dropout


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_equals_the_encoder_of_torch(place, activation):
    ours = build(replace(PLAIN, norm_place=place, activation=activation))
    theirs = torch_encoder(ours)
    given = batch(7, 4, 1, 6)
    real = given["mask"]
    mine, other = given["vectors"].clone().requires_grad_(), given["vectors"].clone().requires_grad_()
    got, expected = run(ours, given, vectors=mine), theirs(other, src_key_padding_mask=~real)
    torch.testing.assert_close(got[real], expected[real], rtol=1e-5, atol=1e-5)

    toward = torch.randn(got.shape, generator=torch.Generator().manual_seed(2))
    (got * toward)[real].sum().backward()
    (expected * toward)[real].sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)
    for block, layer in zip(ours.blocks, theirs.layers, strict=True):
        heads = (block.attention.query, block.attention.key, block.attention.value)
        pairs = [
            (torch.cat([head.weight.grad for head in heads]), layer.self_attn.in_proj_weight.grad),
            (torch.cat([head.bias.grad for head in heads]), layer.self_attn.in_proj_bias.grad),
            (block.attention.output.weight.grad, layer.self_attn.out_proj.weight.grad),
            (block.ffn.up.weight.grad, layer.linear1.weight.grad),
            (block.ffn.down.bias.grad, layer.linear2.bias.grad),
            (block.attention_norm.weight.grad, layer.norm1.weight.grad),
            (block.ffn_norm.bias.grad, layer.norm2.bias.grad),
        ]
        for mine_grad, their_grad in pairs:
            torch.testing.assert_close(mine_grad, their_grad, rtol=1e-4, atol=1e-4)


def variants() -> dict[str, TrunkConfig]:
    rotary = PositionConfig(kind="rotary", base=100.0)
    return {
        "bert": SMALL,
        "before": replace(SMALL, norm_place="before", norm="rms", activation="swiglu", positions=rotary),
        "groups": replace(SMALL, attention=AttentionConfig(num_heads=4, num_groups=2, bias=False)),
        "sinusoidal": replace(SMALL, positions=PositionConfig(kind="sinusoidal"), num_segments=1, causal=True),
        "inputs": replace(
            SMALL, attention=AttentionConfig(num_heads=4, output_bias=False), ffn_bias=False, causal=True
        ),
        "rezero": replace(SMALL, residual="rezero", norm="none", activation="silu"),
    }


@pytest.mark.parametrize("name", variants())
def test_a_padded_batch_equals_its_rows_alone(name):
    encoder, given = build(variants()[name]), batch(5, 9, 1, 3)
    given["vectors"].masked_fill_(~given["mask"][:, :, None], float("nan"))  # padding is never looked at
    together = run(encoder, given)
    assert (together[~given["mask"]] == 0).all()
    for row, length in enumerate([5, 9, 1, 3]):
        alone = run(encoder, {key: value[row : row + 1, :length] for key, value in given.items()})
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", variants())
def test_padding_gets_no_gradient_and_the_rest_is_right(name):
    """Against finite differences in float64, through packing, attention and every switch."""
    encoder, given = build(variants()[name]).double(), batch(3, 2)
    vectors = given.pop("vectors").double()

    def states(vectors):
        return encoder(vectors, **given)

    assert torch.autograd.gradcheck(states, vectors.requires_grad_(), fast_mode=True)
    states(vectors).sum().backward()
    assert (vectors.grad[~given["mask"]] == 0).all()


@pytest.mark.parametrize("name", variants())
def test_real_tokens_anywhere_in_the_row(name):
    """Padding at the left or in the middle changes nothing: only the mask says what is real."""
    encoder, given = build(variants()[name]), batch(4, 4)
    places = torch.tensor([1, 2, 5, 6])
    spread = {key: value.new_zeros(2, 8, *value.shape[2:]) for key, value in given.items()}
    for key, value in spread.items():
        value[:, places] = given[key]
    got = run(encoder, spread)
    torch.testing.assert_close(got[:, places], run(encoder, given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", variants())
def test_two_documents_in_one_row_equal_two_rows(name):
    encoder, given = build(variants()[name]), batch(4, 3)
    packed = {key: torch.cat((value[:1, :4], value[1:, :3]), dim=1) for key, value in given.items()}
    documents = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    together, apart = run(encoder, packed, documents=documents), run(encoder, given)
    torch.testing.assert_close(together[0, :4], apart[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together[0, 4:], apart[1, :3], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(run(encoder, packed)[0, 4:], apart[1, :3], atol=1e-3), "documents had no effect"


def test_padding_and_documents_at_once():
    encoder, given = build(SMALL), batch(6, 3)
    documents = torch.tensor([[0, 0, 0, 1, 1, 1], [7, 7, 8, 9, 9, 9]])
    states = run(encoder, given, documents=documents)
    first_two = run(encoder, {key: value[1:, :2] for key, value in given.items()})
    torch.testing.assert_close(states[1, :2], first_two[0], rtol=1e-5, atol=1e-5)
    assert states.isfinite().all()


def test_a_causal_encoder_does_not_see_the_future():
    encoder, given = build(replace(SMALL, causal=True)), batch(8, 5)
    before = run(encoder, given)
    given["vectors"][0, 5:] = torch.randn(3, DIM, generator=torch.Generator().manual_seed(9))
    after = run(encoder, given)
    assert torch.equal(before[0, :5], after[0, :5])
    assert (before[0, 5:] - after[0, 5:]).abs().max() > 1e-3
    assert (run(build(SMALL), given)[0, :5] - run(build(SMALL), batch(8, 5))[0, :5]).abs().max() > 1e-3


def test_a_layer_has_the_biases_that_the_config_says():
    def biases(**more):
        encoder = Encoder(replace(PLAIN, norm="rms", num_layers=1, activation="swiglu", **more))
        return {name.split(".")[-2] for name, _ in encoder.named_parameters() if name.endswith("bias")}

    inputs, ffn = {"query", "key", "value"}, {"up", "gate", "down"}
    assert biases() == {*inputs, "output", *ffn}
    assert biases(ffn_bias=False) == {*inputs, "output"}
    assert biases(attention=AttentionConfig(output_bias=False)) == {*inputs, *ffn}
    assert biases(attention=AttentionConfig(bias=False)) == ffn
    assert biases(attention=AttentionConfig(bias=False, output_bias=True)) == {"output", *ffn}


def test_rezero_starts_as_the_identity():
    config = replace(PLAIN, residual="rezero", norm="none", num_layers=12)
    encoder, given = Encoder(config), batch(5, 5)
    assert torch.equal(run(encoder, given), given["vectors"])
    assert sum(weight.ndim == 0 for weight in encoder.parameters()) == 24
    run(encoder, given).pow(2).sum().backward()
    assert all(block.ffn_scale.grad.abs() > 0 for block in encoder.blocks)


def test_long_rows_equal_short_ones_step_by_step(monkeypatch):
    """The fused kernel, the one-piece path and the piecewise path compute the same states and gradients."""
    from zaowu.trunk.transformer import attend

    encoder = build(replace(SMALL, attention=AttentionConfig(num_heads=4, num_groups=2)))
    given, results = batch(20, 13, 7), []
    for fused_from, kept in ((1, 2**20), (1000, 2**20), (1000, 0)):
        monkeypatch.setattr(attend, "FUSED_FROM", fused_from)
        monkeypatch.setattr(attend, "KEPT", kept)
        monkeypatch.setattr(attend, "CHUNK", 900)
        vectors = given["vectors"].clone().requires_grad_()
        states = run(encoder, given, vectors=vectors)
        encoder.zero_grad()
        states.pow(2).sum().backward()
        results.append((states, vectors.grad, encoder.blocks[0].attention.key.weight.grad.clone()))
    for other in results[1:]:
        for got, expected in zip(other, results[0], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_nothing_real_gives_zeros():
    given = batch(3, 3)
    given["mask"] = torch.zeros(2, 3, dtype=torch.bool)
    assert torch.equal(run(build(SMALL), given), torch.zeros(2, 3, DIM))


def test_one_segment_is_shared_by_all_tokens():
    encoder, given = build(replace(SMALL, num_segments=1)), batch(4, 2)
    given["segments"] = torch.ones_like(given["segments"])
    assert torch.equal(run(encoder, given), run(encoder, given, segments=torch.zeros_like(given["segments"])))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dim": 0}, "'dim'"),
        ({"dim": 10**9}, "'dim'"),
        ({"num_layers": 10**6}, "'num_layers'"),
        ({"attention": AttentionConfig(num_heads=3)}, "3 heads"),
        ({"attention": AttentionConfig(num_heads=4, num_groups=3)}, "3 groups"),
        ({"attention": AttentionConfig(num_heads=4, dropout=1.0)}, "'attention.dropout'"),
        ({"dropout": float("nan")}, "'dropout'"),
        ({"num_segments": -1}, "'num_segments'"),
        ({"norm_eps": 0.0}, "'norm_eps'"),
        ({"attention": AttentionConfig(num_heads=16), "positions": PositionConfig(kind="rotary")}, "even head width"),
        ({"positions": PositionConfig(kind="rotary", base=1.0)}, "'positions.base'"),
        ({"positions": PositionConfig(max_positions=10**12)}, "'positions.max_positions'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_anything_is_allocated(change, word):
    with pytest.raises(UserError, match=word):
        Encoder(replace(SMALL, **change))
