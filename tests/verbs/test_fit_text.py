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
    (answer,) = fitted.content.answers
    looked = answer.written["attention"]
    assert len(looked) == 3 and all(len(one["weights"]) == len(one["written"]) for one in looked)
    assert looked[0]["source"][0] == "[CLS]" and looked[0]["written"][-1] == "[SEP]"
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
    opened = zaowu.load(run.folder, precision="fp32")
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


def test_a_column_of_texts_alone_is_for_pretraining(tmp_path):
    path = write(tmp_path / "poems.csv", [(f"line {k} of a poem",) for k in range(60)], header=("poem",))
    with pytest.raises(UserError, match="zaowu pretrain --objective causal"):
        zaowu.fit(str(path), target="poem", out=tmp_path / "run", **TINY)


def test_both_halves_begin_as_an_encoder_and_share_its_pieces(news, tiny_base, tmp_path):
    from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
    from zaowu.inputs import cleaners, guessers
    from zaowu.learn import make_ready
    from zaowu.records.prepare import prepare

    path = write(tmp_path / "news.csv", [(text, text[:6]) for text, _ in news])
    config = FitConfig(
        data=DataConfig(target=("answer",), columns={"source": "text", "answer": "text"}),
        text=TextConfig(base=str(tiny_base)),
        train=TrainConfig(epochs=1, threads=1, precision="fp32"),
    )
    prepared = prepare(str(path), config.data, guessers=guessers(), cleaners=cleaners())
    ready = make_ready(prepared.whole, None, config)
    model = ready.model()
    ((target, head),) = model.writers().values()
    assert target.pieces is ready.source.text.codec and target.layers == 2
    assert head.tokens is model.embedders["text"]
    assert head.decoder.blocks[1].ffn.up.weight.equal(model.trunk.blocks[1].ffn.up.weight)
    run = zaowu.fit(
        str(path),
        target="answer",
        columns={"source": "text", "answer": "text"},
        test=str(path),
        epochs=1,
        out=tmp_path / "run",
        **{**TINY, "base": str(tiny_base)},
    )
    opened = zaowu.load(run.folder, precision="fp32")
    asked = [text for text, _ in news[:5]]
    assert opened.predict(asked).prediction.texts == run.predict(asked).prediction.texts


def test_a_text_is_told_of_numbers_and_of_texts_beside_numbers(tiny_pair, tmp_path):
    words = {0: "none at all", 1: "one of them", 2: "a pair of them", 3: "three of them"}
    frame = pl.DataFrame(
        {
            "count": [k % 4 for k in range(160)],
            "size": [(k % 7) / 7 for k in range(160)],
            "note": [f"note {k % 9}" for k in range(160)],
            "answer": [words[k % 4] for k in range(160)],
        }
    )
    kinds = {"count": "number", "size": "number", "answer": "text"}
    for columns, ignore in ((kinds, ["note"]), ({**kinds, "note": "text"}, [])):
        path = tmp_path / f"{len(columns)}.csv"
        frame.write_csv(path)
        run = zaowu.fit(
            str(path),
            target="answer",
            columns=columns,
            ignore=ignore,
            test=str(path),
            epochs=30,
            lr=3e-3,
            out=tmp_path / f"run{len(columns)}",
            **TINY,
        )
        assert run.summary()["exact_match"] > 0.9
        ours, theirs = (
            own.predict(str(path)).prediction.texts for own in (run, zaowu.load(run.folder, precision="fp32"))
        )
        assert ours == theirs


def test_a_picture_is_told_of_in_words(tiny_pair, tmp_path):
    import io

    import numpy as np
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    for number in range(60):
        shade = (40, 220)[number % 2]
        file = io.BytesIO()
        pixels = np.clip(shade + rng.integers(-20, 20, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        rows.append({"photo": file.getvalue(), "answer": ("a dark one", "a bright one")[number % 2]})
    frame = pl.DataFrame(rows)
    path = tmp_path / "photos.parquet"
    frame.write_parquet(path)
    run = zaowu.fit(
        str(path),
        target="answer",
        columns={"photo": "image", "answer": "text"},
        test=str(path),
        epochs=40,
        batch_size=20,
        out=tmp_path / "run",
        **TINY,
    )
    assert run.summary()["exact_match"] > 0.9 and set(run.summary()["baselines"]) == {"common_answer"}
    opened = zaowu.load(run.folder, precision="fp32")
    assert opened.predict(str(path)).prediction.texts == run.predict(str(path)).prediction.texts
    with pytest.raises(UserError, match="a table"):
        generate(str(run.folder), "a prompt", quiet=True)


def test_one_model_gives_a_class_and_a_text(tiny_pair, tmp_path):
    rows = [(source, answer, "long" if len(source) > 2 else "short") for source, answer in pairs()]
    path = write(tmp_path / "both.csv", rows, header=("source", "answer", "size"))
    run = zaowu.fit(
        str(path),
        target=["size", "answer"],
        columns={"source": "text", "answer": "text"},
        valid=str(path),
        test=str(path),
        epochs=3,
        out=tmp_path / "run",
        **TINY,
    )
    found = run.summary()["targets"]
    assert found["size"]["kind"] == "category" and found["answer"]["kind"] == "text"
    assert {"size: accuracy", "answer: perplexity"} <= set(run.content.history[-1]["valid"])
    opened = zaowu.load(run.folder, precision="fp32")
    plain = opened.predict(["abc"]).to_plain()
    assert set(plain[0]["answers"]) == {"size", "answer"} and plain == run.predict(["abc"]).to_plain()
