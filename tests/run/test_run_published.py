"""A saved run is exactly what other libraries take it for, or they refuse it at once."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    pipeline,
)

import zaowu
from zaowu.evaluate.predict import predict

LINES = (
    "姚明宣布退役",
    "国足客场 0:2 不敌对手，主帅：责任在我！",
    "Apple releases a new phone, and 5G chips",
    "iPhone新品发布 ＦＵＬＬ width　标点，“引号”",
    "the quick brown fox jumps over the lazy dog 12345",
    "Привет мир",
    "😀 emoji \u0000\u200b zero",
    "",
)
FAMILIES = ("none", "bert", "xlm-roberta")


def ours(folder, lines=LINES) -> np.ndarray:
    run = zaowu.load(folder, precision="fp32")
    [logits] = predict(run.model, run.source, run.source.items({"text": list(lines)}), num_records=len(lines)).values()
    return logits


def inputs(folder, lines=LINES):
    return AutoTokenizer.from_pretrained(folder)(list(lines), padding=True, return_tensors="pt")


def same_ids(folder, lines=LINES) -> None:
    codec = zaowu.load(folder, precision="fp32").source.text.codec
    theirs = AutoTokenizer.from_pretrained(folder)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    for line, ids in zip(lines, codec.encode(list(lines)), strict=True):
        assert theirs(line)["input_ids"] == ids.tolist(), line


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trim", ["off", "auto"])
def test_head_first_is_their_classifier(fitted, family, trim):
    folder = fitted(family, "first", trim)
    same_ids(folder)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    with torch.inference_mode():
        logits = model.eval()(**inputs(folder)).logits.numpy()
    np.testing.assert_allclose(logits, ours(folder), atol=1e-5, rtol=0)
    assert np.ptp(logits, axis=0).min() > 1e-3  # the lines are told apart: the comparison means something
    assert model.config.id2label == {0: "体育", 1: "科技"}
    assert model.config.label2id == {"体育": 0, "科技": 1}
    assert model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trim", ["off", "auto"])
def test_head_mean_is_their_trunk_and_a_dense_layer(fitted, family, trim):
    folder = fitted(family, "mean", trim)
    same_ids(folder)
    same_ids_in_trunk = AutoTokenizer.from_pretrained(folder / "trunk")
    assert (
        same_ids_in_trunk(list(LINES))["input_ids"] == AutoTokenizer.from_pretrained(folder)(list(LINES))["input_ids"]
    )
    model, report = AutoModel.from_pretrained(folder / "trunk", output_loading_info=True)
    assert {name.split(".")[0] for name in report["missing_keys"]} <= {"pooler"}  # which the mean does not use
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    given = inputs(folder)
    with torch.inference_mode():
        states = model.eval()(**given).last_hidden_state  # (B, T, D)
    real = given["attention_mask"].unsqueeze(-1)
    mean = (states * real).sum(1) / real.sum(1)
    dense = load_file(folder / "2_Dense" / "model.safetensors")
    logits = mean @ dense["linear.weight"].T + dense["linear.bias"]
    np.testing.assert_allclose(logits.numpy(), ours(folder), atol=1e-5, rtol=0)
    assert np.ptp(logits.numpy(), axis=0).min() > 1e-3


@pytest.mark.parametrize("opener", [AutoModel, AutoModelForSequenceClassification])
def test_the_top_of_a_mean_run_is_refused_at_once(fitted, opener):
    with pytest.raises((OSError, ValueError)):
        opener.from_pretrained(fitted("bert", "mean"))


def test_their_pipeline_gives_our_answers(fitted):
    folder = fitted("bert", "first")
    lines = [line for line in LINES if line]
    found = pipeline("text-classification", model=str(folder), tokenizer=str(folder), device="cpu")(lines)
    mine = zaowu.load(folder, precision="fp32").predict(lines).prediction
    assert [row["label"] for row in found] == mine.labels
    np.testing.assert_allclose([row["score"] for row in found], mine.confidence, atol=1e-5)


def test_two_text_columns_are_their_pairs(news, held_csv, published, tmp_path):
    """A pair of texts has second-sentence marks in their tokenizers; ours must mean the same by it."""
    rows = [f'"{text[:9]}","{text[9:]}尾",{label}\n' for text, label in news]
    for name, part in (("train", rows[:90]), ("test", rows[90:])):
        (tmp_path / f"{name}.csv").write_text("title,text,label\n" + "".join(part), "utf-8")
    for family in ("bert", "xlm-roberta"):
        run = zaowu.fit(
            tmp_path / "train.csv",
            test=str(tmp_path / "test.csv"),
            base=str(published(family)),
            head="first",
            trim_vocab="off",
            epochs=1,
            lr=1e-2,
            out=tmp_path / family,
            quiet=True,
            threads=1,
            precision="fp32",
        )
        assert run.source.columns == ("title", "text")
        pairs = [("姚明", "宣布退役 again"), ("New phone", "发布会明天")]
        first, second = zip(*pairs, strict=True)
        own = predict(run.model, run.source, run.source.items({"title": first, "text": second}), num_records=2)["label"]
        given = AutoTokenizer.from_pretrained(tmp_path / family)(
            list(first), list(second), padding=True, return_tensors="pt"
        )
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / family).eval()
        with torch.inference_mode():
            np.testing.assert_allclose(model(**given).logits.numpy(), own, atol=1e-5, rtol=0)


def test_the_sentence_transformers_layout(fitted):
    """As its documentation has it: modules.json, then each module's folder with its config."""
    folder = fitted("bert", "mean")
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    assert [module["idx"] for module in modules] == [0, 1, 2]
    assert [module["type"].rsplit(".", 1)[1] for module in modules] == ["Transformer", "Pooling", "Dense"]
    assert all(module["type"].startswith("sentence_transformers.models.") for module in modules)
    transformer, pooling, dense = (folder / module["path"] for module in modules)
    trunk = json.loads((transformer / "config.json").read_text("utf-8"))
    assert (transformer / "model.safetensors").is_file() and (transformer / "tokenizer.json").is_file()
    longest = json.loads((transformer / "sentence_bert_config.json").read_text("utf-8"))["max_seq_length"]
    assert longest <= trunk["max_position_embeddings"]
    settings = json.loads((pooling / "config.json").read_text("utf-8"))
    assert settings["word_embedding_dimension"] == trunk["hidden_size"]
    assert [name for name, on in settings.items() if name.startswith("pooling_mode") and on] == [
        "pooling_mode_mean_tokens"
    ]
    last = json.loads((dense / "config.json").read_text("utf-8"))
    assert (last["in_features"], last["out_features"], last["bias"]) == (trunk["hidden_size"], 2, True)
    assert last["activation_function"] == "torch.nn.modules.linear.Identity"
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(dense / "model.safetensors").items()}
    assert shapes == {"linear.weight": (2, trunk["hidden_size"]), "linear.bias": (2,)}


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_trimmed_vocabulary_is_smaller_and_says_what_it_lost(fitted, published, news, family):
    letters = Counter(letter for text, _ in news for letter in text if "\u4e00" <= letter <= "\u9fff")
    known = "".join(letter for letter, _ in letters.most_common(12))
    whole = json.loads((published(family) / "config.json").read_text("utf-8"))["vocab_size"]
    trimmed = json.loads((fitted(family, "first", "auto") / "config.json").read_text("utf-8"))["vocab_size"]
    assert trimmed < 0.7 * whole
    assert json.loads((fitted(family, "first", "off") / "config.json").read_text("utf-8"))["vocab_size"] == whole
    lost = zaowu.load(fitted(family, "first", "auto"), precision="fp32").predict(["человек всё понимает", known])
    assert any("1 of 2 texts" in warning and "--trim-vocab off" in warning for warning in lost.warnings)
    kept = zaowu.load(fitted(family, "first", "off"), precision="fp32").predict(["пора рад", known])
    assert not any("vocabulary" in warning for warning in kept.warnings)


