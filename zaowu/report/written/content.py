"""What is known of written texts, as plain data."""

from __future__ import annotations

from typing import Literal, TypedDict

from zaowu.errors import UserError

GROUPS = ("bad", "good", "random")  # in the order of the page
MOST = 60  # examples, passages and pictures of attention that a file may bring
MOST_PIECES = 400  # of each side of a picture of attention


class Example(TypedDict):
    """group: whether it is among the best, the worst, or drawn by chance. score: chrF. references: all that there
    are of its source."""

    group: Literal["good", "bad", "random"]
    row: int
    text: str
    references: list[str]
    predicted: str
    score: float


class Passage(TypedDict):
    row: int
    train_row: int
    units: int
    passage: str


class Memorised(TypedDict):
    """As `targets.text.memory.Memory.plain` gives it."""

    size: int
    characters: bool
    texts: int
    long: int
    copied: int
    share: float
    whole: int
    passages: list[Passage]


class Attention(TypedDict):
    """source: T pieces. written: U pieces. weights: U lists of T, each with a sum of at most 1."""

    row: int
    source: list[str]
    written: list[str]
    weights: list[list[float]]


class Written(TypedDict):
    """lengths: pairs of characters, of the nearest reference and of the text. tokenize: of BLEU, as sacreBLEU names it.
    characters: ROUGE, repetitions and passages go by characters, not by words."""

    tokenize: str
    characters: bool
    examples: list[Example]
    lengths: list[list[int]]
    memory: Memorised | None
    attention: list[Attention]


def check(written: Written, *, where: str) -> None:
    """Whether what comes from a file can be drawn. Raises UserError."""
    memory = written["memory"]
    sizes = len(written["examples"]), len(written["attention"]), len(memory["passages"]) if memory else 0
    if max(sizes) > MOST or len(written["lengths"]) > 10 * MOST:
        raise UserError(f"{where}: expected at most {MOST} examples, passages and pictures.")
    if any(len(pair) != 2 or min(pair) < 0 for pair in written["lengths"]):
        raise UserError(f"{where}, 'lengths': expected pairs of numbers from 0.")
    for one in written["attention"]:
        shape = {len(row) for row in one["weights"]}
        if len(one["weights"]) != len(one["written"]) or shape != {len(one["source"])} or 0 in shape:
            raise UserError(f"{where}, 'attention': expected a weight for each piece on both sides.")
        if max(len(one["written"]), len(one["source"])) > MOST_PIECES:
            raise UserError(f"{where}, 'attention': expected at most {MOST_PIECES} pieces a side.")
        if not all(0 <= weight <= 1 for row in one["weights"] for weight in row):
            raise UserError(f"{where}, 'attention': expected weights from 0 to 1.")
