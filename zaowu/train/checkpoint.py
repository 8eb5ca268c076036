"""A training run on disk: safetensors and JSON, checksummed, written under a temporary name and renamed.

state.json                           where training stood, what the run is made of, the sha256 of the other files
model.safetensors, optimizer..., best...            or, of weights that are spread over ranks,
model/shard-00001-....safetensors, optimizer/...    one file for each rank
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zaowu.bases.cache import sha256
from zaowu.config import TrainConfig, to_plain
from zaowu.errors import UserError, shorten
from zaowu.progress import note
from zaowu.train.optim import Optimizer
from zaowu.train.parallel import current, shards
from zaowu.train.stop import Point
from zaowu.trunk.adapters import changing, restore

FOLDER = "checkpoint"
FIELDS = {
    "epoch", "batch", "step", "num_steps", "num_tokens", "num_items", "loss", "announced", "seconds", "history",
    "skipped", "watch",
}  # fmt: skip


def what_decides(config: TrainConfig) -> dict[str, Any]:
    """The settings of a training that decide what is learned, for an `identity`: all but those of the machine, of
    time and of checkpoints, and how a step is computed."""
    free = ("device", "threads", "time_limit", "checkpoint_steps", "keep")
    settings = {name: value for name, value in to_plain(config).items() if name not in free}
    for name in ("accumulate", "recompute"):
        del settings["engine"][name]
    return settings


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
        """Adds a checkpoint whole, or leaves things as they were and says so: training goes on.

        Called by all ranks. The first one writes; of weights that are spread over the ranks every rank writes its part.
        """
        ranks = current()
        tensors = {"model": changing(model), "optimizer": optimizer.tensors()}
        if best is not None:
            tensors["best"] = best
        spread = shards.is_sharded(tensors["model"])
        if not (spread or ranks.is_first):
            return
        place = self.path / f"{state['step']:09d}"
        fresh = place.with_name(place.name + ".new")
        problem = _begin(fresh) if ranks.is_first else ""
        if spread:
            problem = ranks.told(problem)
        sums: dict[str, str] = {}
        try:
            for name, own in tensors.items() if not problem else ():
                if spread:
                    shards.write(own, fresh / name)
                else:
                    save_file(own, fresh / f"{name}.safetensors")
                    sums[f"{name}.safetensors"] = sha256(fresh / f"{name}.safetensors")
            if spread and not problem:
                sums = shards.sums(fresh)
            if ranks.is_first and not problem:
                data = {**state, "identity": self.identity, "files": sums}
                (fresh / "state.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
                shutil.rmtree(place, ignore_errors=True)
                fresh.rename(place)
        except (OSError, SafetensorError) as error:
            problem = str(error)
        if not ranks.is_first:
            return
        if problem:
            shutil.rmtree(fresh, ignore_errors=True)
            note(f"{self.path}: the checkpoint could not be written ({problem}); training goes on without it.")
            return
        for old in self.found[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self, model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
        """Fills model and optimizer from the newest whole checkpoint; returns the best weights so far and the state.

        Called by all ranks, which may be more or fewer than those that wrote it. A damaged one is passed over with a
        warning. Raises UserError when none is whole, and when the run is not the one that was interrupted.
        """
        ranks = current()
        problems, damaged = [], list[Path]()
        for name in json.loads(ranks.told(json.dumps([place.name for place in self.found]))):
            place, state, problem = self.path / name, dict[str, Any](), ""
            try:
                state = _checked(place)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                problem = shorten(error, 100) or type(error).__name__
            if problem := next(filter(None, ranks.texts(problem)), ""):
                problems.append(f"{name}: {problem}")
                note(f"{place}: this checkpoint is damaged ({problem}); looking for the one before.")
                damaged.append(place)
                continue
            self._compare(state["identity"])
            try:
                best = _fill(model, optimizer, place, state)
            except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
                problems.append(f"{name}: {shorten(error, 100)}")
                continue
            for other in damaged if ranks.is_first else ():  # else they would count as kept, and good ones go
                shutil.rmtree(other, ignore_errors=True)
            return best, state
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
        """Takes what a run that was stopped, and then finished its report, has kept; unless there is something here.

        Whole or not at all. Raises UserError, and takes nothing, where that run is not this one.
        """
        if not finished.exists or self.exists:
            return
        for place in finished.found:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # `load` says what is damaged
                self._compare(json.loads((place / "state.json").read_text("utf-8"))["identity"])
        fresh = self.path.with_name(f"{FOLDER}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(finished.path, fresh)
        fresh.rename(self.path)

    def remove(self) -> None:
        """By the first rank, for all."""
        if current().is_first:
            shutil.rmtree(self.path, ignore_errors=True)


def _begin(fresh: Path) -> str:
    """Makes an empty folder; returns what went wrong, or nothing."""
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
    except OSError as error:
        return str(error)
    return ""


def _checked(place: Path) -> dict[str, Any]:
    """The state of a checkpoint; each rank looks at its share of the files. Raises whatever is wrong with it."""
    state = json.loads((place / "state.json").read_text("utf-8"))
    if missing := {*FIELDS, "identity", "files"} - set(state):
        raise ValueError(f"state.json lacks {', '.join(sorted(missing))}")
    ranks, files = current(), sorted(state["files"])
    for name in ("model", "optimizer"):
        if not any(Path(file).parts[0] in (name, f"{name}.safetensors") for file in files):
            raise ValueError(f"the {name} is missing")
    for file in files[ranks.rank :: ranks.world]:
        if sha256(place / file) != state["files"][file]:
            raise ValueError(f"{file} is not what was written")
    return state


def _fill(model: nn.Module, optimizer: Optimizer, place: Path, state: dict[str, Any]) -> dict[str, Tensor] | None:
    """Weights and moments as they were saved, whole or in parts, into however they are held now; returns the best."""
    own, weights = changing(model), dict(optimizer.named)

    def tensors(name: str, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if f"{name}.safetensors" not in state["files"]:
            return shards.read(place / name, like)
        found = load_file(place / f"{name}.safetensors")
        return {key: shards.spread_as(found[key], like[key]) if key in like else found[key] for key in found}

    restore(model, tensors("model", own))
    optimizer.load(tensors("optimizer", weights))
    has_best = any(Path(file).parts[0] in ("best", "best.safetensors") for file in state["files"])
    return tensors("best", own) if has_best else None


def points_to_plain(history: list[Point]) -> list[dict[str, Any]]:
    return [asdict(point) for point in history]


def points_from_plain(data: list[dict[str, Any]]) -> list[Point]:
    return [Point(**point | {"rank": tuple(point["rank"])}) for point in data]
