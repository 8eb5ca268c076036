"""`zaowu pretrain`: what is refused before it costs anything, what has no effect, the command that repeats it."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import zaowu
from zaowu.config import PretrainConfig
from zaowu.errors import UserError
from zaowu.learn.corpus import Tokens, put_beside, tokens_beside
from zaowu.options import pretrain_choices, pretrain_words, without_effect
from zaowu.records.corpus import Corpus

QUICK = {"size": "mini", "length": 32, "steps": 2, "batch_size": 8, "threads": 1, "quiet": True, "precision": "fp32"}
QUICK |= {"lang": "en", "settings": {"held_out": 0.2}}


@pytest.fixture(scope="module")
def corpus(news, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(0, 60, 3):
        (folder / f"{number:03d}.txt").write_text("\n\n".join(text for text, _ in news[number : number + 3]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def first(corpus, tmp_path_factory) -> Path:
    """A base beside its shards."""
    folder = tmp_path_factory.mktemp("first")
    assert zaowu.pretrain(corpus, out=folder / "base", shards=folder / "shards", **QUICK)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pieces": "bpe"}, "pieces is bpe, wordpiece before"),
        ({"vocab_size": 1700}, "vocab_size is 1700, None before"),
        ({"objective": "causal"}, "objective is causal, masked before"),
    ],
)
def test_shards_of_other_pieces_are_not_learned_from(change, words, corpus, first, tmp_path):
    with pytest.raises(UserError, match=words):
        zaowu.pretrain(corpus, out=tmp_path / "base", shards=first / "shards", **QUICK | change)
    assert not (tmp_path / "base").exists()


def test_a_base_of_other_pieces_is_refused_and_one_of_the_same_goes_on(corpus, first, tiny_base, tmp_path):
    """Else each piece would begin with the vector of another one, and nobody would know."""
    with pytest.raises(UserError, match="hold other pieces"):
        zaowu.pretrain(
            corpus, objective="mlm", base=str(tiny_base), out=tmp_path / "one", shards=first / "shards", **QUICK
        )
    more = zaowu.pretrain(corpus, base=str(first / "base"), out=tmp_path / "two", shards=first / "shards", **QUICK)
    history = json.loads((first / "base" / "metrics.json").read_text("utf-8"))["history"]
    kept = max(history, key=lambda point: point["rank"])
    assert more is not None
    assert more.content.before["loss"] == pytest.approx(kept["valid"]["loss"], abs=1e-5)


def test_parts_that_begin_at_once_have_the_same_pieces(first, tmp_path):
    config = pretrain_choices(_given(["corpus"]))
    tokens = tokens_beside(first / "shards", config, None)
    assert tokens is not None
    for _ in range(2):
        put_beside(tmp_path / "shards", config, Tokens(tokens.codec, None))
    found = tokens_beside(tmp_path / "shards", config, None)
    assert found is not None and found.codec.fingerprint == tokens.codec.fingerprint
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["pieces"]


def test_a_part_leaves_the_place_of_the_base_alone(corpus, tmp_path):
    """Its parts run at once, and may run while a base of the same name stands there."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mine.txt").touch()
    for part in ("1/2", "2/2"):
        zaowu.pretrain(corpus, out=tmp_path / "base", shards=tmp_path / "shards", part=part, **QUICK)
    assert (tmp_path / "shards" / "shards.json").is_file()
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["mine.txt"]


def test_what_somebody_put_where_the_shards_go_stays(corpus, tmp_path):
    mine = tmp_path / "base.shards"
    shutil.copytree(corpus, mine)
    for source in (corpus, mine):  # also where it is the corpus itself
        with pytest.raises(UserError, match="not of our making"):
            zaowu.pretrain(source, out=tmp_path / "base", **QUICK)
    assert sorted(path.name for path in mine.iterdir()) == sorted(path.name for path in corpus.iterdir())


