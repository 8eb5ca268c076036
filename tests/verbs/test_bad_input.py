"""Whatever is wrong with a file or a flag: one clear sentence, exit code 2, and nothing lost."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hostile import TINY, one_sentence, rows, snapshot

MANY = [f"这是第{number}条新闻标题 with words,标签{number}" for number in range(5000)]
FILES = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b" \n\n \n", "white space"),
    "binary.csv": (bytes(range(256)) * 40, "binary.csv"),
    "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(400), "picture.png"),
    "header.csv": (b"text,label\n", "header.csv"),
    "one_column.csv": (rows("甲乙丙丁", "戊己庚辛", header="text"), "one_column.csv"),
    "one_class.csv": (rows(*[f"第{i}条 news title,体育" for i in range(30)]), "every label is '体育'"),
    "no_labels.csv": (rows(*[f"第{i}条 news title," for i in range(30)]), "no_labels.csv"),
    "five_thousand.csv": (rows(*MANY), "5,000 different labels"),
    "ragged.csv": (rows(*["甲乙 words here,体育"] * 9, "a,b,c,d,e", "两个字 再来,科技"), "row 11"),
    "broken.jsonl": (b'{"text": "a b", "label": "x"}\n{"text": \n', "broken.jsonl"),
    "broken.parquet": (b"PAR1" + bytes(50) + b"PAR1", "broken.parquet"),
    "nested.json": (b"[" * 100_000, "nested.json"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_learned_from(command, tmp_path, name):
    content, expected = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    target = ("--target", "label") if name == "five_thousand.csv" else ()
    for verb in (("fit", path, "--out", tmp_path / "run", *TINY), ("check", path)):
        one_sentence(command(*verb, *target, "--quiet"), expected)
    assert sorted(tmp_path.iterdir()) == [path]  # no half-made run is left


def test_a_folder_of_nothing(command, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "体育").mkdir()
    one_sentence(command("fit", tmp_path / "data", "--out", tmp_path / "run", "--quiet"), "data")
    assert not list(tmp_path.glob("run*"))


FLAGS = {
    "misspelt flag": (["--epoch", "3"], "--epochs"),
    "unknown column": (["--target", "labels"], "'label'"),
    "unknown ignored column": (["--ignore", "nothing"], "nothing"),
    "unknown group": (["--group", "lable"], "lable"),
    "unknown slice": (["--slice", "lable"], "lable"),
    "column without a kind": (["--column", "text"], "text"),
    "unknown kind": (["--column", "text:kind=txt"], "txt"),
    "kind that is a module": (["--column", "text:kind=os.path"], "os.path"),
    "misspelt base": (["--base", "multilingual-e5-smal"], "multilingual-e5-small"),
    "misspelt size": (["--base", "none", "--size", "minni"], "'mini'"),
    "misspelt head": (["--head", "men"], "--head", "'mean'"),
    "misspelt long": (["--long", "windows"], "--long", "'window'"),
    "misspelt trim": (["--trim-vocab", "of"], "--trim-vocab", "'off'"),
    "misspelt weights": (["--class-weights", "balance"], "--class-weights", "'balanced'"),
    "misspelt precision": (["--precision", "fp16"], "--precision", "fp32"),
    "misspelt device": (["--device", "cudda"], "--device"),
    "absent device": (["--device", "cuda:77"], "--device"),
    "misspelt language": (["--lang", "cn"], "zh"),
    "misspelt on-bad-row": (["--on-bad-row", "drop"], "skip"),
    "misspelt setting": (["--set", "warm_up=1"], "warmup"),
    "setting without a value": (["--set", "warmup"], "NAME=VALUE"),
    "setting no number": (["--set", "warmup=much"], "warmup", "a number"),
    "setting no whole number": (["--set", "patience=1.5"], "patience", "whole number"),
    "setting nan": (["--set", "warmup=nan"], "--set warmup"),
    "setting too large": (["--set", "num_pieces=99999999999999999999"], "--set num_pieces"),
    "epochs 0": (["--epochs", "0"], "--epochs"),
    "epochs -1": (["--epochs", "-1"], "--epochs"),
    "epochs no number": (["--epochs", "three"], "--epochs"),
    "batch 0": (["--batch-size", "0"], "--batch-size"),
    "lr nan": (["--lr", "nan"], "--lr"),
    "lr 0": (["--lr", "0"], "--lr"),
    "lr inf": (["--lr", "inf"], "--lr"),
    "threads 0": (["--threads", "0"], "--threads"),
    "seed -1": (["--seed", "-1"], "--seed"),
    "seed huge": (["--seed", "1" + "0" * 30], "--seed"),
    "time limit": (["--time-limit", "soon"], "--time-limit", "20m"),
    "time limit 0": (["--time-limit", "0s"], "--time-limit"),
    "absent test file": (["--test", "nowhere.csv"], "nowhere.csv"),
    "like nothing": (["--like", "nowhere"], "nowhere"),
    "out in a file": (["--out", "FILE/run"], "cannot be written"),
    "out is a file": (["--out", "FILE"], "found a file"),
    "out in proc": (["--out", "/proc/zaowu/run"], "/proc/zaowu/run"),
    "out is root": (["--out", "/"], "--out"),
    "out has data": (["--out", "DATA"], "stands here already"),
    "overwrite no run": (["--out", "DATA", "--overwrite"], "zaowu.json"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags(command, news_csv, tmp_path, monkeypatch, name):
    arguments, *expected = FLAGS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DATA").mkdir()
    (tmp_path / "DATA" / "mine.txt").write_text("precious")
    (tmp_path / "FILE").write_text("precious")
    started = time.process_time()
    one_sentence(command("fit", news_csv, "--quiet", *arguments), *expected)
    assert time.process_time() - started < 10
    left = {path.name for path in tmp_path.rglob("*")} - {"runs"}
    assert left == {"DATA", "mine.txt", "FILE"}
    assert (tmp_path / "DATA" / "mine.txt").read_text() == (tmp_path / "FILE").read_text() == "precious"


def test_a_run_is_never_replaced_unasked(command, news_csv, tiny_run, tmp_path):
    out = shutil.copytree(tiny_run, tmp_path / "run")
    before = snapshot(out)
    one_sentence(command("fit", news_csv, "--out", out, "--quiet", *TINY), "--overwrite")
    one_sentence(command("fit", tmp_path / "absent.csv", "--out", out, "--overwrite", "--quiet"), "no such file")
    assert snapshot(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_run_is_not_begun_again_unasked(command, news_csv, tmp_path):
    state = tmp_path / "run.partial" / "checkpoint" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    one_sentence(command("fit", news_csv, "--out", tmp_path / "run", "--quiet", *TINY), "--resume")
    assert state.exists()


# ---- predict and evaluate


USES = {
    "predict on nothing": (["predict", "nowhere", "一句话"], "nowhere"),
    "predict on a file": (["predict", "NEWS", "一句话"], "found a file"),
    "predict on a folder": (["predict", "DATA", "一句话"], "zaowu.json"),
    "predict other columns": (["predict", "RUN", "OTHER"], "'text'"),
    "predict empty file": (["predict", "RUN", "EMPTY"], "is empty"),
    "predict two files": (["predict", "RUN", "NEWS", "OTHER"], "--text"),
    "predict top 0": (["predict", "RUN", "字", "--top", "0"], "--top"),
    "predict out without ending": (["predict", "RUN", "字", "--out", "answers"], ".csv"),
    "predict out in no folder": (["predict", "RUN", "字", "--out", "no/answers.csv"], "no"),
    "predict out is a folder": (["predict", "RUN", "字", "--out", "FOLDER.csv"], "FOLDER.csv"),
    "predict device": (["predict", "RUN", "字", "--device", "cudda"], "--device"),
    "predict threads": (["predict", "RUN", "字", "--threads", "0"], "--threads"),
    "predict nothing": (["predict", "RUN"], "--help"),
    "evaluate no labels": (["evaluate", "RUN", "UNLABELLED"], "'label'"),
    "evaluate other columns": (["evaluate", "RUN", "OTHER"], "'"),
    "evaluate nothing": (["evaluate", "RUN", "nowhere.csv"], "no such file"),
    "evaluate bad word": (["evaluate", "RUN", "NEWS", "--on-bad-row", "drop"], "skip"),
    "report on nothing": (["report", "nowhere"], "nowhere"),
    "report language": (["report", "RUN", "--lang", "cn"], "zh"),
    "report out in no folder": (["report", "RUN", "--out", "no/page.html"], "no/page.html"),
    "fetch unknown": (["bases", "fetch", "e6"], "e6"),
    "unknown verb": (["predcit", "RUN"], "predict"),
}


@pytest.mark.parametrize("name", USES)
def test_uses_of_a_run(command, news_csv, tiny_run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    arguments, *expected = USES[name]
    for folder in ("DATA", "FOLDER.csv"):
        (tmp_path / folder).mkdir()
    (tmp_path / "OTHER").write_text("one,two\na b c,d e f\ng h i,j k l\n")
    (tmp_path / "UNLABELLED").write_text("text\n甲乙丙\n丁戊己\n")
    (tmp_path / "EMPTY").write_text("")
    places = {"RUN": tiny_run, "NEWS": news_csv}
    before = snapshot(tmp_path)
    one_sentence(command(*(places.get(word, word) for word in arguments)), *expected)
    assert snapshot(tmp_path) == before


# ---- what is odd, but works


def test_odd_data_that_works(command, tmp_path):
    """10 MB in one cell, columns with reserved names, labels that differ by a space."""
    header = "__class__,index,id,,label,text"
    line = "甲,{i},{i},,{label},第{i}条 {words}"
    odd = [
        line.format(i=i, label=("体育", "体育 ", "科技")[i % 3], words="球赛" if i % 3 < 2 else "手机")
        for i in range(60)
    ]
    (tmp_path / "test.csv").write_text("\n".join([header, *odd]), "utf-8")
    odd[5] = line.format(i=5, label="科技", words="字 word " * 1_200_000)
    path, test = tmp_path / "odd.csv", tmp_path / "test.csv"
    path.write_text("\n".join([header, *odd]), "utf-8")
    long = ("--set", "max_tokens=64", "--long", "truncate")  # 40,000 windows of one record would take minutes
    ended = command("fit", path, "--out", tmp_path / "run", "--test", test, *TINY, *long, "--json")
    assert ended.code == 0, ended.err[-2000:]
    assert json.loads(ended.out)["classes"] == ["体育", "科技"]
    assert "white space at their ends" in ended.err
    ended = command("predict", tmp_path / "run", test, "--out", tmp_path / "answers.parquet", "--quiet")
    assert ended.code == 0, ended.err


def test_reserved_names_for_the_text_and_the_target(command, tmp_path):
    path = tmp_path / "odd.csv"
    lines = [f"第{i}条 新闻,{'甲' if i % 2 else '乙'}" for i in range(40)]
    for text, target in (("index", "id"), ("__class__", "text"), ("label", "text"), ("confidence", "predicted_x")):
        path.write_text("\n".join([f"{text},{target}", *lines]), "utf-8")
        out = tmp_path / f"run-{text}"
        chosen = ("--target", target, "--column", f"{text}:kind=text")
        ended = command("fit", path, "--out", out, "--test", path, *TINY, *chosen, "--quiet")
        assert ended.code == 0, ended.err[-2000:]
        ended = command("evaluate", out, path, "--json", "--out", tmp_path / "answers.csv", "--quiet")
        assert ended.code == 0 and json.loads(ended.out)["rows"] == 40, ended.err
        assert (tmp_path / "answers.csv").read_text("utf-8").startswith(f"{text},{target},")


def test_a_rate_that_ruins_the_model_is_no_bug(command, news_csv, tmp_path):
    ended = command("fit", news_csv, "--test", news_csv, "--out", tmp_path / "run", "--lr", "10", "--quiet", *TINY)
    assert ended.code in (0, 2) and "Traceback" not in ended.err and "bug" not in ended.err, ended


# ---- full and forbidden disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, where mounting is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_the_older_run(command, news_csv, tiny_run, small_disk, tmp_path):
    out = shutil.copytree(tiny_run, small_disk / "run")
    before = snapshot(out)
    (small_disk / "filler").write_bytes(bytes(small_disk_room(small_disk) - 200_000))
    fit = ("fit", news_csv, "--test", news_csv, "--out", out, "--overwrite", "--quiet", *TINY)
    one_sentence(command(*fit), "No space left", "--out")
    assert snapshot(out) == before
    assert command("predict", out, "一句话", "--quiet").code == 0
    (small_disk / "filler").unlink()
    (small_disk / "filler").write_bytes(bytes(small_disk_room(small_disk)))
    one_sentence(command("predict", out, news_csv, "--out", small_disk / "answers.csv"), "cannot be written")
    one_sentence(command("report", out, "--lang", "zh"), "report.html")
    assert snapshot(out) == before
    assert not [path.name for path in small_disk.iterdir() if path.name.endswith(".new")]


def small_disk_room(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
