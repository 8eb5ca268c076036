"""What `test_ranks.py` runs in processes of its own: small trainings, their losses and weights written down.

python -m torch.distributed.run ... ranks_worker.py FOLDER '[{"name": "shared", "steps": 50, ...}, ...]'
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

sys.path.insert(0, str(Path(__file__).parents[1]))

from made_shards import PIECES, made_folder

from zaowu.config import (
    AttentionConfig,
    EngineConfig,
    ModelConfig,
    ScheduleConfig,
    TrainConfig,
    TrunkConfig,
)
from zaowu.errors import UserError
from zaowu.inputs import Inputs
from zaowu.inputs.text import Input
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.learn.corpus import HeldOut
from zaowu.model import Model
from zaowu.objectives import Recipe, make, parse
from zaowu.targets.category import Category
from zaowu.train import loop
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.corpus import CorpusFeed, held_out
from zaowu.train.labelled import LabelledFeed, LabelledJudge, Part
from zaowu.train.parallel import joined

WORDS = ("ball", "goal", "team", "chip", "code", "data")
TRUNK = TrunkConfig(dim=16, num_layers=2, ffn_dim=32, attention=AttentionConfig(num_heads=2, dropout=0.1))


class Ids:
    """As much of an `Input` as a model needs."""

    def embedder(self, dim: int) -> TokenEmbedding:
        return TokenEmbedding(PIECES.count, dim, pad_id=PIECES.pad)


def labelled() -> tuple[Model, Any, Any]:
    """Two answers: `kind`, which every record has, and `rare`, which few have: many batches have none.

    61 records in batches of 8: the last batch of an epoch has 5.
    """
    texts = [f"{word} a b c d e f" for word in WORDS] * 3
    source = Inputs({"text": Input.fit(["text"], [texts], base=None, num_pieces=200)[0]})
    targets = {"kind": Category.fit(["sport", "tech"]), "rare": Category.fit(["x", "y"])}

    def part(num: int, seed: int) -> Part:
        rng = np.random.default_rng(seed)
        words = rng.choice(WORDS, num)
        texts = [" ".join([*rng.choice(list("abcdef"), rng.integers(1, 6)), word]) for word in words]
        kinds = ["sport" if word in WORDS[:3] else "tech" for word in words]
        rare = [None if k % 11 else "xy"[k % 2] for k in range(num)]
        ids = rng.integers(0, 2**64, num, dtype=np.uint64)
        return Part(items=source.items({"text": list(texts)}), labels={"kind": kinds, "rare": rare}, ids=ids)

    model = Model(source.groups, targets, ModelConfig(trunk=TRUNK))
    feed = LabelledFeed(source, part(61, 0), targets, batch_size=8, seed=1)
    return model, feed, LabelledJudge(source, part(23, 1))


def corpus() -> tuple[Model, Any, Any]:
    """Masked tokens and next sentences, with the output tied to the token table."""
    chosen = make(parse("mlm+nsp"), Recipe(pieces=PIECES, length=32, seed=1))
    model = Model({"text": Ids()}, {}, ModelConfig(trunk=TRUNK), objectives=chosen)
    folder = made_folder(num_documents=20)
    feed = CorpusFeed(folder, chosen, batch_tokens=160)
    return model, feed, HeldOut(held_out(folder, chosen, batch_tokens=160, max_tokens=800))


def run(
    out: Path,
    *,
    data: str = "labelled",
    steps: int = 50,
    every: int | None = None,
    die_at: int | None = None,
    fail_at: int | None = None,
    **engine: Any,
) -> None:
    """Writes weights.safetensors and found.json. every: steps between checkpoints.

    die_at, fail_at: the step at which rank 1 is killed, before any restart, or meets an error.
    """
    with joined("cpu") as ranks:
        model, feed, judge = labelled() if data == "labelled" else corpus()
        model.initialise(0)
        config = TrainConfig(
            lr=3e-3,
            warmup=0.1,
            patience=99,
            seed=1,
            precision="fp32",
            checkpoint_steps=every,
            schedule=ScheduleConfig(steps=steps, evaluate_steps=10),
            engine=EngineConfig(**engine),
        )
        losses: list[float] = []
        agree = loop._Run._agree

        def noted(self: loop._Run, loss: float) -> float:
            if ranks.rank == 1 and self.step == die_at and not ranks.restarted:
                os.kill(os.getpid(), signal.SIGKILL)
            if ranks.rank == 1 and self.step == fail_at:
                raise UserError("This rank has no disk.")
            losses.append(agree(self, loss))
            return losses[-1]

        loop._Run._agree = noted  # type: ignore[method-assign]
        try:
            found = loop.train(model, feed, judge, config, checkpoint=Checkpoint(out) if every else None)
        finally:
            loop._Run._agree = agree  # type: ignore[method-assign]
        if ranks.is_first:
            out.mkdir(parents=True, exist_ok=True)
            save_file(dict(model.state_dict()), out / "weights.safetensors")
            points = [{"train_loss": point.train_loss, **point.valid} for point in found.history]
            (out / "found.json").write_text(json.dumps({"losses": losses, "points": points, "world": ranks.world}))


def main() -> None:
    torch.set_num_threads(1)
    try:
        with joined("cpu"):
            for job in json.loads(sys.argv[2]):
                run(Path(sys.argv[1]) / job.pop("name"), **job)
    except UserError as error:
        sys.exit(f"SAID: {error}")


if __name__ == "__main__":
    main()
