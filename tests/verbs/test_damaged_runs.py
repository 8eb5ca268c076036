"""A run that was damaged, or whose manifest was made by hand: one sentence, exit code 2, nothing run."""

import json
import shutil
from pathlib import Path

import pytest
from hostile import drop, edit, nested, one_sentence, put, refused

from zaowu.targets.number import Number

# ---- runs that were damaged or made by hand


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


TRUNK, TARGET, TEXT = ("model", "trunk"), ("targets", "label", "state"), ("inputs", "text")
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
    "kind os": put("targets", "label", "kind", value="os"),
    "kind os.path": put("targets", "label", "kind", value="os.path"),
    "kind with dots": put("targets", "label", "kind", value="..trunk"),
    "kind antigravity": put("targets", "label", "kind", value="antigravity"),
    "kind a list": put("targets", "label", "kind", value=["category"]),
    "kind private": put("targets", "label", "kind", value="__init__"),
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
    "more classes": lambda data: data["targets"]["label"]["state"].update(classes=list("abc"), counts=[1, 1, 1]),
    "many classes": lambda data: data["targets"]["label"]["state"].update(
        classes=[str(i) for i in range(10**5)], counts=[1] * 10**5
    ),
    "other classes": lambda data: data["targets"]["label"]["state"].update(classes=["a", "b"]),
    "classes numbers": put(*TARGET, "classes", value=[1, 2]),
    "counts wrong": put(*TARGET, "counts", value=[1]),
    "counts huge": put(*TARGET, "counts", value=["1", "2"]),
    "smoothing": put(*TARGET, "label_smoothing", value=10**400),
    "target list": put("targets", value=[]),
    "target no object": put("targets", "label", value=[]),
    "no target": put("targets", value={}),
    "another target": lambda data: data["targets"].update(more=data["targets"]["label"]),
    "target of another name": lambda data: data.update(targets={"secret": data["targets"]["label"]}),
    "target of another kind": lambda data: data["targets"]["label"].update(kind="number", state=Number().state()),
    "state missing": drop("targets", "label", "state"),
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
    **{f"without {part}": drop(part) for part in ("model_type", "schema", "inputs", "targets", "model", "baselines")},
}
HARMLESS = {"deep extra"}  # what nobody asked about is carried along


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_made_by_hand(command, tiny_run, tmp_path, name):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    edit(run, MANIFESTS[name])
    refused(command, run, harmless=name in HARMLESS)


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
