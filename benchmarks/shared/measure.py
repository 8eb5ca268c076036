"""What the benchmarks share: rows that outlive a kill, rounds in turn, the processor's peak, a process's memory.

Nothing here imports torch before it is needed, so that a process whose memory is measured pays for its own work only.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

PRODUCTS = ((1024, 4096, 1024), (2048, 2048, 2048), (4096, 1024, 1024))  # m, k, n of products that fill the caches
POLL_S = 0.02


@dataclass(frozen=True)
class Rows:
    """Finished cells of a benchmark, one JSON object a line: a second call goes on where the first one stopped.

    A last line that a kill cut short is taken away with the next append, and its cell is measured again.
    """

    path: Path

    def read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text("utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The row that has all of `key`, or None."""
        return next((row for row in self.read() if key.items() <= row.items()), None)

    def append(self, row: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(row).encode() + b"\n")

    def measured(self, key: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The row of `key`: from the file if it is there, else `measure` is called and its figures are kept."""
        known = self.find(**key)
        if known is None:
            known = {**key, **measure()}
            self.append(known)
            print(json.dumps({name: value for name, value in known.items() if name != "right"}), flush=True)
        return known


def in_turn(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, name): every name once a round, each round beginning with another one.

    What else the machine does, and its heat, then strike all of them alike.
    """
    for number in range(rounds):
        shift = number % len(names)
        yield from ((number, name) for name in (*names[shift:], *names[:shift]))


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of what was measured in several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} to {self.high:.4g})"


def product_peak(dtype: str, *, seconds: float = 1.0) -> float:
    """The most FLOP/s that torch's matrix product reaches here, with the threads that are set.

    dtype: "float32" or "bfloat16". A product of (m, k) and (k, n) counts 2 m k n. Best of many calls on several
    shapes, since everything that disturbs one makes it slower.
    """
    import torch

    best = 0.0
    for m, k, n in PRODUCTS:
        left, right = (torch.randn(shape, dtype=getattr(torch, dtype)) for shape in ((m, k), (n, k)))
        end = time.perf_counter() + seconds / len(PRODUCTS)
        left @ right.t()
        start = 0.0
        while start < end:
            start = time.perf_counter()
            left @ right.t()
            best = max(best, 2 * m * k * n / (time.perf_counter() - start))
    return best


class _Enough(Exception):
    """Ends a training from within."""


@contextmanager
def step_ends(*, stop_after: int | None = None) -> Iterator[list[float]]:
    """Inside, the moments at which optimizer steps of Zaowu's own loop end; after some steps it may be stopped.

    The loop itself is the one that everybody runs: nothing in it is skipped or replaced.
    """
    from zaowu.train.optim import Optimizer

    ends: list[float] = []
    step = Optimizer.step

    def noted(optimizer: Optimizer, share: float) -> float:
        norm = step(optimizer, share)
        ends.append(time.perf_counter())
        if len(ends) == stop_after:
            raise _Enough
        return norm

    with suppress(_Enough), patch.object(Optimizer, "step", noted):
        yield ends


def encoder_flops(
    lengths: Sequence[int], *, layers: int, dim: int, ffn_dim: int, outputs: int, training: bool = True
) -> float:
    """Floating point operations of an encoder on texts of these lengths, by formula; only real tokens count.

    Forward: 2 for each weight of the matrices and token (4 D^2 + 2 D F a layer), 4 T^2 D a layer and text for the
    scores and the sums of attention, 2 D C for the head. The backward pass costs twice the forward one.
    """
    weights = layers * (4 * dim * dim + 2 * dim * ffn_dim)
    forward = sum(2 * weights * t + 4 * layers * dim * t * t + 2 * dim * outputs for t in map(int, lengths))
    return float(forward * (3 if training else 1))


def peak_mb(pid: int | str = "self") -> float:
    """The most memory that a process had in use at once, in MB (10^6 bytes).

    From /proc where there is one: `getrusage` of a child also counts what its parent held when it was started.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    if pid != "self":
        return 0.0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


@dataclass(frozen=True)
class Finished:
    """What a command took. code: its exit status, negative for a signal. mb: peak memory, in MB."""

    seconds: float
    mb: float
    code: int
    output: str


def finished(command: Sequence[str], *, kill_when: Callable[[], bool] | None = None, memory: bool = True) -> Finished:
    """Runs a command to its end, or to a SIGKILL once `kill_when` says so. Its standard error goes where ours goes.

    memory: look at its memory every 20 ms; False where the seconds are all that counts.
    """
    start, most = time.perf_counter(), 0.0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, env=environment) as process:
        while memory or kill_when:
            most = max(most, peak_mb(process.pid))
            if process.poll() is not None:
                break
            if kill_when and kill_when():
                process.kill()
            time.sleep(POLL_S)
        process.wait()
        seconds = time.perf_counter() - start
        output.seek(0)
        return Finished(seconds, most, process.returncode, output.read().decode())


def succeeded(command: Sequence[str], *, memory: bool = True) -> Finished:
    """As `finished`; raises RuntimeError when the command failed."""
    done = finished(command, memory=memory)
    if done.code:
        raise RuntimeError(f"exit status {done.code}: {' '.join(command)}")
    return done


def cost(command: Sequence[str]) -> dict[str, float]:
    """Seconds and peak memory (MB) of a command that must succeed."""
    done = succeeded(command)
    return {"seconds": round(done.seconds, 2), "mb": round(done.mb, 1)}


@dataclass(frozen=True)
class Lead:
    """Accuracy of one method minus another's, in points, over the same test rows and seeds.

    rows: 95 % interval as to which rows one has (of the mean over seeds); seeds: as to chance in training (Student's t
    over the seeds' differences; None with one seed).
    """

    points: float
    rows: tuple[float, float]
    seeds: tuple[float, float] | None

    @classmethod
    def of(cls, first: Sequence[str], second: Sequence[str]) -> Lead:
        """first, second: a string of digits a seed, 1 where the test row was answered rightly."""
        import numpy as np
        from scipy import stats

        from zaowu.metrics import paired_interval

        one, other = (np.array([[int(digit) for digit in row] for row in rows]) for rows in (first, second))
        differences = 100 * (one.mean(1) - other.mean(1))
        low, high = paired_interval(one.mean(0), other.mean(0))
        seeds = None
        if len(differences) > 1:
            half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
            seeds = (float(differences.mean() - half), float(differences.mean() + half))
        return cls(float(differences.mean()), (100 * low, 100 * high), seeds)

    @property
    def is_noise(self) -> bool:
        """Whether either interval holds 0: other rows, or other seeds, might have told another story."""
        return any(low <= 0 <= high for low, high in filter(None, (self.rows, self.seeds)))

    def __str__(self) -> str:
        seeds = "one seed" if self.seeds is None else f"over seeds {self.seeds[0]:+.2f} to {self.seeds[1]:+.2f}"
        return f"{self.points:+.2f} points (95 %: over rows {self.rows[0]:+.2f} to {self.rows[1]:+.2f}, {seeds})"


def machine() -> dict[str, Any]:
    """What belongs beside every figure: processor, cores that may be used, Python and the versions that matter."""
    from importlib import metadata

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {}
    for package in ("torch", "transformers", "accelerate", "zaowu"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"processor": name, "cores": cores, "python": platform.python_version(), **versions}
