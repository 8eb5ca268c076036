"""Whatever is wrong with a file, a flag or a run: one clear sentence, exit code 2, and nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

TINY = ("--base", "none", "--size", "mini", "--epochs", "1", "--set", "num_pieces=300", "--threads", "1")
LONGEST = 700  # characters of a sentence


def one_sentence(ended, *expected: str, code: int = 2) -> None:
    assert ended.code == code, ended
    assert not ended.out and "Traceback" not in ended.err, ended
    sentence = ended.err.strip()
    assert 0 < len(sentence) <= LONGEST and "bug in Zaowu" not in sentence, sentence
    for words in expected:
        assert words in sentence, sentence


def rows(*cells: str, header: str = "text,label") -> bytes:
    return "\n".join([header, *cells]).encode()


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
    "target twice": (["--target", "text", "--column", "text:kind=text"], "text"),
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


# ---- runs that were damaged or made by hand


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_file_of_a_run_counts(command, tiny_run, tmp_path):
    """Each file in turn: gone, cut short, one byte changed."""
    names = [str(path.relative_to(tiny_run)) for path in sorted(tiny_run.rglob("*")) if path.is_file()]
    assert len(names) > 10
    for name in names:
        run = shutil.copytree(tiny_run, tmp_path / "run")
        path, content = run / name, (run / name).read_bytes()
        path.unlink()
        one_sentence(command("predict", run, "一句话"), Path(name).name)
        for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
            path.write_bytes(damaged)
            if name == "zaowu.json" and _still_json(damaged):
                continue
            one_sentence(command("predict", run, "一句话"), Path(name).name)
        shutil.rmtree(run)


def _still_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def edit(run: Path, change, name: str = "zaowu.json") -> None:
    """Changes a JSON file of the run, and the checksums with it."""
    path = run / name
    data = json.loads(path.read_text("utf-8"))
    data = change(data) or data
    path.write_text(json.dumps(data), "utf-8")
    reseal(run)


def reseal(run: Path) -> None:
    path = run / "zaowu.json"
    manifest = json.loads(path.read_text("utf-8"))
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        for name in manifest["files"]:
            if len(name) < 100 and (run / name).is_file():
                manifest["files"][name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(manifest), "utf-8")


def put(*keys, value):
    """A change that sets one value deep inside."""

    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def drop(*keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


TRUNK, TARGET, TEXT = ("model", "trunk"), ("target", "state"), ("inputs", "text")
MANIFESTS = {
    "no object": lambda data: ["a list"],
    "other format": put("format", value=2),
    "format text": put("format", value="1; import os"),
    "no files": drop("files"),
    "empty files": put("files", value={}),
    "files a list": put("files", value=["model.safetensors"]),
    "absolute name": put("files", "/etc/passwd", value="0"),
    "name with dots": put("files", "../../etc/passwd", value="0"),
    "name with backslashes": put("files", "..\\secret", value="0"),
    "empty name": put("files", "", value="0"),
    "long name": put("files", "x" * 5000, value="0"),
    "name with nul": put("files", "a\0b", value="0"),
    "name with a half character": put("files", "\ud800", value="0"),
    "name with an escape": put("files", "\x1b[2J", value="0"),
    "kind os": put("target", "kind", value="os"),
    "kind os.path": put("target", "kind", value="os.path"),
    "kind with dots": put("target", "kind", value="..trunk"),
    "kind antigravity": put("target", "kind", value="antigravity"),
    "kind a list": put("target", "kind", value=["category"]),
    "kind private": put("target", "kind", value="__init__"),
    "input kind": put("inputs", value={"subprocess": {}}),
    "two inputs": put("inputs", "image", value={}),
    "input no object": put("inputs", "text", value=[]),
    "no columns": put(*TEXT, "columns", value=[]),
    "columns of numbers": put(*TEXT, "columns", value=[1]),
    "other columns": put(*TEXT, "columns", value=["secret"]),
    "max_tokens huge": put(*TEXT, "max_tokens", value=10**12),
    "max_tokens beyond positions": put(*TEXT, "max_tokens", value=100_000),
    "max_tokens true": put(*TEXT, "max_tokens", value=True),
    "long wrong": put(*TEXT, "long", value="eval"),
    "model type": put("model_type", value="../bert"),
    "model type module": put("model_type", value="subprocess"),
    "model type list": put("model_type", value=["bert"]),
    "layers huge": put(*TRUNK, "num_layers", value=10**9),
    "layers more": put(*TRUNK, "num_layers", value=400),
    "layers 0": put(*TRUNK, "num_layers", value=0),
    "dim huge": put(*TRUNK, "dim", value=10**9),
    "dim larger": put(*TRUNK, "dim", value=65536),
    "ffn huge": put(*TRUNK, "ffn_dim", value=10**12),
    "positions huge": put(*TRUNK, "positions", "max_positions", value=10**12),
    "positions rotary": put(*TRUNK, "positions", "kind", value="rotary"),
    "positions none": put(*TRUNK, "positions", "kind", value="none"),
    "heads 0": put(*TRUNK, "attention", "num_heads", value=0),
    "heads wrong": put(*TRUNK, "attention", "num_heads", value=7),
    "groups": put(*TRUNK, "attention", "num_groups", value=1),
    "segments 0": put(*TRUNK, "num_segments", value=0),
    "segments huge": put(*TRUNK, "num_segments", value=10**10),
    "before": put(*TRUNK, "norm_place", value="before"),
    "rezero": put(*TRUNK, "residual", value="rezero"),
    "swiglu": put(*TRUNK, "activation", value="swiglu"),
    "causal": put(*TRUNK, "causal", value=True),
    "eps nan": put(*TRUNK, "norm_eps", value=float("nan")),
    "eps text": put(*TRUNK, "norm_eps", value="1e-12"),
    "dropout infinite": put(*TRUNK, "dropout", value=float("inf")),
    "dim negative": put(*TRUNK, "dim", value=-32),
    "dim float": put(*TRUNK, "dim", value=32.0),
    "dim true": put(*TRUNK, "dim", value=True),
    "unknown setting": put(*TRUNK, "flash", value=1),
    "trunk a list": put("model", "trunk", value=[1, 2]),
    "head other": put("model", "head", value="first"),
    "head unknown": put("model", "head", value="last"),
    "one class": put(*TARGET, "classes", value=["a"]),
    "class twice": put(*TARGET, "classes", value=["a", "a"]),
    "more classes": lambda data: data["target"]["state"].update(classes=list("abc"), counts=[1, 1, 1]),
    "many classes": lambda data: data["target"]["state"].update(
        classes=[str(i) for i in range(10**5)], counts=[1] * 10**5
    ),
    "other classes": lambda data: data["target"]["state"].update(classes=["a", "b"]),
    "classes numbers": put(*TARGET, "classes", value=[1, 2]),
    "counts wrong": put(*TARGET, "counts", value=[1]),
    "counts huge": put(*TARGET, "counts", value=["1", "2"]),
    "smoothing": put(*TARGET, "label_smoothing", value=10**400),
    "target list": put("target", value=[]),
    "state missing": drop("target", "state"),
    "schema list": put("schema", value={"columns": 3}),
    "schema roles": put("schema", 0, "role", value="exec"),
    "schema no target": lambda data: {**data, "schema": [c for c in data["schema"] if c["role"] != "target"]},
    "schema twice": lambda data: {**data, "schema": data["schema"] * 2},
    "config unknown": put("config", "train", "callbacks", value="os.system"),
    "config epochs": put("config", "train", "epochs", value="many"),
    "config missing": drop("config"),
    "config null": put("config", value=None),
    "deep": put("config", value=nested(900)),
    "deep extra": put("extra", value={"deep": nested(900), "model": drop.__name__}),
    "baselines text": put("baselines", value="yes"),
    **{f"without {part}": drop(part) for part in ("model_type", "schema", "inputs", "target", "model", "baselines")},
}
HARMLESS = {"deep extra"}  # what nobody asked about is carried along


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_made_by_hand(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(run, MANIFESTS[name])
    refused(command, run, harmless=name in HARMLESS)


def refused(command, run: Path, *expected: str, harmless: bool = False) -> None:
    """One sentence, quickly, in little memory, and nothing is imported that a good run does not import."""
    before, known, started = snapshot(run), set(sys.modules), time.process_time()
    peak = peak_mb()
    ended = command("predict", run, "一句话", "--quiet")
    if harmless:
        assert ended.code == 0, ended
    else:
        one_sentence(ended, *expected)
    assert time.process_time() - started < 10
    assert peak_mb() - peak < 500
    new = {name.split(".")[0] for name in set(sys.modules) - known}
    assert not new & {"antigravity", "os", "subprocess", "this"} - known
    assert {name for name in new if name not in sys.stdlib_module_names} <= LIBRARIES
    assert snapshot(run) == before


LIBRARIES = {"zaowu", "torch", "safetensors", "tokenizers", "polars", "_polars_runtime", "numpy", "scipy", "sklearn"}
LIBRARIES |= {"joblib", "threadpoolctl", "jinja2", "markupsafe", "typer", "rich", "huggingface_hub"}
LIBRARIES |= {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}  # which polars looks for


def peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_manifests_that_are_no_json(command, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    good = (run / "zaowu.json").read_text("utf-8")
    for bad in ("", "{", "[" * 200_000, '{"format": NaN}', '{"format": 1' + "0" * 5000 + "}", "\ufeff{}", "null", "1"):
        (run / "zaowu.json").write_text(bad, "utf-8")
        one_sentence(command("predict", run, "一句话"), "zaowu.json")
    (run / "zaowu.json").write_bytes(b"\xff\xfe\x00")
    one_sentence(command("predict", run, "一句话"), "zaowu.json")
    (run / "zaowu.json").write_text(good, "utf-8")
    assert command("predict", run, "一句话").code == 0


def test_links_out_of_the_run(command, tiny_run, tmp_path):
    for name in ("model.safetensors", "trunk", "report.html"):
        run = shutil.copytree(tiny_run, tmp_path / "run")
        (run / name).rename(tmp_path / "outside")
        (run / name).symlink_to(tmp_path / "outside")
        refused(command, run, "link")
        shutil.rmtree(run)
        shutil.rmtree(tmp_path / "outside") if (tmp_path / "outside").is_dir() else (tmp_path / "outside").unlink()
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").symlink_to("log.jsonl")
    one_sentence(command("predict", run, "一句话"), "log.jsonl")


def wide_vocabulary(spec):
    spec["model"]["vocab"] = {f"字{i}": i for i in range(50_000)}


TOKENIZERS = {
    "a list": lambda spec: [spec],
    "no model": drop("model"),
    "model type": put("model", "type", value="Pickle"),
    "vocab list": put("model", "vocab", value=[]),
    "vocab empty": put("model", "vocab", value={}),
    "vocab huge ids": lambda spec: spec["model"]["vocab"].update({"的": 10**9}),
    "vocab negative": lambda spec: spec["model"]["vocab"].update({"的": -1}),
    "vocab wide": wide_vocabulary,
    "unknown absent": put("model", "unk_token", value="[NONE]"),
    "processor ids": lambda spec: spec["post_processor"]["special_tokens"]["[CLS]"].update(ids=[10**8]),
    "many special pieces": lambda spec: spec["post_processor"].update(
        single=[{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 600 + [{"Sequence": {"id": "A", "type_id": 0}}]
    ),
    "normalizer": put("normalizer", value={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
    "deep": put("normalizer", value=nested(900)),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizer_files_made_by_hand(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(run, TOKENIZERS[name], "tokenizer.json")
    refused(command, run)


def test_tokenizer_settings_made_by_hand(command, tiny_run, tmp_path):
    for bad in (
        [],
        {},
        {"pad_token": 7},
        {"pad_token": {"content": ["x"]}, "unk_token": "[UNK]"},
        {"unk_token": "[UNK]"},
    ):
        run = shutil.copytree(tiny_run, tmp_path / "run")
        edit(run, lambda data, bad=bad: bad or {"x": bad}, "tokenizer_config.json")
        refused(command, run, "token")
        shutil.rmtree(run)


BASELINES = {
    "a list": lambda data: [data],
    "no target": drop("target"),
    "target kind": put("target", "name", value="os"),
    "other classes": put("target", "state", "classes", value=["a", "b"]),
    "scale": put("scale", value=10**400),
    "other column": put("columns", 0, "name", value="secret"),
    "no columns": put("columns", value=[]),
    "vocabulary": put("columns", 0, "vocabularies", "characters", value=["a"]),
    "view": put("columns", 0, "vocabularies", value={"os": ["a"]}),
}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_made_by_hand(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(run, BASELINES[name], "baseline.json")
    refused(command, run, "baseline")


METRICS = {
    "a list": lambda data: [data],
    "no title": drop("title"),
    "title number": put("title", value=7),
    "unknown": put("plugins", value=[]),
    "evaluation list": put("evaluation", value=[1]),
    "evaluation empty": put("evaluation", value={"accuracy": "high"}),
    "accuracy text": put("evaluation", "accuracy", value="<script>"),
    "confusion": put("evaluation", "confusion", value=[{"truth": "a"}]),
    "per class": put("evaluation", "per_class", value=[[]]),
    "baseline": put("baselines", value={"majority": {}}),
    "comparison": put("comparison", value={"majority": {"value": "x", "low": 0, "high": 0}}),
    "history": put("history", value=[{"epoch": "one"}]),
    "columns": put("columns", value=[{"name": "x"}]),
    "splits": put("splits", value=[{"rows": "all"}]),
    "lengths": put("lengths", value={"edges": [1], "counts": [1, 2, 3], "limit": "none"}),
    "findings": put("findings", value={"class_counts": [1]}),
    "mistakes": put("mistakes", value=[{"text": 1}]),
    "predictions": put("predictions", value=[7]),
    "slices": put("slices", value=[{"slice": "a", "value": "b", "rows": 1, "accuracy": None}]),
    "timing": put("timing", value={"train": "long"}),
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_made_by_hand(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(run, METRICS[name], "metrics.json")
    before = snapshot(run)
    one_sentence(command("report", run), "metrics.json")
    assert snapshot(run) == before


def test_the_config_of_the_trunk_is_for_others(command, tiny_run, tmp_path):
    """We never read it: nonsense in it changes nothing for us."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(
        run,
        lambda data: {"model_type": "os", "num_hidden_layers": 10**9, "auto_map": {"AutoModel": "x.y"}},
        "trunk/config.json",
    )
    refused(command, run, harmless=True)


