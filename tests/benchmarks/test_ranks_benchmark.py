"""`benchmarks/ranks.py`: its formulas by hand, and a device that counts."""

import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import ranks

from zaowu.config import TrainConfig
from zaowu.train.optim import Optimizer


@pytest.mark.parametrize("pretraining", [True, False])
def test_the_formula_by_hand(pretraining, monkeypatch):
    monkeypatch.setattr(ranks, "LAYERS", 1)
    model = ranks.build(pretraining=pretraining)
    d, v = ranks.DIM, ranks.NUM_PIECES
    block = 4 * (d * d + d) + 2 * 4 * d * d + 4 * d + d + 4 * d
    rest = (ranks.LENGTH + 2) * d + 2 * d  # places, segments, entry norm
    rest += v * d + d * d + d + 2 * d + v if pretraining else 10 * d + 10
    optimizer = Optimizer(model, TrainConfig(lr=1.0))
    found = ranks.formula(model, 4, 100.0, optimizer)["formula_mb"]
    touched = 0 if pretraining else 4 * 3 * 100 * (4 * d + 8)
    assert found == pytest.approx((2 * 3 * 4 * (block + rest) + touched) / 1e6, abs=0.01)
    model.is_sharded = True
    rest += 0 if pretraining else v * d  # the table is dense
    if not pretraining:
        model.embedders["text"].weight.requires_grad_(True)
    found = ranks.formula(model, 4, 100.0, optimizer)
    assert found["formula_mb"] == pytest.approx(3 * 4 * (2 * block + rest + block + rest) / 1e6, abs=0.01)
    assert found["gloo_mb"] == pytest.approx(found["formula_mb"] + 3 * 4 * (block + rest) / 1e6, abs=0.01)


def test_the_device_counts_what_is_sent():
    before = ranks.loopback_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        with other:
            one.sendall(bytes(100_000))
            left = 100_000
            while left:
                left -= len(other.recv(left))
    assert ranks.loopback_bytes() - before >= 100_000


@pytest.mark.parametrize("pretraining", [True, False])
def test_a_batch_can_be_learned_from(pretraining):
    batch = ranks.make_batch(0, pretraining=pretraining)
    counts = ranks.build(pretraining=pretraining).counts(batch)
    assert sum(counts.values()) > 10
