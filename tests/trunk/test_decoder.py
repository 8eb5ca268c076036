"""The decoder and the encoder-decoder against torch's own, and writing with a cache against reading as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.train.rule import from_scratch
from zaowu.trunk import precision
from zaowu.trunk.kernels import build
from zaowu.trunk.transformer.decoder import cache as caches
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

DIM, HEADS, FFN, LAYERS, VOCAB = 32, 4, 48, 2, 50
ORIGINAL = TrunkConfig(  # of the paper, but for the place of its numbers
    dim=DIM,
    num_layers=LAYERS,
    ffn_dim=FFN,
    activation="relu",
    norm_eps=1e-5,
    dropout=0.0,
    num_segments=0,
    entry_norm=False,
    positions=PositionConfig(kind="none"),
    attention=AttentionConfig(num_heads=HEADS),
)
GPT = replace(ORIGINAL, norm_place="before", activation="gelu_tanh", causal=True, positions=PositionConfig())
LLAMA = replace(
    from_scratch("mini", max_positions=600, causal=True),
    dim=DIM,
    num_layers=LAYERS,
    ffn_dim=FFN,
    attention=AttentionConfig(num_heads=HEADS, num_groups=2, bias=False),
)
MARIAN = replace(
    ORIGINAL, causal=True, entry_scale=True, activation="silu", positions=PositionConfig(kind="sinusoidal", halves=True)
)
BART = replace(MARIAN, entry_scale=False, entry_norm=True, activation="gelu", positions=PositionConfig())
PRE = replace(BART, norm_place="before", entry_norm=False, attention=AttentionConfig(num_heads=HEADS, num_groups=2))
REZERO = replace(MARIAN, residual="rezero", norm="none")
ALONE = {"gpt": GPT, "llama": LLAMA}
PAIRS = {"marian": MARIAN, "bart": BART, "norm-before": PRE, "rezero": REZERO}


@pytest.fixture(params=["kernels", "torch"], autouse=True)
def path(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setenv("ZAOWU_KERNELS", "off")
        build.forget()
    elif build.library() is None:
        pytest.skip(f"no kernels: {build.missing()}")
    yield request.param
    monkeypatch.undo()
    build.forget()


def shaken(stack: Encoder) -> Encoder:
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in stack.parameters():
            weight.copy_(torch.randn_like(weight) * (0.3 if stack.config.norm != "none" else 0.1))
    return stack.eval()


def lengths_mask(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def states(stack: Encoder, vectors: Tensor, mask: Tensor, **more) -> Tensor:
    places = torch.arange(mask.shape[1]).expand(mask.shape)
    return stack(vectors, mask=mask, positions=places, segments=torch.zeros_like(places), **more)


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def copied(ours: nn.Module, theirs: nn.Module) -> None:
    """Their layer's weights, in ours."""
    pairs = [(ours.attention, theirs.self_attn), (ours.cross, getattr(theirs, "multihead_attn", None))]
    for mine, other in pairs:
        if mine is None:
            continue
        for part, weight, bias in zip(
            (mine.query, mine.key, mine.value), other.in_proj_weight.chunk(3), other.in_proj_bias.chunk(3), strict=True
        ):
            part.weight.data, part.bias.data = weight.data.clone(), bias.data.clone()
        mine.output.load_state_dict(other.out_proj.state_dict())
    ours.ffn.up.load_state_dict(theirs.linear1.state_dict())
    ours.ffn.down.load_state_dict(theirs.linear2.state_dict())
    norms = [ours.attention_norm, ours.cross_norm, ours.ffn_norm]
    for mine, name in zip([norm for norm in norms if norm is not None], ("norm1", "norm2", "norm3"), strict=False):
        mine.load_state_dict(getattr(theirs, name).state_dict())


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_whole_transformer_is_torchs_with_its_weights(place, activation):
    """States, and the gradient of every vector that goes in, on both sides, at batches of different lengths."""
    first = place == "before"
    torch.manual_seed(1)
    how = {"dropout": 0.0, "activation": activation, "batch_first": True, "norm_first": first}
    layers = (nn.TransformerEncoderLayer(DIM, HEADS, FFN, **how), nn.TransformerDecoderLayer(DIM, HEADS, FFN, **how))
    ends = [nn.LayerNorm(DIM) if first else None for _ in range(2)]
    stacks = (
        nn.TransformerEncoder(layers[0], LAYERS, norm=ends[0], enable_nested_tensor=False),
        nn.TransformerDecoder(layers[1], LAYERS, norm=ends[1]),
    )
    theirs = nn.Transformer(
        DIM, HEADS, custom_encoder=stacks[0], custom_decoder=stacks[1], batch_first=True, norm_first=first
    )
    for weight in theirs.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    config = replace(ORIGINAL, norm_place=place, activation=activation)
    ours = Encoder(config), Decoder(replace(config, causal=True))
    for mine, other in zip(ours, stacks, strict=True):
        for block, layer in zip(mine.blocks, other.layers, strict=True):
            copied(block, layer)
        if first:
            mine.exit_norm.load_state_dict(other.norm.state_dict())

    source_mask, mask = lengths_mask(9, 4, 7), lengths_mask(5, 8, 2)
    vectors = [torch.randn(3, 9, DIM), torch.randn(3, 8, DIM)]
    mine, other = ([x.clone().requires_grad_() for x in vectors] for _ in range(2))
    memory = Memory(states(ours[0], mine[0], source_mask), source_mask)
    got = states(ours[1], mine[1], mask, memory=memory)
    expected = theirs(
        *other,
        tgt_mask=torch.ones(8, 8, dtype=torch.bool).triu(1),
        src_key_padding_mask=~source_mask,
        memory_key_padding_mask=~source_mask,
        tgt_key_padding_mask=~mask,
    )
    close(got[mask], expected[mask])
    weights = torch.randn(DIM)
    (got[mask] @ weights).sum().backward()
    (expected[mask] @ weights).sum().backward()
    close(mine[0].grad[source_mask], other[0].grad[source_mask], 1e-4)
    close(mine[1].grad[mask], other[1].grad[mask], 1e-4)


