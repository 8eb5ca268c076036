"""Cross-validation: every record answered by a model that never saw it. Folds that are done survive a Ctrl-C."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zaowu.config import FitConfig
from zaowu.errors import Stopped
from zaowu.evaluate.baseline import Baselines, fit_baselines
from zaowu.inputs import grouped
from zaowu.learn import fit_targets, make_ready
from zaowu.progress import note, speaking
from zaowu.records.prepare import Prepared
from zaowu.records.records import Records
from zaowu.run.assemble import Scored
from zaowu.targets import as_tensor, from_tensor, joined
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.parallel import current

Arrays = dict[str, np.ndarray]


class Kept:
    """What finished folds said, beside the checkpoint of the training that comes after them.

    Belongs to the checkpoint's identity: with other data or settings a fold is done again.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.folder = checkpoint.path / "folds"
        self.identity = hashlib.sha256(json.dumps(checkpoint.identity, sort_keys=True).encode()).hexdigest()

    @property
    def exists(self) -> bool:
        """Whether any fold was kept."""
        return any(self.folder.glob("*.safetensors"))

    def save(self, number: int, outputs: Arrays) -> None:
        """Under a temporary name first. A disk without room is no reason to stop."""
        place = self.folder / f"{number}.safetensors"
        fresh = place.with_suffix(".new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tensors = {str(k): as_tensor(raw) for k, raw in enumerate(outputs.values())}
            save_file(tensors, fresh, metadata={"identity": self.identity})
            fresh.replace(place)
        except (OSError, SafetensorError) as error:
            note(f"{place}: could not be written ({error}); the run goes on without it.")

    def load(self, number: int, targets: Mapping[str, Any], num_records: int) -> Arrays | None:
        """Target column -> (N, num_outputs) float32, or None where the fold must be done."""
        try:
            with safe_open(self.folder / f"{number}.safetensors", framework="np") as file:
                if (file.metadata() or {}).get("identity") != self.identity:
                    return None
                found = {
                    name: from_tensor(file.get_tensor(str(k)), own) for k, (name, own) in enumerate(targets.items())
                }
        except (OSError, SafetensorError, ValueError, TypeError):
            return None
        widths = {name: (own.num_outputs,) if own.reads == "pooled" else () for name, own in targets.items()}
        if {name: raw.shape for name, raw in found.items()} != {name: (num_records, *w) for name, w in widths.items()}:
            return None
        note(f"Fold {number + 1} was done before the interruption.")
        return found


def cross_validate(prepared: Prepared, config: FitConfig, *, kept: Kept) -> tuple[Scored, Arrays, Arrays]:
    """Every record answered by a model that never saw it, and the same for the baselines.

    kept: folds that an interrupted run has done already. Returned beside the answers: the raw outputs and what they
    should have been, each on the scale of its own fold. Thresholds and intervals of a fold's answers come from the
    records of the other folds.
    """
    whole, places = prepared.whole, prepared.folds
    assert places is not None
    numbers = np.unique(places)
    if config.train.time_limit:  # one share for each fold and one for the final model
        share = config.train.time_limit / (len(numbers) + 1)
        config = replace(config, train=replace(config.train, time_limit=share))
    outputs: Arrays = {}
    truth: Arrays = {}
    targets: dict[int, dict[str, Any]] = {}
    beside: list[dict[str, dict[str, Any]]] = []
    for number in numbers:
        train, held = whole.take(places != number), whole.take(places == number)
        targets[number] = fit_targets(train, config.train, known=whole)
        own = kept.load(number, targets[number], len(held))
        if current().sums(own is None) != [0.0]:  # on any rank
            own = None
        if own is None:
            with speaking(quiet=True):  # the records of all folds have been spoken of
                ready = make_ready(train, None, config, known=whole)
            learned = ready.learn(label=f"fold {number + 1} of {len(numbers)}")
            if learned.training.stopped:
                raise Stopped
            own = learned.outputs(held)
            if current().is_first:
                kept.save(number, own)
        told = {name: target.features(held.values(name)) for name, target in targets[number].items()}
        for found, part in ((outputs, own), (truth, told)):
            for name, rows in part.items():
                found.setdefault(name, np.zeros((len(whole), *rows.shape[1:]), rows.dtype))[places == number] = rows
        beside.append(cheap_methods(train, None, config, known=whole).predict(held.inputs))
    order = np.argsort(np.concatenate([np.flatnonzero(places == number) for number in numbers]), kind="stable")
    ours = []
    for number in numbers:
        others, held_out = places != number, places == number
        judged = {
            name: target.tuned(outputs[name][others], truth[name][others]) for name, target in targets[number].items()
        }
        ours.append({name: target.decode(outputs[name][held_out]) for name, target in judged.items()})
    answers = {name: joined([part[name] for part in ours]).take(order) for name in outputs}
    cheap = {
        name: {method: joined([part[name][method] for part in beside]).take(order) for method in beside[0][name]}
        for name in outputs
    }
    return Scored(whole, answers, cheap), outputs, truth


def cheap_methods(
    train: Records, valid: Records | None, config: FitConfig, *, known: Records | None = None
) -> Baselines:
    """The baselines of every target, as they are fitted on the same rows as the model."""
    goals = fit_targets(train, config.train, known=known)
    held = None if valid is None else (valid.inputs, labels_of(valid))
    kinds = {column.name: column.kind for column in train.schema.inputs}
    groups = grouped(list(kinds.items()))
    return fit_baselines(train.inputs, goals, labels_of(train), valid=held, groups=groups, kinds=kinds)


def labels_of(records: Records) -> dict[str, list]:
    return {column.name: records.values(column.name) for column in records.schema.targets}
