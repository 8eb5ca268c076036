"""What `test_ranks.py` runs in processes of its own: one small training, its losses and weights written down.

python|torchrun ranks_worker.py OUT {"kind": "labelled", "steps": 50, ...}
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from zaowu.config import AttentionConfig, EngineConfig, ModelConfig, ScheduleConfig, TrainConfig, TrunkConfig
from zaowu.inputs.text import Input
from zaowu.model import Model
from zaowu.targets.category import Category
from zaowu.train import loop
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.labelled import LabelledFeed, LabelledJudge, Part
from zaowu.train.parallel import current, joined

WORDS = ("ball", "goal", "team", "chip", "code", "data")
TRUNK = TrunkConfig(dim=16, num_layers=2, ffn_dim=32, attention=AttentionConfig(num_heads=2, dropout=0.1))


def labelled(batch_size: int) -> tuple[Model, Any, Any]:
    """Two answers: `kind`, which every record has, and `rare`, which few have: a part of a batch may have none."""
    source = Input.fit(["text"], [[f"{word} a b c d e f" for word in WORDS] * 3], base=None, num_pieces=200)[0]
    targets = {"kind": Category.fit(["sport", "tech"]), "rare": Category.fit(["x", "y"])}

    def part(num: int, seed: int) -> Part:
        rng = np.random.default_rng(seed)
        words = rng.choice(WORDS, num)
        texts = [" ".join([*rng.choice(list("abcdef"), rng.integers(1, 6)), word]) for word in words]
        kinds = ["sport" if word in WORDS[:3] else "tech" for word in words]
        rare = [None if k % 11 else "xy"[k % 2] for k in range(num)]
        ids = rng.integers(0, 2**64, num, dtype=np.uint64)
        return Part(items=source.features(list(texts)), labels={"kind": kinds, "rare": rare}, ids=ids)

    model = Model({"text": source}, targets, ModelConfig(trunk=TRUNK))
    feed = LabelledFeed(source, part(61, 0), targets, batch_size=batch_size, seed=1)
    return model, feed, LabelledJudge(source, part(23, 1))


def run(
    out: Path, *, steps: int = 50, batch_size: int = 8, seed: int = 0, kill_at: int | None = None, **how: Any
) -> None:
    torch.set_num_threads(1)
    precision, every = how.pop("precision", "fp32"), how.pop("every", None)
    with joined("cpu") as ranks:
        model, feed, judge = labelled(batch_size)
        model.initialise(seed)
        config = TrainConfig(
            lr=3e-3,
            warmup=0.1,
            patience=99,
            seed=1,
            precision=precision,
            checkpoint_steps=every,
            schedule=ScheduleConfig(steps=steps),
            engine=EngineConfig(**how),
        )
        losses: list[float] = []
        agree = loop._Run._agree

        def noted(self: loop._Run, loss: float) -> float:
            if kill_at is not None and self.step == kill_at and ranks.rank == 1 and not ranks.restarted:
                os.kill(os.getpid(), signal.SIGKILL)
            value = agree(self, loss)
            losses.append(value)
            return value

        loop._Run._agree = noted  # type: ignore[method-assign]
        checkpoint = Checkpoint(out) if every else None
        found = loop.train(model, feed, judge, config, checkpoint=checkpoint)
        if current().is_first:
            save_file(model.state_dict(), out / "weights.safetensors")
            points = [{"train_loss": point.train_loss, **point.valid} for point in found.history]
            (out / "found.json").write_text(json.dumps({"losses": losses, "points": points, "reason": found.reason}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), **json.loads(sys.argv[2]))
