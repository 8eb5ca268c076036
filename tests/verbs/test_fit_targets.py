"""Numbers, tags and several answers at once, from the table to the report."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import zaowu
from zaowu.config import DataConfig
from zaowu.errors import UserError
from zaowu.inputs import guessers
from zaowu.records.prepare import prepare

TINY = {"base": "none", "size": "mini", "epochs": 1, "settings": {"num_pieces": 300}, "quiet": True, "threads": 1}
COLUMNS = ("topic", "size", "tags")
KINDS = {"topic": "category", "size": "number", "tags": "tags"}
PRIORS = {"topic": "majority", "size": "mean", "tags": "common_tags"}


def table(rows) -> pl.DataFrame:
    """Topic, size and tags of each text; the first ten have no topic, the next ten no size, then no tags."""
    number = range(len(rows))
    gap = [k // 10 if len(rows) > 40 else -1 for k in number]
    tags = ([], ["长"], ["长", "球"], ["机", "球"])
    return pl.DataFrame(
        {
            "text": [text for text, _ in rows],
            "topic": [None if gap[k] == 0 else label for k, (_, label) in enumerate(rows)],
            "size": [None if gap[k] == 1 else float(100 * len(text) + k) for k, (text, _) in enumerate(rows)],
            "tags": [None if gap[k] == 2 else json.dumps(tags[k % 4], ensure_ascii=False) for k in number],
            "trust": [(0.5, 1.0, 2.0)[k % 3] for k in number],
        }
    )


@pytest.fixture(scope="module")
def frame(news):
    return table(news[:80])


@pytest.fixture(scope="module")
def held(news, tmp_path_factory):
    path = tmp_path_factory.mktemp("held") / "held.parquet"
    table(news[80:120]).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def runs(frame, held, tmp_path_factory):
    """The columns to answer -> the run, fitted on `frame` and scored on `held`."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(*columns):
        if columns not in made:
            rest = [name for name in COLUMNS if name not in columns]
            weight = {"weight": "trust"} if len(columns) == 3 else {"ignore": [*rest, "trust"]}
            made[columns] = zaowu.fit(
                frame, target=columns, test=str(held), out=folder / "-".join(columns), lang="en", **weight, **TINY
            )
        return made[columns]

    return run


def answers_of(prediction) -> np.ndarray:
    """What was said, whatever its kind: (N, ...)."""
    return prediction.value if hasattr(prediction, "value") else prediction.probabilities


@pytest.mark.parametrize("columns", [("size",), ("tags",), COLUMNS], ids="-".join)
def test_it_is_fitted_scored_and_reported(runs, columns):
    run = runs(*columns)
    assert {name: target.name for name, target in run.targets.items()} == {name: KINDS[name] for name in columns}
    assert [answer.target for answer in run.content.answers] == list(columns)
    for answer in run.content.answers:
        assert answer.evaluation["rows"] == 40 and answer.evaluation["kind"] == answer.kind == KINDS[answer.target]
        assert set(answer.baselines) == set(answer.comparison) == {PRIORS[answer.target], "tfidf_linear"}
        assert answer.mistakes and len(answer.predictions) == 5 and answer.slices
    assert len(run.lines()) == len(columns) + 2
    roles = {column["name"]: column["role"] for column in run.content.columns}
    assert roles["trust"] == ("weight" if columns == COLUMNS else "ignored")


@pytest.mark.parametrize("columns", [("size",), ("tags",), COLUMNS], ids="-".join)
def test_saved_and_loaded_it_gives_equal_answers(runs, columns, news, tmp_path):
    run = runs(*columns)
    texts = [text for text, _ in news] + ["", "字" * 300]
    given = run.predict(texts)
    for back in (zaowu.load(run.folder), zaowu.load(zaowu.load(run.folder).save(tmp_path / "again"))):
        found = back.predict(texts)
        assert found.predictions.keys() == given.predictions.keys() == set(columns)
        for name in columns:
            assert np.array_equal(answers_of(found.predictions[name]), answers_of(given.predictions[name]))
        assert found.to_plain(top=2) == given.to_plain(top=2)
        assert back.targets == run.targets and back.content == zaowu.load(run.folder).content
        beside = [own.baselines.predict({"text": texts}) for own in (run, back)]
        for name in columns:
            for one, other in zip(*(answers[name].values() for answers in beside), strict=True):
                assert np.array_equal(answers_of(one), answers_of(other))


def test_records_without_one_of_the_labels_still_teach_the_others(runs):
    run = runs(*COLUMNS)
    assert run.content.splits[0]["rows"] == 80
    assert all(own.linear.weight.any() for own in run.baselines.answerers.values())
    assert sum(run.targets["topic"].counts) == run.targets["tags"].rows == 70


