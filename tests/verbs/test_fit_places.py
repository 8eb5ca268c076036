"""Answers that are places in a text, from the file to the report: SQuAD's layout and marked sentences."""

import json
import random

import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.records import stream as portions
from zaowu.records.read import read

NAMES, CITIES = ["Yao Ming", "Ann Lee", "Bob Ray", "Li Na"], ["Shanghai", "Paris", "Rome", "Beijing", "Oslo"]
TINY = {"base": "none", "size": "mini", "quiet": True}


def squad(path, rows, *, none=False):
    rng, articles = random.Random(0), []
    for number in range(rows):
        name, city, year = rng.choice(NAMES), rng.choice(CITIES), str(rng.randint(1900, 2000))
        context = f"{name} was born in {city} in {year} ."
        questions = [("who was born ?", name), ("where ?", city), ("in which year ?", year)]
        qas = [
            {"id": f"{number}", "question": asked, "answers": [{"text": words, "answer_start": context.find(words)}]}
            for asked, words in questions
        ]
        if none:
            qas[number % 3] |= {"question": "how many ?", "answers": [], "is_impossible": True}
        articles.append({"title": f"a{number}", "paragraphs": [{"context": context, "qas": qas}]})
    path.write_text(json.dumps({"version": "v2.0", "data": articles}), "utf-8")
    return path


def marked(path, rows):
    rng, lines = random.Random(0), []
    for _ in range(rows):
        name, city = rng.choice(NAMES), rng.choice(CITIES)
        text = rng.choice(["{name} lives in {city} .", "in {city} there is {name} .", "nobody is here ."])
        text = text.format(name=name, city=city)
        spans = [(text.find(words), words, label) for words, label in ((name, "PER"), (city, "LOC")) if words in text]
        found = [{"start": at, "end": at + len(words), "label": label, "text": words} for at, words, label in spans]
        lines.append(json.dumps({"text": text, "entities": found}))
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("span")
    train, test = squad(folder / "train.json", 60, none=True), squad(folder / "test.json", 12, none=True)
    run = zaowu.fit(train, test=str(test), target="answer", epochs=12, out=folder / "run", **TINY)
    return run, test, folder / "run"


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entities")
    train, test = marked(folder / "train.jsonl", 120), marked(folder / "test.jsonl", 30)
    run = zaowu.fit(train, test=str(test), target="entities", epochs=12, out=folder / "run", **TINY)
    return run, test, folder / "run"


def test_a_reader_learns_and_is_held_against_the_sliding_window(reader):
    run, _, folder = reader
    assert [column.role for column in run.schema.columns] == ["input", "input", "target", "group"]
    scores = run.summary()
    assert scores["f1"] > 0.6 and scores["answerable"] == 24 and scores["unanswerable"] == 12
    assert set(scores["baselines"]) == {"sliding_window"} and "sliding_window" in scores["comparison"]
    page = (folder / "report.html").read_text("utf-8")
    assert "best sliding window" in page
    assert ("furthest off" in page) == bool(run.content.answers[0].mistakes)
    assert not (folder / "modules.json").exists() and not (folder / "config.json").exists()
    assert (folder / "trunk" / "config.json").is_file()


def test_a_saved_reader_answers_with_places(reader):
    run, test, folder = reader
    opened = zaowu.load(folder)
    rows = [{"question": "where ?", "context": "Ann Lee was born in Rome in 1950 ."}]
    told = opened.predict(rows).to_plain()[0]
    assert told["answer"] is None or rows[0]["context"][told["start"] : told["end"]] == told["answer"]
    assert 0 < told["confidence"] <= 1 and told["text"].startswith("where ?")
    assert {"predicted_answer", "start", "end", "confidence"} <= set(opened.predict(rows).to_frame().columns)
    assert opened.predict(test).to_plain() == run.predict(test).to_plain()
    assert opened.evaluate(test).to_plain() == run.evaluate(test).to_plain()


def test_a_tagger_learns_and_is_held_against_the_dictionary(tagger):
    run, test, folder = tagger
    scores = run.summary()
    assert scores["entity_f1"] > 0.6 and set(scores["baselines"]) == {"dictionary"}
    assert [row["label"] for row in scores["per_class"]] == ["LOC", "PER"]
    opened = zaowu.load(folder)
    for row in opened.predict(["Bob Ray lives in Oslo ."]).to_plain():
        assert all(row["text"][one["start"] : one["end"]] == one["text"] for one in row["entities"])
    assert opened.evaluate(test).to_plain() == run.evaluate(test).to_plain()
    page = (folder / "report.html").read_text("utf-8")
    assert "dictionary of training entities" in page and "By label" in page


@pytest.mark.parametrize("kind", ["reader", "tagger"])
def test_a_large_file_is_scored_in_portions_with_the_same_figures(kind, request, monkeypatch, tmp_path):
    _, test, folder = request.getfixturevalue(kind)
    opened, path = zaowu.load(folder), tmp_path / "large.jsonl"
    read(test).frame.write_ndjson(path)
    whole = opened.evaluate(path).to_plain()
    monkeypatch.setattr(portions, "LARGE_BYTES", 1)
    monkeypatch.setattr(portions, "PORTION", 7)
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path))
    assert opened.evaluate(path, out=tmp_path / "out.csv").to_plain() == whole


def test_few_rows_are_scored_by_folds(tmp_path):
    run = zaowu.fit(marked(tmp_path / "few.jsonl", 40), target="entities", epochs=1, out=tmp_path / "run", **TINY)
    assert run.content.scored_on == "5-fold cross-validation" and run.summary()["rows"] == 40


def test_what_cannot_be_answered_from_the_text_is_named(tmp_path):
    rows = [{"context": "a b c", "question": "what?", "answer": words} for words in ("a", "b", "zebra", "c")]
    with pytest.raises(
        UserError, match=r"row 3, column 'answer': expected words that stand in the context, got 'zebra'"
    ):
        zaowu.fit(rows, target="answer", columns=["answer:kind=span"], on_bad_row="stop", out=tmp_path / "r", **TINY)
    marked_rows = [{"text": "ab", "entities": '[{"start": 0, "end": 9, "label": "x"}]'}] * 3
    with pytest.raises(UserError, match="within the 2 characters"):
        zaowu.fit(
            marked_rows, target="entities", columns=["text:kind=text"], on_bad_row="stop", out=tmp_path / "r", **TINY
        )
    with pytest.raises(UserError, match="--head first"):
        zaowu.fit(marked(tmp_path / "t.jsonl", 30), target="entities", head="first", out=tmp_path / "r", **TINY)
