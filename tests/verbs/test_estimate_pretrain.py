"""`zaowu estimate pretrain` against the pre-training itself, and as a person meets it."""

from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path

import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.verbs.estimate import pretrain as estimating
from zaowu.verbs.estimate.pretrain import estimate_pretrain
from zaowu.verbs.pretrain import pretrain

QUICK = {"size": "mini", "vocab_size": 1500, "length": 32, "batch_size": 8, "threads": 1, "precision": "fp32"}
QUICK |= {"quiet": True, "settings": {"held_out": 0.2, "patience": 99}}
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


@pytest.mark.parametrize("objective", ["mlm+nsp", "causal"])
def test_its_figures_are_those_of_the_base(objective, corpus, tmp_path):
    found = estimate_pretrain(corpus, objective=objective, epochs=3, **QUICK)
    made = zaowu.pretrain(corpus, objective=objective, epochs=3, out=tmp_path / "base", lang="en", **QUICK)
    assert made is not None
    content = made.content
    assert (found.num_parameters, found.num_pieces) == (content.shape["parameters"], content.shape["pieces"])
    assert found.corpus_tokens == {side: content.corpus[f"{side}_tokens"] for side in ("train", "valid")}
    assert found.steps == pytest.approx(content.history[-1].step, abs=2)  # an epoch has as many batches as chance gives
    assert found.evaluations == pytest.approx(len(content.history), abs=1)
    assert found.tokens == pytest.approx(content.cost["tokens"], rel=0.1)
    assert found.flops / found.tokens == pytest.approx(content.cost["flops"] / content.cost["tokens"])
    on_disk = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    assert found.disk_bytes == pytest.approx(on_disk, rel=0.1)


def test_its_sums_are_sums(corpus):
    found = estimate_pretrain(corpus, steps=40, watts=200.0, **QUICK)
    plain = found.to_plain()
    assert plain["total_s"] == pytest.approx(sum(plain["seconds"].values()))
    assert plain["peak_bytes"] == pytest.approx(sum(plain["memory"].values()))
    assert plain["energy_wh"] == pytest.approx(200 * plain["total_s"] / 3600)
    assert "200 W" in plain["energy_is"]
    assert min(plain["seconds"].values()) > 0 and found.peak_bytes > 1e8
    assert found.checkpoint_bytes == 2 * 4 * 4 * found.num_parameters


def test_every_limit_counts(corpus):
    whole = estimate_pretrain(corpus, epochs=4, **QUICK)
    assert whole.tokens == pytest.approx(4 * whole.tokens_per_epoch, rel=0.05)
    assert estimate_pretrain(corpus, epochs=4, steps=5, **QUICK).steps == 5
    some = estimate_pretrain(corpus, epochs=4, tokens=1000, **QUICK)
    assert 1000 <= some.tokens <= 1000 + some.step_tokens
    assert estimate_pretrain(corpus, epochs=2, **QUICK).steps == pytest.approx(whole.steps / 2, abs=1)
    timed = estimate_pretrain(corpus, epochs=10_000, time_limit="2s", **QUICK)
    assert timed.seconds["training"] <= 2 and timed.steps < 10_000 * whole.steps / 4
    assert timed.tokens == pytest.approx(timed.steps * timed.step_tokens, rel=0.01)


def test_a_corpus_is_taken_to_go_on_as_it_begins(corpus, monkeypatch):
    whole = estimate_pretrain(corpus, epochs=2, **QUICK)
    monkeypatch.setattr(estimating, "SAMPLE_MB", whole.corpus_bytes / 2e6)
    half = estimate_pretrain(corpus, epochs=2, **QUICK)
    assert whole.read_share == 1 and half.read_share == pytest.approx(0.5, abs=0.05)
    assert half.corpus_tokens["train"] == pytest.approx(whole.corpus_tokens["train"], rel=0.2)
    assert half.tokens == pytest.approx(whole.tokens, rel=0.2)
    assert half.shards_bytes == pytest.approx(whole.shards_bytes, rel=0.25)
    assert "all of it is read" in whole.lines()[0] and " % of it is read" in half.lines()[0]


def test_nothing_stays_on_disk(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = sorted(corpus.rglob("*"))
    estimate_pretrain(corpus, steps=3, shards=tmp_path / "shards", **QUICK)
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]
    assert sorted(corpus.rglob("*")) == before