def test_weights_change_what_is_learned(frame, held, runs, tmp_path):
    run = runs(*COLUMNS)
    plain = zaowu.fit(
        frame, target=COLUMNS, ignore=["trust"], test=str(held), out=tmp_path / "plain", lang="en", **TINY
    )
    one = zaowu.fit(
        frame.with_columns(trust=pl.lit(3.0)),
        target=COLUMNS,
        weight="trust",
        test=str(held),
        out=tmp_path / "one",
        lang="en",
        **TINY,
    )
    texts = ["姚明宣布退役", "手机厂商发布新机"]
    given, same, other = (answers_of(own.predict(texts).predictions["topic"]) for own in (plain, one, run))
    np.testing.assert_allclose(given, same, atol=1e-5)  # all alike is as if there were none
    assert not np.allclose(given, other, atol=1e-5)


# ---- the verbs


def test_predict_prints_a_table_a_document_and_a_file(command, runs, held, tmp_path):
    run = runs(*COLUMNS)
    lines = command("predict", run.folder, "姚明宣布退役", "新手机").out.splitlines()
    assert lines[0].split("\t") == ["text", "topic", "confidence", "size", "confidence", "tags", "confidence"]
    assert len(lines) == 3 and len(lines[1].split("\t")) == 7
    rows = json.loads(command("predict", run.folder, "姚明宣布退役", "--json", "--quiet").out)
    assert list(rows[0]["answers"]) == list(COLUMNS)
    assert {"label", "confidence"} <= rows[0]["answers"]["topic"].keys()
    assert isinstance(rows[0]["answers"]["size"]["value"], float) and isinstance(
        rows[0]["answers"]["tags"]["labels"], list
    )
    for ending, read in (("csv", pl.read_csv), ("jsonl", pl.read_ndjson), ("parquet", pl.read_parquet)):
        out = tmp_path / f"out.{ending}"
        assert command("predict", run.folder, held, "--out", out).code == 0
        given, source = read(out), pl.read_parquet(held)
        assert given["text"].to_list() == source["text"].to_list()
        assert {"predicted_topic", "confidence_topic", "predicted_size", "predicted_tags"} <= set(given.columns)
        found = run.predict(source.select("text")).predictions
        np.testing.assert_allclose(given["predicted_size"].to_numpy(), found["size"].value, rtol=1e-6)
        assert [json.loads(own) for own in given["predicted_tags"]] == found["tags"].labels


def test_a_number_alone_is_one_plain_column(command, runs):
    run = runs("size")
    lines = command("predict", run.folder, "姚明宣布退役").out.splitlines()
    assert lines[0] == "text\tsize" and len(lines[1].split("\t")) == 2
    (row,) = json.loads(command("predict", run.folder, "姚明宣布退役", "--json", "--quiet").out)
    assert {"text", "value"} <= row.keys() <= {"text", "value", "low", "high"}


def test_evaluate_scores_each_answer_on_the_rows_that_have_it(command, runs, frame, tmp_path):
    run, path = runs(*COLUMNS), tmp_path / "more.parquet"
    frame.write_parquet(path)
    found = json.loads(command("evaluate", run.folder, path, "--json", "--quiet").out)
    assert found["rows"] == 80 and list(found["targets"]) == list(COLUMNS)
    assert [own["rows"] for own in found["targets"].values()] == [70, 70, 70]
    judged = run.evaluate(frame).judged
    truth = frame.drop_nulls("size")
    said = run.predict(truth.select("text")).predictions["size"].value
    assert judged["size"].evaluation.scores["mae"].value == pytest.approx(
        np.abs(truth["size"].to_numpy() - said).mean()
    )
    text = command("evaluate", run.folder, path).out
    assert all(f"{name}:" in text.splitlines() for name in COLUMNS)
    assert "mae" in text and "micro f1" in text and "mae minus mean" in text and "e+0" not in text


def test_evaluate_names_a_column_that_has_no_label(runs, frame):
    run = runs(*COLUMNS)
    with pytest.raises(UserError, match="column 'size': expected numbers, got none"):
        run.evaluate(frame.with_columns(size=pl.lit(None, pl.Float64)))
    with pytest.raises(UserError, match="expected the column 'tags' with the true labels"):
        run.evaluate(frame.drop("tags"))


def test_the_only_prediction_of_several_is_refused_by_name(runs):
    found = runs(*COLUMNS).predict(["姚明宣布退役"])
    with pytest.raises(UserError, match=r"topic, size, tags.*predictions\[name\]"):
        _ = found.prediction
    assert runs("size").predict(["姚明宣布退役"]).prediction.value.shape == (1,)


