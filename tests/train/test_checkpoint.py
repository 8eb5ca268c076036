"""What is on disk between two steps: whole, checked, and only ever of the run that wrote it."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from zaowu.config import TrainConfig
from zaowu.errors import UserError
from zaowu.train.checkpoint import FIELDS, Checkpoint
from zaowu.train.optim import Optimizer

CONFIG = TrainConfig(epochs=1, batch_size=1, lr=0.1)


def state(step: int) -> dict:
    return {name: step if name == "step" else [] if name == "history" else 0 for name in FIELDS}


def make(value: float) -> tuple[nn.Module, Optimizer]:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(value)
    return model, Optimizer(model, CONFIG)


def saved(folder, *steps: int, keep: int = 3, identity=None) -> Checkpoint:
    checkpoint = Checkpoint(folder, keep=keep, identity=identity)
    for step in steps:
        checkpoint.save(*make(float(step)), None, state(step))
    return checkpoint


def test_the_newest_is_loaded_and_old_ones_go(tmp_path):
    checkpoint = saved(tmp_path, 1, 2, 3, 10, keep=2)
    assert [path.name for path in checkpoint.found] == ["000000010", "000000003"]
    model, optimizer = make(0.0)
    best, found = checkpoint.load(model, optimizer)
    assert best is None and found["step"] == 10 and model.weight[0, 0] == 10


@pytest.mark.parametrize("damage", ["cut", "flipped", "state", "missing"])
def test_a_damaged_newest_falls_back_on_the_one_before(tmp_path, damage, capsys):
    checkpoint = saved(tmp_path, 1, 2)
    newest = checkpoint.found[0]
    tensors = newest / "model.safetensors"
    data = bytearray(tensors.read_bytes())
    if damage == "cut":
        tensors.write_bytes(data[:-3])
    elif damage == "flipped":
        data[-1] ^= 1  # still a safetensors file, with another number in it
        tensors.write_bytes(data)
    elif damage == "state":
        (newest / "state.json").write_text("{")
    else:
        tensors.unlink()
    model, optimizer = make(0.0)
    _, found = checkpoint.load(model, optimizer)
    assert found["step"] == 1 and model.weight[0, 0] == 1
    assert "damaged" in capsys.readouterr().err
    assert [path.name for path in checkpoint.found] == ["000000001"]  # the damaged one counts no more
    (checkpoint.found[0] / "optimizer.safetensors").unlink()
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(model, optimizer)


def test_one_that_was_cut_short_is_none(tmp_path):
    checkpoint = saved(tmp_path, 1)
    (checkpoint.path / "000000002.new").mkdir()
    (checkpoint.path / "000000003").mkdir()
    assert [path.name for path in checkpoint.found] == ["000000001"]


def test_another_run_is_refused_with_what_differs(tmp_path):
    saved(tmp_path, 1, identity={"lr": 0.1, "training data": "abc"})
    model, optimizer = make(0.0)
    other = Checkpoint(tmp_path, identity={"lr": 0.2, "training data": "abc"})
    with pytest.raises(UserError, match=r"lr was 0\.1 and is 0\.2") as caught:
        other.load(model, optimizer)
    assert "training data" not in str(caught.value)
    Checkpoint(tmp_path, identity={"lr": 0.1, "training data": "abc"}).load(model, optimizer)


def test_it_holds_no_code(tmp_path):
    checkpoint = saved(tmp_path, 1)
    assert {path.suffix for path in checkpoint.path.rglob("*") if path.is_file()} == {".json", ".safetensors"}
    json.loads((checkpoint.found[0] / "state.json").read_text("utf-8"))
