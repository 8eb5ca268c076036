"""`zaowu pretrain`: from text to a base that others open, that fit goes on from, and that a kill does not change."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import zaowu
from zaowu import objectives
from zaowu.batching.shards import open_shards
from zaowu.errors import UserError
from zaowu.inputs.text.codec import Codec
from zaowu.objectives import Pieces, Recipe
from zaowu.train.corpus import held_out

QUICK = {
    "size": "mini",
    "vocab_size": 1500,
    "length": 32,
    "steps": 12,
    "lr": 3e-3,
    "batch_size": 8,
    "threads": 1,
    "quiet": True,
}
QUICK |= {"precision": "fp32", "lang": "en", "settings": {"held_out": 0.2}}
FLAGS = ["--size", "mini", "--vocab-size", "1500", "--length", "32", "--batch-size", "8", "--threads", "1"]
FLAGS += ["--precision", "fp32", "--set", "held_out=0.2"]


@pytest.fixture(scope="module")
def corpus(news, tmp_path_factory) -> Path:
    """Forty documents of three paragraphs."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(0, 120, 3):
        text = "\n\n".join(text for text, _ in news[number : number + 3])
        (folder / f"{number:03d}.txt").write_text(text, "utf-8")
    return folder


def weights(folder: Path) -> list[str]:
    return [
        hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("tokenizer.json", "model.safetensors")
    ]


@pytest.mark.parametrize("objective", ["mlm+nsp", "mlm+sop", "mlm", "causal"])
def test_others_open_the_base_and_find_the_loss_that_the_report_says(objective, corpus, tmp_path):
    transformers = pytest.importorskip("transformers")
    made = zaowu.pretrain(corpus, objective=objective, out=tmp_path / "base", shards=tmp_path / "shards", **QUICK)
    assert made is not None and made.content.history
    names = objectives.parse(objective)
    shards, codec = open_shards(tmp_path / "shards"), Codec.from_folder(tmp_path / "base")
    chosen = objectives.make(names, Recipe(pieces=Pieces.of(codec), length=32))
    (opener, *_) = made.content.opens_with
    theirs = getattr(transformers, opener).from_pretrained(tmp_path / "base").eval()
    sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for batch in held_out(shards, chosen, batch_tokens=8 * 32):
        alone = torch.zeros_like(batch.positions) if batch.documents is None else batch.documents
        seen = (alone[:, None, :] == alone[:, :, None]) & batch.mask[:, None, :] & batch.mask[:, :, None]
        if objective == "causal":
            seen = seen & torch.ones_like(seen[0]).tril()
        bias = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]
        given = {"input_ids": batch.inputs["text"]["ids"].long(), "position_ids": batch.positions}
        given |= {} if objective == "causal" else {"token_type_ids": batch.segments}
        with torch.no_grad():
            out = theirs(**given, attention_mask=bias)
        found = {names[0]: out.prediction_logits if len(names) > 1 else out.logits}
        if len(names) > 1:
            found[names[1]] = out.seq_relationship_logits
        for name, logits in found.items():
            labels = batch.targets[name]
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, -2), labels.reshape(-1), ignore_index=-1, reduction="sum"
            )
            sums[name] += float(loss)
            counts[name] += int((labels >= 0).sum())
    assert made.scores["loss"] == pytest.approx(sums[names[0]] / counts[names[0]], abs=1e-4)
    for name in names[1:]:
        assert made.scores[f"{name}_loss"] == pytest.approx(sums[name] / counts[name], abs=1e-4)


def test_it_learns(corpus, tmp_path):
    made = zaowu.pretrain(
        corpus,
        objective="mlm",
        out=tmp_path / "base",
        **{**QUICK, "steps": 60, "batch_size": 32, "settings": {"held_out": 0.2, "patience": 99}},
    )
    assert made is not None and made.scores["loss"] < made.content.before["loss"] - 0.15
    assert len(made.content.filled) == 10 and all(
        0 < share < 1 for one in made.content.filled for _, share in one.answers
    )


def test_a_base_is_gone_on_from_and_keeps_what_it_had_learned(corpus, tmp_path):
    first = zaowu.pretrain(corpus, out=tmp_path / "first", **QUICK)
    more = zaowu.pretrain(corpus, base=str(tmp_path / "first"), out=tmp_path / "more", **QUICK)
    assert first is not None and more is not None
    assert more.content.before["loss"] == pytest.approx(first.scores["loss"], abs=1e-5)
    assert more.content.before["next_sentence_loss"] == pytest.approx(first.scores["next_sentence_loss"], abs=1e-5)
    assert more.content.base == str(tmp_path / "first")


def test_fit_takes_the_base_and_a_base_is_no_run(corpus, news_csv, tmp_path, command):
    zaowu.pretrain(corpus, out=tmp_path / "base", **QUICK)
    run = zaowu.fit(
        str(news_csv), base=str(tmp_path / "base"), test=str(news_csv), epochs=1, out=tmp_path / "run", quiet=True
    )
    assert run.config.text.base == str(tmp_path / "base")
    ended = command("predict", tmp_path / "base", "姚明宣布退役")
    assert ended.code == 2 and "is a base" in ended.err and f"--base {tmp_path / 'base'}" in ended.err


