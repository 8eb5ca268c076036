"""Files of a run made by hand, checksums and all: one sentence, exit code 2, nothing run or allocated."""

import json
import shutil
import struct
from pathlib import Path

import pytest
from hostile import drop, edit, nested, one_sentence, put, refused, reseal, snapshot


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


BOTH = ("plain", "tuned")  # states of the two methods
BASELINES = {
    "a list": lambda data: [data],
    "no answers": drop("answers"),
    "answers empty": put("answers", value=[]),
    "answer kind": put("answers", 0, "kind", value="os"),
    "answer of another kind": put("answers", 0, "kind", value="number"),
    "other answer": put("answers", 0, "name", value="secret"),
    "other classes": lambda data: data["answers"][0]["plain"].update(classes=["a", "b", "c"], counts=[1, 1, 1]),
    "other classes in both": lambda data: [data["answers"][0][key].update(classes=["a", "b"]) for key in BOTH] and None,
    "scale": put("answers", 0, "scale", value=10**400),
    "other column": put("groups", 0, "columns", value=["secret"]),
    "no columns": put("groups", value=[]),
    "vocabulary": put("groups", 0, "learned", 0, "characters", value=["a"]),
    "view": put("groups", 0, "learned", 0, value={"os": ["a"]}),
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
    "answers": put("answers", value={}),
    "answer number": put("answers", 0, value=7),
    "answer kind": put("answers", 0, "kind", value="os"),
    "answer of another kind": put("answers", 0, "kind", value="number"),
    "kind of an answer without scores": lambda data: data["answers"][0].update(
        kind="os", evaluation=None, baselines={}
    ),
    "evaluation list": put("answers", 0, "evaluation", value=[1]),
    "evaluation empty": put("answers", 0, "evaluation", value={"accuracy": "high"}),
    "accuracy text": put("answers", 0, "evaluation", "accuracy", value="<script>"),
    "confusion": put("answers", 0, "evaluation", "confusion", value=[{"truth": "a"}]),
    "per class": put("answers", 0, "evaluation", "per_class", value=[[]]),
    "baseline": put("answers", 0, "baselines", value={"majority": {}}),
    "comparison": put("answers", 0, "comparison", value={"majority": {"value": "x", "low": 0, "high": 0}}),
    "history": put("history", value=[{"epoch": "one"}]),
    "columns": put("columns", value=[{"name": "x"}]),
    "splits": put("splits", value=[{"rows": "all"}]),
    "lengths": put("lengths", value={"edges": [1], "counts": [1, 2, 3], "limit": "none"}),
    "findings": put("findings", value={"class_counts": [1]}),
    "mistakes": put("answers", 0, "mistakes", value=[{"text": 1}]),
    "predictions": put("answers", 0, "predictions", value=[7]),
    "slices": put("answers", 0, "slices", value=[{"slice": "a", "value": "b", "rows": 1, "score": None}]),
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
