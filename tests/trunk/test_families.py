"""Checkpoints of transformers, both ways: theirs give our outputs, ours give theirs, and hostile ones are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from zaowu.config import AttentionConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk import families
from zaowu.trunk.families import bert, roberta
from zaowu.trunk.transformer.encoder import Encoder

VOCAB, CLASSES = 40, ("体育", "科技", "other")
TOKENS = "embedder.tokens.weight"
KINDS = {
    "bert": ("Bert", {"pad_token_id": 0, "type_vocab_size": 2}),
    "bert-old": ("Bert", {"pad_token_id": 3, "type_vocab_size": 1, "hidden_act": "gelu_new"}),
    "roberta": ("Roberta", {"pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta": ("XLMRoberta", {"pad_token_id": 1, "type_vocab_size": 1, "hidden_act": "relu"}),
    "roberta-pad": ("Roberta", {"pad_token_id": 4, "type_vocab_size": 2}),
}


def their_config(kind: str, **more):
    name, special = KINDS[kind]
    sizes = {
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 20,
        "layer_norm_eps": 1e-6,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    return getattr(transformers, f"{name}Config")(**{**sizes, **special, **more})


def their_model(kind: str, head: str = "Model", **more):
    torch.manual_seed(0)
    model = getattr(transformers, KINDS[kind][0] + head)(their_config(kind, **more)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:  # those start at 0 and 1, and would prove nothing
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def read(folder: Path, **more) -> tuple[TrunkConfig, dict[str, int], dict[str, torch.Tensor]]:
    data = json.loads((folder / "config.json").read_text("utf-8"))
    family = families.find(data["model_type"])
    config, facts = family.read_config(data)
    names = family.names(config, facts, classify="num_classes" in more)
    return config, facts, families.load_tensors(folder / "model.safetensors", names, config=config, facts=facts, **more)


def encoder(config: TrunkConfig, state: dict[str, torch.Tensor]) -> Encoder:
    ours = Encoder(config).eval()
    ours.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("trunk.")})
    return ours


def texts(pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, VOCAB, (3, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(11) < torch.tensor([11, 4, 7])[:, None]
    return ids.masked_fill(~mask, pad_id), mask


def states(ours: Encoder, vectors: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor | None = None):
    positions = torch.arange(mask.shape[1]).expand(mask.shape)
    segments = torch.zeros_like(positions) if segments is None else segments
    return ours(vectors, mask=mask, positions=positions, segments=segments)


@pytest.mark.parametrize("kind", KINDS)
def test_theirs_opened_by_us(kind, tmp_path):
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path)
    config, facts, state = read(tmp_path)
    ours = encoder(config, state)
    ids, mask = texts(facts["pad_id"])
    segments = (torch.arange(11) > 3).long().expand(3, 11) * (config.num_segments - 1) * mask
    vectors = state[TOKENS][ids].requires_grad_()
    expected = theirs(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments)
    got = states(ours, vectors, mask, segments)
    torch.testing.assert_close(got[mask], expected.last_hidden_state[mask], rtol=1e-5, atol=1e-5)
    pooled = torch.tanh(got[:, 0] @ state["pooler.weight"].t() + state["pooler.bias"])
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-5, atol=1e-5)

    toward = torch.randn(got.shape, generator=torch.Generator().manual_seed(2))
    (got * toward)[mask].sum().backward()
    (expected.last_hidden_state * toward)[mask].sum().backward()
    grads = dict(theirs.named_parameters())
    for name, place in families.find(theirs.config.model_type).names(config, facts).items():
        if place.name.startswith("trunk."):
            mine = ours.get_parameter(place.name[6:]).grad
            torch.testing.assert_close(mine, grads[name].grad[place.skip :], rtol=1e-4, atol=1e-4, msg=name)
    table = torch.zeros_like(state[TOKENS]).index_put_((ids[mask],), vectors.grad[mask], accumulate=True)
    torch.testing.assert_close(table, grads["embeddings.word_embeddings.weight"].grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_ours_opened_by_them(kind, tmp_path):
    """From scratch to their class: outputs and class scores are equal, no weight is missing or made up."""
    family = families.find(kind)
    trunk = TrunkConfig(
        dim=16,
        num_layers=2,
        ffn_dim=24,
        activation="gelu_tanh",
        norm_eps=1e-6,
        num_segments=1 if kind == "xlm-roberta" else 2,
        positions=PositionConfig(max_positions=13),
        attention=AttentionConfig(num_heads=2, dropout=0.0),
    )
    pad_id = 6
    facts = {"vocab_size": VOCAB, "pad_id": pad_id, "position_offset": 0 if kind == "bert" else pad_id + 1}
    torch.manual_seed(0)
    ours = Encoder(trunk).eval()
    state = {f"trunk.{name}": torch.randn_like(tensor) * 0.3 for name, tensor in ours.state_dict().items()}
    state |= {TOKENS: torch.randn(VOCAB, 16), "pooler.weight": torch.randn(16, 16), "pooler.bias": torch.randn(16)}
    state |= {"head.weight": torch.randn(3, 16), "head.bias": torch.randn(3)}
    ours = encoder(trunk, state)

    config = family.write_config(trunk, facts, model_type=kind, classes=CLASSES)
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    families.save_tensors(tmp_path / "model.safetensors", state, family.names(trunk, facts, classify=True))
    class_of = getattr(transformers, config["architectures"][0])
    theirs, info = class_of.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in info.items() if found} == {}
    assert theirs.config.id2label == dict(enumerate(CLASSES))
    assert theirs.config.problem_type == "single_label_classification"

    ids, mask = texts(pad_id)
    with torch.no_grad():
        got = states(ours, state[TOKENS][ids], mask)
        pooled = torch.tanh(got[:, 0] @ state["pooler.weight"].t() + state["pooler.bias"])
        scores = pooled @ state["head.weight"].t() + state["head.bias"]
        expected = theirs.eval()(input_ids=ids, attention_mask=mask.long())
        base = theirs.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(got[mask], base[mask], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores, expected.logits, rtol=1e-5, atol=1e-5)

    back = read(tmp_path, num_classes=3)
    assert (back[0], back[1]) == (trunk, facts)
    assert back[2].keys() == state.keys()
    assert all(torch.equal(back[2][name], state[name]) for name in state)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_base_model_without_a_head(kind, tmp_path):
    family = families.find(kind)
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path / "theirs")
    config, facts, state = read(tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    written = family.write_config(config, facts, model_type=kind)
    (tmp_path / "ours" / "config.json").write_text(json.dumps(written), "utf-8")
    families.save_tensors(tmp_path / "ours" / "model.safetensors", state, family.names(config, facts))
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours")
    assert type(again) is type(theirs)
    for (name, old), new in zip(theirs.named_parameters(), again.parameters(), strict=True):
        skipped = facts["position_offset"] if "position_embeddings" in name else 0
        assert torch.equal(old[skipped:], new[skipped:]), name


def test_a_classifier_of_theirs_serves_as_a_base_and_only_wanted_rows_are_read(tmp_path):
    theirs = their_model("bert", "ForSequenceClassification")
    theirs.save_pretrained(tmp_path)
    rows = np.array([7, 2, 39, 2, 30])
    state = read(tmp_path, rows=rows)[2]
    table = theirs.bert.embeddings.word_embeddings.weight
    assert torch.equal(state[TOKENS], table[torch.from_numpy(rows)])
    assert "head.weight" not in state
    many = np.random.default_rng(0).permutation(VOCAB)[:25]
    assert torch.equal(read(tmp_path, rows=many)[2][TOKENS], table[torch.from_numpy(many)])
    assert read(tmp_path, rows=np.array([], int))[2][TOKENS].shape == (0, 16)


def test_half_precision_and_old_names_are_read(tmp_path):
    theirs = their_model("bert")
    theirs.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    renamed = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for name, t in tensors.items()
        if not name.startswith("pooler")
    }
    save_file({name: tensor.half() for name, tensor in renamed.items()}, tmp_path / "model.safetensors")
    state = read(tmp_path)[2]
    assert "pooler.weight" not in state
    for name, ours in (("embeddings.LayerNorm.weight", "trunk.entry_norm.weight"), (None, TOKENS)):
        expected = tensors[name or "embeddings.word_embeddings.weight"]
        assert torch.equal(state[ours], expected.half().float())


GOOD = {
    "model_type": "bert",
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"hidden_size": "16"}, "'hidden_size'"),
        ({"hidden_size": True}, "'hidden_size'"),
        ({"hidden_size": 16.0}, "'hidden_size'"),
        ({"hidden_size": -16}, "'hidden_size'"),
        ({"hidden_size": 10**12}, "'hidden_size'"),
        ({"hidden_size": 18}, "'num_attention_heads': expected a divisor"),
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers'"),
        ({"vocab_size": 10**12}, "'vocab_size'"),
        ({"pad_token_id": 40}, "'pad_token_id'"),
        ({"hidden_act": "mish"}, "'hidden_act'"),
        ({"hidden_act": ["gelu"]}, "'hidden_act'"),
        ({"hidden_dropout_prob": 1.5}, "'hidden_dropout_prob'"),
        ({"attention_probs_dropout_prob": -0.1}, "'attention_probs_dropout_prob'"),
        ({"layer_norm_eps": float("nan")}, "'layer_norm_eps'"),
        ({"layer_norm_eps": 0}, "'layer_norm_eps'"),
        ({"position_embedding_type": "relative_key"}, "'position_embedding_type'"),
        ({"is_decoder": True}, "'is_decoder'"),
        ({"is_decoder": 0}, "'is_decoder'"),
        ({"add_cross_attention": True}, "'add_cross_attention'"),
    ],
)
@pytest.mark.parametrize("family", [bert, roberta])
def test_configs_that_the_trunk_cannot_hold_are_refused(change, word, family):
    assert family.read_config(GOOD)[0].dim == 16
    with pytest.raises(UserError, match=word) as caught:
        family.read_config({**GOOD, **change}, where="some/config.json")
    assert "some/config.json" in str(caught.value)


def test_absent_fields_are_what_their_library_takes_them_for():
    for family, theirs in ((bert, transformers.BertConfig()), (roberta, transformers.RobertaConfig())):
        config, facts = family.read_config({})
        expected, expected_facts = family.read_config(theirs.to_dict())
        assert (config, facts) == (expected, expected_facts)


def test_roberta_needs_places_behind_the_padding():
    with pytest.raises(UserError, match="'max_position_embeddings'"):
        roberta.read_config({**GOOD, "max_position_embeddings": 2, "pad_token_id": 1})


@pytest.mark.parametrize("model_type", ["t5", "../bert", "zaowu.cli", "tensors", "os", None, 3, "", ["bert"]])
def test_only_families_of_this_folder_are_found(model_type):
    with pytest.raises(UserError, match="model_type"):
        families.find(model_type)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"norm_place": "before"}, "norm_place"),
        ({"norm": "rms"}, "'norm'"),
        ({"residual": "rezero"}, "residual"),
        ({"activation": "swiglu"}, "activation"),
        ({"positions": PositionConfig(kind="rotary")}, "positions.kind"),
        ({"attention": AttentionConfig(num_heads=4, num_groups=2)}, "num_groups"),
        ({"attention": AttentionConfig(num_heads=4, bias=False)}, "attention.bias"),
        ({"num_segments": 0}, "num_segments"),
        ({"entry_norm": False}, "entry_norm"),
        ({"causal": True}, "causal"),
    ],
)
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_trunks_that_their_classes_cannot_hold_are_refused(change, word, kind):
    family = families.find(kind)
    config, facts = family.read_config(GOOD)
    assert family.write_config(config, facts, model_type=kind)["model_type"] == kind
    with pytest.raises(UserError, match=word):
        family.write_config(replace(config, **change), facts, model_type=kind)


def damaged(tensors: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    key = "encoder.layer.1.output.dense.weight"
    tensors = dict(tensors)
    if how == "missing":
        del tensors[key]
    elif how == "shape":
        tensors[key] = tensors[key].t().contiguous()
    elif how == "kind":
        tensors[key] = tensors[key].long()
    elif how == "no table":
        del tensors["embeddings.word_embeddings.weight"]
    elif how == "two models":
        tensors["other.embeddings.word_embeddings.weight"] = torch.zeros(1)
    return tensors


@pytest.mark.parametrize("how", ["missing", "shape", "kind", "no table", "two models"])
def test_files_that_do_not_fit_their_config_are_refused(how, tmp_path):
    their_model("bert").save_pretrained(tmp_path)
    read(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(damaged(load_file(path), how), path)
    with pytest.raises(UserError, match=r"encoder\.layer\.1|word_embeddings"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not safetensors at all", b"\xff" * 64])
def test_files_of_another_kind_are_refused(content, tmp_path):
    their_model("bert").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path)


def test_a_cut_off_file_is_refused(tmp_path):
    their_model("bert").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="whole safetensors file"):
        read(tmp_path)


def test_a_config_larger_than_its_file_allocates_nothing(tmp_path):
    """A hostile config: its sizes are compared with the file's before there is any tensor of theirs."""
    their_model("bert").save_pretrained(tmp_path)
    huge = {**GOOD, "hidden_size": 65536, "intermediate_size": 262144, "num_hidden_layers": 2, "vocab_size": 10**7}
    (tmp_path / "config.json").write_text(json.dumps(huge))
    with pytest.raises(UserError, match="expected the shape"):
        read(tmp_path)


