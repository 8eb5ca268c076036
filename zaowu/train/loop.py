"""The one loop: step, evaluate, stop?"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zaowu.batching.batch import Batch, collate
from zaowu.batching.order import chance, train_batches
from zaowu.config import TrainConfig
from zaowu.errors import Stopped, UserError
from zaowu.evaluate.predict import predict
from zaowu.inputs import Item
from zaowu.model import Model
from zaowu.progress import Bar, note
from zaowu.targets import answered, noise, rank
from zaowu.train.checkpoint import Checkpoint, points_from_plain, points_to_plain
from zaowu.train.diverge import ADVICE, Watch
from zaowu.train.estimate import pace
from zaowu.train.optim import Optimizer, rate
from zaowu.train.stop import Point, best, reason_to_stop
from zaowu.trunk import precision

CHECKPOINT_EVERY_S = 300.0
STOPPED = "stopped with Ctrl-C"


@dataclass(frozen=True)
class Part:
    """N records made ready for the model. labels: target column -> N labels as they were read; ids: (N,) uint64.

    weights: (N,) float32 of the loss; None = all weigh the same.
    """

    items: Sequence[Item]
    labels: Mapping[str, Sequence[Any]]
    ids: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Training:
    """What came out. history: one point per evaluation; reason: why it stopped; what it took."""

    history: list[Point] = field(default_factory=list)
    reason: str = ""
    num_steps: int = 0
    num_tokens: int = 0
    num_items: int = 0
    seconds: float = 0.0
    stopped: bool = False  # by Ctrl-C

    @property
    def best(self) -> Point:
        return best(self.history)


def train(
    model: Model,
    source: Any,
    part: Part,
    valid: Part | None,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    label: str = "training",
) -> Training:
    """Trains `model` in place on `part` and leaves the weights of the best evaluation in it, and its precision.

    source: the `Input` that made the items. valid: records that choose the epoch, or None to keep the last.
    checkpoint: where an interrupted run is kept, and continued from when it exists.
    """
    assert config.epochs and config.batch_size and config.lr and config.warmup is not None
    run = _Run(model, source, part, config)
    training, kept, epoch, number = Training(), None, 0, 0  # number: of the next batch in the epoch
    optimizer = Optimizer(model, config)

    def go_back(newest: Checkpoint) -> None:
        nonlocal kept, epoch, number
        kept, state = newest.load(model, optimizer)
        training.history[:] = points_from_plain(state["history"])
        epoch, number = state["epoch"], state["batch"]
        run.restore(state)

    def save() -> None:
        if checkpoint:
            at = {"epoch": epoch, "batch": number}
            checkpoint.save(model, optimizer, kept, run.state(at, training.history, start))

    if checkpoint and checkpoint.exists:
        go_back(checkpoint)
        note(f"Going on from epoch {epoch + 1}, step {run.step}.")
    start = time.monotonic() - run.seconds_before
    clock = _Due(config.checkpoint_steps)
    model.train()
    precision.use(model, precision.choose(config.precision, next(model.parameters()).device))
    bar = Bar(label, run.planned_tokens(epoch, number))
    with _interruptible() as interrupted, bar:
        while epoch < config.epochs and not training.reason:
            batches = run.batches(epoch)
            while number < len(batches) and not interrupted.times and run.step < run.num_steps:
                loss = run.take_step(batches[number], optimizer, epoch, number)
                number += 1
                bar.advance(run.last_tokens, "" if loss is None else f"loss {loss:.3f}")
                if loss is None:
                    if run.watch.refused():
                        raise UserError(f"Training diverged: three batches in a row could not be learned; {ADVICE}.")
                    if checkpoint and checkpoint.exists:
                        skipped, refused = run.skipped, run.watch.in_a_row
                        go_back(checkpoint)
                        run.skipped, run.watch.in_a_row = skipped, refused
                        note(f"Back at step {run.step}, the last checkpoint.")
                        batches = run.batches(epoch)
                    continue
                run.fit_to_limit(bar, start)
                if clock.is_due():
                    save()
            if interrupted.times:
                training.reason = STOPPED
                save()  # before the evaluation below, so that going on is as if nothing had happened
                interrupted.saved = True
                if interrupted.times > 1:
                    raise Stopped
                if training.history:
                    break
            epoch, number = epoch + 1, 0
            point = run.evaluate(epoch, valid, time.monotonic() - start)
            training.history.append(point)
            _say(point, config.epochs)
            if best(training.history) is point and valid is not None:
                kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            training.reason = training.reason or run.reason(training.history) or ""
    optimizer.release()
    if kept is not None:
        model.load_state_dict(kept)
    for embedder in model.embedders.values():
        embedder.leaves.clear()  # type: ignore[operator, union-attr]
    training.num_steps, training.num_tokens, training.num_items = run.step, run.num_tokens, run.num_items
    training.seconds, training.stopped = time.monotonic() - start, training.reason == STOPPED
    return training


class _Run:
    """The moving parts of one training run: where it stands, and how one step is taken."""

    def __init__(self, model: Model, source: Any, part: Part, config: TrainConfig) -> None:
        self.model, self.source, self.part, self.config = model, source, part, config
        self.lengths = np.array([item.length for item in part.items])
        self.records = np.array([item.record for item in part.items])
        self.shares = np.array([item.share for item in part.items], np.float32)
        self.ids = item_ids(part.ids[self.records], self.records)
        if part.weights is not None:
            self.shares = self.shares * part.weights[self.records]
        self.answers = {name: target.features(part.labels[name]) for name, target in model.targets.items()}
        assert config.epochs and config.batch_size and config.warmup is not None
        self.warmup = config.warmup
        self.num_steps = config.epochs * -(-len(part.items) // config.batch_size)
        self.step = self.num_tokens = self.num_items = self.last_tokens = 0
        self.loss_sum = self.loss_count = 0.0
        self.seconds_before = 0.0
        self.pace, self.announced = pace.Pace(), False
        self.watch, self.skipped = Watch(), list[list[int]]()  # [epoch, batch] of those that were left out

    def batches(self, epoch: int) -> list[np.ndarray]:
        assert self.config.batch_size
        return train_batches(
            self.lengths, self.ids, batch_size=self.config.batch_size, seed=self.config.seed, epoch=epoch
        )

    def planned_tokens(self, epoch: int, batch: int) -> float:
        """Tokens from here to the end."""
        assert self.config.epochs
        done = sum(int(self.lengths[index].sum()) for index in self.batches(epoch)[:batch]) if batch else 0
        return float((self.config.epochs - epoch) * self.lengths.sum() - done)

    def batch(self, index: np.ndarray) -> Batch:
        records = self.records[index]
        answers = {name: own[records] for name, own in self.answers.items()}
        return collate(
            self.source.kind,
            [self.part.items[i].features for i in index],
            self.source.specs,
            targets=answers,
            target_mask={name: answered(own) for name, own in answers.items()},
            weights=self.shares[index],
            index=records,
        ).to(next(self.model.parameters()).device)

    def take_step(self, index: np.ndarray, optimizer: Optimizer, epoch: int, number: int) -> float | None:
        """One optimizer step on the items at `index`, the batch `number` of the epoch; returns its loss.

        None: the batch was left out, because its loss is wild or its gradient no number; it is named.
        """
        self.last_tokens = int(self.lengths[index].sum())
        if [epoch, number] in self.skipped:
            return self.losses_mean
        coins = chance(self.ids[index], seed=self.config.seed, epoch=epoch).view(np.int64)
        losses = self.model.loss(self.batch(index), seed=torch.from_numpy(coins))
        total = sum_losses(losses)
        value = float(total.detach())
        if not total.requires_grad:  # every record in it weighs nothing
            self.step += 1
            return value
        problem = f"its loss is {value:.4g}" if self.watch.is_wild(value) else ""
        if problem:
            for embedder in self.model.embedders.values():
                embedder.leaves.clear()  # type: ignore[operator, union-attr]
        else:
            total.backward()
            norm = optimizer.step(rate(self.step, num_steps=self.num_steps, warmup=self.warmup))
            problem = "" if math.isfinite(norm) else "its gradient is no number"
        if problem:
            self.skipped.append([epoch, number])
            records = ", ".join(str(record) for record in np.unique(self.records[index])[:8] + 1)
            note(f"Epoch {epoch + 1}, batch {number + 1} is left out: {problem}. Training records {records}, ...")
            return None
        self.watch.applied(value)
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        self.num_tokens += self.last_tokens
        self.num_items += len(index)
        self.step += 1
        self.pace.add(self.last_tokens)
        return value

    @property
    def losses_mean(self) -> float:
        return self.loss_sum / max(1, self.loss_count)

    def fit_to_limit(self, bar: Bar, start: float) -> None:
        """Once the pace is known: shorten the schedule to the time limit, or say that it will be long."""
        if self.announced or not self.pace.known:
            return
        self.announced = True
        left = self.pace.seconds(max(0.0, bar.total - bar.done))
        limit = self.config.time_limit
        if limit is None:
            if sentence := pace.warning(left):
                note(sentence)
        elif left > (room := max(0.0, limit * pace.RESERVE - (time.monotonic() - start))):
            self.num_steps = self.step + max(1, int((self.num_steps - self.step) * room / left))
            bar.total = bar.done + (bar.total - bar.done) * room / left
            note(f"The time limit allows {self.num_steps} steps; the learning rate falls to zero within them.")

    def evaluate(self, epoch: int, valid: Part | None, seconds: float) -> Point:
        scores: dict[str, float] = {}
        ranks: list[tuple[float, ...]] = []
        noises: list[float] = []
        if valid is not None:
            outputs = predict(self.model, self.source, valid.items, num_records=len(valid), label="validating")
            for name, target in self.model.targets.items():
                rows = [i for i, label in enumerate(valid.labels[name]) if label is not None]
                labels, raw = [valid.labels[name][i] for i in rows], outputs[name][rows]
                if rows:
                    found = target.score(target.tuned(raw, target.features(labels)).decode(raw), labels)
                    before = f"{name}: " if len(self.model.targets) > 1 else ""
                    scores |= {f"{before}{metric}": value for metric, value in found.items()}
                    ranks.append(rank(target, found))
                    noises.append(noise(target, found, len(rows)))
        share = rate(self.step - 1, num_steps=self.num_steps, warmup=self.warmup)
        loss = self.losses_mean
        self.loss_sum = self.loss_count = 0.0
        middle = tuple(sum(parts) / len(parts) for parts in zip(*ranks, strict=False))  # over the targets
        error = sum(noises) / max(1, len(noises))
        return Point(epoch, self.step, loss, share * (self.config.lr or 0.0), seconds, scores, middle, error)

    def reason(self, history: list[Point]) -> str | None:
        assert self.config.epochs
        if self.step >= self.num_steps and history[-1].epoch < self.config.epochs:
            return "time limit reached"
        return reason_to_stop(history, epochs=self.config.epochs, patience=self.config.patience)

    def state(self, at: dict[str, int], history: list[Point], start: float) -> dict[str, Any]:
        return at | {
            "step": self.step,
            "num_steps": self.num_steps,
            "num_tokens": self.num_tokens,
            "num_items": self.num_items,
            "loss": [self.loss_sum, self.loss_count],
            "announced": self.announced,
            "seconds": time.monotonic() - start,
            "history": points_to_plain(history),
            "skipped": self.skipped,
            "watch": asdict(self.watch),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.num_steps = state["step"], state["num_steps"]
        self.num_tokens, self.num_items = state["num_tokens"], state["num_items"]
        self.loss_sum, self.loss_count = state["loss"]
        self.announced, self.seconds_before = state["announced"], state["seconds"]
        self.skipped, self.watch = state["skipped"], Watch(**state["watch"])


def item_ids(ids: np.ndarray, records: np.ndarray) -> np.ndarray:
    """(N,) the records' ids, made different for the windows of one record, so that each has its own chance."""
    first = np.r_[True, records[1:] != records[:-1]]
    window = np.arange(len(records)) - np.maximum.accumulate(np.where(first, np.arange(len(records)), 0))
    return np.where(window == 0, ids, chance(ids, seed=0, epoch=0) + window.astype(np.uint64))


