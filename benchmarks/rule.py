"""How much does the rule of `train/rule.py` lose against a grid searched on each set?

    python benchmarks/bench_data.py --out runs/bench --headlines HEADLINES.csv
    python benchmarks/rule.py --data runs/bench --out runs/rule.jsonl [--sets reviews help_zh] [--threads 2]

For every set: the accuracy on its test file of the rule's own choice and of each point of a small grid around
it. Regret = best of the grid, chosen by *validation* score as a careful person would, minus the rule, in points.
`--tune` runs the tuning sets, otherwise the two sets that were left out of the tuning. Every row is written as it
finishes; a second call goes on where the first one stopped.
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
from measure import Rows

from zaowu.batching.order import chance
from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.inputs import guessers
from zaowu.learn import Learned, learn
from zaowu.progress import speaking
from zaowu.records.prepare import Prepared, prepare
from zaowu.records.records import Records
from zaowu.train.rule import fill

AROUND = ((0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0))  # multiples of the rule's rate and of its epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that bench_data.py wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/rule.jsonl"))
    parser.add_argument("--sets", nargs="*", help="names; default: the sets left out, or the tuning sets with --tune")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, help="at most so many training rows, chosen by hash")
    parser.add_argument("--base", default=TextConfig.base)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    known = json.loads((args.data / "sets.json").read_text("utf-8"))
    use = "tuning" if args.tune else "left out"
    names = args.sets or [name for name, entry in known.items() if entry["use"] == use]
    out = Rows(args.out)
    for name in names:
        for seed in range(args.seeds):
            for point in grid(args.data / f"{name}.train.csv", args):
                key = {"set": name, "seed": seed, "rows": args.rows, **point}
                out.measured(key, partial(measure, args.data, name, point, seed=seed, args=args))
    summarise([row for row in out.read() if row["set"] in names])


def grid(path: Path, args: argparse.Namespace) -> list[dict]:
    """The rule's choice first, then the points around it."""
    with speaking(quiet=True):
        rows = len(prepare(str(path), DataConfig(target=("label",)), guessers=guessers()).train)
    rows = min(rows, args.rows or rows)
    own = fill(TrainConfig(), num_records=rows, from_base=args.base != "none")
    points = []
    for times_lr, times_epochs in ((1.0, 1.0), *AROUND):
        epochs = max(1, round(own.epochs * times_epochs))
        point = {"lr": own.lr * times_lr, "epochs": epochs, "batch_size": own.batch_size}
        points.append({**point, "rule": (times_lr, times_epochs) == (1.0, 1.0)})
    return points


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


def summarise(rows: list[dict]) -> None:
    """One line per set, then the median regret."""
    regrets = []
    print(f"{'set':<16}{'rule':>8}{'grid':>8}{'regret':>8}   the grid's choice")
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        rule = statistics.mean(row["test"] for row in own if row["rule"])
        chosen = [
            max((r for r in own if r["seed"] == seed), key=lambda r: r["valid"]) for seed in {r["seed"] for r in own}
        ]
        best = statistics.mean(row["test"] for row in chosen)
        regrets.append(100 * (best - rule))
        what = "; ".join(f"lr {row['lr']:g}, {row['epochs']} epochs" for row in chosen)
        print(f"{name:<16}{rule:>8.2%}{best:>8.2%}{regrets[-1]:>8.2f}   {what}")
    if regrets:
        print(f"median regret {statistics.median(regrets):.2f} points over {len(regrets)} sets")


if __name__ == "__main__":
    main()
