"""What ranks send each other in a step: the formula beside the bytes that the loopback device counted.

    python benchmarks/ranks.py --ranks 2 --steps 20

Pre-training of random tokens (masked, output tied to the token table) and fine-tuning (token tables by touched rows),
with weights shared (DDP) and divided (FSDP). With n ranks, P bytes of dense weights of which B are in blocks and R are
not, and padded to U touched rows of D floats and an int64 each, all ranks together send

    DDP     2 (n - 1) P                             ring all-reduce: each rank 2 (n - 1) / n P
            + n (n - 1) U (4 D + 8)                 touched rows: an all-gather
    FSDP    (n - 1) (2 B + R)                       all-gathers: blocks for forward and backward, the rest once
            + (n - 1) P                             reduce-scatter

gloo does a reduce-scatter as an all-reduce of which each rank keeps its part: 2 (n - 1) P in place of (n - 1) P. Both
are shown. Everything else that the machine sends to itself is counted too: run it on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KINDS = ("pre-training, shared", "pre-training, divided", "fine-tuning, shared", "fine-tuning, divided")
NUM_PIECES, LENGTH, ROWS = 8000, 64, 16
LAYERS, DIM, HEADS = 4, 256, 4
WARM = 5  # steps before the first that counts: buckets are laid out, connections made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        for kind in KINDS:
            measure(kind, arguments.steps)
        return
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(arguments.ranks)),
        *(__file__, "--ranks", str(arguments.ranks), "--steps", str(arguments.steps)),
    ]
    where = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, env=os.environ | where, check=True)


def measure(kind: str, steps: int) -> None:
    """Prints one line of JSON: megabytes of a step by formula and as counted, and its time."""
    import torch

    from zaowu.config import EngineConfig, TrainConfig
    from zaowu.train.optim import Optimizer
    from zaowu.train.parallel import joined
    from zaowu.train.parallel.spread import Passes, sharded

    torch.set_num_threads(1)
    with joined("cpu") as ranks:
        model = build(pretraining=kind.startswith("pre"))
        model.initialise(0)
        divided = kind.endswith("divided")
        config = TrainConfig(lr=1e-4, engine=EngineConfig(shard=divided))
        own = sharded(model, device="cpu") if divided else model
        optimizer = Optimizer(own, config, ranks=ranks)
        passes = Passes(own, accumulate=1)
        own.train()
        counted, times, rows = [], [], []
        for step in range(WARM + steps):
            batch = make_batch(step, pretraining=kind.startswith("pre"))
            rows.append(
                max(len(torch.unique(batch.inputs["text"]["ids"][r :: ranks.world])) for r in range(ranks.world))
            )
            ranks.sums(0.0)
            before, start = loopback_bytes(), time.perf_counter()
            passes(batch)
            optimizer.step(1.0)
            ranks.sums(0.0)
            counted.append(loopback_bytes() - before)
            times.append(time.perf_counter() - start)
        row = {"kind": kind, "ranks": ranks.world, **formula(own, ranks.world, statistics.mean(rows[WARM:]), optimizer)}
        row |= {"counted_mb": round(statistics.median(counted[WARM:]) / 1e6, 2)}
        row |= {"step_ms": round(1000 * statistics.median(times[WARM:]), 1)}
        if ranks.is_first:
            print(json.dumps(row), flush=True)


def formula(model: Any, world: int, touched: float, optimizer: Any) -> dict[str, float]:
    """Megabytes that all ranks together send in a step."""
    sizes = {name: 4 * weight.numel() for name, weight in model.named_parameters() if weight.requires_grad}
    whole, blocks = sum(sizes.values()), sum(size for name, size in sizes.items() if "blocks." in name)
    if model.is_sharded:
        gathered = (world - 1) * (2 * blocks + (whole - blocks))
        scattered = (world - 1) * whole
        return {
            "formula_mb": round((gathered + scattered) / 1e6, 2),
            "gloo_mb": round((gathered + 2 * scattered) / 1e6, 2),
        }
    sent = 2 * (world - 1) * whole + len(optimizer.tables) * world * (world - 1) * touched * (4 * DIM + 8)
    return {"formula_mb": round(sent / 1e6, 2)}


def build(*, pretraining: bool) -> Any:
    from zaowu.config import AttentionConfig, ModelConfig, PositionConfig, TrunkConfig
    from zaowu.inputs.text.embedder import TokenEmbedding
    from zaowu.model import Model
    from zaowu.objectives import Pieces, Recipe, make
    from zaowu.targets.category import Category

    class Ids:
        def embedder(self, dim: int) -> TokenEmbedding:
            return TokenEmbedding(NUM_PIECES, dim, pad_id=0)

    pieces = Pieces(count=NUM_PIECES, pad=0, start=1, between=2, mask=3, end=2, special=(0, 1, 2, 3))
    trunk = TrunkConfig(
        dim=DIM,
        num_layers=LAYERS,
        ffn_dim=4 * DIM,
        positions=PositionConfig(max_positions=LENGTH),
        attention=AttentionConfig(num_heads=HEADS),
    )
    targets = {} if pretraining else {"kind": Category.fit([f"class {number}" for number in range(10)])}
    objectives = make(("masked",), Recipe(pieces=pieces, length=LENGTH)) if pretraining else None
    return Model({"text": Ids()}, targets, ModelConfig(trunk=trunk), objectives=objectives)


def make_batch(step: int, *, pretraining: bool) -> Any:
    """The same on every rank: random tokens, of which a sixth are to be found again, or random classes."""
    import torch

    from zaowu.batching.batch import Batch

    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(4, NUM_PIECES, (ROWS, LENGTH), generator=generator)
    positions = torch.arange(LENGTH).expand(ROWS, LENGTH)
    name = "masked" if pretraining else "kind"
    answers = torch.randint(0, 10, (ROWS,), generator=generator)
    if pretraining:
        answers = torch.where(torch.rand(ids.shape, generator=generator) < 1 / 6, ids, -1)
    return Batch(
        inputs={"text": {"ids": ids}},
        mask=torch.ones(ROWS, LENGTH, dtype=torch.bool),
        positions=positions,
        segments=torch.zeros_like(positions),
        targets={name: answers},
        target_mask={name: torch.ones(ROWS, dtype=torch.bool)},
        weights=torch.ones(ROWS),
        coins=torch.arange(ROWS),
        by_token=frozenset({"masked"} if pretraining else ()),
    )


def loopback_bytes() -> int:
    """Bytes that the loopback device has received since the machine started."""
    lines = Path("/proc/net/dev").read_text("utf-8").splitlines()
    return next(int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("lo:"))


if __name__ == "__main__":
    main()