def test_every_family_keeps_the_contract():
    found = families.available()
    assert set(found) >= {"bert", "roberta", "xlm-roberta", "gpt2", "llama", "qwen2", "vit", "whisper"}
    for model_type, family in found.items():
        config, facts = family.read_config({**GOOD, "num_key_value_heads": 2})
        given = {"model_type": model_type}
        data = family.write_config(config, facts, **given)
        assert json.loads(json.dumps(data)) == data
        assert family.read_config(data) == (config, facts)
        of_text = "vocab_size" in facts
        heads = () if not of_text else ("causal",) if config.causal else ("masked",)
        assert family.read_config(family.write_config(config, facts, **given, heads=heads)) == (config, facts)
        with torch.device("meta"):
            weights = set(Encoder(config).state_dict())
        for more in ({}, {"heads": heads}, {"classify": True}):
            if (config.causal or model_type == "whisper") and more == {"classify": True}:
                with pytest.raises(UserError, match="no output layer for"):
                    family.names(config, facts, **more)
                continue
            places = [name for place in family.names(config, facts, **more).values() for name in place.names]
            assert len(set(places)) == len(places)
            assert {name[6:] for name in places if name.startswith("trunk.")} == weights, model_type
            assert ("head.weight" in places) == ("classify" in more)
        for wrong in (("masked", "causal"), ("masked",) if config.causal or not of_text else ("causal",)):
            with pytest.raises(UserError, match="no output layer"):
                family.names(config, facts, heads=wrong)
            with pytest.raises(UserError, match="no output layer"):
                family.write_config(config, facts, **given, heads=wrong)
