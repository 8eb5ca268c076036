"""`fit` on every kind of source, and what its options do."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas
import polars as pl
import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.learn import Ready
from zaowu.run import folds

TINY = {"base": "none", "size": "mini", "epochs": 1, "settings": {"num_pieces": 300}, "quiet": True, "threads": 1}


@pytest.fixture(scope="module")
def rows(news):
    return news[:60]


def source(kind: str, rows, folder):
    """The same rows as another kind of source."""
    frame = pl.DataFrame({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    if kind == "polars":
        return frame
    if kind == "pandas":
        return pandas.DataFrame(frame.to_dict(as_series=False))
    if kind == "dicts":
        return frame.to_dicts()
    if kind == "columns":
        return frame.to_dict(as_series=False)
    path = folder / f"news.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in frame.to_dicts()), "utf-8")
    elif kind == "tsv":
        frame.write_csv(path, separator="\t")
    elif kind == "gb.csv":
        path.write_bytes(frame.write_csv().encode("gb18030"))
    elif kind == "bom.csv":
        path.write_bytes(b"\xef\xbb\xbf" + frame.write_csv(separator=";").encode())
    elif kind == "bare.csv":
        frame.write_csv(path, include_header=False)
    else:
        for number, (text, label) in enumerate(rows):
            (path / label).mkdir(parents=True, exist_ok=True)
            (path / label / f"{number}.txt").write_text(text, "utf-8")
    return str(path)


KINDS = ("tsv", "jsonl", "parquet", "gb.csv", "bom.csv", "bare.csv", "folder", "polars", "pandas", "dicts", "columns")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_is_the_same_data(kind, rows, other_csv, tmp_path):
    """The fingerprint of contents and labels does not depend on how they were stored."""
    run = zaowu.fit(source(kind, rows, tmp_path), test=None, out=tmp_path / "run", **TINY)
    expected = zaowu.fit(source("columns", rows, tmp_path), out=tmp_path / "other", **TINY)
    assert run.facts["data"]["sha256"] == expected.facts["data"]["sha256"]
    (target,) = run.targets.values()
    assert target.classes == ("体育", "科技")
    assert run.content.answers[0].evaluation["rows"] == 60
    assert run.content.scored_on == "5-fold cross-validation"


def test_no_record_is_scored_by_a_model_that_saw_it(rows, tmp_path, monkeypatch):
    seen: list[tuple[set, set]] = []

    class Spied(Ready):
        def learn(self, **more):
            learned = super().learn(**more)
            outputs = learned.outputs

            def asked(held, **words):
                seen.append((set(self.records.ids.tolist()), set(held.ids.tolist())))
                return outputs(held, **words)

            learned.outputs = asked
            return learned

    make_ready = folds.make_ready
    monkeypatch.setattr(folds, "make_ready", lambda *given, **more: Spied(**vars(make_ready(*given, **more))))
    run = zaowu.fit(source("polars", rows, tmp_path), out=tmp_path / "run", **TINY)
    assert len(seen) == 5
    assert not any(trained & held for trained, held in seen)
    assert len(set().union(*(held for _, held in seen))) == run.content.answers[0].evaluation["rows"]


def test_a_test_file_that_repeats_training_rows_is_scored_twice(rows, news, tmp_path):
    """As given, and without the ten rows that stand in the training file."""
    test = source("jsonl", [*rows[:10], *news[60:80]], tmp_path)
    run = zaowu.fit(source("polars", rows, tmp_path), test=test, out=tmp_path / "run", **TINY)
    assert run.content.scored_on == "test file"
    assert run.content.answers[0].evaluation["rows"] == 30
    assert run.content.answers[0].deleaked["rows"] == 20
    assert run.content.findings["duplicates_across"] == 10


def test_a_validation_file_chooses_the_epoch(rows, news, tmp_path):
    valid = source("jsonl", news[60:90], tmp_path)
    run = zaowu.fit(source("polars", rows, tmp_path), valid=valid, out=tmp_path / "run", **TINY)
    assert [split["side"] for split in run.content.splits] == ["train", "valid", "test"]
    assert run.content.splits[1]["rows"] == 30
    assert run.content.history[0]["valid"]["macro_f1"] >= 0


def test_groups_stay_on_one_side_and_slices_are_reported(rows, tmp_path):
    frame = source("polars", rows, tmp_path).with_columns(
        pl.Series("author", [f"a{i // 6}" for i in range(60)]), pl.Series("city", ["京", "沪"] * 30)
    )
    run = zaowu.fit(frame, target="label", group="author", slices=["city"], out=tmp_path / "run", **TINY)
    roles = {column["name"]: column["role"] for column in run.content.columns}
    assert roles == {"text": "input", "label": "target", "author": "group", "city": "slice"}
    cities = [part for part in run.content.answers[0].slices if part["slice"] == "city"]
    assert sorted(part["value"] for part in cities) == ["京", "沪"]
    assert sum(part["rows"] for part in cities) == 60


def test_class_weights_and_a_class_of_one(rows, tmp_path):
    frame = source("polars", [*rows, ("只有一条的类别 新闻标题", "教育")], tmp_path)
    run = zaowu.fit(frame, out=tmp_path / "run", class_weights="balanced", **TINY)
    assert run.targets["label"].class_weights == "balanced"
    assert "教育" in run.targets["label"].classes
    assert run.content.findings["one_member_classes"] == ["教育"]
    assert np.isfinite(run.content.answers[0].evaluation["log_loss"])


def test_settings_reach_the_run(rows, tmp_path):
    run = zaowu.fit(source("polars", rows, tmp_path), out=tmp_path / "run", seed=3, lr=0.01, batch_size=7, **TINY)
    saved = json.loads((tmp_path / "run" / "zaowu.json").read_text("utf-8"))["config"]
    assert (saved["train"]["seed"], saved["train"]["lr"], saved["train"]["batch_size"]) == (3, 0.01, 7)
    assert saved["text"]["num_pieces"] == 300
    assert run.config.train.epochs == 1


def test_choices_that_cannot_be_had_are_refused_before_the_file_is_read(tmp_path):
    for wrong in ({"base": "multilingual-e5-smal"}, {"base": "none", "size": "huge"}, {"device": "tpu"}):
        with pytest.raises(UserError, match=r"base|size|device"):
            zaowu.fit(tmp_path / "absent.csv", out=tmp_path / "run", quiet=True, **wrong)
    assert not list(tmp_path.iterdir())


def test_the_report_in_the_other_language(command, tiny_run, tmp_path):
    page = tmp_path / "zh.html"
    assert command("report", tiny_run, "--lang", "zh", "--out", page).code == 0
    assert 'lang="zh' in page.read_text("utf-8")
    assert 'lang="en' in (tiny_run / "report.html").read_text("utf-8")


def test_check_says_by_its_exit_code_that_something_must_be_looked_at(command, rows, tmp_path):
    clean, doubled = tmp_path / "clean.csv", tmp_path / "doubled.csv"
    for path, content in ((clean, rows), (doubled, [*rows, rows[0]])):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *content])
    assert command("check", clean).code == 0
    ended = command("check", doubled, "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["duplicates_within"] == 1
