"""A large file is answered in portions: the same answers, in order, and a kill loses one portion at most."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.records import stream
from zaowu.run import stream as writer
from zaowu.verbs.evaluate import evaluate
from zaowu.verbs.predict import predict

ROWS = 230


@pytest.fixture
def large(monkeypatch):
    """From here on a file of a few kilobytes is large, and a portion has 40 rows."""
    monkeypatch.setattr(stream, "LARGE_BYTES", 1000)
    monkeypatch.setattr(stream, "PORTION", 40)
    from zaowu.records.reading import encoding

    monkeypatch.setattr(encoding, "BLOCK_BYTES", 700)


@pytest.fixture(scope="module")
def frame(news):
    texts = [f"{news[k % len(news)][0]} 第{k}条" + (" 一,\n 行" if k % 9 == 0 else "") for k in range(ROWS)]
    return pl.DataFrame({"id": range(ROWS), "text": texts})


def written(frame, path):
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[path.suffix](path)
    return path


def load(path):
    return {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}[path.suffix](path)


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("out", [".csv", ".jsonl", ".parquet"])
def test_portions_do_not_show(large, tiny_run, frame, tmp_path, kind, out):
    source, place = written(frame, tmp_path / f"data{kind}"), tmp_path / f"answers{out}"
    found = predict(tiny_run, str(source), out=place, quiet=True)
    answers = load(place)
    assert found.to_plain() == {"rows": ROWS, "out": str(place)}
    assert answers["text"].to_list() == frame["text"].to_list()
    assert [int(number) for number in answers["id"]] == list(range(ROWS))
    whole = zaowu.load(tiny_run).predict(frame)
    assert answers["predicted_label"].to_list() == whole.prediction.labels
    assert answers["confidence"].to_list() == pytest.approx(whole.prediction.confidence.tolist(), abs=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, place.name])


def test_after_a_kill_it_goes_on_where_it_was(large, tiny_run, frame, tmp_path, monkeypatch):
    source, place = written(frame, tmp_path / "data.csv"), tmp_path / "answers.csv"
    true, times = writer.write_frame, []

    def killed(*args, **kwargs):
        times.append(args)
        if len(times) == 4:
            raise KeyboardInterrupt
        true(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_frame", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(tiny_run, str(source), out=place, quiet=True)
    assert not place.exists()
    asked = []
    run_predict = zaowu.Run.predict
    monkeypatch.setattr(zaowu.Run, "predict", lambda run, table: asked.append(table) or run_predict(run, table))
    predict(tiny_run, str(source), out=place, quiet=True)
    assert 0 < sum(table.frame.height for table in asked) < ROWS - 2 * 40
    assert load(place)["text"].to_list() == frame["text"].to_list()


def test_another_file_of_that_name_begins_again(large, tiny_run, frame, tmp_path, monkeypatch):
    source, place = written(frame, tmp_path / "data.csv"), tmp_path / "answers.csv"
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            predict(tiny_run, str(source), out=place, quiet=True)
    written(frame.reverse(), source)
    predict(tiny_run, str(source), out=place, quiet=True)
    assert load(place)["text"].to_list() == frame["text"].to_list()[::-1]


def test_a_broken_row_stops_it_and_an_older_answer_stays(large, tiny_run, frame, tmp_path):
    place = tmp_path / "answers.csv"
    place.write_text("older")
    source = written(frame, tmp_path / "data.csv")
    source.write_text(source.read_text("utf-8") + "1,2,3,4\n", "utf-8")
    with pytest.raises(UserError, match="expected 2 fields, got 4"):
        predict(tiny_run, str(source), out=place, quiet=True)
    assert place.read_text() == "older"


def test_rows_are_numbered_as_in_the_whole(large, frame, tmp_path):
    for kind in (".csv", ".jsonl", ".parquet"):
        tables = list(stream.portions(written(frame, tmp_path / f"data{kind}")))
        assert len(tables) > 3 and sum(table.frame.height for table in tables) == ROWS
        assert pl.concat([table.frame.select("text") for table in tables])["text"].to_list() == frame["text"].to_list()
    assert json.dumps([int(row) for row in tables[1].rows[:1]]) == "[41]"


def test_objects_with_other_keys_further_down(large, tiny_run, frame, tmp_path):
    rows = [{"id": k, "text": text} if k % 2 else {"text": text, "id": k} for k, text in frame.rows()]
    del rows[200]["id"]
    source, place = tmp_path / "data.jsonl", tmp_path / "answers.csv"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    predict(tiny_run, str(source), out=place, quiet=True)
    answers = load(place)
    assert answers["text"].to_list() == frame["text"].to_list()
    assert answers["id"][199:202].to_list() == [199, None, 201]
    rows[200]["more"] = 1
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    with pytest.raises(UserError, match="'more' does not occur"):
        predict(tiny_run, str(source), out=place, quiet=True)
    lines = source.read_text("utf-8").splitlines()
    source.write_text("\n".join([*lines[:150], "no object", *lines[150:]]), "utf-8")
    with pytest.raises(UserError, match=re.escape("row 151")):
        predict(tiny_run, str(source), out=place, quiet=True)


@pytest.fixture(scope="module")
def labelled(news, frame):
    """Every tenth row without a label, every seventh without a text."""
    labels = [None if k % 10 == 3 else news[k % len(news)][1] for k in range(ROWS)]
    texts = [None if k % 7 == 5 else text for k, text in enumerate(frame["text"])]
    return pl.DataFrame({"id": range(ROWS), "text": texts, "label": labels})


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_scores_of_portions_are_those_of_the_whole(tiny_run, labelled, tmp_path, monkeypatch, request, kind):
    source, place = written(labelled, tmp_path / f"data{kind}"), tmp_path / "answers.csv"
    whole = evaluate(tiny_run, str(source), out=tmp_path / "whole.csv", quiet=True).to_plain()
    request.getfixturevalue("large")
    with_rows = evaluate(tiny_run, str(source), out=place, quiet=True).to_plain()
    without = evaluate(tiny_run, str(source), quiet=True).to_plain()
    assert whole["rows"] == ROWS - len({*range(3, ROWS, 10), *range(5, ROWS, 7)})
    assert figures(with_rows) == figures(without) == pytest.approx(figures(whole), abs=1e-4)
    answers, expected = load(place), load(tmp_path / "whole.csv")
    assert answers["text"].to_list() == expected["text"].to_list()
    assert answers["predicted_label"].to_list() == expected["predicted_label"].to_list()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, place.name, "whole.csv"])


def test_a_killed_evaluation_answers_no_portion_twice(large, tiny_run, labelled, tmp_path, monkeypatch):
    source = written(labelled, tmp_path / "data.csv")
    whole = evaluate(tiny_run, str(source), quiet=True).to_plain()
    true, portions = zaowu.Run.answer, []

    def killed(run, records):
        portions.append(len(records))
        if len(portions) == 4:
            raise KeyboardInterrupt
        return true(run, records)

    with monkeypatch.context() as patch:
        patch.setattr(zaowu.Run, "answer", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(tiny_run, str(source), quiet=True)
        again = evaluate(tiny_run, str(source), quiet=True).to_plain()
    assert sum(portions) == whole["rows"] + portions[3]  # the killed one was begun twice, no other
    assert figures(again) == figures(whole)


def test_a_large_file_without_a_usable_row(large, tiny_run, tmp_path):
    source = written(pl.DataFrame({"text": ["甲" * 9] * ROWS, "label": [""] * ROWS}), tmp_path / "data.csv")
    with pytest.raises(UserError, match="no row can be used"):
        evaluate(tiny_run, str(source), quiet=True)


def figures(plain):
    return {name: value for name, value in plain.items() if isinstance(value, (int, float))}
