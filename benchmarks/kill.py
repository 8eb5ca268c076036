"""Does a fit that is killed end where it would have ended? SIGKILL at random moments, then --resume.

    python benchmarks/kill.py --data TABLE.csv --out runs/kill [--kills 30] [--seed 0] [-- FLAGS OF FIT...]

One fit runs through; another is killed (and resumed) `--kills` times, at moments spread over its length, also while a
checkpoint is being written. Prints whether the two models are equal bit for bit; exit code 1 when they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SMALL = ("--base", "none", "--size", "mini", "--epochs", "6", "--batch-size", "8", "--set", "num_pieces=300")
FILES = ("tokenizer.json", "model.safetensors", "trunk/model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/kill"))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="of fit, after --; default: a small model from scratch")
    args = parser.parse_args()
    start = time.monotonic()
    equal, found = survive(args.data, args.out, kills=args.kills, seed=args.seed, flags=args.flags or SMALL)
    print(f"{found} kills in {time.monotonic() - start:.0f} s: {'equal bit for bit' if equal else 'NOT EQUAL'}")
    sys.exit(not equal)


def survive(data: Path, out: Path, *, kills: int, seed: int, flags: Sequence[str] = SMALL) -> tuple[bool, int]:
    """Whether the killed fit ends with the files of the undisturbed one, and how often it was killed."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    whole, broken = out / "whole", out / "broken"
    fit(data, whole, flags).wait()
    rng, killed = random.Random(seed), 0
    process = fit(data, broken, flags)
    while True:
        if killed < kills and _steps(broken, beyond=_steps(broken), process=process):
            time.sleep(rng.random() * 0.2)  # somewhere in the next steps, or in the next checkpoint
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
        if process.wait() == 0:
            return digests(whole) == digests(broken), killed
        process = fit(data, broken, (*flags, "--resume"))


def fit(data: Path, out: Path, flags: Sequence[str]) -> subprocess.Popen[bytes]:
    code = "from zaowu.cli import main; main()"
    fixed = (
        "--test",
        str(data),
        "--threads",
        "1",
        "--precision",
        "fp32",
        "--set",
        "checkpoint_steps=2",
        "--keep",
        "2",
    )
    arguments = [sys.executable, "-c", code, "fit", str(data), "--out", str(out), *fixed, *flags, "--quiet"]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)


def _steps(run: Path, *, beyond: int | None = None, process: subprocess.Popen[bytes] | None = None) -> int:
    """The newest checkpoint's step, 0 without one; with `beyond`, once it is a later one or the process ended."""
    while True:
        places = (run.with_name(f"{run.name}.partial") / "checkpoint").glob("*/state.json")
        newest = max((int(place.parent.name) for place in places if place.parent.name.isdigit()), default=0)
        if beyond is None or newest > beyond or process is None or process.poll() is not None:
            return newest
        time.sleep(0.005)


def digests(run: Path) -> list[str]:
    return [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES]


if __name__ == "__main__":
    main()
