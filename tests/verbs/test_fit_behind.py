"""A causal base learns answers to prompts: the answer alone is learned; it is saved as a language model."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pytest
import torch

import zaowu
from zaowu.errors import UserError
from zaowu.targets.text.behind import joined, placed
from zaowu.verbs.generate import generate
from zaowu.verbs.predict import predict

HOW = {"quiet": True, "threads": 1, "precision": "fp32", "lang": "en"}
KINDS = {"columns": {"prompt": "text", "answer": "text"}, "target": "answer"}


def pairs() -> list[tuple[str, str]]:
    """Two letters, and the same in capitals the other way round."""
    words = ["".join(own) for size in (1, 2) for own in itertools.product("abcdefgh", repeat=size)]
    return [(f"{word} =", word[::-1].upper()) for word in words]


def write(path, rows, header=("prompt", "answer")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("behind") / "pairs.csv", pairs()))


@pytest.fixture(scope="module")
def fitted(tiny_causal, data, tmp_path_factory):
    return zaowu.fit(
        data,
        valid=data,
        test=data,
        base=str(tiny_causal),
        epochs=60,
        batch_size=16,
        lr=1e-2,
        out=tmp_path_factory.mktemp("runs") / "behind",
        **KINDS,
        **HOW,
    )


def test_a_made_task_is_learned_in_full(fitted):
    found = fitted.summary()
    assert found["kind"] == "text" and found["exact_match"] > 0.95
    losses = [point["valid"]["log_loss"] for point in fitted.content.history]
    assert losses[-1] < 0.3 < 1 < losses[0]


def test_a_saved_run_writes_the_same_with_every_verb(fitted):
    asked = ["ab =", "h =", "cg ="]
    opened = zaowu.load(fitted.folder, precision="fp32")
    assert opened.targets["answer"] == fitted.targets["answer"]
    ours, theirs = (run.predict(asked).prediction for run in (fitted, opened))
    assert theirs.texts == ours.texts == ["BA", "H", "GC"]
    assert theirs.scores == pytest.approx(ours.scores, abs=1e-4) and max(ours.scores) <= 0
    how = {name: value for name, value in HOW.items() if name != "lang"}
    assert [row["text"] for row in predict(fitted.folder, asked, **how).to_plain()] == asked
    assert generate(fitted.folder, asked, **how).lines() == theirs.texts
    assert generate(fitted.folder / "trunk", asked, **how).lines() == theirs.texts, "as a language model by itself"


def test_others_open_it_as_a_language_model(fitted):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(fitted.folder / "trunk").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(fitted.folder / "trunk")
    ids = tokenizer("cg =", return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=1)
    assert tokenizer.decode(out[0][ids["input_ids"].shape[1] :], skip_special_tokens=True) == "GC"


def test_the_loss_is_that_of_the_answer_alone(fitted):
    """By a full forward pass of the trunk over each row by itself."""
    model = fitted.model.eval()
    target, (_, head) = fitted.targets["answer"], model.writers()["answer"]
    labels = ["BA", "H"]
    answers = target.answer_tokens(target.features(labels))
    from zaowu.train.labelled import LabelledFeed, Part

    texts = ["ab =", "h ="]
    part = Part(fitted.source.items({"prompt": texts}), {"answer": labels}, np.arange(2, dtype=np.uint64))
    feed = LabelledFeed(fitted.source, part, fitted.targets, batch_size=2, seed=0)
    batch = feed.batch(0, 0)
    with torch.no_grad():
        loss = model.loss(batch)["answer"]
    assert loss.count == sum(map(len, answers)) == 5
    expected = 0.0
    for text, answer in zip(texts, answers, strict=True):
        ids = fitted.source.text.codec.tokenizer.encode(text).ids
        row = torch.tensor([[*ids, *answer.tolist()]])
        places = torch.arange(row.shape[1])[None]
        given = {"mask": torch.ones_like(row, dtype=torch.bool), "positions": places}
        with torch.no_grad():
            states = model.trunk(model.embedders["text"](row), **given, segments=torch.zeros_like(places))
            logs = (states @ head.tokens.weight.t()).log_softmax(-1)[0]
        expected -= sum(float(logs[len(ids) - 1 + place, token]) for place, token in enumerate(answer))
    assert float(loss.sum) == pytest.approx(expected, abs=1e-3)


def test_where_an_answer_is_placed():
    ids, told = placed(np.array([5, 6, 7]), np.array([8, 9]))
    assert ids.tolist() == [5, 6, 7, 8] and told.tolist() == [-1, -1, 8, 9]
    rows, labels = joined([{"text": {"ids": np.array([5])}}], [np.empty(0, np.int32)])
    assert rows[0]["text"]["ids"].tolist() == [5] and labels[0].tolist() == [-1]


def test_long_prompts_lose_their_beginning(tiny_causal, tmp_path, capsys):
    rows = [(f"{'x' * 400} {word}", answer) for word, answer in pairs()[:24]] + pairs()[24:40]
    data = str(write(tmp_path / "long.csv", rows))
    how = {"base": str(tiny_causal), "epochs": 1, **KINDS, **HOW, "quiet": False}
    run = zaowu.fit(data, valid=data, test=data, out=tmp_path / "run", **how)
    assert "24 of 40 texts are longer than" in (said := capsys.readouterr().err) and "beginning is left out" in said
    items = run.source.items({"prompt": ["x" * 400 + " ab ="]})
    row = items[0].features["ids"] if hasattr(items[0], "features") else items[0].items[0].features["ids"]
    assert run.source.text.codec.decode(row.tolist()).endswith("ab =") and len(row) == run.source.text.max_tokens
    assert run.source.text.max_tokens + run.targets["answer"].longest <= 256


def test_adapters_teach_it_another_order(fitted, tmp_path):
    rows = [(prompt, answer[::-1]) for prompt, answer in pairs()]
    data = str(write(tmp_path / "forwards.csv", rows))
    how = {"base": str(fitted.folder / "trunk"), "lora": 8, "epochs": 30, "lr": 1e-2, **KINDS, **HOW}
    run = zaowu.fit(data, valid=data, test=data, out=tmp_path / "run", **how)
    assert run.summary()["exact_match"] > 0.9
    assert torch.equal(run.model.embedders["text"].weight, fitted.model.embedders["text"].weight)
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert config["task_type"] == "CAUSAL_LM"


def test_refusals(tiny_causal, tmp_path):
    rows = [(a, b, place % 2) for place, (a, b) in enumerate(pairs()[:16])]
    data = str(write(tmp_path / "two.csv", rows, header=("prompt", "answer", "kind")))
    kinds = {"prompt": "text", "answer": "text", "kind": "category"}
    with pytest.raises(UserError, match="a language model writes one text behind another"):
        zaowu.fit(data, target="answer", columns=kinds, base=str(tiny_causal), out=tmp_path / "run", **HOW)