def test_the_report_has_a_section_for_each_answer(command, runs, tmp_path):
    run = runs(*COLUMNS)
    for lang in ("en", "zh"):
        page = tmp_path / f"{lang}.html"
        assert command("report", run.folder, "--lang", lang, "--out", page).code == 0
        words = page.read_text("utf-8")
        for number in (1, 2, 3):
            assert f'<h2 id="wrong-{number}">' in words
        assert "weight" in words if lang == "en" else "权重" in words


def test_the_command_line_takes_target_again_and_again(command, frame, held, tmp_path):
    source, out = tmp_path / "source.parquet", tmp_path / "run"
    frame.write_parquet(source)
    flags = ["--base", "none", "--size", "mini", "--set", "num_pieces=300", "--epochs", "1", "--threads", "1"]
    ended = command(
        "fit", source, "--target", "topic", "--target", "tags", "--weight", "trust", "--ignore", "size",
        "--test", held, "--out", out, "--json", "--quiet", *flags
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert list(found["targets"]) == ["topic", "tags"] and "micro_f1" in found["targets"]["tags"]
    saved = json.loads((out / "zaowu.json").read_text("utf-8"))
    assert saved["config"]["data"]["target"] == ["topic", "tags"] and saved["config"]["data"]["weight"] == "trust"
    assert list(saved["targets"]) == ["topic", "tags"]


def test_check_takes_them_too(command, frame, tmp_path):
    path = tmp_path / "source.parquet"
    frame.write_parquet(path)
    found = json.loads(command("check", path, "--target", "size", "--target", "topic", "--json").out)
    roles = {column["name"]: (column["role"], column["kind"]) for column in found["columns"]}
    assert roles["size"] == ("target", "number") and roles["topic"] == ("target", "category")
    assert set(found["class_counts"]["train"]) == {"体育", "科技"}


# ---- without a test file


def test_below_a_thousand_rows_every_record_is_answered_by_a_model_that_never_saw_it(frame, tmp_path):
    run = zaowu.fit(frame, target=COLUMNS, weight="trust", out=tmp_path / "run", lang="en", **TINY)
    assert run.content.scored_on == "5-fold cross-validation"
    for answer in run.content.answers:
        assert answer.evaluation["rows"] == 70
        assert answer.baselines["tfidf_linear"]["rows"] == 70
    size = run.content.answers[1]
    assert 0.75 < size.evaluation["coverage"] <= 1  # each fold's interval comes from the other four
    assert run.targets["size"].width > 0  # and that of the final model from all of them
    assert run.predict(["姚明宣布退役"]).predictions["size"].low is not None


def test_with_enough_rows_validation_chooses_the_epoch_and_sets_the_thresholds(news, tmp_path):
    rows = [(f"{text} {copy}", label) for copy in range(10) for text, label in news[:110]]
    frame = table(rows).select("text", "size", "tags")
    run = zaowu.fit(frame, target=["size", "tags"], out=tmp_path / "run", lang="en", **TINY)
    assert [split["side"] for split in run.content.splits] == ["train", "valid", "test"]
    point = run.content.history[0]
    assert {"size: r2", "tags: micro_f1"} <= point["valid"].keys() and len(point["rank"]) == 2
    assert run.targets["size"].width > 0
    assert run.content.answers[0].evaluation["coverage"] > 0.75


def test_an_answer_that_no_row_of_the_test_split_has_costs_nobody_the_run(news, tmp_path):
    """Where few rows have a label, whether the test split holds one is chance. The others are scored all the same."""
    frame = table([(f"{text} {copy}", label) for copy in range(10) for text, label in news[:110]])
    frame = frame.select("text", "size", "tags")
    test = prepare(frame, DataConfig(target=("size",), ignore=("tags",)), guessers=guessers()).test
    held = pl.Series(np.isin(np.arange(1, frame.height + 1), test.rows))
    frame = frame.with_columns(tags=pl.when(~held).then("tags"))
    run = zaowu.fit(frame, target=["size", "tags"], out=tmp_path / "run", lang="en", **TINY)
    assert run.content.answers[0].evaluation["rows"] > 50 and run.content.answers[1].evaluation is None
    assert "tags: Nothing was scored" in (run.folder / "report.html").read_text("utf-8")
    assert zaowu.load(run.folder).predict(["姚明宣布退役"]).predictions.keys() == {"size", "tags"}


def test_labels_that_are_all_alike_in_training_are_one_sentence(frame, held, tmp_path):
    for column, value, said in (("size", 7.0, "two different numbers"), ("tags", "[]", "some rows have")):
        wrong, kind = frame.with_columns(pl.lit(value).alias(column)), {column: KINDS[column]}
        with pytest.raises(UserError, match=f"column '{column}'.*{said}"):
            zaowu.fit(wrong, target=column, columns=kind, test=str(held), out=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()
