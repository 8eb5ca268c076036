"""How much does the rule of `train/rule.py` lose against a grid searched on each set?

    python benchmarks/bench_data.py --out runs/bench --headlines HEADLINES.csv
    python benchmarks/rule.py --data runs/bench --out runs/rule.jsonl [--tune] [--sets reviews help_zh] [--threads 2]

For every set: the accuracy on its test file of the rule's own choice and of each point of one grid of rates and epochs.
Regret = the point of the grid with the best *validation* score, as a careful person would choose, minus the rule, in
points of test accuracy. `--tune` runs the tuning sets, otherwise the sets that were left out of the tuning. Every row
is written as it finishes; a second call goes on where the first one stopped. Where the rule is changed, only the points
that it newly chooses are run. `--rows` thins the training rows by hash; the rule then speaks for so many rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from shared.measure import Rows

from zaowu.batching.order import chance
from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.inputs import guessers
from zaowu.learn import Learned, learn
from zaowu.progress import speaking
from zaowu.records.prepare import Prepared, prepare
from zaowu.records.records import Records
from zaowu.train.rule import fill

RATES = (5e-5, 1e-4, 2e-4)
EPOCHS = (5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that bench_data.py wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/rule.jsonl"))
    parser.add_argument("--sets", nargs="*", help="names; default: the sets left out, or the tuning sets with --tune")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, help="at most so many training rows, chosen by hash")
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--epochs", type=int, nargs="+", default=list(EPOCHS))
    parser.add_argument("--base", default=TextConfig.base)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    known = json.loads((args.data / "sets.json").read_text("utf-8"))
    use = "tuning" if args.tune else "left out"
    names = args.sets or [name for name, entry in known.items() if entry["use"] == use]
    out = Rows(args.out)
    for name in names:
        num_rows = rows_of(args.data / f"{name}.train.csv", args)
        for seed in range(args.seeds):
            for point in points(num_rows, args):
                key = {"set": name, "seed": seed, "rows": num_rows, **point}
                out.measured(key, partial(measure, args.data, name, point, seed=seed, args=args))
    summarise([row for row in out.read() if row["set"] in names], args)


def rows_of(path: Path, args: argparse.Namespace) -> int:
    """Training rows that are learned from."""
    with speaking(quiet=True):
        rows = len(prepare(str(path), DataConfig(target=("label",)), guessers=guessers()).train)
    return min(rows, args.rows or rows)


def points(num_rows: int, args: argparse.Namespace) -> list[dict]:
    """The rule's choice, then the grid; the batch size is the rule's, and so is the warm-up for the point's steps."""

    def point(config: TrainConfig) -> dict:
        full = fill(config, num_records=num_rows, from_base=args.base != "none", ahead=args.base != "none")
        assert full.warmup is not None
        return {name: getattr(full, name) for name in ("lr", "epochs", "batch_size")} | {
            "warmup": round(full.warmup, 4)
        }

    grid = [point(TrainConfig(lr=lr, epochs=epochs)) for epochs in args.epochs for lr in args.rates]
    own = point(TrainConfig())
    return [own, *(other for other in grid if other != own)]


def measure(data: Path, name: str, point: dict, *, seed: int, args: argparse.Namespace) -> dict:
    """Trains once; scores on validation (to choose by) and on the test file (to report)."""
    settings = DataConfig(target=("label",), test=str(data / f"{name}.test.csv"))
    with speaking(quiet=True):
        prepared = thinned(
            prepare(str(data / f"{name}.train.csv"), settings, guessers=guessers(), cross_validate_below=0), args.rows
        )
        train = TrainConfig(
            lr=point["lr"],
            epochs=point["epochs"],
            batch_size=point["batch_size"],
            warmup=point["warmup"],
            seed=seed,
            threads=args.threads,
        )
        config = FitConfig(text=replace(TextConfig(), base=args.base), train=train)
        start = time.monotonic()
        learned = learn(prepared.train, prepared.valid, config)
        seconds = time.monotonic() - start
        assert prepared.test is not None and prepared.valid is not None
        return {
            "valid": score(learned, prepared.valid),
            "test": score(learned, prepared.test),
            "best_epoch": learned.training.best.epoch,
            "seconds": round(seconds, 1),
        }


def thinned(prepared: Prepared, rows: int | None) -> Prepared:
    """The training rows with the lowest hashes."""
    if rows is None or len(prepared.train) <= rows:
        return prepared
    lowest = np.sort(np.argsort(chance(prepared.train.ids, seed=0, epoch=0))[:rows])
    return replace(prepared, train=prepared.train.take(lowest))


def score(learned: Learned, records: Records) -> float:
    prediction = learned.predict(records)["label"]
    return learned.targets["label"].score(prediction, records.values("label"))["accuracy"]


def summarise(rows: list[dict], args: argparse.Namespace) -> None:
    """One line per set, then the median regret."""
    regrets = []
    print(f"{'set':<16}{'rows':>6}{'rule':>8}{'grid':>8}{'regret':>8}   the grid's choice")
    for name, num_rows in dict.fromkeys((row["set"], row["rows"]) for row in rows):
        own = [row for row in rows if (row["set"], row["rows"]) == (name, num_rows)]
        choice, *grid = points(num_rows, args)
        ruled = [row for row in own if choice.items() <= row.items()]
        searched = [row for row in own if any(point.items() <= row.items() for point in (choice, *grid))]
        if len(searched) < args.seeds * (1 + len(grid)):
            print(f"{name:<16}{num_rows:>6}   not finished")
            continue
        rule = statistics.mean(row["test"] for row in ruled)
        seeds = {row["seed"] for row in searched}
        chosen = [max((r for r in searched if r["seed"] == seed), key=lambda r: r["valid"]) for seed in seeds]
        best = statistics.mean(row["test"] for row in chosen)
        regrets.append(100 * (best - rule))
        what = "; ".join(f"lr {row['lr']:g}, {row['epochs']} epochs" for row in chosen)
        print(f"{name:<16}{num_rows:>6}{rule:>8.2%}{best:>8.2%}{regrets[-1]:>8.2f}   {what}")
    if regrets:
        print(f"median regret {statistics.median(regrets):.2f} points over {len(regrets)} sets")


if __name__ == "__main__":
    main()
