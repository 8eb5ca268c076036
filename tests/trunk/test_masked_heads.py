"""The output layers of pre-training under BERT's and RoBERTa's names: their losses are ours, both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk import families
from zaowu.trunk.families.tensors import OF_PIECES, TOKENS
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.feedforward import activate

VOCAB, DIM, LENGTH, PAD = 40, 16, 11, 3
MASKED, PAIRS, ORDER = ("masked",), ("masked", "next_sentence"), ("masked", "sentence_order")
TRUNK = TrunkConfig(
    dim=DIM,
    num_layers=2,
    ffn_dim=24,
    norm_eps=1e-6,
    num_segments=2,
    positions=PositionConfig(max_positions=13),
    attention=AttentionConfig(num_heads=2, dropout=0.0),
)
CASES = {
    "bert-masked": ("bert", MASKED, "BertForMaskedLM", "gelu"),
    "bert-tanh": ("bert", MASKED, "BertForMaskedLM", "gelu_tanh"),
    "bert-pairs": ("bert", PAIRS, "BertForPreTraining", "gelu"),
    "bert-order": ("bert", ORDER, "BertForPreTraining", "relu"),
    "roberta": ("roberta", MASKED, "RobertaForMaskedLM", "gelu"),
    "xlm-roberta": ("xlm-roberta", MASKED, "XLMRobertaForMaskedLM", "gelu"),
}


def facts_of(kind: str) -> dict[str, int]:
    return {"vocab_size": VOCAB, "pad_id": PAD, "position_offset": 0 if kind == "bert" else PAD + 1}


def made_by_hand(trunk: TrunkConfig, heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Random weights of trunk, token table and output layers under our names."""
    torch.manual_seed(0)
    shapes = {f"trunk.{name}": tensor.shape for name, tensor in Encoder(trunk).state_dict().items()}
    shapes |= {TOKENS: (VOCAB, DIM), "masked.dense.weight": (DIM, DIM), "masked.bias": (VOCAB,)}
    shapes |= dict.fromkeys(("masked.dense.bias", "masked.norm.weight", "masked.norm.bias"), (DIM,))
    if len(heads) > 1:
        shapes |= {"pooler.weight": (DIM, DIM), "pooler.bias": (DIM,)}
        shapes |= {"next_sentence.weight": (2, DIM), "next_sentence.bias": (2,)}
    return {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """ids, mask, segments, the pieces behind the corrupted places (else -100), and which pairs are random."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, VOCAB, (3, LENGTH), generator=generator)
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 4, 7])[:, None]
    chosen = mask & (torch.arange(LENGTH) % 3 == 1)
    pieces = torch.randint(5, VOCAB, ids.shape, generator=generator).masked_fill(~chosen, -100)
    segments = (torch.arange(LENGTH) > 2).long() * mask
    return ids.masked_fill(~mask, PAD), mask, segments, pieces, torch.tensor([0, 1, 1])


def losses(trunk: TrunkConfig, state: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Cross-entropy at the corrupted places, and of the pairs where there is such a layer; by formula."""
    ids, mask, segments, pieces, pairs = batch()
    encoder = Encoder(trunk).eval()
    encoder.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("trunk.")})
    positions = torch.arange(LENGTH).expand(ids.shape)
    states = encoder(state[TOKENS][ids], mask=mask, positions=positions, segments=segments)
    seen = states[pieces >= 0]
    h = activate(seen @ state["masked.dense.weight"].t() + state["masked.dense.bias"], kind=trunk.activation)
    h = F.layer_norm(h, (DIM,), state["masked.norm.weight"], state["masked.norm.bias"], trunk.norm_eps)
    masked = F.cross_entropy(h @ state[TOKENS].t() + state["masked.bias"], pieces[pieces >= 0])
    if "next_sentence.weight" not in state:
        return masked, None
    pooled = torch.tanh(states[:, 0] @ state["pooler.weight"].t() + state["pooler.bias"])
    return masked, F.cross_entropy(pooled @ state["next_sentence.weight"].t() + state["next_sentence.bias"], pairs)


def their_loss(theirs, *, pairs: bool) -> Tensor:
    ids, mask, segments, pieces, random = batch()
    given = {"input_ids": ids, "attention_mask": mask.long(), "token_type_ids": segments, "labels": pieces}
    return theirs(**given, **({"next_sentence_label": random} if pairs else {})).loss


def read(folder: Path, heads: tuple[str, ...], **more) -> tuple[TrunkConfig, dict[str, int], dict[str, Tensor]]:
    data = json.loads((folder / "config.json").read_text("utf-8"))
    family = families.find(data["model_type"])
    config, facts = family.read_config(data)
    places, path = family.names(config, facts, heads=heads), folder / "model.safetensors"
    return config, facts, families.load_tensors(path, places, config=config, facts=facts, **more)


def write(folder: Path, kind: str, trunk: TrunkConfig, state: dict[str, Tensor], heads: tuple[str, ...]) -> dict:
    family, facts = families.find(kind), facts_of(kind)
    data = family.write_config(trunk, facts, model_type=kind, heads=heads)
    (folder / "config.json").write_text(json.dumps(data), "utf-8")
    families.save_tensors(folder / "model.safetensors", state, family.names(trunk, facts, heads=heads))
    return data