def lie(path: Path, change) -> None:
    """Rewrites the header of a safetensors file; the data stay."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])


FIRST = "embeddings.word_embeddings.weight"
HEADERS = {
    "shape": ("trunk/", lambda header: header[FIRST].update(shape=[10**6, 10**6])),
    "offsets": ("trunk/", lambda header: header[FIRST].update(data_offsets=[0, 10**15])),
    "dtype": ("trunk/", lambda header: header[FIRST].update(dtype="I32")),
    "missing": ("trunk/", lambda header: header.pop(FIRST)),
    "transposed": ("trunk/", lambda header: header[FIRST].update(shape=header[FIRST]["shape"][::-1])),
    "head shape": ("", lambda header: header["linear.weight"].update(shape=[32, 2])),
    "head dtype": ("", lambda header: header["linear.bias"].update(dtype="I32")),
    "head name": ("", lambda header: header.update(other=header.pop("linear.bias"))),
}


@pytest.mark.parametrize("name", HEADERS)
def test_tensors_that_lie(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    folder, change = HEADERS[name]
    lie(run / folder / "model.safetensors", change)
    reseal(run)
    refused(command, run, "model.safetensors")


def test_tensors_that_are_no_numbers(command, tiny_run, tmp_path):
    for content in (b"", b"\xff" * 8, struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 4) + b"null", b"\x80\x04."):
        for name in ("model.safetensors", "trunk/model.safetensors", "baseline.safetensors"):
            run = shutil.copytree(tiny_run, tmp_path / "run")
            (run / name).write_bytes(content)
            reseal(run)
            refused(command, run, ".safetensors")
            shutil.rmtree(run)
