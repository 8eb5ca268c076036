"""What `predict` and `evaluate` print and write: one document, every row, in order."""

from __future__ import annotations

import json

import polars as pl
import pytest


def test_text_file_and_forced_text(command, tiny_run, news_csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "姚明").write_text("text\n第一条 新闻\n第二条 新闻\n", "utf-8")
    rows = json.loads(command("predict", tiny_run, "姚明", "--json", "--quiet").out)
    assert [row["text"] for row in rows] == ["第一条 新闻", "第二条 新闻"]
    ended = command("predict", tiny_run, "姚明", "--text", "--json", "--top", "9")
    (row,) = json.loads(ended.out)
    assert row["text"] == "姚明" and {answer["label"] for answer in row["top"]} == {"体育", "科技"}
    assert sum(answer["confidence"] for answer in row["top"]) == pytest.approx(1, abs=1e-5)
    assert row["confidence"] == max(answer["confidence"] for answer in row["top"])


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_keep_order_ids_and_columns(command, tiny_run, news, tmp_path, ending):
    source, out = tmp_path / "in.parquet", tmp_path / f"out.{ending}"
    texts = [text for text, _ in news[:20]] + ["", None]
    given = pl.DataFrame({"id": [f"{9 - i % 10:03d}-{i}" for i in range(22)], "text": texts, "confidence": range(22)})
    given.write_parquet(source)
    ended = command("predict", tiny_run, source, "--out", out, "--top", "2")
    assert ended.code == 0 and not ended.out and "2 of 22 texts are empty" in ended.err
    read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[ending](out)
    assert read["id"].to_list() == given["id"].to_list()
    assert read["confidence"].to_list() == given["confidence"].to_list()
    assert read["text"].fill_null("").to_list() == [text or "" for text in texts]
    assert {"predicted_label", "predicted_label_2", "confidence_new", "confidence_2"} <= set(read.columns)
    assert set(read["predicted_label"].to_list()) <= {"体育", "科技"}


def test_evaluate_prints_one_document_and_names_unseen_labels(command, tiny_run, news, tmp_path):
    path = tmp_path / "rows.csv"
    rows = (
        [f'"{text}",{label}' for text, label in news[:20]] + ["一条 财经新闻,财经"] * 3 + [",体育", "没有标签 的新闻,"]
    )
    path.write_text("\n".join(["content,label", *rows]), "utf-8")  # another name for the only text
    ended = command("evaluate", tiny_run, path, "--json", "--quiet")
    assert ended.code == 0 and not ended.err, ended.err
    found = json.loads(ended.out)
    assert found["rows"] == 23 and found["unseen"] == {"财经": 3} and found["skipped"] == 2
    assert 0 <= found["accuracy"] <= 20 / 23 and 0 <= found["macro_f1"] <= 1
    assert set(found["baselines"]) == {"majority", "tfidf_linear"}
    ended = command("evaluate", tiny_run, path)
    assert "'财经' (3 rows)" in ended.out and "2 rows were skipped" in ended.out