@pytest.mark.parametrize("case", CASES)
def test_ours_opened_by_them(case, tmp_path):
    kind, heads, name, activation = CASES[case]
    trunk = replace(TRUNK, activation=activation)
    state, pairs = made_by_hand(trunk, heads), len(heads) > 1
    data = write(tmp_path, kind, trunk, state, heads)
    assert data["architectures"] == [name]
    opener = transformers.AutoModelForPreTraining if pairs or kind != "bert" else transformers.AutoModelForMaskedLM
    theirs, info = opener.from_pretrained(tmp_path, output_loading_info=True)
    assert {key: found for key, found in info.items() if found} == {}
    assert type(theirs).__name__ == name
    masked, paired = losses(trunk, state)
    with torch.no_grad():
        torch.testing.assert_close(
            masked + (paired if pairs else 0), their_loss(theirs.eval(), pairs=pairs), rtol=1e-5, atol=1e-5
        )
    back = read(tmp_path, heads)
    assert back[:2] == (trunk, facts_of(kind)) and back[2].keys() == state.keys()
    assert all(torch.equal(back[2][key], state[key]) for key in state)


@pytest.mark.parametrize("case", CASES)
def test_theirs_opened_by_us(case, tmp_path):
    """Loss, and gradients of every weight, the token table's from both its ends among them."""
    kind, heads, name, activation = CASES[case]
    pairs = len(heads) > 1
    config = families.find(kind).write_config(
        replace(TRUNK, activation=activation), facts_of(kind), model_type=kind, heads=heads
    )
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(
        getattr(transformers, name.partition("For")[0] + "Config")(**config, initializer_range=0.3)
    ).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.2)
    theirs.save_pretrained(tmp_path)
    trunk, facts, state = read(tmp_path, heads)
    expected = their_loss(theirs, pairs=pairs)
    with torch.no_grad():
        masked, paired = losses(trunk, state)
    torch.testing.assert_close(masked + (paired if pairs else 0), expected, rtol=1e-5, atol=1e-5)

    expected.backward()
    grads = {key: weight.grad for key, weight in theirs.named_parameters()}
    for key, place in families.find(kind).names(trunk, facts, heads=heads).items():
        if not place.name.startswith(("trunk.", "embedder.")):
            own = {**state, place.name: state[place.name].clone().requires_grad_()}
            masked, paired = losses(trunk, own)
            (mine,) = torch.autograd.grad(masked + (paired if pairs else 0), own[place.name])
            torch.testing.assert_close(mine, grads[key], rtol=1e-4, atol=1e-4, msg=key)
    own = {**state, TOKENS: state[TOKENS].clone().requires_grad_()}
    masked, paired = losses(trunk, own)
    (mine,) = torch.autograd.grad(masked + (paired if pairs else 0), own[TOKENS])
    torch.testing.assert_close(mine, theirs.get_input_embeddings().weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_base_without_output_layers_is_read_as_far_as_it_goes(kind, tmp_path):
    """Behind a prefix or not; half a layer is damage."""
    state = made_by_hand(TRUNK, MASKED)
    write(tmp_path, kind, TRUNK, state, MASKED)
    path = tmp_path / "model.safetensors"
    whole = load_file(path)
    trunk = {name: tensor for name, tensor in whole.items() if name.startswith(f"{kind}.")}
    for tensors in (trunk, {name.removeprefix(f"{kind}."): tensor for name, tensor in trunk.items()}):
        save_file(tensors, path)
        found = read(tmp_path, MASKED, whole=False)[2]
        assert found.keys() == {name for name in state if not name.startswith("masked.")}
        assert all(torch.equal(found[name], state[name]) for name in found)
        with pytest.raises(UserError, match="dense"):
            read(tmp_path, MASKED)
    save_file({name: tensor for name, tensor in whole.items() if not name.endswith("dense.bias")}, path)
    with pytest.raises(UserError, match=r"dense\.bias' is missing"):
        read(tmp_path, MASKED, whole=False)


def test_an_old_file_and_one_that_holds_more_are_read(tmp_path):
    """Published BERTs have gamma and beta, and the last layer a second time."""
    state = made_by_hand(TRUNK, PAIRS)
    write(tmp_path, "bert", TRUNK, state, PAIRS)
    path = tmp_path / "model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    tensors["cls.predictions.decoder.weight"] = state[TOKENS].clone()
    save_file(tensors, path)
    found = read(tmp_path, PAIRS)[2]
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_only_wanted_rows_of_what_belongs_to_pieces_are_read(tmp_path):
    state = made_by_hand(TRUNK, MASKED)
    write(tmp_path, "bert", TRUNK, state, MASKED)
    rows = torch.tensor([9, 2, 39, 2])
    found = read(tmp_path, MASKED, rows=rows.numpy())[2]
    for name in state:
        assert torch.equal(found[name], state[name][rows] if name in OF_PIECES else state[name]), name


def test_an_output_layer_of_another_size_is_refused(tmp_path):
    state = made_by_hand(TRUNK, PAIRS)
    write(tmp_path, "bert", TRUNK, {**state, "masked.bias": torch.zeros(VOCAB + 1)}, PAIRS)
    with pytest.raises(UserError, match=r"cls\.predictions\.bias': expected the shape \(40,\)"):
        read(tmp_path, PAIRS)


def test_what_no_class_of_theirs_holds_is_refused(tmp_path):
    for kind in ("roberta", "xlm-roberta"):
        with pytest.raises(UserError, match="no output layer for masked \\+ next_sentence"):
            families.find(kind).write_config(TRUNK, facts_of(kind), model_type=kind, heads=PAIRS)
        with pytest.raises(UserError, match="activation"):  # their head knows gelu alone
            tanh = replace(TRUNK, activation="gelu_tanh")
            families.find(kind).write_config(tanh, facts_of(kind), model_type=kind, heads=MASKED)
    bert = families.find("bert")
    data = {**bert.write_config(TRUNK, facts_of("bert"), heads=MASKED), "tie_word_embeddings": False}
    config, facts = bert.read_config(data)
    assert bert.read_config(bert.write_config(config, facts)) == (config, facts)
    for refused in (bert.names, bert.write_config):
        with pytest.raises(UserError, match="not its token table"):
            refused(config, facts, heads=MASKED)