def sum_losses(losses: dict[str, Any]) -> Tensor:
    """The sum over names of weight x (sum / count); a zero count contributes zero."""
    total = torch.zeros(())
    for loss in losses.values():
        count = float(loss.count)
        if count > 0:
            total = total + loss.weight * loss.sum / count
    return total


class _Due:
    """When the next checkpoint is due: every so many steps, or every five minutes."""

    def __init__(self, steps: int | None) -> None:
        self.steps, self.count, self.last = steps, 0, time.monotonic()

    def is_due(self) -> bool:
        self.count += 1
        due = self.count >= self.steps if self.steps else time.monotonic() - self.last > CHECKPOINT_EVERY_S
        if due:
            self.count, self.last = 0, time.monotonic()
        return due


@dataclass
class _Pressed:
    """How often Ctrl-C was pressed, and whether the checkpoint is on disk already."""

    times: int = 0
    saved: bool = False


@contextmanager
def _interruptible() -> Iterator[_Pressed]:
    """Inside, Ctrl-C is counted. Once the checkpoint is saved, or at the third time, it ends the work at once."""
    pressed = _Pressed()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: Any) -> None:
        pressed.times += 1
        if pressed.times == 1:
            note("\nStopping after this step: saving, evaluating and writing the report. Ctrl-C again to save only.")
        elif pressed.saved or pressed.times > 2:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _say(point: Point, epochs: int) -> None:
    valid = ", ".join(f"{name.replace('_', '-')} {value:.3f}" for name, value in point.valid.items())
    note(f"epoch {point.epoch} of {epochs}: loss {point.train_loss:.3f}{'  validation ' if valid else ''}{valid}")