def test_trimming_leaves_the_answers_of_its_own_texts_alone(published, news):
    """Token vectors are sliced with the pieces: a base before any training says the same of Chinese text."""
    from zaowu.config import ModelConfig
    from zaowu.inputs import Inputs, text
    from zaowu.learn import read_base
    from zaowu.model import Model
    from zaowu.targets.category import Category

    texts = [line for line, _ in news]
    for family in ("bert", "xlm-roberta"):
        outputs, head = [], None
        for trim in ("off", "auto"):
            base = read_base(published(family))
            source, kept = text.Input.fit(["text"], [texts], base=published(family), trim=trim, max_tokens=64)
            both = Inputs({"text": source})
            model = Model(both.groups, {"x": Category.fit(["a", "b"])}, ModelConfig(trunk=base.trunk))
            model.initialise(0)
            base.load(model, both.groups, kept)
            head = head or model.heads.state_dict()  # drawn after the token table, whose size differs
            model.heads.load_state_dict(head)
            outputs.append(predict(model, both, both.items({"text": texts}), num_records=len(texts))["x"])
            assert (kept is None) == (trim == "off")
        np.testing.assert_allclose(*outputs, atol=1e-6)


# ---- the other kinds of answer


@pytest.fixture(scope="module")
def answering(news, published, tmp_path_factory):
    """(head, targets) -> the folder of a run on tags, sizes and topics of the news; tags are 0 to 2 of three."""
    folder, made = tmp_path_factory.mktemp("answering"), {}
    tags = [["[]", '["长"]', '["长", "球"]', '["机", "球"]'][number % 4] for number in range(len(news))]
    frame = pl.DataFrame(
        {
            "text": [text for text, _ in news],
            "topic": [label for _, label in news],
            "size": [float(len(text)) + number / 100 for number, (text, _) in enumerate(news)],
            "tags": tags,
        }
    )
    frame[:90].write_parquet(folder / "train.parquet")
    frame[90:].write_parquet(folder / "test.parquet")

    def run(head: str, *columns: str):
        if (head, columns) not in made:
            made[head, columns] = folder / "-".join((head, *columns))
            zaowu.fit(
                folder / "train.parquet",
                test=str(folder / "test.parquet"),
                target=columns,
                ignore=[name for name in ("topic", "size", "tags") if name not in columns],
                base=str(published("bert")),
                head=head,
                trim_vocab="off",
                epochs=1,
                lr=3e-3,
                out=made[head, columns],
                quiet=True,
                threads=1,
                precision="fp32",
                lang="en",
            )
        return made[head, columns]

    return run


