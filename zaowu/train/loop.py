"""The one loop: step, evaluate, stop?"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from zaowu.config import TrainConfig
from zaowu.errors import Stopped, UserError
from zaowu.model import Model
from zaowu.progress import Bar, note
from zaowu.train.checkpoint import Checkpoint, points_from_plain, points_to_plain
from zaowu.train.diverge import ADVICE, Watch
from zaowu.train.estimate import pace
from zaowu.train.feed import Feed, Judge, Judged
from zaowu.train.optim import Optimizer
from zaowu.train.optim.schedule import rate
from zaowu.train.parallel import current
from zaowu.train.parallel.spread import Passes, give_back, sharded
from zaowu.train.stop import Point, best, reason_to_stop
from zaowu.trunk import precision
from zaowu.trunk.adapters import changing, restore

CHECKPOINT_EVERY_S = 300.0
STOPPED = "stopped with Ctrl-C"


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
    feed: Feed,
    judge: Judge | None,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    begin: Callable[[Model], None] | None = None,
    label: str = "training",
) -> Training:
    """Trains `model` in place on `feed` and leaves the weights of the best evaluation in it, and its precision.

    judge: scores the model and so chooses among the evaluations, or None to keep the last weights.
    checkpoint: where an interrupted run is kept, and continued from when it exists.
    begin: what is done to the model before its first step; it is judged then too.
    """
    whole, start = model, time.monotonic()
    dtype = precision.choose(config.precision, next(model.parameters()).device)
    precision.use(whole, dtype)
    ranks = current()

    def is_saved() -> bool:
        return checkpoint is not None and bool(ranks.told("yes" if checkpoint.exists else ""))

    has_begun = is_saved()
    if begin is not None and not has_begun:
        begin(model)
    model = sharded(whole, device=config.device) if config.engine.shard and ranks.world > 1 else whole
    model.trunk.recompute = config.engine.recompute
    optimizer = Optimizer(model, config, ranks=ranks)
    run = _Run(model, feed, config)
    training, kept, epoch, number = Training(), None, 0, 0  # number: of the next batch in the epoch
    every = config.schedule.evaluate_steps

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

    def evaluate() -> None:
        nonlocal kept
        point = run.evaluate(epoch, judge, time.monotonic() - start)
        training.history.append(point)
        _say(point, config)
        if best(training.history) is point and judge is not None:
            kept = {name: tensor.clone() for name, tensor in changing(model).items()}
        training.reason = training.reason or run.reason(training.history) or ""

    if checkpoint and has_begun:
        go_back(checkpoint)
        note(f"Going on from epoch {epoch + 1}, step {run.step}.")
        start = time.monotonic() - run.seconds_before
    model.train()
    if model is not whole:
        precision.use(model, dtype)
    if begin is not None and judge is not None and not has_begun:
        evaluate()
    bar = Bar(label, run.planned_tokens())
    with _interruptible() as run.pressed, bar:
        while not training.reason:
            while run.has(epoch, number) and not (run.is_interrupted or run.is_done or training.reason):
                loss = run.take_step(optimizer, epoch, number)
                number += 1
                bar.advance(run.last_tokens, "" if loss is None else f"loss {loss:.3f}")
                if loss is None:
                    if run.watch.refused():
                        raise UserError(f"Training diverged: three batches in a row could not be learned; {ADVICE}.")
                    if checkpoint and is_saved():
                        skipped, refused = run.skipped, run.watch.in_a_row
                        go_back(checkpoint)
                        run.skipped, run.watch.in_a_row = skipped, refused
                        note(f"Back at step {run.step}, the last checkpoint.")
                    continue
                run.fit_to_limit(bar, start)
                is_new = not training.history or training.history[-1].step < run.step  # a batch may be no step
                if every and run.step % every == 0 and is_new and not run.is_done:
                    evaluate()
                if run.is_due:
                    run.is_due = False
                    save()
            if run.is_interrupted:
                training.reason = STOPPED
                save()  # before the evaluation below, so that going on is as if nothing had happened
                run.pressed.saved = True
                if run.pressed.times > 1:
                    raise Stopped
                if training.history:
                    break
            if training.reason and training.reason != STOPPED:
                break
            epoch, number = epoch + 1, 0
            if not every or run.is_done or run.is_interrupted:
                evaluate()
    optimizer.release()
    if model is not whole:
        give_back(model, whole, kept)
    elif kept is not None:
        restore(model, kept)
    training.num_steps, training.num_tokens, training.num_items = run.step, run.num_tokens, run.num_items
    training.seconds, training.stopped = time.monotonic() - start, training.reason == STOPPED
    return training


class _Run:
    """The moving parts of one training run: where it stands, and how one step is taken."""

    def __init__(self, model: Model, feed: Feed, config: TrainConfig) -> None:
        assert config.lr and config.warmup is not None
        self.model, self.feed, self.config = model, feed, config
        self.ranks, self.passes = current(), Passes(model, accumulate=config.engine.accumulate)
        self.warmup = config.warmup
        self.num_steps = planned_steps(feed, config)
        self.step = self.num_tokens = self.num_items = self.last_tokens = 0
        self.loss_sum = self.loss_count = 0.0
        self.seconds_before = 0.0
        self.pace, self.announced = pace.Pace(), False
        self.watch, self.skipped = Watch(), list[list[int]]()  # [epoch, batch] of those that were left out
        self.clock, self.is_due = _Due(config.checkpoint_steps), False
        self.pressed, self.heard = _Pressed(), False  # here; on any rank

    @property
    def is_done(self) -> bool:
        """Whether no step is left to take."""
        most = self.config.schedule.tokens
        return self.step >= self.num_steps or (most is not None and self.num_tokens >= most)

    def rate(self, step: int) -> float:
        """The learning rate at `step`, as a share of its peak."""
        return rate(step, num_steps=self.num_steps, warmup=self.warmup, shape=self.config.schedule.shape)

    def has(self, epoch: int, number: int) -> bool:
        """Whether the epoch has that batch."""
        try:
            return self.feed.num_tokens(epoch, number) > 0
        except IndexError:
            return False

    def planned_tokens(self) -> float:
        """Tokens from here to the end."""
        return (self.num_steps - self.step) * self.feed.epoch_tokens(0) / self.feed.num_batches(0)

    def take_step(self, optimizer: Optimizer, epoch: int, number: int) -> float | None:
        """One optimizer step on the batch `number` of the epoch; returns its loss.

        None: the batch was left out, because its loss is wild or its gradient no number; it is named.
        """
        self.last_tokens = self.feed.num_tokens(epoch, number)
        if [epoch, number] in self.skipped:
            self._agree(0.0)
            return self.losses_mean
        batch = self.feed.batch(epoch, number)
        part = self.passes(batch)
        value = self._agree(part or 0.0)
        if part is None:  # every record in it weighs nothing
            self.step += 1
            return value
        problem = f"its loss is {value:.4g}" if self.watch.is_wild(value) else ""
        if problem:
            optimizer.discard()
        else:
            norm = optimizer.step(self.rate(self.step))
            problem = "" if math.isfinite(norm) else "its gradient is no number"
        if problem:
            self.skipped.append([epoch, number])
            what = self.feed.named(epoch, number)
            note(f"Epoch {epoch + 1}, batch {number + 1} is left out: {problem}. It holds {what}.")
            return None
        self.watch.applied(value)
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        self.num_tokens += self.last_tokens
        self.num_items += len(batch.mask)
        self.step += 1
        self.pace.add(self.last_tokens)
        return value

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C was pressed; with ranks, all see it after the same step."""
        return self.heard if self.ranks.world > 1 else self.pressed.times > 0

    def _agree(self, loss: float) -> float:
        """The loss over all ranks, with what only one of them knows: a Ctrl-C, and what the first one's clock says."""
        first, pressed = self.ranks.is_first, self.pressed.times > 0
        told = self.ranks.sums(loss, pressed, first and self.clock.is_due(), self.num_steps if first else 0)
        self.heard, self.is_due, self.num_steps = told[1] > 0, self.is_due or told[2] > 0, int(told[3])
        return told[0]

    @property
    def losses_mean(self) -> float:
        return self.loss_sum / max(1, self.loss_count)

    def fit_to_limit(self, bar: Bar, start: float) -> None:
        """Once the pace is known: shorten the schedule to the time limit, or say that it will be long."""
        if self.announced or not self.pace.known or not self.ranks.is_first:
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

    def evaluate(self, epoch: int, judge: Judge | None, seconds: float) -> Point:
        judged = Judged() if judge is None else judge(self.model)
        loss = self.losses_mean if self.step else None
        self.loss_sum = self.loss_count = 0.0
        lr = self.rate(max(0, self.step - 1)) * (self.config.lr or 0.0)
        return Point(
            epoch, self.step, loss, lr, seconds, judged.scores, judged.rank, judged.noise, tokens=self.num_tokens
        )

    def reason(self, history: list[Point]) -> str | None:
        planned, epochs = planned_steps(self.feed, self.config), self.config.epochs
        if self.num_steps < planned and self.step >= self.num_steps and history[-1].epoch < (epochs or math.inf):
            return "time limit reached"
        limits = self.config.schedule
        found = reason_to_stop(
            history,
            epochs=epochs,
            patience=self.config.patience,
            steps=limits.steps,
            tokens=limits.tokens,
            reach=limits.reach,
        )
        return found or (f"all {self.step:,} steps done" if self.is_done else None)

    def state(self, at: dict[str, int], history: list[Point], start: float) -> dict[str, Any]:
        return at | {
            "step": self.step,
            "num_steps": self.num_steps,
            "num_tokens": self.num_tokens,
            "num_items": self.num_items,
            "loss": [self.loss_sum, self.loss_count],
            "announced": self.announced,
            "limit": self.config.time_limit,
            "seconds": time.monotonic() - start,
            "history": points_to_plain(history),
            "skipped": self.skipped,
            "watch": asdict(self.watch),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.num_steps = state["step"], state["num_steps"]
        self.num_tokens, self.num_items = state["num_tokens"], state["num_items"]
        self.loss_sum, self.loss_count = state["loss"]
        self.announced = state["announced"] and state.get("limit") == self.config.time_limit  # else it is told anew
        self.seconds_before = state["seconds"]
        self.skipped, self.watch = state["skipped"], Watch(**state["watch"])


def planned_steps(feed: Feed, config: TrainConfig) -> int:
    """Steps until the first of the limits that are known beforehand: epochs, steps, tokens."""
    return steps_within(config, num_batches=feed.num_batches(0), epoch_tokens=feed.epoch_tokens(0))


def steps_within(config: TrainConfig, *, num_batches: float, epoch_tokens: float) -> int:
    """The same where an epoch has so many batches and tokens."""
    limits = config.schedule
    found = [] if config.epochs is None else [math.ceil(config.epochs * num_batches)]
    if limits.steps is not None:
        found.append(limits.steps)
    if limits.tokens is not None:
        found.append(math.ceil(limits.tokens * num_batches / max(1, epoch_tokens)))
    assert found, "a limit is needed: epochs, steps or tokens"
    return max(1, min(found))


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


def _say(point: Point, config: TrainConfig) -> None:
    valid = ", ".join(f"{name.replace('_', '-')} {value:.3f}" for name, value in point.valid.items())
    at = f"step {point.step:,}" if config.schedule.evaluate_steps else f"epoch {point.epoch} of {config.epochs}"
    learned = "" if point.train_loss is None else f"loss {point.train_loss:.3f}  "
    note(f"{at}: {learned}{'validation ' if valid else ''}{valid}")
