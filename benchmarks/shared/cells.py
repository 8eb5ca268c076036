"""Benchmarks whose every training is a cell: a process of its own, one line of --out, never repeated."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from shared import measure
from shared.measure import Rows
from zaowu.errors import UserError


def run(
    args: argparse.Namespace,
    names: Sequence[str],
    *,
    application: Callable[[str, Rows, argparse.Namespace], bool],
    cell: Callable[[dict[str, Any], argparse.Namespace], dict[str, Any]],
) -> int:
    """All applications of these names, or with `--cell` that one cell; the exit status.

    application: does all cells of one, and says whether they could be had. cell: key -> its figures.
    """
    args.work.mkdir(parents=True, exist_ok=True)
    if args.cell:
        try:
            print(json.dumps(cell(json.loads(args.cell), args)))
        except UserError as problem:
            print(problem, file=sys.stderr)
            return 2
        return 0
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # of the cells
    print(json.dumps({key: value for key, value in measure.machine().items() if key != "accelerate"}))
    out = Rows(args.out)
    missing = [name for name in names if not application(name, out, args)]
    if missing:
        print(f"Not measured: {', '.join(missing)}.", file=sys.stderr)
    return 2 if missing else 0


def in_process(key: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """One cell in a process of its own: `args.script` with `--cell`. Raises RuntimeError when it failed."""
    paths = args.data if isinstance(args.data, list) else [args.data] if args.data else []
    command = [sys.executable, args.script, "--cell", json.dumps(key), "--work", str(args.work)]
    command += ["--data", *map(str, paths)] if paths else []
    return dict(json.loads(measure.succeeded(command, memory=False).output.splitlines()[-1]))
