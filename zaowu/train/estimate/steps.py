"""A few steps of a training with its real model and batches: what a token takes, and what the memory holds then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from zaowu.config import TrainConfig
from zaowu.model import Model
from zaowu.train.estimate.machine import resident_bytes
from zaowu.train.feed import Feed
from zaowu.train.optim import Optimizer
from zaowu.train.parallel.spread import Passes
from zaowu.trunk import precision

WARM = 2  # steps that pay for what is made once
LEAST, ENOUGH_S = 2, 4.0  # steps that are timed, until they have taken so long
LOOK_EVERY_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Taken:
    """token_s, judged_s: seconds of training and of judging, a token; judged_s is 0 where nothing is judged.

    begin_s: of making the model. peak_bytes, between_bytes: that the process held at most, and between two steps.
    """

    token_s: float
    judged_s: float
    begin_s: float
    peak_bytes: int
    between_bytes: int


def take_steps(
    make: Callable[[], Model],
    feed: Feed,
    judge: Callable[[Model], tuple[int, Any]] | None,
    config: TrainConfig,
    *,
    most: int,
) -> Taken:
    """Takes up to `most` steps on a model that is thrown away, from the first batches of the feed.

    judge: judges the model on a part of what a training judges it on, and returns how many tokens that were. Torch's
    own chance is left where it was: a training after this is as if this had not been.
    """
    begin = time.perf_counter()
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=cuda), _watched() as peak:
        model = make()
        begin_s = time.perf_counter() - begin
        device = next(model.parameters()).device
        optimizer, passes = Optimizer(model, config), Passes(model, accumulate=config.engine.accumulate)
        model.train()
        precision.use(model, precision.choose(config.precision, device))
        ends, tokens = [begin], [0]
        for epoch, number in _places(feed, WARM + most):
            passes(feed.batch(epoch, number))
            optimizer.step(1e-3)  # a rate as in the beginning of a training
            _wait(device)
            ends.append(time.perf_counter())
            tokens.append(feed.num_tokens(epoch, number))
            if len(ends) > WARM + LEAST and ends[-1] - ends[WARM] > ENOUGH_S:
                break
        warm = min(WARM, len(ends) - 2)
        token_s = (ends[-1] - ends[warm]) / max(1, sum(tokens[warm + 1 :]))
        optimizer.release()
        between, judged_s = resident_bytes(), 0.0
        if judge is not None:
            judge(model)
            start = time.perf_counter()
            num_tokens, _ = judge(model)
            _wait(device)
            judged_s = (time.perf_counter() - start) / max(1, num_tokens)
    return Taken(
        token_s=token_s,
        judged_s=judged_s,
        begin_s=begin_s,
        peak_bytes=max(peak),
        between_bytes=between,
    )


def _places(feed: Feed, num: int) -> Iterator[tuple[int, int]]:
    """(epoch, number) of the first `num` batches; a short epoch is gone through again."""
    per_epoch = feed.num_batches(0)
    return ((0, step % per_epoch) for step in range(num))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Looks at the process's resident size all the time; the sizes that were larger than all before are in the list."""
    sizes, done = [resident_bytes()], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY_S):
            if (now := resident_bytes()) > sizes[-1]:
                sizes.append(now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()