def test_a_target_looks_back_to_its_own_document_alone():
    """Two pairs in one row on either side give what each gives alone."""
    encoder, decoder = shaken(Encoder(ORIGINAL)), shaken(Decoder(replace(ORIGINAL, causal=True)))
    source, target = torch.randn(1, 7, DIM), torch.randn(1, 5, DIM)
    of_source, of_target = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1, 1]])

    def run(source: Tensor, target: Tensor, of_source: Tensor | None, of_target: Tensor | None) -> Tensor:
        real = [torch.ones(x.shape[:2], dtype=torch.bool) for x in (source, target)]
        memory = Memory(states(encoder, source, real[0], documents=of_source), real[0], documents=of_source)
        return states(decoder, target, real[1], documents=of_target, memory=memory)

    with torch.no_grad():
        got = run(source, target, of_source, of_target)
        alone = [run(source[:, :3], target[:, :2], None, None), run(source[:, 3:], target[:, 2:], None, None)]
    close(got, torch.cat(alone, dim=1))


def test_dropout_of_the_two_sides_and_of_a_block_falls_apart():
    """In training, the same seed gives the same states, another one others; no two places share their coins."""
    config = replace(ORIGINAL, dropout=0.3, causal=True, attention=AttentionConfig(num_heads=HEADS, dropout=0.2))
    decoder = shaken(Decoder(config)).train()
    memory = Memory(torch.randn(2, 6, DIM), lengths_mask(6, 3))
    vectors, mask = torch.randn(2, 5, DIM), lengths_mask(5, 4)
    got = [states(decoder, vectors, mask, memory=memory, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(got[0], got[1]) and not torch.allclose(got[0], got[2])
    sites = [block.first_site + offset for block in decoder.blocks for offset in range(5)]
    sites += [site for block in Encoder(config).blocks for site in range(block.first_site, block.first_site + 3)]
    assert len({*sites, decoder.entry_site, Encoder(config).entry_site}) == len(sites) + 2


def written(stack: Encoder, memory: Memory | None, ids: Tensor, begun: tuple[int, ...], dtype=None) -> Tensor:
    """(R, steps, V): logits of a writer that reads `begun` tokens of each row and is then told the others."""
    table, output = tables()
    writer = Writer(stack, table=table, output=output, bias=torch.linspace(-1, 1, VOCAB), dtype=dtype)
    mask = lengths_mask(*begun)
    logits, cache = writer.begin(ids[:, : max(begun)], mask, memory=memory)
    found = [logits]
    for step in range(ids.shape[1] - max(begun)):
        logits, cache = writer.step(cache, ids[torch.arange(len(ids)), torch.tensor(begun) + step])
        found.append(logits)
    return torch.stack(found, dim=1)


def tables() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    table, output = torch.randn(2, VOCAB, DIM, generator=generator)
    return table, output * 0.3  # logits of an ordinary size


def whole(stack: Encoder, memory: Memory | None, ids: Tensor, begun: tuple[int, ...]) -> Tensor:
    """The same from one pass over everything."""
    table, output = tables()
    with torch.no_grad():
        found = states(stack, table[ids], torch.ones_like(ids, dtype=torch.bool), memory=memory)
    logits = found @ output.t() + torch.linspace(-1, 1, VOCAB)
    steps = ids.shape[1] - max(begun) + 1
    return torch.stack([row[first - 1 : first - 1 + steps] for row, first in zip(logits, begun, strict=True)])


def stack_and_memory(kind: str) -> tuple[Encoder, Memory | None]:
    if kind in ALONE:
        return shaken(Encoder(ALONE[kind])), None
    generator = torch.Generator().manual_seed(2)
    memory = Memory(torch.randn(3, 7, DIM, generator=generator), lengths_mask(7, 3, 5))
    return shaken(Decoder(PAIRS[kind])), memory


@pytest.mark.parametrize("kind", [*ALONE, *PAIRS])
def test_writing_with_a_cache_is_reading_the_whole(kind):
    """Beginnings of different lengths, and past several blocks of the cache."""
    stack, memory = stack_and_memory(kind)
    ids = torch.randint(0, VOCAB, (3, 2 * caches.BLOCK + 20), generator=torch.Generator().manual_seed(3))
    begun = (4, caches.BLOCK + 3, 1)
    close(written(stack, memory, ids, begun), whole(stack, memory, ids, begun))


@pytest.mark.parametrize("kind", [*ALONE, *PAIRS])
def test_rows_that_share_a_beginning_change_places_and_leave(kind):
    """Four rows of each of three beginnings; among those of one, rows go on from others'; then some leave."""
    stack, memory = stack_and_memory(kind)
    table, output = tables()
    writer, each = Writer(stack, table=table, output=output), 4
    generator = torch.Generator().manual_seed(4)
    ids, begun = torch.randint(0, VOCAB, (3, 6), generator=generator), (6, 2, 5)
    _, cache = writer.begin(ids, lengths_mask(*begun), each=each, memory=memory)
    texts = [ids[row, : begun[row]].tolist() for row in range(3) for _ in range(each)]
    of = [row for row in range(3) for _ in range(each)]
    logits = None
    for step in range(caches.BLOCK + 10):
        tokens = torch.randint(0, VOCAB, (len(texts),), generator=generator)
        logits, cache = writer.step(cache, tokens)
        texts = [[*text, int(token)] for text, token in zip(texts, tokens, strict=True)]
        if step == 40:
            rows = torch.tensor([11, 0, 5, 2, 3])
            cache.select(rows)
            texts, of = [texts[row] for row in rows], [of[row] for row in rows]
            logits = logits[rows]
        elif step < 40:
            rows = torch.cat([torch.randint(0, each, (each,), generator=generator) + each * row for row in range(3)])
            cache.reorder(rows)
            texts, logits = [texts[row] for row in rows], logits[rows]
    for row, text in enumerate(texts):
        own = None
        if memory is not None:
            size = int(memory.layout.mask[of[row]].sum())
            begin = int(memory.layout.mask[: of[row]].sum())
            own = Memory(memory.rows[None, begin : begin + size], torch.ones(1, size, dtype=torch.bool))
        line = torch.tensor([text])
        with torch.no_grad():
            expected = states(stack, table[line], torch.ones_like(line, dtype=torch.bool), memory=own)[:, -1]
        close(logits[row], (expected @ output.t())[0], 2e-5)


def test_a_cache_grows_in_blocks_and_moves_nothing():
    stack, _ = stack_and_memory("gpt")
    table, output = tables()
    writer = Writer(stack, table=table, output=output)
    ids = torch.zeros(2, caches.BLOCK - 1, dtype=torch.long)
    _, cache = writer.begin(ids, torch.ones_like(ids, dtype=torch.bool))
    first = cache.blocks[0].data_ptr()
    sizes = []
    for _ in range(3):
        writer.step(cache, torch.zeros(2, dtype=torch.long))
        sizes.append(len(cache.blocks))
    assert sizes == [1, 2, 2] and cache.blocks[0].data_ptr() == first


@pytest.mark.parametrize("change", [{"causal": False}, {"num_segments": 2}])
def test_a_decoder_that_sees_the_next_token_or_two_texts_is_refused(change):
    with pytest.raises(UserError, match="expected 'causal' and no segment"):
        Decoder(replace(MARIAN, **change))


@pytest.mark.parametrize("kind", [*ALONE, "marian"])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
def test_low_precision_is_near(kind, rows):
    """Any number of rows, with a width and a vocabulary that leave something over."""
    stack, memory = stack_and_memory(kind)
    if memory is not None:
        memory = Memory(torch.randn(rows, 7, DIM), lengths_mask(*([7, 3, 5] * 3)[:rows]))
    ids = torch.randint(0, VOCAB, (rows, 12), generator=torch.Generator().manual_seed(3))
    begun = tuple(([4, 2, 6] * 3)[:rows])
    wide = replace(stack.config, ffn_dim=64, num_layers=1)
    stack = shaken(type(stack)(wide))
    exact = whole(stack, memory, ids, begun)[:, : 12 - max(begun) + 1]
    precision.use(stack, torch.bfloat16)
    near = written(stack, memory, ids, begun, dtype=torch.bfloat16)
    assert (near - exact).abs().max() < 0.03 * exact.abs().max()
    precision.use(stack, torch.float32)
    close(written(stack, memory, ids, begun), exact)
