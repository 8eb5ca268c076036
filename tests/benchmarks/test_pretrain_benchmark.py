"""`benchmarks/pretrain.py` and `pretrain_gain.py` on tiny models: every part runs, and goes on from what it kept."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pretrain
import pretrain_gain
from peers import masked
from sets import corpora, manuals
from shared.cases import write_random
from shared.measure import Rows


@pytest.fixture(scope="module")
def headlines(news, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "headlines.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("title", "topic"), *news])
    return path


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs a script's `main`; returns what it prints and its cells."""

    def main(script, *flags: str) -> tuple[str, list[dict]]:
        out = tmp_path / "rows.jsonl"
        places = ["--out", str(out), "--work", str(tmp_path / "work"), "--threads", "1"]
        monkeypatch.setattr(sys, "argv", [script.__name__, *places, *map(str, flags)])
        script.main()
        return capsys.readouterr().out, Rows(out).read()

    return main


def test_speed(headlines, run, tmp_path):
    flags = ("--data", headlines, "--shape", "tiny", "--rounds", "1", "--steps", "2")
    printed, cells = run(pretrain, *flags)
    assert [cell["round"] for cell in cells] == [0, 1]
    assert cells[0]["kernels"].keys() == {"trainer fp32", "trainer bf16"}
    assert cells[1]["rates"].keys() == {"zaowu", "trainer fp32", "trainer bf16"}
    assert min(cells[1]["rates"].values()) > 0 and 0 <= cells[1]["padding"] < 0.1 and 0 < cells[1]["waiting"] < 1
    assert "zaowu (" in printed and "of the bf16 peak" in printed and "waiting for data" in printed
    again, same = run(pretrain, *flags)
    assert same == cells and printed.endswith(again)


def test_both_sides_start_from_one_model_and_read_the_same_tokens(headlines, tmp_path):
    from transformers import AutoModelForMaskedLM

    shape = masked.SHAPES["tiny"]
    data = pretrain.as_text(headlines, tmp_path)
    folder = masked.base_folder(shape, data, tmp_path)
    sides = masked.MaskedSides(shape, folder, masked.tokenised(data, folder, tmp_path), steps=2)
    theirs = AutoModelForMaskedLM.from_pretrained(folder).state_dict()
    own = sides.model.state_dict()
    assert (own["masked.dense.weight"] == theirs["cls.predictions.transform.dense.weight"]).all()
    assert (own["embedders.text.weight"] == theirs["bert.embeddings.word_embeddings.weight"]).all()
    items = sides.items(3)
    assert {len(item["input_ids"]) for item in items} == {shape.length}
    feed, found = sides.feed(), []
    for number in range(3):
        batch = feed.batch(3, number)
        answers, ids = batch.targets["masked"].numpy(), batch.inputs["text"]["ids"].numpy()
        found.append(np.where(answers >= 0, answers, ids)[batch.mask.numpy()])
    given = np.concatenate([item["input_ids"] for item in items])
    assert (given[: sum(map(len, found))] == np.concatenate(found)).all()


def test_work_is_what_stands_in_a_batch(headlines, tmp_path):
    from zaowu.train.corpus import CorpusFeed

    shape = masked.SHAPES["tiny"]
    folder = masked.base_folder(shape, pretrain.as_text(headlines, tmp_path), tmp_path)
    feed = CorpusFeed(pretrain.full_rows(8, 16, pieces=shape.pieces), masked.hiding(folder, length=16), batch_tokens=64)
    batches = [feed.batch(0, number) for number in range(2)]
    work = masked.Work.of(batches)
    assert (work.tokens, work.places, work.pairs) == (128, 128, 8 * 16**2)
    assert work.masked == sum(int((batch.targets["masked"] >= 0).sum()) for batch in batches) > 8


def test_tokens(headlines, run):
    printed, cells = run(pretrain, "--data", headlines, "--shape", "tiny", "--part", "tokens", "--tokens", 600, 6000)
    assert [cell["asked"] for cell in cells] == [600, 6000] and "of the first" in printed
    assert all(abs(cell["tokens"] - cell["asked"]) <= 256 for cell in cells), "a batch more or less"
    assert cells[1]["tokens_per_epoch"] < 5000, "the corpus is read twice"


