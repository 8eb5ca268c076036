"""Several processes under torchrun are one: the same losses and weights, whatever their number, and after a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranks_worker
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import zaowu
from zaowu.config import EngineConfig, TrainConfig
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.optim import Optimizer
from zaowu.train.parallel import ALONE, Ranks, current, shards
from zaowu.train.parallel.spread import Passes, sharded

TOLERANCE = 1e-5  # of a loss, in fp32, over 50 steps
JOBS: dict[str, dict[str, Any]] = {  # what two ranks do, all in one start of them
    "shared": {},
    "sharded": {"shard": True, "every": 20},
    "in parts": {"accumulate": 3},
    "lamb": {"optimizer": "lamb", "shard": True, "accumulate": 2},
    "corpus": {"data": "corpus"},
    "corpus sharded": {"data": "corpus", "shard": True},
    "again": {"data": "corpus", "shard": True, "recompute": True},
    "grown": {"every": 20},  # goes on from a checkpoint that one process wrote
}
ALIKE = {"in parts": "shared", "grown": "shared", "again": "corpus sharded"}  # computed in another way


def launch(folder: Path, jobs: list[dict[str, Any]], *, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Two ranks on this machine, with a thread each."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--monitor-interval", "0.1"),
        *(str(Path(__file__).with_name("ranks_worker.py")), str(folder), json.dumps(jobs)),
    ]
    where = {"PYTHONPATH": str(Path(zaowu.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=os.environ | where, capture_output=True, encoding="utf-8", timeout=240, check=False
    )


def found(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "found.json").read_text("utf-8")) | {
        "weights": load_file(folder / "weights.safetensors")
    }


def compare(one: dict[str, Any], other: dict[str, Any], *, last: int = 50) -> None:
    """The last losses, every figure of the last evaluation, and the weights."""
    assert len(one["losses"]) >= last and len(other["losses"]) >= last
    assert one["losses"][-last:] == pytest.approx(other["losses"][-last:], rel=0, abs=TOLERANCE)
    assert one["points"][-1] == pytest.approx(other["points"][-1], rel=1e-6, abs=TOLERANCE)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(weight, other["weights"][name], rtol=0, atol=1e-4, msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The same trainings by this process."""
    folder = tmp_path_factory.mktemp("alone")
    for name, job in JOBS.items():
        if name not in ALIKE:
            ranks_worker.run(folder / name, **job | ({} if name == "sharded" else {"every": 20}))
    return folder


@pytest.fixture(scope="module")
def together(alone, tmp_path_factory) -> Path:
    """Two ranks do all of `JOBS`, and then one of them fails."""
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(alone / "shared" / "checkpoint", folder / "grown" / "checkpoint")
    done = launch(folder, [*({"name": name, **job} for name, job in JOBS.items()), {"name": "failed", "fail_at": 3}])
    (folder / "said.txt").write_text(done.stderr, "utf-8")
    return folder


@pytest.mark.parametrize("name", JOBS)
def test_two_ranks_equal_one(alone, together, name):
    """Uneven last batches and answers that a share of a batch does not have among them."""
    ours = found(together / name)
    assert ours["world"] == 2
    compare(ours, found(alone / ALIKE.get(name, name)), last=10 if name == "grown" else 50)


