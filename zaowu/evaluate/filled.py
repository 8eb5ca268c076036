"""What a pre-trained model says of a sentence, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

GAP = "____"  # in the place of a piece that was hidden


@dataclass(frozen=True)
class Filled:
    """What the model says of one held-out sentence.

    Masked: `text` has `GAP` in the place of the piece `truth`, and answers are the likeliest pieces with their
    probabilities. Causal: `text` is the beginning, `truth` how it went on, and the one answer what the model writes.
    """

    text: str
    truth: str
    answers: tuple[tuple[str, float | None], ...]
