"""How long will it take? Measured on the run's own first steps."""

from __future__ import annotations

import time

LONG_S = 30 * 60
FIRST_STEPS = 8  # the first of them warm caches and are not counted
RESERVE = 0.9  # share of a time limit that training may plan with; the rest is for evaluation


class Pace:
    """Tokens per second, from the steps so far. Skips the first two, which pay for warming up."""

    def __init__(self) -> None:
        self.steps, self.tokens, self.start = 0, 0, time.monotonic()

    def add(self, tokens: int) -> None:
        self.steps += 1
        if self.steps == 2:
            self.tokens, self.start = 0, time.monotonic()
        elif self.steps > 2:
            self.tokens += tokens

    @property
    def known(self) -> bool:
        return self.steps >= FIRST_STEPS

    def seconds(self, tokens: float) -> float:
        """How long `tokens` more would take at this pace."""
        return tokens * (time.monotonic() - self.start) / max(1, self.tokens)


def warning(seconds: float) -> str | None:
    """One line when training will take over half an hour, with a limit that would fit."""
    if seconds <= LONG_S:
        return None
    minutes = round(seconds / 60)
    fitting = max(5, int(seconds / 60 / 3 // 5 * 5))
    return (
        f"Training will take about {minutes} minutes. "
        f"Pass --time-limit {fitting}m to train for less, or stop with Ctrl-C and go on later with --resume."
    )