def test_shards_hold_no_code_and_each_rank_wrote_its_own(together):
    place = Checkpoint(together / "sharded").found[0]
    assert place.name == "000000040"
    files = [path for path in place.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for kind in ("model", "optimizer", "best"):
        own = sorted((place / kind).iterdir())
        assert [path.name[:11] for path in own] == ["shard-00001", "shard-00002"]
    with safe_open(place / "model" / own[0].name, framework="pt") as file:
        assert file.get_slice("trunk.positions.weight").get_shape() == [256, 16]  # of 512 rows
    state = json.loads((place / "state.json").read_text("utf-8"))
    assert {str(place / name) for name in state["files"]} == {str(path) for path in files if path.suffix != ".json"}


def test_what_two_ranks_began_one_ends(alone, together, tmp_path):
    shutil.copytree(together / "sharded" / "checkpoint", tmp_path / "checkpoint")
    ranks_worker.run(tmp_path, shard=True, every=20)
    assert len(found(tmp_path)["losses"]) == 10
    compare(found(tmp_path), found(alone / "sharded"), last=10)


def test_a_damaged_shard_is_passed_over(together, tmp_path):
    shutil.copytree(together / "sharded" / "checkpoint", tmp_path / "checkpoint")
    checkpoint = Checkpoint(tmp_path)
    shard = sorted((checkpoint.found[0] / "optimizer").iterdir())[1]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    model, *_ = ranks_worker.labelled()
    optimizer = Optimizer(model, TrainConfig(lr=1.0, engine=EngineConfig(shard=True)))
    with pytest.raises(ranks_worker.UserError, match=r"shard-00002.* is not what was written"):
        checkpoint.load(model, optimizer)


def test_a_killed_rank_is_started_again_and_nothing_is_lost(alone, tmp_path):
    done = launch(tmp_path, [{"name": "killed", "every": 7, "die_at": 20}], restarts=1)
    assert done.returncode == 0, done.stderr
    assert "lost another of the 2 ranks" in done.stderr
    assert "Going on from epoch 2, step 14." in done.stderr
    assert len(found(tmp_path / "killed")["losses"]) == 36
    compare(found(tmp_path / "killed"), found(alone / "shared"), last=36)


def test_only_the_first_speaks_and_a_failure_of_one_ends_all_with_its_sentence(together):
    said = (together / "said.txt").read_text("utf-8")
    assert said.count("Training on 2 ranks") == said.count("Going on from epoch") == 1
    assert re.findall("SAID: .*", said) == ["SAID: This rank has no disk."]
    assert not (together / "failed" / "found.json").exists()


def test_alone_there_is_nothing_to_agree_on():
    assert current() == ALONE == Ranks(0, 1)
    assert ALONE.sums(1.5, 2) == [1.5, 2]
    assert ALONE.texts("我们") == ["我们"] and ALONE.told("us") == "us"
    ALONE.wait()


@pytest.mark.parametrize("accumulate", [2, 3, 8, 20])
def test_micro_batches_have_the_gradient_of_their_batch(accumulate):
    gradients = []
    for parts in (1, accumulate):
        model, feed, _ = ranks_worker.labelled()
        model.initialise(0)
        model.train()
        passes = Passes(model, accumulate=parts)
        loss = passes(feed.batch(0, feed.num_batches(0) - 1))
        gradients.append(
            {name: weight.grad for name, weight in model.named_parameters()} | {"loss": torch.tensor(loss)}
        )
        assert parts == 1 or len(passes.parts(feed.batch(0, 0))) == min(8, accumulate)
    for name, gradient in gradients[0].items():
        if gradient is None:
            assert gradients[1][name] is None
        else:
            torch.testing.assert_close(gradient, gradients[1][name], rtol=0, atol=1e-6, msg=name)


def test_every_row_is_dealt_to_one_rank(monkeypatch):
    """Five rows, two ranks, two micro-batches: (0, 4), (1,), (2,), (3,); and three rows on four ranks."""
    model, feed, _ = ranks_worker.labelled()
    passes = Passes(model, accumulate=2)
    batch = feed.batch(0, 0).part(slice(0, 5))

    def dealt(rank: int, world: int, rows: int) -> list[tuple[list[int], float]]:
        passes.ranks = Ranks(rank, world)
        return [(part.index.tolist(), factor) for part, factor in passes.parts(batch.part(slice(0, rows)))]

    index = batch.index.tolist()
    assert dealt(0, 2, 5) == [([index[0], index[4]], 1.0), ([index[2]], 1.0)]
    assert dealt(1, 2, 5) == [([index[1]], 1.0), ([index[3]], 1.0)]
    assert [dealt(rank, 4, 3) for rank in range(4)] == [
        *([([index[rank]], 1.0)] for rank in range(3)),
        [([index[0]], 0.0)],
    ]


def test_scalars_are_not_sharded():
    model, *_ = ranks_worker.labelled()
    model.trunk.blocks[0].attention_scale = torch.nn.Parameter(torch.zeros(()))
    with pytest.raises(ranks_worker.UserError, match="ReZero"):
        sharded(model, device="cpu")


def test_whole_tensors_are_no_shards():
    assert not shards.is_sharded({"a": torch.zeros(2)})
    assert shards.spread_as(torch.ones(2), torch.zeros(2)).tolist() == [1, 1]
