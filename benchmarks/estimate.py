"""How near is `zaowu estimate` to what the work then takes? Small fits and pre-trainings, each in a process of its own.

    python benchmarks/estimate.py --data TABLE.csv --text title --target topic --out runs/estimate.jsonl [--threads 2]
    python benchmarks/estimate.py --pretrain TEXTS... [--only NAME...]

TABLE.csv: a header and at least 8,000 short labelled texts. TEXTS: files or folders for `zaowu pretrain`. First the
estimate, then the work itself (early stopping is off). Seconds are those of the call, bytes the largest resident size
of its process. Each run is written as it finishes; a second call goes on where the first one stopped. `--only NAME...`
takes some of the grid.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOUNDS = {"time": 0.25, "memory": 0.15, "disk": 0.10}


@dataclass(frozen=True)
class Point:
    """One fit. rows: of the table. joined: texts of one class that make one long text. held: rows of a test file, which
    spares the folds. choices: parameters of `fit`."""

    rows: int
    joined: int = 1
    held: int = 0
    choices: dict[str, Any] = field(default_factory=dict)


SCRATCH = {"base": "none"}
GRID = {
    "base": Point(2000, choices={"epochs": 2}),
    "large batches": Point(3000, choices={"epochs": 1, "batch_size": 64}),
    "small batches": Point(1200, choices={"epochs": 1, "batch_size": 4}),
    "fp32": Point(1500, choices={"epochs": 1, "precision": "fp32"}),
    "whole vocabulary": Point(1500, choices={"epochs": 1, "trim_vocab": "off"}),
    "folds": Point(500, choices={"epochs": 1}),
    "long": Point(200, joined=24, held=40, choices={"epochs": 1, "batch_size": 8}),
    "cut": Point(400, joined=24, held=40, choices={"epochs": 1, "long": "truncate", "settings": {"max_tokens": 128}}),
    "scratch mini": Point(8000, choices={**SCRATCH, "size": "mini", "epochs": 6}),
    "scratch small fp32": Point(4000, choices={**SCRATCH, "precision": "fp32", "epochs": 4}),
    "scratch medium": Point(2000, choices={**SCRATCH, "size": "medium", "epochs": 1, "head": "first"}),
}
PRETRAINED = {  # parameters of `pretrain`
    "mlm+nsp": {"size": "mini", "steps": 400},
    "mlm fp32": {"objective": "mlm", "size": "small", "precision": "fp32", "steps": 100},
    "long rows": {"objective": "mlm", "size": "mini", "length": 512, "batch_size": 8, "steps": 200},
    "causal": {"objective": "causal", "size": "small", "steps": 100},
    "limited": {"size": "mini", "time_limit": "60s"},
    "medium": {"objective": "mlm", "size": "medium", "steps": 40, "batch_size": 16, "accumulate": 2},
}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pretrain", nargs="+", metavar="TEXTS")
    parser.add_argument("--text", default="title")
    parser.add_argument("--target", default="topic")
    parser.add_argument("--out", type=Path, default=Path("runs/estimate.jsonl"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[*GRID, *PRETRAINED], default=[])
    args = parser.parse_args()
    grid: dict[str, Any] = PRETRAINED if args.pretrain else GRID
    names = [name for name in grid if name in args.only or not args.only]
    if bool(args.pretrain) == bool(args.data):
        parser.error("expected --data TABLE.csv or --pretrain TEXTS, one of the two.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = args.out.read_text("utf-8").splitlines() if args.out.exists() else []
    done = {row["run"]: row for row in map(json.loads, lines)}
    texts: list[tuple[str, str]] = []
    if args.data:
        with args.data.open(encoding="utf-8", newline="") as file:
            texts = [(row[args.text], row[args.target]) for row in csv.DictReader(file)]
    for name in names:
        if name in done:
            continue
        if args.pretrain:
            found = measure_pretraining(grid[name], args.pretrain, args.threads)
        else:
            found = measure(grid[name], texts, args.threads)
        done[name] = {"run": name, **found}
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[name]) + "\n")
        print(json.dumps(done[name]), flush=True)
    summarise([done[name] for name in names])


def measure_pretraining(point: dict[str, Any], sources: list[str], threads: int) -> dict[str, Any]:
    """What was foretold and what it took: seconds, bytes of memory, bytes on disk."""
    choices = {"threads": threads, **point, "settings": {"patience": 10_000}}
    with tempfile.TemporaryDirectory() as folder:
        told = run_child("estimate pretrain", {"path": sources, "choices": choices})
        took = run_child("pretrain", {"path": sources, "choices": choices, "out": str(Path(folder) / "base")})
    return {"when": time.strftime("%Y-%m-%d %H:%M"), "threads": threads, "estimate": told, "actual": took}


def measure(point: Point, texts: list[tuple[str, str]], threads: int) -> dict[str, Any]:
    """What was foretold and what it took: seconds, bytes of memory, bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        rows = long_texts(texts, point.joined)
        table, test = Path(folder) / "table.csv", Path(folder) / "test.csv"
        write(table, rows[: point.rows])
        choices = {"target": "label", "threads": threads, **point.choices}
        choices["settings"] = {"patience": 10_000, **choices.get("settings", {})}
        if point.held:
            write(test, rows[point.rows : point.rows + point.held])
            choices["test"] = str(test)
        told = run_child("estimate", {"path": str(table), "choices": choices})
        took = run_child("fit", {"path": str(table), "choices": choices, "out": str(Path(folder) / "run")})
    return {"when": time.strftime("%Y-%m-%d %H:%M"), "threads": threads, "estimate": told, "actual": took}


