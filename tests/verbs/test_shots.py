"""`--shots`: a causal model that has learned the pattern of a prompt answers by its examples; and all refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import zaowu
from zaowu.errors import UserError
from zaowu.run.language import open_language
from zaowu.run.shots import InContext, read_shots
from zaowu.verbs.evaluate import evaluate

WORDS = {"好": "甲乙丙", "坏": "子丑寅", "大红": "天地人"}
HOW = {"precision": "fp32", "threads": 1, "quiet": True}


def sentence(label: str, rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(WORDS[label]), 6))


def table(path: Path, num: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    labels = [list(WORDS)[place % 3] for place in range(num)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((sentence(label, rng), label) for label in labels)])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shots")


@pytest.fixture(scope="module")
def model(folder, tiny_causal) -> Path:
    """Pre-trained for seconds on labelled texts in the layout of the prompt."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(200):
        labels = rng.choice(list(WORDS), 6)
        told = "\n\n".join(f"text: {sentence(label, rng)}\nlabel: {label}" for label in labels)
        rows.append(json.dumps({"text": told}, ensure_ascii=False))
    (folder / "corpus.jsonl").write_text("\n".join(rows), "utf-8")
    how = {"objective": "causal", "steps": 120, "lr": 1e-2, "length": 160, "batch_size": 8, "lang": "en"}
    how["settings"] = {"held_out": 0.02, "evaluate_steps": 120}
    zaowu.pretrain(folder / "corpus.jsonl", base=str(tiny_causal), out=folder / "base", **how, **HOW)
    return folder / "base"


@pytest.fixture(scope="module")
def shots(folder) -> Path:
    return table(folder / "shots.csv", 30, seed=1)


@pytest.fixture(scope="module")
def test_csv(folder) -> Path:
    return table(folder / "test.csv", 24, seed=2)


def test_texts_are_classified(model, shots, test_csv):
    found = zaowu.predict(model, str(test_csv), shots=str(shots), num_shots=6, **HOW)
    assert [row["label"] for row in found.to_plain()] == [["好", "坏", "大红"][place % 3] for place in range(24)]
    assert all(1 / 3 < row["confidence"] <= 1 for row in found.to_plain())
    (one,) = zaowu.predict(model, "丑寅丑子子丑", shots=str(shots), num_shots=3, top=2, **HOW).to_plain()
    assert one["label"] == "坏" and one["top"][0]["label"] == "坏" and len(one["top"]) == 2


def test_scores_beside_the_linear_model(model, shots, test_csv, folder):
    out = folder / "answers.csv"
    found = evaluate(model, str(test_csv), shots=str(shots), draws=3, num_shots=6, out=out, **HOW)
    plain = found.to_plain()
    assert [draw["seed"] for draw in plain["draws"]] == [0, 1, 2] and plain["draws"][0]["shots"] == 6
    assert plain["accuracy"] == pytest.approx(np.mean([draw["accuracy"] for draw in plain["draws"]]))
    assert plain["spread"]["linear"] == pytest.approx(np.std([draw["linear"] for draw in plain["draws"]], ddof=1))
    assert plain["accuracy"] > 0.9 and 1 / 3 < plain["linear"] <= 1
    assert any("logistic" in line for line in found.lines())
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = np.mean([row["label"] == row["predicted_label"] for row in rows])
    assert right == pytest.approx(plain["draws"][0]["accuracy"])


def test_examples_are_balanced_and_drawn_by_the_seed(model, shots):
    language = open_language(model, device=torch.device("cpu"), precision_name="fp32")
    own = read_shots(str(shots))
    _, prompt, told = InContext(language, own).answer([("甲乙丙",)])
    counts = {name: sum(own.labels[row] == name for row in prompt.rows) for name in own.classes}
    assert len(set(counts.values())) == 1 and counts["好"] == 3 and told == []
    text = language.codec.tokenizer.decode(prompt.tokens)
    for row in prompt.rows:
        assert f"text: {own.texts[row][0]}\nlabel: {own.labels[row]}" in text
    few = InContext(language, own, num_shots=7)
    draws = [few.answer([("甲",)], seed=seed)[1].rows.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2] and len(draws[0]) == 6


def test_the_context_bounds_examples_and_texts(model, shots):
    language = open_language(model, device=torch.device("cpu"), precision_name="fp32")
    language.context = 120
    own = InContext(language, read_shots(str(shots)))
    found, prompt, told = own.answer([("甲乙丙" * 60,), ("子",)])
    longest = max(len(label) for label in own.labels.values())
    assert len(prompt.tokens) + prompt.room + longest <= 120 and len(prompt.rows) == 3
    assert len(found) == 2 and "1 of 2 texts are cut at their end" in told[0]
    language.context = 30
    with pytest.raises(UserError, match="3 classes need 3 examples, which do not fit into the 30 tokens"):
        own.answer([("甲",)])


def test_a_long_example_is_cut_where_its_class_has_no_other(model):
    language = open_language(model, device=torch.device("cpu"), precision_name="fp32")
    rows = {"text": ["甲乙" * 200, "丙甲", "子丑" * 150], "label": ["好", "好", "坏"]}
    language.context = 110
    _, prompt, told = InContext(language, read_shots(rows)).answer([("甲",)])
    assert "examples of 1 classes are cut" in told[0] and len(prompt.tokens) < 110


def test_the_command(model, shots, test_csv, command):
    how = ("--shots", shots, "--threads", 1, "--precision", "fp32")
    done = command("predict", model, "甲甲乙丙", *how, "--num-shots", 6, "--seed", 4)
    assert done.code == 0 and "好" in done.out and "%" in done.out
    done = command("evaluate", model, test_csv, *how, "--draws", 2, "--json")
    assert done.code == 0 and len(json.loads(done.out)["draws"]) == 2
    assert "examples" in done.err


@pytest.mark.parametrize(
    ("shots_of", "choices", "words"),
    [
        ({"text": ["甲", "乙"], "label": ["好", "好"]}, {}, "label"),
        ({"a": [1.5, 2.5, 3.5], "label": ["好", "坏", "坏"]}, {}, "expected a column with texts"),
        ({"text": ["甲", "乙"], "label": ["好", "坏"]}, {"num_shots": 1}, "--num-shots 1: expected one example for"),
        ({"text": ["甲", "乙"], "label": ["好", "坏"]}, {"target": "topic"}, "topic"),
        ("nothing.csv", {}, "nothing.csv"),
    ],
)
def test_refusals(model, shots_of, choices, words):
    with pytest.raises(UserError, match=words):
        zaowu.predict(model, ["甲"], shots=shots_of, **choices, **HOW)


def test_refusals_of_models_and_draws(model, shots, test_csv, tiny_base, tiny_run, command):
    with pytest.raises(UserError, match="reads texts and writes none"):
        zaowu.predict(tiny_base, ["甲"], shots=str(shots), **HOW)
    with pytest.raises(UserError, match="--draws: expected 1 to 1,000"):
        evaluate(model, str(test_csv), shots=str(shots), draws=0, **HOW)
    done = command("predict", tiny_run, "姚明", "--num-shots", 3)
    assert done.code == 0 and "--num-shots has no effect without --shots" in done.err
