"""What comes later leaks nowhere: not into states, not into gradients, on every path that computes attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.train.rule import from_scratch
from zaowu.trunk import precision
from zaowu.trunk.kernels import attention as kernel, build
from zaowu.trunk.transformer import attend
from zaowu.trunk.transformer.encoder import Encoder

DIM = 32
GPT = TrunkConfig(
    dim=DIM,
    num_layers=2,
    ffn_dim=48,
    activation="gelu_tanh",
    norm_place="before",
    norm_eps=1e-5,
    dropout=0.1,
    num_segments=0,
    entry_norm=False,
    causal=True,
    positions=PositionConfig(max_positions=600),
    attention=AttentionConfig(num_heads=4, dropout=0.1),
)
LLAMA = replace(
    from_scratch("mini", max_positions=600, causal=True),
    dim=DIM,
    num_layers=2,
    ffn_dim=64,
    attention=AttentionConfig(num_heads=4, num_groups=2, bias=False, dropout=0.1),
)
BERT = replace(GPT, norm_place="after", activation="gelu", entry_norm=True)  # the residual kernel is for it
CONFIGS = {"gpt": GPT, "llama": LLAMA, "bert": BERT}
PATHS = {  # (kernels, length, in pieces)
    "kernel": (True, 24, False),
    "torch": (False, 24, False),
    "kernel-fused-length": (True, attend.FUSED_FROM + 9, False),
    "torch-fused-length": (False, attend.FUSED_FROM + 9, False),
    "torch-pieces": (False, 24, True),
    "kernels-too-long": (True, kernel.LONGEST + 5, False),
}


@pytest.fixture(params=PATHS)
def length(request, monkeypatch):
    """The length that takes this path."""
    kernels, length, pieces = PATHS[request.param]
    if kernels and build.library() is None:
        pytest.skip(f"no kernels: {build.missing()}")
    if not kernels:
        monkeypatch.setenv("ZAOWU_KERNELS", "off")
        build.forget()
        assert build.library() is None
    if pieces:
        monkeypatch.setattr(attend, "KEPT", 0)
        monkeypatch.setattr(attend, "CHUNK", 2 * length * length)
    yield length
    monkeypatch.undo()
    build.forget()


def build_trunk(name: str, dtype: torch.dtype) -> Encoder:
    trunk = Encoder(CONFIGS[name])
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in trunk.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    precision.use(trunk, dtype)
    return trunk


def batch(length: int) -> dict[str, Tensor]:
    """Two rows: a whole one, and one with padding."""
    torch.manual_seed(1)
    size = (2, length)
    return {
        "vectors": torch.randn(*size, DIM),
        "mask": torch.arange(length) < torch.tensor([length, length - 3])[:, None],
        "positions": torch.arange(length).expand(size),
        "segments": torch.zeros(size, dtype=torch.long),
    }


def run(trunk: Encoder, given: dict[str, Tensor], **more) -> Tensor:
    given = {**given, **more}
    return trunk(given.pop("vectors"), **given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("training", [False, True])
def test_states_before_a_changed_token_are_the_same_bits(name, dtype, training, length):
    trunk, given = build_trunk(name, dtype).train(training), batch(length)
    with torch.set_grad_enabled(training):
        before = run(trunk, given, seed=3)
        for place in (1, length // 2, length - 5):
            vectors = given["vectors"].clone()
            vectors[:, place] = torch.randn(2, DIM) * 50
            after = run(trunk, given, seed=3, vectors=vectors)
            assert torch.equal(before[:, :place], after[:, :place])
            assert (before[:, place] != after[:, place]).any(dim=1).all()
            assert (before[:, place + 1] != after[:, place + 1]).any(dim=1).all(), "the next one did not see it"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", [None, 3])
def test_a_state_has_no_gradient_for_what_comes_later(name, dtype, seed, length):
    trunk, given = build_trunk(name, dtype).train(seed is not None), batch(length)
    for place in (0, length // 2, length - 5):
        vectors = given["vectors"].clone().requires_grad_()
        run(trunk, given, seed=seed, vectors=vectors)[:, place].pow(2).sum().backward()
        assert (vectors.grad[:, place + 1 :] == 0).all()
        assert (vectors.grad[:, place] != 0).any(dim=1).all()
        assert place == 0 or (vectors.grad[:, 0] != 0).any(dim=1).all(), "the first token was not seen"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_documents_in_one_row_do_not_see_each_other(name, dtype, length):
    """Not the later ones the earlier ones either: neither in states nor in gradients."""
    trunk, given = build_trunk(name, dtype).eval(), batch(length)
    first = length // 3
    given["documents"] = (torch.arange(length) >= first).long().expand(2, length)
    given["positions"] = torch.cat((torch.arange(first), torch.arange(length - first))).expand(2, length)
    vectors = given["vectors"].clone().requires_grad_()
    states = run(trunk, given, vectors=vectors)
    states[:, first:].pow(2).sum().backward()
    assert (vectors.grad[:, :first] == 0).all() and (vectors.grad[:, first:-3] != 0).any(dim=2).all()
    changed = given["vectors"].clone()
    changed[:, 0] = torch.randn(2, DIM) * 50
    after = run(trunk, given, vectors=changed.requires_grad_())
    assert torch.equal(states[:, first:], after[:, first:])
    assert (states[:, first - 1] != after[:, first - 1]).any(dim=1).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_path_computes_the_same(name, length):
    """Against a mask that is written out, in float64 and record by record."""
    trunk, given = build_trunk(name, torch.float32).eval(), batch(length)
    got = run(trunk, given)
    exact = Encoder(CONFIGS[name]).eval()
    exact.load_state_dict(trunk.state_dict())
    exact = exact.double()
    for row, own in enumerate((length, length - 3)):
        alone = {key: value[row : row + 1, :own] for key, value in given.items()}
        expected = run(exact, alone, vectors=alone["vectors"].double())
        torch.testing.assert_close(got[row, :own].double(), expected[0], rtol=1e-4, atol=1e-4)
