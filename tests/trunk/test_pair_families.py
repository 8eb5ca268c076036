"""BART and Marian of transformers, both ways: states of both halves, logits, losses, gradients; the rest is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk import families
from zaowu.trunk.families import bart, marian
from zaowu.trunk.families.tensors import TOKENS
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

VOCAB = 40
SIZES = {
    "vocab_size": VOCAB,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_position_embeddings": 20,
    "pad_token_id": 39,
    "decoder_start_token_id": 39,
    "eos_token_id": 0,
    "init_std": 0.3,
}
KINDS = {
    "bart": ("Bart", "BartForConditionalGeneration", {**SIZES, "forced_eos_token_id": 0}),
    "bart-scaled": ("Bart", "BartForConditionalGeneration", {**SIZES, "scale_embedding": True, "eos_token_id": 3}),
    "marian": ("Marian", "MarianMTModel", {**SIZES, "scale_embedding": True, "activation_function": "swish"}),
    "marian-plain": ("Marian", "MarianMTModel", {**SIZES, "activation_function": "relu", "pad_token_id": 2}),
}
TEXT = ("text",)


def their_model(kind: str):
    family, class_name, sizes = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**sizes)
    model = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.2)
        model.final_logits_bias.normal_()
    return model


def read(folder: Path, heads: tuple[str, ...] = TEXT, **more) -> tuple[TrunkConfig, dict, dict[str, Tensor]]:
    data = json.loads((folder / "config.json").read_text("utf-8"))
    family = families.find(data["model_type"])
    config, facts = family.read_config(data)
    places = family.names(config, facts, heads=heads)
    path = folder / "model.safetensors"
    return config, facts, families.load_tensors(path, places, config=config, facts=facts, **more)


def halves(config: TrunkConfig, facts: dict[str, int], state: dict[str, Tensor]) -> tuple[Encoder, Decoder]:
    stacks = Encoder(config).eval(), Decoder(families.decoder_config(config, facts)).eval()
    for stack, base in zip(stacks, ("trunk.", "decoder."), strict=True):
        own = {name.removeprefix(base): tensor for name, tensor in state.items() if name.startswith(base)}
        stack.load_state_dict(own)
    return stacks


def states(stack: Encoder, vectors: Tensor, mask: Tensor, **more) -> Tensor:
    places = torch.arange(mask.shape[1]).expand(mask.shape)
    return stack(vectors, mask=mask, positions=places, segments=torch.zeros_like(places), **more)


def texts(length: int, *lengths: int, seed: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(4, VOCAB - 2, (len(lengths), length), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(length) < torch.tensor(lengths)[:, None]


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-5, name: str | None = None) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_theirs_opened_by_us(kind, tmp_path):
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    encoder, decoder = halves(config, facts, state)
    (source, source_mask), (ids, mask) = texts(11, 11, 4, 7, seed=1), texts(9, 3, 9, 5, seed=2)
    source = source.masked_fill(~source_mask, facts["pad_id"])
    labels = ids.roll(-1, 1).masked_fill(~mask, -100)
    expected = theirs(
        input_ids=source,
        attention_mask=source_mask.long(),
        decoder_input_ids=ids,
        labels=labels,
        output_hidden_states=True,
    )
    table = state[TOKENS].requires_grad_()
    memory = states(encoder, table[source], source_mask)
    got = states(decoder, table[ids], mask, memory=Memory(memory, source_mask))
    close(memory[source_mask], expected.encoder_last_hidden_state[source_mask])
    close(got[mask], expected.decoder_hidden_states[-1][mask])
    logits = got @ table.t() + state["lm_head.bias"]
    close(logits[mask], expected.logits[mask], 2e-5)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    close(loss, expected.loss)

    loss.backward()
    expected.loss.backward()
    grads = {name: weight.grad for name, weight in theirs.named_parameters()}
    for name, place in families.find(theirs.config.model_type).names(config, facts, heads=TEXT).items():
        stack, _, own = place.name.partition(".")
        if stack in ("trunk", "decoder"):
            mine = (encoder if stack == "trunk" else decoder).get_parameter(own).grad
            close(mine, grads[name][place.skip :], 1e-4, name)
    close(table.grad, grads["model.shared.weight"], 1e-4)  # no token is padding on either side


OURS = {
    "bart": TrunkConfig(
        dim=16,
        num_layers=2,
        ffn_dim=24,
        activation="gelu_tanh",
        norm_eps=1e-5,
        num_segments=0,
        positions=PositionConfig(max_positions=20),
        attention=AttentionConfig(num_heads=2, dropout=0.2),
    ),
    "marian": TrunkConfig(
        dim=16,
        num_layers=1,
        ffn_dim=24,
        activation="silu",
        norm_eps=1e-5,
        num_segments=0,
        entry_norm=False,
        entry_scale=True,
        positions=PositionConfig(kind="sinusoidal", max_positions=20, halves=True),
        attention=AttentionConfig(num_heads=4),
    ),
}
FACTS = {"vocab_size": VOCAB, "pad_id": 6, "tied": 1, "start_id": 6, "end_id": 2}
SIDES = {"decoder_layers": 3, "decoder_heads": 4, "decoder_ffn_dim": 12}


@pytest.mark.parametrize("kind", OURS)
def test_ours_opened_by_them(kind, tmp_path):
    """No weight is missing or made up, their class gives our logits, and what comes back is ours."""
    family, trunk = families.find(kind), OURS[kind]
    facts = {**FACTS, **SIDES, "position_offset": 2 if kind == "bart" else 0}
    torch.manual_seed(0)
    stacks = {"trunk": Encoder(trunk), "decoder": Decoder(families.decoder_config(trunk, facts))}
    state = {
        f"{name}.{own}": torch.randn_like(weight) * 0.3
        for name, stack in stacks.items()
        for own, weight in stack.state_dict().items()
    }
    state |= {TOKENS: torch.randn(VOCAB, 16), "lm_head.bias": torch.randn(VOCAB)}
    data = family.write_config(trunk, facts, heads=TEXT)
    (tmp_path / "config.json").write_text(json.dumps(data), "utf-8")
    families.save_tensors(tmp_path / "model.safetensors", state, family.names(trunk, facts, heads=TEXT))
    theirs, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in info.items() if found} == {}
    assert type(theirs).__name__ == data["architectures"][0]

    encoder, decoder = halves(trunk, facts, state)
    (source, source_mask), (ids, mask) = texts(11, 11, 4, 7, seed=1), texts(9, 9, 9, 9, seed=2)
    with torch.no_grad():
        memory = Memory(states(encoder, state[TOKENS][source], source_mask), source_mask)
        got = states(decoder, state[TOKENS][ids], mask, memory=memory) @ state[TOKENS].t() + state["lm_head.bias"]
        expected = theirs.eval()(input_ids=source, attention_mask=source_mask.long(), decoder_input_ids=ids)
    close(got, expected.logits, 2e-5)
    writer = Writer(decoder, table=state[TOKENS], output=state[TOKENS], bias=state["lm_head.bias"])
    logits, cache = writer.begin(ids[:, :1], mask[:, :1], memory=memory)
    for place in range(1, 10):
        close(logits, expected.logits[:, place - 1], 2e-5)
        if place < 9:
            logits, cache = writer.step(cache, ids[:, place])

    back = read(tmp_path)
    assert (back[0], back[1]) == (trunk, facts)
    assert back[2].keys() == state.keys()
    assert all(torch.equal(back[2][name], state[name]) for name in state)


@pytest.mark.parametrize("kind", ["bart", "marian"])
def test_an_encoder_alone_is_read_from_the_whole_and_only_wanted_rows(kind, tmp_path):
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    rows = np.array([7, 2, 39, 2, 30])
    state = read(tmp_path, heads=())[2]
    assert {name.partition(".")[0] for name in state} == {"trunk", "embedder"}
    wanted = read(tmp_path, rows=rows)[2]
    assert torch.equal(wanted[TOKENS], state[TOKENS][torch.from_numpy(rows)])
    assert torch.equal(wanted["lm_head.bias"], theirs.final_logits_bias[0, torch.from_numpy(rows)])


@pytest.mark.parametrize(("family", "theirs"), [(bart, transformers.BartConfig), (marian, transformers.MarianConfig)])
def test_absent_fields_are_what_their_library_takes_them_for(family, theirs):
    assert family.read_config({}) == family.read_config(theirs().to_dict())


@pytest.mark.parametrize(
    ("family", "change", "word"),
    [
        (bart, {"d_model": "16"}, "'d_model'"),
        (bart, {"decoder_attention_heads": 3}, "'decoder_attention_heads': expected a divisor"),
        (bart, {"encoder_attention_heads": 3}, "'encoder_attention_heads': expected a divisor"),
        (bart, {"tie_word_embeddings": False}, "'tie_word_embeddings'"),
        (bart, {"activation_dropout": 0.1}, "'activation_dropout'"),
        (bart, {"decoder_layerdrop": 0.1}, "'decoder_layerdrop'"),
        (bart, {"decoder_layers": 10**9}, "'decoder_layers'"),
        (marian, {"decoder_start_token_id": VOCAB}, "'decoder_start_token_id'"),
        (marian, {"share_encoder_decoder_embeddings": False}, "'share_encoder_decoder_embeddings'"),
        (marian, {"decoder_vocab_size": 41}, "'decoder_vocab_size'"),
        (marian, {"scale_embedding": 1}, "'scale_embedding'"),
    ],
)
def test_configs_that_the_trunk_cannot_hold_are_refused(family, change, word):
    good = {**SIZES, "decoder_vocab_size": VOCAB}
    assert family.read_config(good)[0].dim == 16
    with pytest.raises(UserError, match=word) as caught:
        family.read_config({**good, **change}, where="some/config.json")
    assert "some/config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "change", "word"),
    [
        ("bart marian", {"norm_place": "before"}, "norm_place"),
        ("bart marian", {"norm": "rms"}, "'norm'"),
        ("bart marian", {"norm_eps": 1e-6}, "norm_eps"),
        ("bart marian", {"causal": True}, "causal"),
        ("bart marian", {"num_segments": 2}, "num_segments"),
        ("bart marian", {"attention": AttentionConfig(num_heads=4, num_groups=2)}, "num_groups"),
        ("bart marian", {"activation": "swiglu"}, "activation"),
        ("bart", {"entry_norm": False}, "entry_norm"),
        ("marian", {"entry_norm": True}, "entry_norm"),
        ("bart", {"positions": PositionConfig(kind="sinusoidal", halves=True)}, "positions.kind"),
        ("marian", {"positions": PositionConfig(kind="sinusoidal")}, "positions.halves"),
        ("marian", {"positions": PositionConfig()}, "positions.kind"),
    ],
)
def test_trunks_that_their_classes_cannot_hold_are_refused(kinds, change, word):
    facts = {**FACTS, **SIDES, "position_offset": 0}
    for kind in kinds.split():
        family = families.find(kind)
        assert family.write_config(OURS[kind], facts, heads=TEXT)["model_type"] == kind
        with pytest.raises(UserError, match=word):
            family.write_config(replace(OURS[kind], **change), facts, heads=TEXT)


def test_half_of_a_pair_and_classes_are_no_model_of_theirs():
    facts = {**FACTS, **SIDES, "position_offset": 0}
    for family, trunk in ((bart, OURS["bart"]), (marian, OURS["marian"])):
        with pytest.raises(UserError, match="no output layer"):
            family.write_config(trunk, facts)
        with pytest.raises(UserError, match="no output layer"):
            family.names(trunk, facts, heads=("causal",))
