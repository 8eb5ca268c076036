"""Is bf16 as accurate as fp32? The same rows, weights and chance in both, over several seeds.

    python benchmarks/precision.py --data HEADLINES.csv [--rows 2000] [--seeds 5] [--base none --size mini]

HEADLINES.csv has the columns title,topic (or name the second with --target). A tenth of the training rows chooses the
epoch; the other rows of the file, at most --test-rows, are only scored on. Every finished training is a line of
--out; a second call goes on where the first one stopped. Prints the accuracies, the paired intervals, and the seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.cases import read, thinned
from shared.measure import Lead, Rows

from zaowu.config import FitConfig, TextConfig, TrainConfig
from zaowu.learn import learn
from zaowu.progress import speaking
from zaowu.records.records import Records

PRECISIONS = ("fp32", "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", default="topic")
    parser.add_argument("--out", type=Path, default=Path("runs/precision.jsonl"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--test-rows", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="default: what the rule says")
    parser.add_argument("--base", default=TextConfig.base)
    parser.add_argument("--size", default=TextConfig.size, help="without a base")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    out = Rows(args.out)
    with speaking(quiet=True):
        sides = thinned(read(args.data, args.target), args.rows, args.test_rows)
        shared: dict[str, Any] = {"rows": args.rows, "test_rows": len(sides[2]), "epochs": args.epochs}
        shared |= {"base": args.base, "size": args.size, "threads": args.threads}
        found: dict[str, list[dict]] = {precision: [] for precision in PRECISIONS}
        for seed in range(args.seeds):
            for _, precision in (turn for turn in measure.in_turn(PRECISIONS, seed + 1) if turn[0] == seed):
                key = {**shared, "seed": seed, "precision": precision}
                found[precision].append(out.measured(key, partial(train, sides, key, args.target)))
    for precision, rows in found.items():
        each = ", ".join(f"{row['accuracy']:.2%}" for row in rows)
        mean, seconds = (statistics.mean(row[name] for row in rows) for name in ("accuracy", "seconds"))
        print(f"{precision}: {mean:.2%} ({each}), {seconds:.0f} s a training")
    fp32, bf16 = ([row["right"] for row in found[precision]] for precision in PRECISIONS)
    lead = Lead.of(bf16, fp32)
    print(f"bf16 minus fp32: {lead}; {'within' if lead.is_noise else 'BEYOND'} noise", flush=True)


def train(sides: tuple[Records, Records, Records], key: dict[str, Any], target: str) -> dict[str, Any]:
    """One training. right: one digit a test row."""
    own, valid, test = sides
    config = FitConfig(
        text=replace(TextConfig(), base=key["base"], size=key["size"]),
        train=TrainConfig(seed=key["seed"], precision=key["precision"], epochs=key["epochs"], threads=key["threads"]),
    )
    start = time.perf_counter()
    learned = learn(own, valid, config)
    seconds = time.perf_counter() - start
    right = np.array(learned.predict(test)[target].labels) == np.array(test.values(target))
    return {
        "accuracy": float(right.mean()),
        "best_epoch": learned.training.best.epoch,
        "seconds": round(seconds, 1),
        "right": "".join(str(int(hit)) for hit in right),
    }


if __name__ == "__main__":
    main()
