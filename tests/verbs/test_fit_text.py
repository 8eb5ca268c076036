"""A target that is a text, from the file of pairs to the answers that are written."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace

import polars as pl
import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.train import rule
from zaowu.verbs.evaluate import evaluate
from zaowu.verbs.generate import generate
from zaowu.verbs.predict import predict

LETTERS = "abcdef"
TINY = {"quiet": True, "threads": 1, "precision": "fp32", "lang": "en", "base": "none"}


def pairs():
    """Words of up to three letters, and the same backwards in capitals: half of the longest."""
    words = ["".join(own) for size in (1, 2, 3) for own in itertools.product(LETTERS, repeat=size)]
    return [(word, word[::-1].upper()) for place, word in enumerate(words) if len(word) < 3 or place % 2]


def write(path, rows, header=("source", "answer")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def tiny_pair():
    """From scratch both halves are two layers of 64."""
    patch = pytest.MonkeyPatch()
    patch.setattr(rule, "PAIR", replace(rule.PAIR, size=(2, 64, 2), ffn_dim=256, init_std=64**-0.5, dropout=0.0))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pairs") / "pairs.csv", pairs())


@pytest.fixture(scope="module")
def fitted(tiny_pair, data, tmp_path_factory):
    """The run as `fit` gives it, scored on what it learned: that all of it can be learned is what is asked here."""
    return zaowu.fit(
        str(data),
        target="answer",
        columns={"source": "text", "answer": "text"},
        valid=str(data),
        test=str(data),
        epochs=45,
        batch_size=32,
        out=tmp_path_factory.mktemp("runs") / "backwards",
        **TINY,
    )


def test_a_short_text_turned_round_is_learned_in_full(fitted):
    found = fitted.summary()
    assert found["kind"] == "text" and found["exact_match"] == 1.0 and found["chrf"] == pytest.approx(1.0)
    assert found["comparison"]["copy_source"]["low"] > 0
    assert set(found["baselines"]) == {"copy_source", "lead_sentence", "nearest_answer"}


def test_the_loss_of_a_piece_chooses_the_epoch(fitted):
    history = fitted.content.history
    losses = [point["valid"]["log_loss"] for point in history]
    assert fitted.content.best_epoch == history[losses.index(min(losses))]["epoch"]
    assert losses[-1] < 0.3 < 2 < losses[0]
    assert all(0 <= point["valid"]["accuracy"] <= 1 <= point["valid"]["perplexity"] for point in history)


def test_a_saved_run_writes_the_same(fitted):
    asked = ["abc", "fd", "e", "cab"]
    opened = zaowu.load(fitted.folder, precision="fp32")
    assert opened.targets["answer"] == fitted.targets["answer"]
    ours, theirs = (run.predict(asked).prediction for run in (fitted, opened))
    assert theirs.texts == ours.texts == [text[::-1].upper() for text in asked]
    assert theirs.scores == pytest.approx(ours.scores, abs=1e-5)


def test_the_folder_says_what_it_is_and_holds_no_half_for_others(fitted):
    names = {path.name for path in fitted.folder.iterdir()}
    assert {"zaowu.json", "model.safetensors", "tokenizer.json", "report.html"} <= names
    assert "trunk" not in names and "config.json" not in names
    page = (fitted.folder / "report.html").read_text("utf-8")
    assert "chrF" in page and "BLEU" in page and "answer to the nearest training source" in page


def test_a_file_is_answered_row_by_row(fitted, data, tmp_path):
    out = tmp_path / "out.csv"
    predict(str(fitted.folder), str(data), out=out, quiet=True)
    frame = pl.read_csv(out)
    assert frame.columns == ["source", "answer", "predicted_answer", "confidence"]
    assert (frame["predicted_answer"] == frame["answer"]).all() and frame["confidence"].is_between(0.5, 1).all()


def test_it_is_evaluated_beside_the_cheap_methods(fitted, data):
    found = evaluate(str(fitted.folder), str(data), quiet=True).to_plain()
    assert (
        found["exact_match"] == 1.0
        and found["rows"] == len(pairs())
        and found["mean_true"] == pytest.approx(sum(len(text) for _, text in pairs()) / len(pairs()))
    )


def test_generate_goes_on_from_a_source(fitted):
    found = generate(str(fitted.folder), ["abc", "de"], quiet=True)
    assert found.lines() == ["CBA", "ED"]
    shares = generate(str(fitted.folder), "ab", one_of=["BA", "FF"], quiet=True).shares[0]
    assert shares["BA"] > 0.9


def test_beams_are_a_setting_and_find_no_worse_texts(fitted, data, tiny_pair, tmp_path):
    run = zaowu.fit(
        str(data),
        target="answer",
        columns={"source": "text", "answer": "text"},
        test=str(data),
        epochs=2,
        settings={"beams": 3, "decoder_layers": 1, "label_smoothing": 0},
        out=tmp_path / "beams",
        **TINY,
    )
    target = run.targets["answer"]
    assert (target.write.beams, target.layers, target.label_smoothing) == (3, 1, 0)
    opened = zaowu.load(run.folder)
    texts = opened.predict(["abc", "de"]).to_plain(top=3)
    assert all(len(row["top"]) == 3 for row in texts)
    assert all(len({one["answer"] for one in row["top"]}) > 1 for row in texts)


def test_rows_of_one_source_stand_on_one_side(tiny_pair, tmp_path):
    rows = [(source, f"{answer} {number}") for source, answer in pairs() for number in range(8)]
    path = write(tmp_path / "versions.csv", rows)
    run = zaowu.fit(
        str(path), target="answer", columns={"source": "text", "answer": "text"}, epochs=1, out=tmp_path / "run", **TINY
    )
    assert run.content.scored_on == "test split"
    assert run.content.findings["duplicates_across"] == 0 and run.content.findings["conflicting_labels"] == 0
    assert {side["side"]: side["rows"] % 8 for side in run.content.splits} == {"train": 0, "valid": 0, "test": 0}


def test_pairs_with_one_side_empty_are_left_out(tiny_pair, tmp_path):
    path = write(tmp_path / "gaps.csv", [*pairs(), ("abc", ""), ("", "CBA"), ("fed", "  ")])
    run = zaowu.fit(
        str(path),
        target="answer",
        columns={"source": "text", "answer": "text"},
        test=str(path),
        epochs=1,
        out=tmp_path / "run",
        **TINY,
    )
    assert sum(run.content.findings["skipped"].values()) == 3


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"head": "first"}, "--head first"),
        ({"class_weights": "balanced"}, "--class-weights"),
        ({"settings": {"beams": 10_000}}, "--set beams: expected 1 to 64"),
        ({"settings": {"num_pieces": 120}}, "--set num_pieces: expected at least 261"),
        ({"settings": {"decoder_layers": 0}}, "--set decoder_layers: expected 1 to 512"),
    ],
)
def test_what_cannot_be_chosen_is_said_in_a_sentence(choice, sentence, data, tmp_path):
    how = {**TINY, "columns": {"source": "text", "answer": "text"}, **choice}
    with pytest.raises(UserError, match=sentence):
        zaowu.fit(str(data), target="answer", out=tmp_path / "run", **how)


def test_a_run_that_writes_nothing_cannot_generate(tiny_run):
    with pytest.raises(UserError, match="writes no text"):
        generate(str(tiny_run), "abc", quiet=True)


def test_a_made_up_state_is_refused_before_anything_is_built(fitted, tmp_path):
    from zaowu import targets

    state = json.loads(json.dumps(fitted.targets["answer"].state()))
    assert targets.load("text", state, where="zaowu.json") == fitted.targets["answer"]
    wrong = [None, [], {}, state | {"more": 1}, state | {"layers": 10**9}, state | {"longest": -1}]
    wrong += [state | {"label_smoothing": 1.5}, state | {"write": {"beams": 1000}}, state | {"most": 10**12}]
    for one in wrong:
        with pytest.raises(UserError, match=r"zaowu\.json"):
            targets.load("text", one, where="zaowu.json")
