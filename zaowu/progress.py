"""Notes and progress on standard error: silent when asked, one line at a time when there is no terminal."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("zaowu_quiet", default=False)
LINE_EVERY_S = 15.0  # without a terminal, progress is a line this often


@contextmanager
def speaking(*, quiet: bool) -> Iterator[None]:
    """Inside, notes and bars are shown unless `quiet` (or an outer `speaking`) silences them."""
    token = _quiet.set(quiet or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Whether nobody would read a note."""
    return _quiet.get()


def note(message: str) -> None:
    """One line for the person on standard error."""
    if not _quiet.get():
        print(message, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`75` -> `1 min 15 s`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Bar:
    """A progress bar with the time that is left, estimated from the pace so far.

    `advance(n, text)` moves it by n of `total` units; `text` (a loss, a score) is shown beside it.
    """

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.done = label, max(total, 1e-9), 0.0
        self.start = self.last = time.monotonic()
        self.silent = _quiet.get()
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.terminal and not self.silent:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def advance(self, amount: float = 1, text: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if self.silent or now - self.last < (0.1 if self.terminal else LINE_EVERY_S):
            return
        self.last = now
        share = min(1.0, self.done / self.total)
        left = (now - self.start) * (1 - share) / max(share, 1e-9)
        line = f"{self.label} {share:4.0%}  {duration(left)} left  {text}".rstrip()
        if self.terminal:
            filled = round(24 * share)
            print(f"\r\x1b[K{'━' * filled}{'╌' * (24 - filled)} {line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines with straight columns; a Chinese character takes two places."""
    widths = [max(_places(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell + " " * (width - _places(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _places(cell: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in cell)