def test_a_tokenised_corpus_is_not_read_again(corpus, tmp_path, monkeypatch):
    zaowu.pretrain(corpus, steps=2, out=tmp_path / "base", shards=tmp_path / "shards", **QUICK)
    read = estimate_pretrain(corpus, steps=40, **QUICK)
    states = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*")}
    monkeypatch.setattr(estimating, "choose_tokens", None)
    found = estimate_pretrain(corpus, steps=40, shards=tmp_path / "shards", **QUICK)
    assert "tokenising" not in found.seconds
    assert (found.corpus_tokens, found.step_tokens) == (read.corpus_tokens, read.step_tokens)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*")} == states


def test_what_an_array_job_has_tokenised_is_estimated_and_learned_from(corpus, tmp_path):
    for part in ("1/2", "2/2"):
        assert zaowu.pretrain(corpus, out=tmp_path / "base", shards=tmp_path / "shards", part=part, **QUICK) is None
    found = estimate_pretrain(corpus, steps=2, shards=tmp_path / "shards", **QUICK)
    made = zaowu.pretrain(corpus, steps=2, out=tmp_path / "base", shards=tmp_path / "shards", **QUICK)
    assert made is not None and found.corpus_tokens["train"] == made.content.corpus["train_tokens"]
    assert "tokenising" not in found.seconds


def test_the_first_lines_of_a_pre_training_say_its_cost_and_change_nothing(corpus, tmp_path, command):
    told = command("pretrain", corpus, *FLAGS, "--steps", "4", "--out", tmp_path / "told", "--lang", "en")
    assert told.code == 0
    lines = told.err.splitlines()
    first = next(place for place, line in enumerate(lines) if "FLOPs" in line)
    assert lines[first + 1].startswith("At most ") and "assuming 65 W" in lines[first + 2]
    assert first < next(place for place, line in enumerate(lines) if line.startswith("step 1"))
    quiet = command("pretrain", corpus, *FLAGS, "--steps", "4", "--out", tmp_path / "quiet", "--lang", "en", "--quiet")
    assert quiet.code == 0 and not quiet.err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("told", "quiet")]
    assert weights[0] == weights[1]


def test_the_command_prints_a_table_or_one_document(corpus, command):
    table = command("estimate", "pretrain", corpus, *FLAGS, "--steps", "3")
    assert table.code == 0
    names = ("text", "parameters", "training", "tokens", "FLOPs", "time", "peak memory", "disk", "energy")
    assert [line.split("  ")[0] for line in table.out.splitlines()] == list(names)
    assert "at most 3 steps" in table.out and "assuming 65 W" in table.out
    document = command("estimate", "pretrain", corpus, *FLAGS, "--steps", "3", "--json", "--quiet")
    assert json.loads(document.out)["steps"] == 3 and not document.err


def test_what_a_pre_training_refuses_is_refused_with_the_same_sentence(corpus, tmp_path, command):
    empty, line = tmp_path / "empty", tmp_path / "line.txt"
    empty.mkdir()
    line.write_text("只有一行字。", "utf-8")
    for arguments in (
        [empty],
        [line],
        [tmp_path / "nowhere"],
        [corpus, "--objective", "nsp"],
        [corpus, "--vocab-size", "100"],
        [corpus, "--size", "huge"],
        [corpus, "--mix", "other=2"],
        [corpus, "--length", "4"],
        [corpus, "--steps", "0"],
        [corpus, "--time-limit", "soon"],
        [corpus, "--set", "evaluate_step=3"],
        [corpus, "--device", "gpu"],
        [corpus, "--base", tmp_path / "nowhere"],
    ):
        refused = command("pretrain", *arguments, "--out", tmp_path / "base")
        ended = command("estimate", "pretrain", *arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert ended.err == refused.err != ""
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("watts", [0.0, -5.0, float("nan")])
def test_a_machine_that_draws_nothing(watts, corpus):
    with pytest.raises(UserError, match="--watts: expected a number above 0"):
        estimate_pretrain(corpus, watts=watts, **QUICK)


def test_its_parameters_are_those_of_pretrain_and_of_the_command():
    from zaowu.cli import estimate

    own = dict(inspect.signature(estimate_pretrain).parameters)
    theirs = inspect.signature(pretrain).parameters
    typed = inspect.signature(estimate.pretrain).parameters
    assert typed.keys() - {"as_json"} == own.keys()
    assert typed["watts"].default == own.pop("watts").default
    assert theirs.keys() - own.keys() == {"part", "resume", "overwrite", "out", "lang"}
    assert {name: p.default for name, p in own.items()} == {name: theirs[name].default for name in own}
    assert zaowu.estimate_pretrain is estimate_pretrain
