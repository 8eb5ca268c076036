"""Fine-tuning: Zaowu beside transformers' Trainer at its best settings, on the same weights, ids and batches.

    python benchmarks/finetune.py --data HEADLINES.csv --part speed    [--only trimmed-32] [--rounds 5] [--steps 25]
    python benchmarks/finetune.py --data HEADLINES.csv --part memory   [--only full-32] [--steps 25]
    python benchmarks/finetune.py --data HEADLINES.csv --part accuracy [--rows 2000] [--seeds 5] [--epochs 3]

HEADLINES.csv has the columns title,topic. Cases: trimmed-32 (12 x 384, the base's pieces that the texts need, batch
32), small-16 (6 x 384 with fresh weights, 21,128 pieces), full-32 and full-8 (all 250,037 pieces).

speed: one process, both sides in turn, each on the same batches in the same order; medians over the rounds, the ratio
to the faster of the Trainer's fp32 and bf16 (and of its two attention kernels), and the share of the processor's
matrix product peak, measured in the same run. The first steps of every turn warm up and are not counted, nor is the
first round. memory: each side in a process of its own, from start to end. accuracy: see `peers/recipes.py`.

Every finished cell is a line of --out; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peers.sides import OURS, TRAINERS, WARM, Sides
from shared import measure
from shared.cases import CASES, Case, base_folder, classes_of, read
from shared.measure import Rows, Spread

from zaowu.config import FitConfig, TextConfig, TrainConfig
from zaowu.progress import speaking
from zaowu.records.records import Records


def main() -> None:
    args = arguments()
    if args.child:
        print(json.dumps(child(args)))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    with speaking(quiet=True):
        records = read(args.data)
        for case in [CASES[name] for name in args.only]:
            if args.part == "speed":
                speed(case, records, args)
            elif args.part == "memory":
                memory(case, records, args)
            else:
                from peers.recipes import accuracy

                accuracy(case, records, args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="columns title and topic")
    parser.add_argument("--part", choices=("speed", "memory", "accuracy"), default="speed")
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="default: all; accuracy: trimmed-32")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/finetune-bases"), help="where base folders are made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="speed: rounds that count")
    parser.add_argument("--steps", type=int, default=25, help="speed, memory: counted steps of a turn")
    parser.add_argument("--rows", type=int, default=2000, help="accuracy: training rows, chosen by hash")
    parser.add_argument("--test-rows", type=int, default=4000, help="accuracy: other rows, at most")
    parser.add_argument("--seeds", type=int, default=5, help="accuracy")
    parser.add_argument("--epochs", type=int, default=3, help="accuracy: of the Trainer")
    parser.add_argument("--rates", type=float, nargs="*", default=[5e-5, 1e-4, 2e-4, 4e-4], help="accuracy")
    parser.add_argument("--ours-epochs", type=int, help="accuracy: default what Zaowu's rule says")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = args.only or ([next(iter(CASES))] if args.part == "accuracy" else list(CASES)[:4])
    return args


# ------------------------------------------------------------------------------------------------------------- speed


def speed(case: Case, records: Records, args: argparse.Namespace) -> None:
    """Measures the rounds of one case that are not in the file yet, then prints the table over all of them."""
    import torch

    torch.set_num_threads(args.threads)
    out = Rows(args.out)
    key = {"part": "speed", "case": case.name, "threads": args.threads, "steps": args.steps}
    missing = [number for number in range(1, args.rounds + 1) if not out.find(**key, round=number)]
    if missing:
        sides = Sides(case, records, args)
        sides.warm_up(out.find(**key, round=0) or {}, lambda row: out.append({**key, "round": 0, **row}))
        for number in missing:
            out.measured({**key, "round": number}, partial(sides.round, number))
    rows = [row for number in range(1, args.rounds + 1) if (row := out.find(**key, round=number))]
    print_speed(case, rows)


def print_speed(case: Case, rows: Sequence[dict[str, Any]]) -> None:
    """Medians over the rounds, the ratio within each round to the faster Trainer, and shares of the peak."""
    peak = {dtype: max(row["peak_gflops"][dtype] for row in rows) for dtype in ("float32", "bfloat16")}
    work = float(np.mean([row["gflop_per_headline"] for row in rows]))
    print(f"\n{case.name}, {rows[0]['threads']} threads, {len(rows)} rounds of {rows[0]['steps']} steps")
    print(f"matrix product peak: fp32 {peak['float32']:.0f}, bf16 {peak['bfloat16']:.0f} GFLOP/s")
    print(f"{'':<14}{'headlines/s: median (range)':<30}{'GFLOP/s':>9}{'of peak':>9}")
    medians = {}
    for name in (OURS, *TRAINERS):
        spread = Spread.of([row["rates"][name] for row in rows])
        medians[name] = spread.median
        dtype = rows[0]["ours_in"] if name == OURS else "bfloat16" if TRAINERS[name] else "float32"
        rate = spread.median * work
        print(f"{name:<14}{spread!s:<30}{rate:>9.0f}{rate / peak[dtype]:>9.0%}")
    faster = max(TRAINERS, key=medians.__getitem__)
    ratio = Spread.of([row["rates"][OURS] / row["rates"][faster] for row in rows])
    aim = f", {case.aim} the aim" if case.aim else ""
    print(f"zaowu / {faster}: {ratio}; asked for: {case.speed}{aim}", flush=True)


# ------------------------------------------------------------------------------------------------------------ memory


def memory(case: Case, records: Records, args: argparse.Namespace) -> None:
    """Peak memory of a process of each side that reads, trains some steps and ends; the fixed cost is theirs too."""
    out, found = Rows(args.out), {}
    base_folder(case, records.values("title"), args.work)
    for name in (OURS, *TRAINERS):
        key = {"part": "memory", "case": case.name, "threads": args.threads, "steps": args.steps, "side": name}
        flags = {"--data": args.data, "--work": args.work, "--threads": args.threads, "--steps": args.steps}
        command = [sys.executable, __file__, "--child", name, "--only", case.name]
        command += [str(part) for pair in flags.items() for part in pair]
        found[name] = out.measured(key, partial(measure.cost, command))["mb"]
    less = min(found[name] for name in TRAINERS)
    sizes = ", ".join(f"{name} {mb:,.0f} MB" for name, mb in found.items())
    print(f"\n{case.name}: {sizes}; zaowu / the smaller Trainer: {found[OURS] / less:.2f}, asked for: {case.memory}")


def child(args: argparse.Namespace) -> dict[str, Any]:
    """One side in this process. Each reads the file, and its base, as its user would."""
    import torch

    torch.set_num_threads(args.threads)
    case = CASES[args.only[0]]
    rows = (args.steps + WARM) * case.batch_size
    if args.child == OURS:
        from zaowu.learn import learn

        with speaking(quiet=True):
            records = read(args.data)
            base = TextConfig.base if case.source in ("trimmed", "full") else str(args.work / case.source)
            text = replace(TextConfig(), base=base, trim_vocab="auto" if case.source == "trimmed" else "off")
            train = TrainConfig(epochs=1, batch_size=case.batch_size, lr=1e-4, threads=args.threads)
            learn(records.take(np.arange(min(rows, len(records)))), None, FitConfig(text=text, train=train))
    else:
        import csv

        from peers import trainer

        from zaowu import bases

        with args.data.open(encoding="utf-8", newline="") as file:
            pairs = [(row["title"], row["topic"]) for row in csv.DictReader(file)][:rows]
        folder = bases.resolve(TextConfig.base) if case.source == "full" else args.work / case.source
        classes, numbers = classes_of([topic for _, topic in pairs])
        items = trainer.encoded(folder, [title for title, _ in pairs], numbers.tolist())
        model = trainer.MeanPooled(folder, len(classes))
        bf16 = TRAINERS[args.child]
        trainer.make(trainer.Trainer, model, items, folder, batch_size=case.batch_size, bf16=bf16).train()
    return {"side": args.child, "mb": round(measure.peak_mb(), 1)}


if __name__ == "__main__":
    main()