def test_weights_that_leave_nothing_are_refused(corpus, tmp_path, command):
    ended = command("pretrain", corpus, "--mix", f"{corpus}=0", "--out", tmp_path / "base")
    assert ended.code == 2 and "--mix" in ended.err and "above 0" in ended.err
    flags = ["--mix", f"{corpus}=0.0001", "--out", tmp_path / "base", "--size", "mini", "--steps", "2"]
    ended = command("pretrain", corpus, *flags)
    assert ended.code == 2 and "--mix: with these weights" in ended.err


def test_a_base_without_a_mask_piece_is_refused_before_the_corpus_is_read(corpus, first, tmp_path, monkeypatch):
    base = tmp_path / "base"
    shutil.copytree(first / "base", base)
    settings = json.loads((base / "tokenizer_config.json").read_text("utf-8"))
    del settings["mask_token"]
    (base / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (base / "zaowu.json").unlink()
    monkeypatch.setattr(Corpus, "__iter__", None)
    with pytest.raises(UserError, match="names no 'mask_token'"):
        zaowu.pretrain(corpus, objective="mlm", base=str(base), out=tmp_path / "more", **QUICK)


def test_the_first_piece_of_a_language_model_answers_nothing(corpus, news_csv, tmp_path):
    zaowu.pretrain(corpus, objective="causal", out=tmp_path / "base", **QUICK)
    with pytest.raises(UserError, match=r"--head first: .* is a language model"):
        zaowu.fit(str(news_csv), base=str(tmp_path / "base"), head="first", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run.partial").exists()


def test_documents_of_a_source_are_counted_in_the_report(first):
    saved = json.loads((first / "base" / "metrics.json").read_text("utf-8"))
    assert [source["documents"] for source in saved["sources"]] == [20]


WORDS = """
texts "two words" --mix texts=0.5 --objective causal --size mini --length 64 --pieces bpe --vocab-size 2000 --whole-word
--near-duplicates --memory 50 --epochs 3 --steps 7 --tokens 900 --time-limit 20m --batch-size 4 --lr 0.01 --shard
--keep 2 --seed 5 --device cpu --precision bf16 --threads 1 --set patience=9 --set schedule=wsd --set recompute=yes
--set optimizer=lamb --set held_out=0.3 --set text_column=body --set accumulate=2 --set reach=1.5 --set clip=0.5
--set shard_tokens=4000 --set trim_vocab=off
"""


def _typed(words: list[str], monkeypatch) -> PretrainConfig:
    """The config of what a person types."""
    from zaowu.cli import main

    found: list[PretrainConfig] = []

    def heard(sources: list[str], **given: object) -> None:
        found.append(pretrain_choices({"sources": sources, **given}))

    monkeypatch.setattr(sys.modules["zaowu.verbs.pretrain"], "pretrain", heard)
    monkeypatch.setattr(sys, "argv", ["zaowu", "pretrain", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return found[0]


@pytest.mark.parametrize("text", [WORDS, "texts"])
def test_the_command_of_a_report_repeats_every_choice(text, monkeypatch):
    config = _typed(shlex.split(text), monkeypatch)
    words = pretrain_words(config)
    assert _typed(words, monkeypatch) == config
    assert (words == ["texts"]) == (text == "texts")


def _given(sources: list[str], **more: object) -> dict[str, object]:
    usual = {name: one.default for name, one in inspect.signature(zaowu.pretrain).parameters.items()}
    return {**usual, "sources": sources, **more}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"base": "x", "size": "mini"}, "--size"),
        ({"base": "x", "pieces": "bpe"}, "--pieces"),
        ({"base": "x", "vocab_size": 900}, "--vocab-size"),
        ({"objective": "causal", "whole_word": True}, "--whole-word"),
        ({"memory": 50.0}, "--memory"),
        ({"settings": {"held_out": 0, "reach": 2}}, "reach"),
        ({"settings": {"trim_vocab": "off"}}, "trim_vocab"),
    ],
)
def test_a_choice_without_effect_is_named(choice, words):
    (sentence,) = without_effect(pretrain_choices(_given(["corpus"], **choice)))
    assert words in sentence and "no effect" in sentence
    assert without_effect(pretrain_choices(_given(["corpus"]))) == []