def long_texts(texts: list[tuple[str, str]], joined: int) -> list[tuple[str, str]]:
    """Each made of `joined` texts of one class."""
    if joined == 1:
        return texts
    waiting: dict[str, list[str]] = defaultdict(list)
    found = []
    for text, label in texts:
        waiting[label].append(text)
        if len(waiting[label]) == joined:
            found.append(("。".join(waiting.pop(label)), label))
    return found


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def run_child(what: str, given: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"{what} {given}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def child(what: str, given: dict[str, Any]) -> None:
    """One call in this process; prints what it foretold or took."""
    from zaowu.verbs.estimate import estimate_fit, estimate_pretrain
    from zaowu.verbs.fit import fit
    from zaowu.verbs.pretrain import pretrain

    start = time.monotonic()
    if what.startswith("estimate"):
        estimate: Any = estimate_pretrain if what == "estimate pretrain" else estimate_fit
        found = estimate(given["path"], **given["choices"])
        figures = {"seconds": found.total_s, "memory": found.peak_bytes, "disk": found.disk_bytes}
        figures |= {"took": time.monotonic() - start, "parts": {**found.seconds, **found.memory}}
    else:
        work: Any = pretrain if what == "pretrain" else fit
        made = work(given["path"], out=given["out"], **given["choices"])
        files = [path for path in Path(given["out"]).rglob("*") if path.is_file()]
        parts = made.content.cost if what == "pretrain" else made.content.timing
        figures = {"seconds": time.monotonic() - start, "memory": peak_bytes(), "parts": parts}
        figures |= {"disk": sum(path.stat().st_size for path in files)}
    print(json.dumps(figures))


def peak_bytes() -> float:
    """The largest resident size; unlike getrusage, Linux's VmHWM begins at zero in a new process."""
    try:
        status = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        from zaowu.train.estimate.machine import peak_memory_mb

        return 1e6 * (peak_memory_mb() or float("nan"))


def summarise(rows: list[dict[str, Any]]) -> None:
    """Estimate / actual of each run, then the worst deviations."""
    worst = dict.fromkeys(BOUNDS, 0.0)
    print(f"{'run':<20}{'s':>8}{'told':>8}{'ratio':>7}{'MB':>9}{'told':>8}{'ratio':>7}{'disk':>7}")
    for row in rows:
        told, took = row["estimate"], row["actual"]
        names = {"time": "seconds", "memory": "memory", "disk": "disk"}
        ratios = {kind: told[name] / took[name] for kind, name in names.items()}
        worst = {kind: max(worst[kind], abs(ratio - 1)) for kind, ratio in ratios.items()}
        print(
            f"{row['run']:<20}{took['seconds']:>8.1f}{told['seconds']:>8.1f}{ratios['time']:>7.2f}"
            f"{took['memory'] / 1e6:>9.0f}{told['memory'] / 1e6:>8.0f}{ratios['memory']:>7.2f}{ratios['disk']:>7.2f}"
        )
    for kind, bound in BOUNDS.items():
        print(f"{kind}: off by at most {worst[kind]:.1%}, {'within' if worst[kind] <= bound else 'BEYOND'} {bound:.0%}")


if __name__ == "__main__":
    main()
