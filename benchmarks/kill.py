"""Does a training that is killed end where it would have ended? SIGKILL at random moments, then --resume.

    python benchmarks/kill.py --data TABLE.csv --out runs/kill [--kills 30] [--seed 0] [-- FLAGS OF FIT...]
    python benchmarks/kill.py --verb pretrain --data TEXT --out runs/kill [--kills 30] [-- FLAGS OF PRETRAIN...]

One run goes through; another is killed (and resumed) `--kills` times: at any moment of its first seconds, somewhere in
the steps behind a checkpoint, and while a checkpoint is being written; a pre-training also while it tokenises, and with
two micro-batches a step. Prints whether the two models are equal bit for bit; exit code 1 when they are not.
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
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SMALL = {
    "fit": ("--base", "none", "--size", "mini", "--epochs", "6", "--batch-size", "8", "--set", "num_pieces=300"),
    "pretrain": (
        *("--size", "mini", "--vocab-size", "4000", "--length", "64", "--batch-size", "8", "--steps", "150"),
        *("--set", "evaluate_steps=30", "--set", "shard_tokens=60000", "--set", "sample_mb=1"),
    ),
}  # fmt: skip
FIXED = ("--threads", "1", "--precision", "fp32", "--set", "checkpoint_steps=2", "--keep", "2", "--quiet")
FILES = {
    "fit": ("tokenizer.json", "model.safetensors", "trunk/model.safetensors"),
    "pretrain": ("tokenizer.json", "model.safetensors"),
}
FIRST_S = 8.0  # of a process, in which a kill strikes it while it starts, reads and loads
BEHIND_S = 0.2  # a checkpoint, in which one strikes it in the next steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--verb", choices=list(SMALL), default="fit")
    parser.add_argument("--out", type=Path, default=Path("runs/kill"))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="of the verb, after --; default: a small model from scratch")
    args = parser.parse_args()
    start = time.monotonic()
    how = {"kills": args.kills, "seed": args.seed, "flags": args.flags or None, "verb": args.verb}
    equal, found = survive(args.data, args.out, **how)
    parts = ", ".join(f"{count} {moment}" for moment, count in found.items())
    print(f"{found.total()} kills ({parts}) in {time.monotonic() - start:.0f} s: ", end="")
    print("equal bit for bit" if equal else "NOT EQUAL")
    sys.exit(not equal)


def survive(
    data: Path, out: Path, *, kills: int, seed: int, flags: Sequence[str] | None = None, verb: str = "fit"
) -> tuple[bool, Counter[str]]:
    """Whether the killed run ends with the files of the undisturbed one, and how often it was killed, and when."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    whole, broken = out / "whole", Watched(out / "broken")
    flags = SMALL[verb] if flags is None else flags
    if train(verb, data, whole, flags).wait():
        raise RuntimeError("the undisturbed run failed")
    rng, killed = random.Random(seed), Counter[str]()
    process = train(verb, data, broken.run, flags)
    while True:
        if killed.total() < kills:
            moment = next_moment(verb, killed, rng)
            moment = broken.wait_for(moment, rng, process)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed[moment] += 1
        if process.wait() == 0:
            return digests(verb, whole) == digests(verb, broken.run), killed
        process = train(verb, data, broken.run, (*flags, "--resume"))


def next_moment(verb: str, killed: Counter[str], rng: random.Random) -> str:
    """The first three kills of a pre-training strike it while it tokenises; later there is nothing left to do there."""
    if verb == "pretrain" and killed["tokenising"] < 3 and killed.total() == killed["tokenising"]:
        return "tokenising"
    return rng.choice(("starting", "training", "training", "writing a checkpoint"))


@dataclass(frozen=True)
class Watched:
    """A run that is looked at from outside: by what it has on disk so far."""

    run: Path

    @property
    def checkpoints(self) -> Path:
        return self.run.with_name(f"{self.run.name}.partial") / "checkpoint"

    def step(self) -> int:
        """The newest checkpoint's, 0 without one."""
        places = self.checkpoints.glob("*/state.json")
        return max((int(place.parent.name) for place in places if place.parent.name.isdigit()), default=0)

    def shards(self) -> int:
        return len(list(self.run.with_name(f"{self.run.name}.shards").glob("train-*")))

    def fresh(self) -> bool:
        """Whether a checkpoint is under way."""
        return any(self.checkpoints.glob("*.new"))

    def wait_for(self, moment: str, rng: random.Random, process: subprocess.Popen[bytes]) -> str:
        """Until a kill strikes it so, or the process has ended; returns the moment, which is another one where all is
        tokenised."""
        step, shards = self.step(), self.shards()
        if moment == "starting":
            until(lambda: False, process, rng.random() * FIRST_S)
        elif moment == "tokenising":
            until(lambda: self.shards() > shards or self.step() > step, process)
            moment = moment if self.step() == step else "training"
            time.sleep(rng.random() * BEHIND_S)
        elif moment == "training":
            until(lambda: self.step() > step, process)
            time.sleep(rng.random() * BEHIND_S)
        else:
            until(lambda: self.step() > step, process)  # what a kill before this one left half is gone
            until(self.fresh, process)
            time.sleep(rng.random() * 0.02)
        return moment


def until(is_there: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 3600.0) -> None:
    end = time.monotonic() + seconds
    while not is_there() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)


def train(verb: str, data: Path, out: Path, flags: Sequence[str]) -> subprocess.Popen[bytes]:
    code = "from zaowu.cli import main; main()"
    own = ("--test", str(data)) if verb == "fit" else ("--set", "accumulate=2")
    arguments = [sys.executable, "-c", code, verb, str(data), "--out", str(out), *FIXED, *own, *flags]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)


def digests(verb: str, run: Path) -> list[str]:
    return [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES[verb]]


if __name__ == "__main__":
    main()
