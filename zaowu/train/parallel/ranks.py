"""Who we are among the processes that torchrun started, and what all of them agree on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from zaowu.errors import Stopped, UserError, shorten
from zaowu.progress import note, speaking

PATIENCE = timedelta(minutes=30)  # for a rank that has more to do than others between two steps
_waits = count()  # the same on every rank
FAILED = "zaowu failed"  # in torchrun's store: how many ranks did


@dataclass(frozen=True)
class Ranks:
    """This process, number `rank` of `world`. Every method must be called by all ranks, in the same order."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    @property
    def restarted(self) -> bool:
        """Whether torchrun started the ranks again after a failure (`--max-restarts`): then a run goes on."""
        return started_by_torchrun() and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"

    def sums(self, *values: float) -> list[float]:
        """Each value added up over the ranks."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return total.tolist()

    def add(self, array: np.ndarray) -> np.ndarray:
        """An array, float32, of the same shape everywhere, added up over the ranks."""
        if self.world == 1:
            return array
        total = torch.from_numpy(np.ascontiguousarray(array))
        distributed.all_reduce(total)
        return total.numpy()

    def texts(self, text: str) -> list[str]:
        """What each rank says."""
        if self.world == 1:
            return [text]
        own = text.encode()
        lengths = [int(length) for length in self._gather(torch.tensor([len(own)]))]
        padded = torch.zeros(max(1, *lengths), dtype=torch.uint8)
        padded[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8) if own else padded[:0]
        rows = self._gather(padded)
        return [bytes(row[:length].tolist()).decode() for row, length in zip(rows, lengths, strict=True)]

    def told(self, text: str) -> str:
        """What the first rank says; what others say is not heard."""
        return self.texts(text if self.is_first else "")[0]

    def wait(self) -> None:
        """Until all are here, however long that takes: torchrun ends those that wait for one that failed."""
        if self.world == 1:
            return
        store, name, pause = _store(), f"zaowu waits {next(_waits)}", 0.01
        store.add(name, 1)
        while store.add(name, 0) < self.world:
            time.sleep(pause)
            pause = min(1.0, 1.5 * pause)

    def rows(self, rows: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Touched rows (U,) of a table and their gradients (U, D) of all ranks, below one another.

        Only rows that some rank used are sent: of a large table a small part.
        """
        if self.world == 1:
            return rows, gradient
        counts = [int(count) for count in self._gather(torch.tensor([len(rows)], device=rows.device))]
        parts = []
        for own in (rows, gradient):
            padded = own.new_zeros(max(1, *counts), *own.shape[1:])
            padded[: len(own)] = own
            parts.append(torch.cat([part[:n] for part, n in zip(self._gather(padded), counts, strict=True)]))
        return parts[0], parts[1]

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        """A tensor of the same shape everywhere -> those of all ranks, in order."""
        found = [torch.empty_like(tensor) for _ in range(self.world)]
        distributed.all_gather(found, tensor)
        return found


ALONE = Ranks()


def current() -> Ranks:
    """This process among those that `joined`; alone where nothing was joined."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Inside, the processes that torchrun started are one; without torchrun, or inside another `joined`, as outside.

    Ranks speak through gloo, and through nccl about what lies on a CUDA device, of which each has its own. Only the
    first one is heard. When one fails, the first that does so says why and the others end without a word; torchrun
    ends those that hang. Raises UserError when the ranks cannot find one another.
    """
    if not started_by_torchrun() or current() != ALONE:
        yield current()
        return
    ranks = _join(device)
    try:
        with speaking(quiet=not ranks.is_first):
            yield ranks
            ranks.wait()  # what the first one writes is there when any of them goes on
    except (Exception, KeyboardInterrupt) as error:  # the group is left to the end of the process: others may be stuck
        if not _is_first_to_fail():
            stopped = isinstance(error, (KeyboardInterrupt, Stopped))
            raise SystemExit(130 if stopped else 2 if isinstance(error, UserError) else 3) from None
        if _is_lost(error):
            raise UserError(
                f"Rank {ranks.rank} lost another of the {ranks.world} ranks: it ended, or did not answer for "
                f"{PATIENCE.seconds // 60} minutes. Its own words stand in its output, if it had time for any. "
                "Go on from the last checkpoint with --resume."
            ) from error
        raise
    distributed.destroy_process_group()


def _join(device: str) -> Ranks:
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if cuda:
        local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= here:
            raise UserError(
                f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {here} CUDA devices; "
                f"start at most {here} (--nproc-per-node), or pass --device cpu."
            )
        torch.cuda.set_device(local)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"The processes that torchrun started cannot find one another: {shorten(error, 200)}") from None
    ranks = current()
    if ranks.is_first:
        note(f"Training on {ranks.world} ranks, {'nccl on CUDA' if cuda else 'gloo on CPU'}.")
    return ranks


def _store() -> Any:
    """What the ranks found one another by; it is torchrun's and outlives each of them."""
    return distributed.distributed_c10d._get_default_store()


def _is_first_to_fail() -> bool:
    """Told by torchrun's store, which outlives its ranks. Where that cannot be asked, better twice than never."""
    try:
        return bool(_store().add(FAILED, 1) == 1)
    except (RuntimeError, ValueError):
        return True


def _is_lost(error: BaseException) -> bool:
    """Whether it says that another rank did not answer."""
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)
