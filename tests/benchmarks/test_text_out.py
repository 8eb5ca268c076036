"""`benchmarks/text_out.py` on made pairs: cells run, are kept, and test rows are apart; the peer learns."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import text_out
import writing
from peers import marian
from shared.measure import Rows

import zaowu

FROM = ["red", "green", "blue", "black", "white", "small", "large", "old", "new", "fast"]
TO = ["红", "绿", "蓝", "黑", "白", "小", "大", "旧", "新", "快"]
PAIRS = [
    (f"{a} {b} {c}", "".join(TO[FROM.index(word)] for word in (a, b, c))) for a in FROM for b in FROM for c in FROM
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    lines = [f"{source}\t{answer}{end}\tby somebody" for source, answer in PAIRS[::8] for end in ("", "！")]
    (folder / "cmn.tsv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return folder


def work_of(folder, data, **changes):
    made = {"paths": (data,), "folder": folder, "packages": folder, "seed": 0, "threads": 1, "minutes": 0.1}
    return writing.Work(**{**made, "limit": None, "settings": {}, **changes})


def test_every_application_says_what_it_needs():
    assert writing.applications() == ["language_model", "names", "qa", "summary", "translate"]
    for name in writing.applications():
        task = writing.find(name)
        assert task.MINUTES > 0 and task.SHOWN and task.SIDES[0] == "ours" and task.GOAL and task.__doc__


def test_all_versions_of_a_source_are_on_one_side(tmp_path, data):
    rows = [{"en": source, "zh": str(number)} for number in range(3) for source, _ in PAIRS]
    train, test = writing.parted(rows, "en", work_of(tmp_path, data))
    assert len(train) + len(test) == len(rows) and 0.05 < len(test) / len(rows) < 0.15
    assert {row["en"] for row in train}.isdisjoint(row["en"] for row in test)
    some = writing.parted(rows, "en", work_of(tmp_path, data, limit=5))
    assert [len(side) for side in some] == [5, 5] and all(row in test for row in some[1])


def test_a_file_is_found_or_named(tmp_path, data):
    assert work_of(tmp_path, data).file("cmn.tsv") == data / "cmn.tsv"
    with pytest.raises(writing.UserError, match=r"--data: expected a file other\.json"):
        work_of(tmp_path, data).file("other.json")


def test_questions_on_one_context_stay_together(tmp_path):
    paragraphs = [
        {
            "context": f"第 {k} 段说的是这些。",
            "qas": [{"id": f"{k}-{n}", "question": "哪些？", "answers": []} for n in (1, 2)],
        }
        for k in range(80)
    ]
    path = tmp_path / "cmrc2018_trial.json"
    path.write_text(json.dumps({"data": [{"title": "x", "paragraphs": [own]} for own in paragraphs]}), encoding="utf-8")
    found = writing.find("qa").sides(work_of(tmp_path / "cell", tmp_path))
    parts = [json.loads(one.read_text("utf-8"))["data"][0]["paragraphs"] for one in found]
    assert sum(map(len, parts)) == 80 and all(len(own["qas"]) == 2 for part in parts for own in part) and all(parts)


def test_cells_run_are_kept_and_printed(tmp_path, data, monkeypatch, capfd):
    flags = ["--only", "translate", "--data", str(data), "--minutes", "0.05", "--limit", "60", "--threads", "1"]
    flags += [
        "--settings",
        "base=none",
        "size=mini",
        "--work",
        str(tmp_path / "w"),
        "--out",
        str(tmp_path / "rows.jsonl"),
    ]
    monkeypatch.setattr(sys, "argv", ["text_out.py", *flags])
    assert text_out.main() == 0
    said = capfd.readouterr().out
    rows = Rows(tmp_path / "rows.jsonl").read()
    assert [row["side"] for row in rows] == ["ours", "marian"] and rows[0]["kinds"] == {"en": "text", "zh": "text"}
    assert {"nearest_answer", "copy_source", "lead_sentence"} == set(rows[0]["beside"])
    assert rows[0]["test"] == rows[1]["test"] > 0 and len(rows[1]["ours_minus"]["bleu"]) == 3
    for name in ("ours", "marian", "nearest_answer", "ours minus marian", "asked: BLEU"):
        assert name in said
    before = Rows(tmp_path / "rows.jsonl").path.read_text("utf-8")
    monkeypatch.setattr(text_out, "in_process", lambda key, args: pytest.fail("measured again"))
    assert text_out.main() == 0 and Rows(tmp_path / "rows.jsonl").path.read_text("utf-8") == before


def test_a_set_that_is_not_there_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(
        sys, "argv", ["x", "--only", "summary", "--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    )
    assert text_out.main() == 2
    assert "expected a file csl_ts_dev.tsv" in (said := capfd.readouterr().err) and "Not measured: summary" in said


def test_the_peer_learns(tmp_path, monkeypatch):
    frame = pl.DataFrame({"en": [source for source, _ in PAIRS], "zh": [answer for _, answer in PAIRS]})
    frame[:100].write_csv(tmp_path / "train.csv")
    how = {"base": "none", "size": "mini", "epochs": 1, "threads": 1, "out": tmp_path / "run", "quiet": True}
    zaowu.fit(tmp_path / "train.csv", target="zh", **how)
    config_like = marian.config_like

    def smaller(*given):
        config = config_like(*given)
        assert config.d_model == 128 and config.encoder_layers == 4
        shape = {
            "d_model": 64,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
        }
        return type(config).from_dict({**config.to_dict(), **shape})

    monkeypatch.setattr(marian, "config_like", smaller)
    monkeypatch.setattr(marian, "LR", 3e-3)
    test = pl.int_range(pl.len()) % 20 == 0
    said, facts = marian.written(
        tmp_path / "run", frame.filter(~test), frame.filter(test), "en", "zh", minutes=0.25, seed=0
    )
    truth = frame.filter(test)["zh"].to_list()
    right = sum(one == other for one, other in zip(said, truth, strict=True))
    assert right > 0.5 * len(truth), (right, said[:5], facts)
