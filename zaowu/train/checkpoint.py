"""A training run on disk: safetensors and JSON, checksummed, written under a temporary name and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zaowu.bases.cache import sha256
from zaowu.errors import UserError, shorten
from zaowu.progress import note
from zaowu.train.optim import Optimizer
from zaowu.train.stop import Point

FOLDER = "checkpoint"
FIELDS = {
    "epoch", "batch", "step", "num_steps", "num_tokens", "num_items", "loss", "announced", "seconds", "history",
    "skipped", "watch",
}  # fmt: skip


class Checkpoint:
    """`folder`/checkpoint/STEP: weights, moments, the best weights so far, and where training stood.

    keep: how many of the newest stay. identity: what the run is made of (settings, data), by name; a run goes on only
    where it has not changed.
    """

    def __init__(self, folder: Path, *, keep: int = 1, identity: Mapping[str, Any] | None = None) -> None:
        self.path, self.keep, self.identity = folder / FOLDER, keep, dict(identity or {})

    @property
    def found(self) -> list[Path]:
        """The checkpoints that are there, the newest first."""
        places = [path for path in self.path.glob("*") if path.name.isdigit() and (path / "state.json").is_file()]
        return sorted(places, key=lambda path: int(path.name), reverse=True)

    @property
    def exists(self) -> bool:
        return bool(self.found)

    def save(
        self, model: nn.Module, optimizer: Optimizer, best: dict[str, Tensor] | None, state: dict[str, Any]
    ) -> None:
        """Adds a checkpoint whole, or leaves things as they were and says so: training goes on."""
        place = self.path / f"{state['step']:09d}"
        fresh = place.with_name(place.name + ".new")
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            tensors = {"model": dict(model.state_dict()), "optimizer": optimizer.tensors()}
            if best is not None:
                tensors["best"] = best
            for name, own in tensors.items():
                save_file(own, fresh / f"{name}.safetensors")
            sums = {f"{name}.safetensors": sha256(fresh / f"{name}.safetensors") for name in tensors}
            data = {**state, "identity": self.identity, "files": sums}
            (fresh / "state.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            note(f"{self.path}: the checkpoint could not be written ({error}); training goes on without it.")
            return
        for old in self.found[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self, model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
        """Fills model and optimizer from the newest whole checkpoint; returns the best weights so far and the state.

        A damaged one is passed over with a warning. Raises UserError when none is whole, and when the run is not the
        one that was interrupted.
        """
        problems, damaged = [], list[Path]()
        for place in self.found:
            try:
                state, tensors = _read(place)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
                problems.append(f"{place.name}: {shorten(error, 100)}")
                note(f"{place}: this checkpoint is damaged ({shorten(error, 100)}); looking for the one before.")
                damaged.append(place)
                continue
            self._compare(state["identity"])
            try:
                model.load_state_dict(tensors["model"])
                optimizer.load(tensors["optimizer"])
            except (RuntimeError, KeyError) as error:
                problems.append(f"{place.name}: {shorten(error, 100)}")
                continue
            for other in damaged:  # else they would count as kept, and good ones go in their place
                shutil.rmtree(other, ignore_errors=True)
            return tensors.get("best"), state
        raise UserError(
            f"{self.path}: no checkpoint can be used, they are damaged or belong to other settings "
            f"({'; '.join(problems) or 'there is none'}). Start again with --overwrite."
        )

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Raises UserError naming what is not as it was."""
        now = json.loads(json.dumps(self.identity))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            shown = "; ".join(
                f"{name} was {shorten(before.get(name), 40)} and is {shorten(now.get(name), 40)}"
                for name in sorted(changed)[:5]
            )
            raise UserError(
                f"{self.path.parent}: this is not the run that was interrupted: {shown}. Go on with what it had, or "
                "start again with --overwrite."
            )

    def bring_back(self, finished: Checkpoint) -> None:
        """Takes what a run that was stopped, and then finished its report, has kept; unless there is something here."""
        if finished.exists and not self.exists:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(finished.path, self.path)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _read(place: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """State and tensors of one checkpoint. Raises whatever is wrong with it."""
    state = json.loads((place / "state.json").read_text("utf-8"))
    if missing := {*FIELDS, "identity", "files"} - set(state):
        raise ValueError(f"state.json lacks {', '.join(sorted(missing))}")
    tensors = {}
    for name in ("model", "optimizer", "best"):
        file = f"{name}.safetensors"
        if file in state["files"] or name != "best":
            if sha256(place / file) != state["files"][file]:
                raise ValueError(f"{file} is not what was written")
            tensors[name] = load_file(place / file)
    return state, tensors


def points_to_plain(history: list[Point]) -> list[dict[str, Any]]:
    return [asdict(point) for point in history]


def points_from_plain(data: list[dict[str, Any]]) -> list[Point]:
    return [Point(**point | {"rank": tuple(point["rank"])}) for point in data]