def test_the_parts_of_an_array_job_give_the_shards_of_one(corpus, tmp_path):
    one = zaowu.pretrain(corpus, out=tmp_path / "one", **QUICK)
    for part in ("1/2", "2/2"):
        assert zaowu.pretrain(corpus, out=tmp_path / "two", shards=tmp_path / "shards", part=part, **QUICK) is None
    assert not (tmp_path / "two").exists()
    shards = open_shards(tmp_path / "shards")
    assert one is not None
    assert shards.num_tokens("train") == one.content.corpus["train_tokens"]
    assert shards.num_tokens("valid") == one.content.corpus["valid_tokens"]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"steps": 3}, "3 steps"),
        ({"steps": 50, "tokens": 700}, "tokens"),
        ({"steps": 50, "settings": {"held_out": 0.2, "reach": 100.0}}, "loss"),
        ({"steps": None, "epochs": 1}, "epoch"),
    ],
)
def test_what_ended_the_training_is_said(limit, words, corpus, tmp_path):
    made = zaowu.pretrain(corpus, out=tmp_path / "base", **{**QUICK, **limit})
    assert made is not None and words in made.content.reason
    assert words in (tmp_path / "base" / "report.html").read_text("utf-8")


def test_a_source_that_is_seldom_seen_is_evaluated_as_often(corpus, tmp_path):
    """Twenty evaluations are of what is read, not of what lies there."""
    made = zaowu.pretrain(
        corpus,
        out=tmp_path / "base",
        mix={str(corpus): 0.2},
        **{**QUICK, "steps": None, "epochs": 20, "batch_size": 4, "settings": {"held_out": 0.2, "patience": 99}},
    )
    assert made is not None and 15 <= len(made.content.history) <= 30


def test_killed_at_any_moment_it_ends_with_the_weights_of_the_uninterrupted_run(corpus, tmp_path):
    """Three kills, with a checkpoint at every third step; the benchmark has thirty."""
    flags = [
        *FLAGS,
        "--steps",
        "40",
        "--set",
        "accumulate=2",
        "--set",
        "checkpoint_steps=3",
        "--set",
        "evaluate_steps=20",
    ]

    def call(out: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "zaowu", "pretrain", str(corpus), "--out", str(out), "--quiet", *flags, *more]

    start = time.monotonic()
    subprocess.run(call(tmp_path / "whole"), check=True)
    length = time.monotonic() - start
    moments, more = random.Random(7), ()
    for share in (0.5, 0.7, 0.9):
        process = subprocess.Popen(call(tmp_path / "killed", *more))
        time.sleep(length * share * moments.uniform(0.8, 1.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "killed").exists():  # it was faster this time
            break
        more = ("--resume",)
    else:
        subprocess.run(call(tmp_path / "killed", *more), check=True)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_changed_corpus_is_refused_on_resume(corpus, tmp_path):
    flags = [*FLAGS, "--steps", "2000", "--set", "checkpoint_steps=3", "--out", str(tmp_path / "base")]
    mine = tmp_path / "corpus"
    mine.mkdir()
    for path in corpus.iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    call = [sys.executable, "-m", "zaowu", "pretrain", str(mine), *flags]
    with subprocess.Popen(call, stderr=subprocess.DEVNULL) as process:
        checkpoints = tmp_path / "base.partial" / "checkpoint"
        while not list(checkpoints.glob("*/state.json")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    (mine / "new.txt").write_text("这里又来了一篇新的文章, 所以语料不再是原来的语料。", "utf-8")
    done = subprocess.run([*call, "--resume"], capture_output=True, text=True)
    assert done.returncode == 2 and "made from something else" in done.stderr
    assert list(checkpoints.glob("*/state.json"))


def test_what_cannot_be_pre_trained_on_gets_its_sentence(corpus, tmp_path, command):
    empty, binary, line = tmp_path / "empty", tmp_path / "binary", tmp_path / "line.txt"
    empty.mkdir()
    binary.mkdir()
    (binary / "a.txt").write_bytes(np.random.default_rng(0).bytes(5000))
    line.write_text("只有一行字。", "utf-8")
    out = tmp_path / "base"
    zaowu.pretrain(corpus, objective="causal", out=tmp_path / "causal", **QUICK)
    for words, arguments in (
        ("holds no file", [empty]),
        ("found none", [binary]),
        ("a single line", [line]),
        ("there is no such", [tmp_path / "nowhere"]),
        ("--objective: expected mlm+nsp", [corpus, "--objective", "nsp"]),
        ("--vocab-size: expected at least", [corpus, "--vocab-size", "100"]),
        ("--size: expected one of", [corpus, "--size", "huge"]),
        ("--mix: 'other' is not one of the sources", [corpus, "--mix", "other=2"]),
        ("--part: expected i/n", [corpus, "--part", "3/2"]),
        ("--part: expected --shards", [corpus, "--part", "1/2"]),
        ("is a language model", [corpus, "--base", tmp_path / "causal"]),
        ("--length: expected 8", [corpus, "--length", "4"]),
    ):
        ended = command("pretrain", *arguments, "--out", out, *([] if "--length" in arguments else ["--length", "32"]))
        assert ended.code == 2, ended
        assert words in ended.err, ended.err
        assert not out.exists()


def test_json_is_one_document(corpus, tmp_path, command):
    ended = command("pretrain", corpus, "--out", tmp_path / "base", "--json", "--quiet", "--steps", "2", *FLAGS)
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["opens_with"] == ["AutoModelForPreTraining", "AutoModelForMaskedLM"]
    assert found["after"]["perplexity"] > 1 and Path(found["report"]).is_file()


def test_two_limits_that_cannot_be_are_refused(corpus, tmp_path):
    with pytest.raises(UserError, match="--steps"):
        zaowu.pretrain(corpus, out=tmp_path / "base", **{**QUICK, "steps": 0})
