"""Writing token by token. A model is known here as `step(state, tokens) -> logits, state` and as nothing else.

    search   the likeliest token each time, one drawn by chance, or beams        sample, penalty: how logits are bent
    tell     tokens -> pieces of text that can be shown; where a stop string ends it
    labels   which of several given answers is likeliest

Writing always ends: at an end piece, at a stop string, or when a row has its `rooms` of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

from zaowu.config import WriteConfig
from zaowu.errors import UserError

MAX_BEAMS = 64
Reason = Literal["end", "stop", "length"]  # an end piece; a stop string; no room left


class State(Protocol):
    """What a model keeps of R rows between two steps."""

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from row rows[i], (R,), of the same beginning."""
        ...

    def select(self, rows: Tensor) -> None:
        """Only these rows stay, each at most once."""
        ...


Step = Callable[[Any, Tensor], tuple[Tensor, Any]]  # state of R rows, tokens (R,) -> logits (R, V), the state


@dataclass(frozen=True)
class Written:
    """One text. tokens: without the end piece. score: of beams only, as `length_penalty` says."""

    tokens: tuple[int, ...]
    reason: Reason
    score: float | None = None


def check(config: WriteConfig) -> WriteConfig:
    """Raises UserError, naming the flag, for what cannot be done or does not go together."""
    sizes = (
        ("--max-tokens", config.max_tokens, 1, 1_000_000),
        ("--beams", config.beams, 1, MAX_BEAMS),
        ("--no-repeat", config.no_repeat, 0, 1000),
        ("--top-k", config.top_k, 0, 10_000_000),
        ("--temperature", config.temperature, 0, 100),
        ("--length-penalty", config.length_penalty, -10, 10),
        ("--repeat-penalty", config.repeat_penalty, 0.1, 100),
    )
    for flag, value, least, most in sizes:
        if not least <= value <= most:  # NaN is not, either
            raise UserError(f"{flag}: expected a number from {least} to {most:,}, got {value:,}.")
    if not 0 < config.top_p <= 1:
        raise UserError(f"--top-p: expected a share above 0 and up to 1, got {config.top_p}.")
    if not all(config.stop):
        raise UserError("--stop: expected some text, got an empty one.")
    if config.beams > 1 and config.temperature > 0:
        raise UserError(
            f"--beams {config.beams} searches, --temperature {config.temperature} draws by chance: choose one of them."
        )
    return config


def without_effect(config: WriteConfig) -> list[str]:
    """A sentence for each choice that changes nothing."""
    found = []
    if config.temperature == 0:
        drawing = [
            flag for flag, value, off in (("--top-k", config.top_k, 0), ("--top-p", config.top_p, 1.0)) if value != off
        ]
        found += [f"{flag} has no effect without --temperature: the likeliest token is taken." for flag in drawing]
    if config.beams == 1 and config.length_penalty != 1.0:
        found.append("--length-penalty has no effect without --beams.")
    return found
