"""A training run on disk: safetensors and JSON, written under a temporary name and renamed."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zaowu.errors import UserError
from zaowu.progress import note
from zaowu.train.optim import Optimizer
from zaowu.train.stop import Point

FOLDER = "checkpoint"
STATE = {"epoch", "batch", "step", "num_steps", "num_tokens", "num_items", "loss", "announced", "seconds", "history"}


class Checkpoint:
    """`folder`/checkpoint: weights, moments, the best weights so far, and where training stood."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FOLDER

    @property
    def exists(self) -> bool:
        return (self.path / "state.json").is_file()

    def save(
        self, model: nn.Module, optimizer: Optimizer, best: dict[str, Tensor] | None, state: dict[str, Any]
    ) -> None:
        """Replaces the checkpoint whole, or leaves the old one as it was and says so: training goes on."""
        fresh = self.path.with_name(FOLDER + ".new")
        try:
            self._write(fresh, model, optimizer, best, state)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            note(f"{self.path}: the checkpoint could not be written ({error}); training goes on without it.")

    def _write(
        self,
        fresh: Path,
        model: nn.Module,
        optimizer: Optimizer,
        best: dict[str, Tensor] | None,
        state: dict[str, Any],
    ) -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(dict(model.state_dict()), fresh / "model.safetensors")
        save_file(optimizer.tensors(), fresh / "optimizer.safetensors")
        if best is not None:
            save_file(best, fresh / "best.safetensors")
        (fresh / "state.json").write_text(json.dumps(state, ensure_ascii=False), "utf-8")
        shutil.rmtree(self.path, ignore_errors=True)
        fresh.rename(self.path)

    def load(self, model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
        """Fills model and optimizer; returns the best weights so far and the state. Raises UserError if damaged."""
        try:
            state = json.loads((self.path / "state.json").read_text("utf-8"))
            if missing := STATE - set(state):
                raise ValueError(f"state.json lacks {', '.join(sorted(missing))}")
            model.load_state_dict(load_file(self.path / "model.safetensors"))
            optimizer.load(load_file(self.path / "optimizer.safetensors"))
            best_path = self.path / "best.safetensors"
            best = load_file(best_path) if best_path.is_file() else None
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"{self.path}: the checkpoint is damaged or belongs to other settings ({error}). "
                "Start again with --overwrite."
            ) from None
        return best, state

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def points_to_plain(history: list[Point]) -> list[dict[str, Any]]:
    return [asdict(point) for point in history]


def points_from_plain(data: list[dict[str, Any]]) -> list[Point]:
    return [Point(**point | {"rank": tuple(point["rank"])}) for point in data]