def test_tags_with_head_first_are_their_classifier_of_several_labels(answering):
    folder = answering("first", "tags")
    same_ids(folder)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.id2label == {0: "机", 1: "球", 2: "长"}
    with torch.inference_mode():
        logits = model.eval()(**inputs(folder)).logits
    np.testing.assert_allclose(logits.numpy(), ours(folder), atol=1e-5, rtol=0)
    assert np.ptp(logits.numpy(), axis=0).min() > 1e-3
    found = zaowu.load(folder, precision="fp32").predict(list(LINES)).prediction
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), found.probabilities, atol=1e-5)


@pytest.mark.parametrize("columns", [("size",), ("topic", "size"), ("topic", "tags")])
def test_what_their_config_cannot_say_is_refused_at_once(answering, columns):
    folder = answering("first", *columns)
    assert not (folder / "config.json").exists()
    for opener in (AutoModel, AutoModelForSequenceClassification):
        with pytest.raises((OSError, ValueError)):
            opener.from_pretrained(folder)
    assert zaowu.load(folder, precision="fp32").predict(["姚明宣布退役"]).predictions.keys() == set(columns)


def test_head_mean_gives_all_answers_in_one_dense_layer(answering):
    folder = answering("mean", "topic", "size", "tags")
    run = zaowu.load(folder, precision="fp32")
    given = inputs(folder)
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder / "trunk").eval()(**given).last_hidden_state
    real = given["attention_mask"].unsqueeze(-1)
    dense = load_file(folder / "2_Dense" / "model.safetensors")
    logits = (states * real).sum(1) / real.sum(1) @ dense["linear.weight"].T + dense["linear.bias"]
    own = predict(run.model, run.source, run.source.items({"text": list(LINES)}), num_records=len(LINES))
    assert [raw.shape[1] for raw in own.values()] == [2, 1, 3]
    np.testing.assert_allclose(logits.numpy(), np.concatenate(list(own.values()), axis=1), atol=1e-5, rtol=0)
