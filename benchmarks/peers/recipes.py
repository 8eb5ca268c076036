"""The part `accuracy` of `finetune.py`: how good, and after how long, each side's best recipe is.

The Trainer's rate is searched on one seed and chosen by validation; then that rate and Zaowu's own rule are run on
every seed, from the same weights, on the same rows. Both are scored on validation after each epoch, within their time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from shared.cases import Case, base_folder, classes_of, thinned
from shared.measure import Lead, Rows

from peers.sides import KERNELS, TRAINERS, Sides
from zaowu.config import FitConfig, TextConfig, TrainConfig
from zaowu.records.records import Records


@dataclass(frozen=True)
class Work:
    """What both sides learn from, choose by, and are scored on. classes: of all rows."""

    folder: Any
    train: Records
    valid: Records
    test: Records
    classes: list[str]


def accuracy(case: Case, records: Records, args: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(args.threads)
    out = Rows(args.out)
    folder = base_folder(case, records.values("title"), args.work)
    train, valid, test = thinned(records, args.rows, args.test_rows)
    work = Work(folder, train, valid, test, classes_of(records.values("topic"))[0])
    form = fastest_form(case, records, args)
    shared = {"part": "accuracy", "case": case.name, "rows": args.rows, "test_rows": len(test)}
    shared["threads"] = args.threads

    def theirs(rate: float, seed: int) -> dict[str, Any]:
        key = {**shared, "side": "trainer", **form, "rate": rate, "epochs": args.epochs, "seed": seed}
        return out.measured(key, partial(train_theirs, work, case, key))

    grid = [theirs(rate, 0) for rate in args.rates]
    best = max(grid, key=lambda row: row["history"][-1]["valid"])["rate"]
    peers = [theirs(best, seed) for seed in range(args.seeds)]
    own = []
    for seed in range(args.seeds):
        key = {**shared, "side": "zaowu", "epochs": args.ours_epochs, "seed": seed}
        own.append(out.measured(key, partial(train_ours, work, case, key)))
    summarise(case, grid, peers, own)


def fastest_form(case: Case, records: Records, args: argparse.Namespace) -> dict[str, Any]:
    """The precision and the attention kernel in which the Trainer is fastest here, as the part `speed` found them."""
    out = Rows(args.out)
    known = out.find(part="speed", case=case.name, threads=args.threads, round=0)
    if known is None:
        key = {"part": "speed", "case": case.name, "threads": args.threads, "steps": args.steps, "round": 0}
        Sides(case, records, args).warm_up({}, lambda row: out.append({**key, **row}))
        known = out.find(**key)
    assert known is not None
    rates = known["kernel_rates"]
    name, kernel = max(((n, k) for n in TRAINERS for k in KERNELS), key=lambda pair: rates[pair[0]][pair[1]])
    return {"bf16": TRAINERS[name], "kernel": kernel}


def train_theirs(work: Work, case: Case, key: dict[str, Any]) -> dict[str, Any]:
    """The Trainer with the settings of `key`, scored on validation after every epoch."""
    from peers import trainer

    parts = {}
    for side in ("train", "valid", "test"):
        own: Records = getattr(work, side)
        numbers = np.searchsorted(work.classes, own.values("topic"))
        parts[side] = trainer.encoded(work.folder, own.values("title"), numbers.tolist()), numbers
    model = trainer.MeanPooled(work.folder, len(work.classes), seed=key["seed"], attention=key["kernel"])
    history: list[dict[str, float]] = []

    class Judge(trainer.TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            items, numbers = parts["valid"]
            score = float(np.mean(trainer.predicted(model, items, work.folder) == numbers))
            history.append({"epoch": len(history) + 1, "seconds": time.perf_counter() - start, "valid": score})

    peer = trainer.make(
        trainer.Trainer,
        model,
        parts["train"][0],
        work.folder,
        batch_size=case.batch_size,
        epochs=key["epochs"],
        lr=key["rate"],
        bf16=key["bf16"],
        seed=key["seed"],
        callbacks=[Judge()],
    )
    start = time.perf_counter()
    peer.train()
    items, numbers = parts["test"]
    return scored(history, trainer.predicted(model, items, work.folder) == numbers)


def train_ours(work: Work, case: Case, key: dict[str, Any]) -> dict[str, Any]:
    """Zaowu's own rule, but for the batch size, which is the case's; `epochs` may be named."""
    from zaowu.learn import learn

    train = TrainConfig(epochs=key["epochs"], batch_size=case.batch_size, seed=key["seed"], threads=key["threads"])
    text = replace(TextConfig(), base=str(work.folder), trim_vocab="off")
    learned = learn(work.train, work.valid, FitConfig(text=text, train=train))
    history = [
        {"epoch": point.epoch, "seconds": point.seconds, "valid": point.valid["accuracy"]}
        for point in learned.training.history
    ]
    found = np.array(learned.predict(work.test)["topic"].labels) == np.array(work.test.values("topic"))
    return {**scored(history, found), "rule": {"lr": learned.config.lr, "epochs": learned.config.epochs}}


def scored(history: list[dict[str, float]], right: np.ndarray) -> dict[str, Any]:
    """right: one digit a test row, for intervals over the same rows."""
    rounded = [{**point, "seconds": round(point["seconds"], 1)} for point in history]
    return {"history": rounded, "accuracy": float(right.mean()), "right": "".join(str(int(hit)) for hit in right)}


def reached(history: list[dict[str, float]], score: float) -> float | None:
    """Seconds after which validation was first at `score` or above, as far as epochs show it."""
    return next((point["seconds"] for point in history if point["valid"] >= score), None)


def summarise(case: Case, grid: list[dict], peers: list[dict], own: list[dict]) -> None:
    print(f"\n{case.name}, {own[0]['rows']} rows, {own[0]['test_rows']} test rows, {len(own)} seeds")
    form = f"{'bf16' if peers[0]['bf16'] else 'fp32'}, {peers[0]['kernel']}"
    tried = ", ".join(f"{row['rate']:g}: {row['history'][-1]['valid']:.2%}" for row in grid)
    print(f"the Trainer ({form}), rate: validation accuracy after {peers[0]['epochs']} epochs: {tried}")
    print(f"chosen: {peers[0]['rate']:g}; Zaowu's rule: {own[0]['rule']}")
    for name, rows in (("trainer", peers), ("zaowu", own)):
        each = ", ".join(f"{row['accuracy']:.2%}" for row in rows)
        seconds = statistics.median(row["history"][-1]["seconds"] for row in rows)
        mean = statistics.mean(row["accuracy"] for row in rows)
        print(f"{name:<8} test accuracy {mean:.2%} ({each}), {seconds:.0f} s a training (median)")
    print(f"zaowu minus trainer: {Lead.of([row['right'] for row in own], [row['right'] for row in peers])}")
    ratios = []
    for peer, mine in zip(peers, own, strict=True):
        goal = peer["history"][-1]["valid"]
        their_time, our_time = reached(peer["history"], goal), reached(mine["history"], goal)
        assert their_time is not None
        said = "never" if our_time is None else f"{our_time:.0f} s, {our_time / their_time:.2f} of the Trainer's"
        print(f"seed {peer['seed']}: to {goal:.2%} on validation the Trainer took {their_time:.0f} s, Zaowu {said}")
        ratios.append(float("inf") if our_time is None else our_time / their_time)
    print(f"median ratio of the times: {statistics.median(ratios):.2f}; asked for: at most 0.5", flush=True)
