"""GPT-2, Llama and Qwen2 of transformers, both ways: states, logits, losses, gradients; the rest is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.train.rule import from_scratch
from zaowu.trunk import families
from zaowu.trunk.families import gpt2, llama, qwen2
from zaowu.trunk.families.tensors import TOKENS
from zaowu.trunk.transformer.encoder import Encoder

VOCAB, LENGTH = 40, 13
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 20, "vocab_size": VOCAB, "initializer_range": 0.3}
LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "vocab_size": VOCAB,
    "initializer_range": 0.3,
}
ROPE = {"rope_type": "default", "rope_theta": 300.0}
KINDS = {
    "gpt2": ("GPT2", "GPT2LMHeadModel", GPT2),
    "gpt2-untied": ("GPT2", "GPT2LMHeadModel", {**GPT2, "tie_word_embeddings": False, "n_inner": 24}),
    "gpt2-gelu": ("GPT2", "GPT2LMHeadModel", {**GPT2, "activation_function": "gelu", "layer_norm_epsilon": 1e-3}),
    "llama": ("Llama", "LlamaForCausalLM", LLAMA),
    "llama-groups": ("Llama", "LlamaForCausalLM", {**LLAMA, "num_key_value_heads": 2, "rope_parameters": ROPE}),
    "llama-biases": (
        "Llama",
        "LlamaForCausalLM",
        {**LLAMA, "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "qwen2": ("Qwen2", "Qwen2ForCausalLM", {**LLAMA, "num_key_value_heads": 2, "pad_token_id": 3, "eos_token_id": 5}),
    "qwen2-tied": ("Qwen2", "Qwen2ForCausalLM", {**LLAMA, "tie_word_embeddings": True, "rope_parameters": ROPE}),
}


def their_model(kind: str, *, heads: bool = True):
    family, class_name, sizes = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**sizes)
    model = getattr(transformers, class_name if heads else f"{family}Model")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # biases and gains, which start at 0 and 1 and would prove nothing
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def read(folder: Path, *, heads: tuple[str, ...] = ("causal",), **more) -> tuple[TrunkConfig, dict, dict[str, Tensor]]:
    data = json.loads((folder / "config.json").read_text("utf-8"))
    family = families.find(data["model_type"])
    config, facts = family.read_config(data)
    places = family.names(config, facts, heads=heads)
    return config, facts, families.load_tensors(
        folder / "model.safetensors", places, config=config, facts=facts, **more
    )  # fmt: skip


def encoder(config: TrunkConfig, state: dict[str, Tensor]) -> Encoder:
    ours = Encoder(config).eval()
    ours.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("trunk.")})
    return ours


def states(ours: Encoder, vectors: Tensor, mask: Tensor, **more) -> Tensor:
    positions = torch.arange(mask.shape[1]).expand(mask.shape)
    given = {"positions": positions, "segments": torch.zeros_like(positions), **more}
    return ours(vectors, mask=mask, **given)


def texts() -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, VOCAB, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 4, 7])[:, None]
    return ids, mask


def output_table(state: dict[str, Tensor]) -> Tensor:
    return state.get("lm_head.weight", state[TOKENS])


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-5, name: str | None = None) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_theirs_opened_by_us(kind, tmp_path):
    """States, logits, the loss of the next piece, and the gradient of every weight."""
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    ours, table = encoder(config, state), output_table(state)
    ids, mask = texts()
    vectors = state[TOKENS][ids].requires_grad_()
    labels = ids.masked_fill(~mask, -100)
    expected = theirs(input_ids=ids, attention_mask=mask.long(), labels=labels, output_hidden_states=True)
    got = states(ours, vectors, mask)
    logits = got @ table.t()
    close(got[mask], expected.hidden_states[-1][mask])
    close(logits[mask], expected.logits[mask])
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    close(loss, expected.loss)

    loss.backward()
    expected.loss.backward()
    grads = {name: weight.grad for name, weight in theirs.named_parameters()}
    for name, place in families.find(theirs.config.model_type).names(config, facts, heads=("causal",)).items():
        if place.name.startswith("trunk."):
            mine = torch.cat([ours.get_parameter(own[6:]).grad for own in place.names])
            close(mine.t() if place.transposed else mine, grads[name], 1e-4, name)
    if not facts["tied"]:
        rows = torch.zeros_like(state[TOKENS]).index_put_((ids[mask],), vectors.grad[mask], accumulate=True)
        if theirs.config.pad_token_id is not None and theirs.config.model_type != "gpt2":
            rows[theirs.config.pad_token_id] = 0  # theirs does not learn it
        close(rows, theirs.get_input_embeddings().weight.grad, 1e-4)


OURS = {
    "gpt2": TrunkConfig(
        dim=16,
        num_layers=2,
        ffn_dim=24,
        activation="gelu_tanh",
        norm_place="before",
        norm_eps=1e-6,
        num_segments=0,
        entry_norm=False,
        causal=True,
        positions=PositionConfig(max_positions=20),
        attention=AttentionConfig(num_heads=2, dropout=0.2),
    ),
    "llama": replace(from_scratch("mini", max_positions=20, causal=True), dim=16, num_layers=2, ffn_dim=32),
    "qwen2": replace(
        from_scratch("mini", max_positions=20, causal=True),
        dim=16,
        num_layers=3,
        ffn_dim=24,
        attention=AttentionConfig(num_heads=4, num_groups=2, output_bias=False),
        positions=PositionConfig(kind="rotary", max_positions=20, base=500.0),
    ),
}


@pytest.mark.parametrize("tied", [1, 0])
@pytest.mark.parametrize("kind", OURS)
def test_ours_opened_by_them(kind, tied, tmp_path):
    """No weight is missing or made up, their AutoModelForCausalLM gives our logits, and what comes back is ours."""
    family, trunk = families.find(kind), OURS[kind]
    facts = {"vocab_size": VOCAB, "pad_id": 6, "position_offset": 0, "tied": tied, "end_id": 2}
    torch.manual_seed(0)
    state = {f"trunk.{name}": torch.randn_like(weight) * 0.3 for name, weight in Encoder(trunk).state_dict().items()}
    state |= {TOKENS: torch.randn(VOCAB, 16)} | ({} if tied else {"lm_head.weight": torch.randn(VOCAB, 16)})
    data = family.write_config(trunk, facts, heads=("causal",))
    (tmp_path / "config.json").write_text(json.dumps(data), "utf-8")
    families.save_tensors(tmp_path / "model.safetensors", state, family.names(trunk, facts, heads=("causal",)))
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in info.items() if found} == {}
    assert type(theirs).__name__ == data["architectures"][0]
    assert (theirs.config.eos_token_id, theirs.config.bos_token_id) == (2, None)

    ids, mask = texts()
    with torch.no_grad():
        got = states(encoder(trunk, state), state[TOKENS][ids], mask)
        expected = theirs.eval()(input_ids=ids, attention_mask=mask.long())
        base = theirs.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    close(got[mask], base[mask])
    close((got @ output_table(state).t())[mask], expected.logits[mask])

    back = read(tmp_path)
    assert (back[0], back[1]) == (trunk, facts)
    assert back[2].keys() == state.keys()
    assert all(torch.equal(back[2][name], state[name]) for name in state)


@pytest.mark.parametrize("kind", ["gpt2", "llama-groups", "qwen2"])
def test_base_model_without_an_output_layer(kind, tmp_path):
    """Their base model is opened with and without heads; ours is opened by their AutoModel."""
    theirs = their_model(kind, heads=False)
    theirs.save_pretrained(tmp_path / "theirs")
    config, facts, state = read(tmp_path / "theirs", heads=())
    lenient = read(tmp_path / "theirs", whole=False)[2]
    assert lenient.keys() == state.keys() and all(torch.equal(lenient[name], state[name]) for name in state)
    if not facts["tied"]:
        with pytest.raises(UserError, match=r"'lm_head\.weight' is missing"):
            read(tmp_path / "theirs")
    family = families.find(theirs.config.model_type)
    (tmp_path / "ours").mkdir()
    written = family.write_config(config, facts)
    (tmp_path / "ours" / "config.json").write_text(json.dumps(written), "utf-8")
    families.save_tensors(tmp_path / "ours" / "model.safetensors", state, family.names(config, facts))
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours")
    assert type(again) is type(theirs)
    for (name, old), new in zip(theirs.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(old, new), name


def test_a_causal_model_serves_as_a_base_and_only_wanted_rows_are_read(tmp_path):
    theirs = their_model("gpt2-untied")
    theirs.save_pretrained(tmp_path)
    rows = np.array([7, 2, 39, 2, 30])
    assert "lm_head.weight" not in read(tmp_path, heads=())[2]
    state = read(tmp_path, rows=rows)[2]
    wanted = torch.from_numpy(rows)
    assert torch.equal(state[TOKENS], theirs.transformer.wte.weight[wanted])
    assert torch.equal(state["lm_head.weight"], theirs.lm_head.weight[wanted])


def test_joint_tensors_are_taken_apart_and_put_together_in_their_order(tmp_path):
    theirs = their_model("gpt2")
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    joint = theirs.transformer.h[1].attn.c_attn
    for index, part in enumerate(("query", "key", "value")):
        own = slice(16 * index, 16 * index + 16)
        assert torch.equal(state[f"trunk.blocks.1.attention.{part}.weight"], joint.weight[:, own].t())
        assert torch.equal(state[f"trunk.blocks.1.attention.{part}.bias"], joint.bias[own])
    families.save_tensors(tmp_path / "again.safetensors", state, gpt2.names(config, facts, heads=("causal",)))
    old, new = load_file(tmp_path / "model.safetensors"), load_file(tmp_path / "again.safetensors")
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize("kind", ["gpt2", "llama-groups", "qwen2"])
def test_documents_in_one_row_are_what_theirs_makes_of_each_alone(kind, tmp_path):
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    config, _, state = read(tmp_path)
    ids = texts()[0][:1]
    lengths = (5, 1, 7)
    documents = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        got = states(encoder(config, state), state[TOKENS][ids], mask, documents=documents, positions=positions)
        alone = [theirs.base_model(input_ids=part).last_hidden_state for part in ids.split(lengths, dim=1)]
    close(got, torch.cat(alone, dim=1))


@pytest.mark.parametrize(
    ("family", "theirs"),
    [(gpt2, transformers.GPT2Config), (llama, transformers.LlamaConfig), (qwen2, transformers.Qwen2Config)],
)
def test_absent_fields_are_what_their_library_takes_them_for(family, theirs):
    assert family.read_config({}) == family.read_config(theirs().to_dict())


@pytest.mark.parametrize(
    ("family", "change", "word"),
    [
        (gpt2, {"n_embd": "16"}, "'n_embd'"),
        (gpt2, {"n_head": 3}, "'n_head': expected a divisor"),
        (gpt2, {"scale_attn_by_inverse_layer_idx": True}, "'scale_attn_by_inverse_layer_idx'"),
        (gpt2, {"scale_attn_weights": False}, "'scale_attn_weights'"),
        (gpt2, {"add_cross_attention": True}, "'add_cross_attention'"),
        (gpt2, {"embd_pdrop": 0.0}, "'embd_pdrop': expected the 0.1"),
        (gpt2, {"activation_function": "mish"}, "'activation_function'"),
        (gpt2, {"tie_word_embeddings": "yes"}, "'tie_word_embeddings'"),
        (gpt2, {"eos_token_id": "end"}, "'eos_token_id'"),
        (llama, {"num_attention_heads": 3}, "'num_attention_heads': expected a divisor"),
        (llama, {"num_key_value_heads": 3}, "'num_key_value_heads': expected a divisor"),
        (llama, {"num_attention_heads": 16, "num_key_value_heads": 16}, "even width"),
        (llama, {"head_dim": 8}, "'head_dim': expected 4, got 8"),
        (llama, {"hidden_act": "gelu"}, "'hidden_act'"),
        (llama, {"attention_bias": 1}, "'attention_bias'"),
        (llama, {"rope_scaling": {"type": "linear", "factor": 2.0}}, "'rope_scaling', 'rope_type'"),
        (llama, {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "'rope_parameters', 'rope_type'"),
        (llama, {"rope_parameters": {"rope_theta": -1}}, "'rope_theta'"),
        (llama, {"rope_scaling": [1]}, "'rope_scaling': expected an object"),
        (llama, {"rope_theta": 0}, "'rope_theta'"),
        (llama, {"partial_rotary_factor": 0.5}, "'partial_rotary_factor'"),
        (llama, {"hidden_size": 10**12}, "'hidden_size'"),
        (qwen2, {"use_sliding_window": True}, "'use_sliding_window'"),
        (qwen2, {"layer_types": ["sliding_attention"]}, "'layer_types'"),
        (qwen2, {"head_dim": 8}, "'head_dim'"),
    ],
)
def test_configs_that_the_trunk_cannot_hold_are_refused(family, change, word):
    good = GPT2 if family is gpt2 else LLAMA
    assert family.read_config(good)[0].dim == 16
    with pytest.raises(UserError, match=word) as caught:
        family.read_config({**good, **change}, where="some/config.json")
    assert "some/config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "change", "word"),
    [
        ("gpt2 llama qwen2", {"norm_place": "after"}, "norm_place"),
        ("gpt2", {"norm": "rms"}, "'norm'"),
        ("llama qwen2", {"norm": "layer"}, "'norm'"),
        ("gpt2 llama qwen2", {"residual": "rezero"}, "residual"),
        ("gpt2", {"activation": "swiglu"}, "activation"),
        ("llama qwen2", {"activation": "gelu"}, "activation"),
        ("gpt2 llama qwen2", {"positions": PositionConfig(kind="sinusoidal")}, "positions.kind"),
        ("gpt2", {"attention": AttentionConfig(num_heads=4, num_groups=2)}, "num_groups"),
        ("gpt2 qwen2", {"attention": AttentionConfig(bias=False)}, "attention.bias"),
        ("gpt2", {"attention": AttentionConfig(output_bias=False)}, "output_bias"),
        ("llama", {"attention": AttentionConfig(output_bias=False)}, "output_bias"),
        ("qwen2", {"attention": AttentionConfig()}, "output_bias"),
        ("gpt2", {"ffn_bias": False}, "ffn_bias"),
        ("qwen2", {"ffn_bias": True}, "ffn_bias"),
        ("gpt2 llama qwen2", {"num_segments": 2}, "num_segments"),
        ("gpt2 llama qwen2", {"entry_norm": True}, "entry_norm"),
        ("gpt2 llama qwen2", {"causal": False}, "causal"),
        ("llama qwen2", {"dropout": 0.1}, "dropout"),
    ],
)
def test_trunks_that_their_classes_cannot_hold_are_refused(kinds, change, word):
    facts = {"vocab_size": VOCAB, "pad_id": 0, "position_offset": 0}
    for kind in kinds.split():
        family = families.find(kind)
        assert family.write_config(OURS[kind], facts)["model_type"] == kind
        with pytest.raises(UserError, match=word):
            family.write_config(replace(OURS[kind], **change), facts)


@pytest.mark.parametrize(
    ("special", "expected"),
    [
        ({}, {"pad_id": 0}),
        ({"eos_token_id": [5, 7], "bos_token_id": 3}, {"pad_id": 5, "start_id": 3, "end_id": 5}),
        ({"bos_token_id": 3}, {"pad_id": 3, "start_id": 3}),
        ({"pad_token_id": 9, "eos_token_id": 4}, {"pad_id": 9, "end_id": 4}),
        ({"pad_token_id": -1, "eos_token_id": 4000}, {"pad_id": 0}),
    ],
)
def test_special_pieces(special, expected):
    """A model that has none for padding gets one that is harmless, and it is not written as theirs."""
    config, facts = qwen2.read_config({**LLAMA, **special})
    assert facts == {"vocab_size": VOCAB, "position_offset": 0, "tied": 0, **expected}
    data = qwen2.write_config(config, facts)
    assert qwen2.read_config(data)[1] == facts
    assert data["pad_token_id"] == (9 if "pad_token_id" in special and expected["pad_id"] else None)
