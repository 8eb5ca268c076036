"""Texts read behind a beginning that was read once say what they say behind a beginning of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.train.rule import from_scratch
from zaowu.trunk.transformer.attend import FUSED_FROM
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

V, DIM = 40, 32
GPT = TrunkConfig(
    dim=DIM,
    num_layers=2,
    ffn_dim=48,
    activation="gelu_tanh",
    norm_place="before",
    num_segments=0,
    entry_norm=False,
    causal=True,
    positions=PositionConfig(max_positions=300),
    attention=AttentionConfig(num_heads=4),
)
LLAMA = replace(
    from_scratch("mini", max_positions=300, causal=True),
    dim=DIM,
    num_layers=2,
    ffn_dim=64,
    attention=AttentionConfig(num_heads=4, num_groups=2, bias=False),
)


@pytest.mark.parametrize("long", [5, FUSED_FROM + 3], ids=["short", "long"])
@pytest.mark.parametrize("config", [GPT, LLAMA], ids=["gpt", "llama"])
def test_branches_see_the_beginning_the_text_and_themselves(config, long):
    torch.manual_seed(0)
    writer = Writer(Encoder(config).eval(), table=torch.randn(V, DIM), output=torch.randn(V, DIM))
    beginning = torch.randint(V, (70,)).tolist()  # more than one block of the cache
    texts = [torch.randint(V, (size,)).tolist() for size in (long, 3)]
    branches = [[7, 8, 9], [7], [11, 2]]

    ids, mask, positions, branch, wanted = (torch.zeros(2, long + 6, dtype=torch.long) for _ in range(5))
    for row, text in enumerate(texts):
        told = text + [token for own in branches for token in own]
        numbers = [0] * len(text) + [1 + number for number, own in enumerate(branches) for _ in own]
        places = [*range(len(text)), *(len(text) + place for own in branches for place in range(len(own)))]
        ids[row, : len(told)], branch[row, : len(told)] = torch.tensor(told), torch.tensor(numbers)
        positions[row, : len(told)] = 70 + torch.tensor(places)
        mask[row, : len(told)] = 1
        wanted[row, len(text) - 1 : len(told)] = 1
    whole = torch.tensor([beginning])
    _, state = writer.begin(whole, torch.ones_like(whole, dtype=torch.bool))
    how = {"mask": mask.bool(), "positions": positions, "branches": branch, "wanted": wanted.bool()}
    found = writer.read_behind(state, ids, **how).view(2, 7, V)
    assert torch.equal(writer.read_behind(state, ids, **how).view(2, 7, V), found), "the state stays as it is"

    for row, text in enumerate(texts):
        sequences = [[], *(own[: size + 1] for own in branches for size in range(len(own)))]
        for number, sequence in enumerate(sequences):
            alone = torch.tensor([beginning + text + sequence])
            expected, _ = writer.begin(alone, torch.ones_like(alone, dtype=torch.bool))
            torch.testing.assert_close(found[row, number], expected[0], rtol=1e-4, atol=1e-4)
