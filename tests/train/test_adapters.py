"""Low-rank adapters: the base at first, learned alone, merged into what they stand beside, and as peft reads them."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.train.rule import from_scratch
from zaowu.trunk import adapters, families, precision
from zaowu.trunk.adapters import Adapters
from zaowu.trunk.families import peft
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.linear import Linear, side_by_side

BERT = TrunkConfig(dim=32, num_layers=2, ffn_dim=64, dropout=0.0, attention=AttentionConfig(num_heads=2))
LLAMA = replace(
    from_scratch("mini", max_positions=64, causal=True),
    dim=32,
    num_layers=2,
    ffn_dim=64,
    attention=AttentionConfig(num_heads=4, num_groups=2, bias=False),
)
GPT = replace(
    BERT,
    causal=True,
    activation="gelu_tanh",
    norm_place="before",
    norm_eps=1e-5,
    num_segments=0,
    entry_norm=False,
    positions=PositionConfig(max_positions=64),
)
SHAPES = {"bert": BERT, "llama": LLAMA, "gpt2": GPT}


def trunk_of(config: TrunkConfig, *, learned: bool = True, dtype: torch.dtype = torch.float32) -> Encoder:
    """With adapters; learned: some that say something."""
    torch.manual_seed(0)
    trunk = Encoder(config)
    adapters.add(trunk, rank=3, alpha=6.0, seed=1)
    if learned:
        for name, weight in trunk.named_parameters():
            if name.endswith(".lora_b"):
                nn.init.normal_(weight, std=0.3)
    precision.use(trunk, dtype)
    return trunk


def states(trunk: Encoder, *, size: int = 7) -> torch.Tensor:
    x = torch.randn(2, size, 32, generator=torch.Generator().manual_seed(5))
    places = torch.arange(size).expand(2, size)
    mask = torch.arange(size) < torch.tensor([[size], [size - 2]])
    return trunk(x, mask=mask, positions=places, segments=torch.zeros_like(places))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", SHAPES)
def test_they_begin_as_nothing_and_merge_into_the_same(name, dtype):
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    fresh = trunk_of(SHAPES[name], learned=False, dtype=dtype)
    bare = copy.deepcopy(fresh)
    adapters.merge(bare)
    torch.testing.assert_close(states(fresh), states(bare), rtol=0, atol=0)

    trunk = trunk_of(SHAPES[name], dtype=dtype)
    merged = copy.deepcopy(trunk)
    pairs = adapters.merge(merged)
    assert not any(name.endswith(adapters.PARTS) for name in merged.state_dict())
    assert (states(merged) - states(bare)).abs().max() > 0.1
    torch.testing.assert_close(states(trunk), states(merged), **close)
    trunk.eval(), merged.eval()
    with torch.no_grad():
        torch.testing.assert_close(states(trunk), states(merged), **close)
    layer = "blocks.1.attention.key"
    down, up = pairs[layer]
    weight = bare.get_submodule(layer).weight + 2.0 * up @ down
    torch.testing.assert_close(merged.get_submodule(layer).weight, weight)


def test_gradients_in_low_precision_are_those_of_the_formula():
    torch.manual_seed(0)
    layers = [Linear(16, 8), Linear(16, 24)]
    block = nn.ModuleList(layers)
    adapters.add(block, rank=2, alpha=1.0, seed=0)
    for layer in layers:
        nn.init.normal_(layer.lora_b)
        layer.weight.requires_grad_(False), layer.bias.requires_grad_(False)
    x, g = torch.randn(5, 16), torch.randn(5, 32)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        precision.use(block, dtype)
        leaf = x.clone().requires_grad_()
        (side_by_side(leaf, layers) * g).sum().backward()
        found.append([leaf.grad, *(getattr(layer, part).grad for layer in layers for part in ("lora_a", "lora_b"))])
        block.zero_grad()
        assert all(layer.weight.grad is None and layer.bias.grad is None for layer in layers)
    a, b = layers[0].lora_a, layers[0].lora_b
    torch.testing.assert_close(found[0][2], 0.5 * g[:, :8].t() @ (x @ a.t()))
    torch.testing.assert_close(found[0][1], 0.5 * (g[:, :8] @ b).t() @ x)
    for exact, low in zip(*found, strict=True):
        torch.testing.assert_close(low, exact, rtol=0.05, atol=0.1)


def test_frozen_weights_are_cast_once():
    trunk = trunk_of(BERT, dtype=torch.bfloat16)
    states(trunk)
    layer = trunk.get_submodule("blocks.0.ffn.up")
    kept = layer._low
    states(trunk)
    assert layer._low is kept is not None


@pytest.mark.parametrize("name", SHAPES)
def test_the_files_say_to_peft_what_was_learned(name, tmp_path):
    """By the layout that peft documents: base_model.model.<module>.lora_A.weight (r, in), lora_B.weight (out, r)."""
    trunk = trunk_of(SHAPES[name])
    bare = {key: x.clone() for key, x in trunk.state_dict().items() if not key.endswith(adapters.PARTS)}
    pairs = adapters.merge(trunk)
    facts = {"vocab_size": 10, "pad_id": 0, "position_offset": 0, "tied": 1}
    places = families.find(name).names(SHAPES[name], facts)
    peft.write(tmp_path, Adapters(3, 6.0, pairs), places, base="org/base", causal=False)
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    wanted = {"peft_type": "LORA", "r": 3, "lora_alpha": 6.0, "bias": "none", "base_model_name_or_path": "org/base"}
    assert wanted.items() <= config.items() and config["fan_in_fan_out"] is (name == "gpt2")
    after = trunk.state_dict()
    seen = 0
    for theirs, place in places.items():
        key = f"base_model.model.{theirs.removesuffix('.weight')}"
        if f"{key}.lora_A.weight" not in tensors:
            continue
        a, b = tensors[f"{key}.lora_A.weight"], tensors[f"{key}.lora_B.weight"]
        module = next(end for end in config["target_modules"] if theirs.removesuffix(".weight").endswith(f".{end}"))
        rank = config["rank_pattern"].get(module, 3)
        assert len(a) == rank and b.shape[1] == rank
        ours = [own.removeprefix("trunk.") for own in place.names]
        change = torch.cat([after[own] - bare[own] for own in ours])
        share = config["alpha_pattern"].get(module, 6.0) / rank
        torch.testing.assert_close(share * b @ a, change, rtol=1e-4, atol=1e-5)
        seen += len(ours)
    assert seen == len(pairs) == 2 * (7 if name == "llama" else 6)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of theirs about one another
def test_peft_itself_reads_them(tiny_base, news_csv, other_csv, tmp_path):
    """A fit, then their library on the base: the states of our merged trunk."""
    library, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    import zaowu

    zaowu.fit(
        str(news_csv),
        test=str(other_csv),
        base=str(tiny_base),
        lora=2,
        out=tmp_path / "run",
        epochs=2,
        trim_vocab="off",
        precision="fp32",
        quiet=True,
        threads=1,
    )
    base = transformers.AutoModel.from_pretrained(tiny_base, add_pooling_layer=False)
    theirs = library.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter").eval()
    ours = transformers.AutoModel.from_pretrained(tmp_path / "run" / "trunk", add_pooling_layer=False).eval()
    ids = torch.from_numpy(np.random.default_rng(0).integers(5, 100, (2, 9)))
    with torch.no_grad():
        found, plain = theirs(input_ids=ids).last_hidden_state, ours(input_ids=ids).last_hidden_state
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
        with theirs.disable_adapter():
            assert (theirs(input_ids=ids).last_hidden_state - plain).abs().max() > 1e-3
    assert math.isfinite(float(found.sum()))