def test_length(headlines, run, tmp_path):
    picture = tmp_path / "length.svg"
    flags = ("--part", "length", "--lengths", 16, 64, "--length-steps", 2, "--picture", picture)
    printed, cells = run(pretrain, "--data", headlines, "--shape", "tiny", *flags)
    assert [(cell["length"], cell["rows"]) for cell in cells] == [(16, 16), (64, 4)]
    assert 0 < cells[0]["mflop_per_token"] < cells[1]["mflop_per_token"] and "formula" in printed
    assert "FLOP formula" in picture.read_text("utf-8")


@pytest.fixture(scope="module")
def large(news, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    write_random([text for text, _ in news], folder, pieces=600, layers=1, dim=32, heads=2)
    return folder


def test_gain(news, headlines, large, run, tmp_path):
    text = tmp_path / "given.jsonl"
    groups = [[title for title, _ in news[place : place + 4]] for place in range(0, 60, 4)]
    documents = [{"text": "\n\n".join(group), "source": "daily"} for group in groups]
    documents.append({"text": "詩", "source": "poems"})
    text.write_text("".join(json.dumps(document) + "\n" for document in documents), "utf-8")
    flags = ["--data", headlines, "--corpora", text, "--base", large, "--size", "mini", "--vocab-size", 1000]
    flags += ["--labels", 40, "--test-rows", 30, "--seeds", 2, "--minutes", 0.02]
    printed, cells = run(pretrain_gain, *flags, "--only", "scratch", "mlm+nsp", "mlm")
    assert [cell["start"] for cell in cells if cell["part"] == "pretrain"] == ["mlm+nsp", "mlm"]
    fits = [cell for cell in cells if cell["part"] == "fit"]
    assert [(cell["start"], cell["seed"]) for cell in fits] == [
        (start, seed) for start in ("scratch", "mlm+nsp", "mlm") for seed in (0, 1)
    ]
    assert all(len(cell["right"]) == 30 for cell in fits)
    assert [cell["rule"]["lr"] for cell in fits] == [1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4]
    assert "40 labels, mlm+nsp minus scratch" in printed and "40 labels, mlm+nsp minus mlm" in printed
    again, same = run(pretrain_gain, *flags, "--only", "scratch", "mlm+nsp", "mlm")
    assert same == cells and printed.endswith(again)
    printed, cells = run(pretrain_gain, *flags, "--only", "base", "base+mlm")
    assert "40 labels, base+mlm minus base" in printed

    tests = {
        json.loads(line)["text"] for line in (tmp_path / "work" / "headlines.jsonl").read_text("utf-8").split("\n")[:-1]
    }
    assert len(tests) == len(news) - 30, "test rows are in no corpus"
    held = {title for title, _ in news} - tests
    corpus = (tmp_path / "work" / "corpora.jsonl").read_text("utf-8").split("\n")[:-1]
    kept = {paragraph for line in corpus for paragraph in json.loads(line)["text"].split("\n\n")}
    assert kept and not kept & {*held, "詩"} and any(title in held for group in groups for title in group)


def test_the_best_rate_is_chosen_by_validation():
    rows = [
        {"lr": 1e-3, "seed": seed, "valid": 0.5 + 0.1 * seed, "accuracy": 0.9} for seed in (0, 1)
    ] + [{"lr": 1e-4, "seed": seed, "valid": 0.6, "accuracy": 0.1} for seed in (0, 1)]  # fmt: skip
    assert {row["lr"] for row in pretrain_gain.best(rows)} == {1e-4}


def test_a_newspaper_is_cut_at_its_headlines():
    lines = [
        "北京/ns  新年/t  音乐会/n", "（/w  附/v  图片/n  ）/w", "[中国/ns  １９９８/m  年/q  开始/v  。/w",
        "  ", "冰城/ns  来客/n", "他/r  说/v  ：/w", "好/a  。/w",
    ]  # fmt: skip
    assert list(corpora.articles(lines)) == [
        ["北京新年音乐会", "（附图片）", "中国1998年开始。"], ["冰城来客", "他说：", "好。"]
    ]  # fmt: skip


def test_what_a_manual_page_says():
    page = '.TH x 1\n.SH "名称"\nfoo \\- 列出\n.I 文件\n的\n内容\n.nf\n$ foo\n.fi\n.de Aq\nno\n..\n.PP\n'
    page += "使用 \\fB\\-a\\fR 选项\n"
    assert manuals.paragraphs(page) == ["名称", "foo - 列出文件的内容", "使用 -a 选项"]
