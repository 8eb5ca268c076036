"""Pre-training without labels: an objective is a target whose answer is made from the record.

An objective is a module of this folder whose class has the file's name without underscores, each word with a capital:
next_sentence.NextSentence. `Objective` says what the class offers.

That of images and sounds, `masked_patches`, is given patches and makes no rows.

The way of a batch: `layout` picks the objective that lays out rows -> its `plan` for a shard and an epoch, then its
`rows` for a batch -> every objective's `answers`, in turn -> the model, with every objective's `head` -> `loss`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from zaowu import listing
from zaowu.batching.rows import Plan, Rows
from zaowu.batching.shards import Shard
from zaowu.errors import UserError
from zaowu.targets import LossSum, Metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zaowu.config import TrunkConfig
    from zaowu.inputs.text.codec import Codec
    from zaowu.inputs.text.embedder import TokenEmbedding

__all__ = ["Objective", "Pieces", "Plan", "Recipe", "Rows", "Tally", "find", "kinds", "layout", "make", "parse"]

SHORT = {"mlm": "masked", "nsp": "next_sentence", "sop": "sentence_order", "causal": "causal"}
CHOICES = ("mlm+nsp", "mlm", "mlm+sop", "causal")  # of texts
PATCHES = "masked-patches"  # of images and sounds
MIN_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Numbers of the pieces that rows are made with; None where the tokenizer has none.

    start, between: before a row and behind each of its spans ([CLS] and [SEP] with BERT). end: behind a document.
    special: all that are never corrupted, never drawn, and no answer, the unknown piece among them.
    """

    count: int
    pad: int
    start: int | None
    between: int | None
    mask: int | None
    end: int | None
    special: tuple[int, ...]

    @classmethod
    def of(cls, codec: Codec) -> Pieces:
        number = {role: codec.tokenizer.token_to_id(piece) for role, piece in codec.special.items()}
        added = codec.tokenizer.get_added_tokens_decoder()
        special = {place for place in number.values() if place is not None}
        special |= {place for place, piece in added.items() if piece.special}
        cls_, sep, bos, eos = (number.get(f"{role}_token") for role in ("cls", "sep", "bos", "eos"))
        return cls(
            count=codec.num_pieces,
            pad=codec.pad_id,
            start=bos if cls_ is None else cls_,
            between=eos if sep is None else sep,
            mask=number.get("mask_token"),
            end=sep if eos is None else eos,
            special=tuple(sorted(special)),
        )

    def need(self, *roles: str) -> list[int]:
        """The numbers of these pieces. Raises UserError for one that the tokenizer does not have."""
        found = [getattr(self, role) for role in roles]
        for role, number in zip(roles, found, strict=True):
            if number is None:
                names = {"start": "cls_token", "between": "sep_token", "mask": "mask_token", "end": "eos_token"}
                raise UserError(
                    f"--objective: this tokenizer names no '{names[role]}', which the objective needs. "
                    "Choose another objective or base, or train a tokenizer."
                )
        return found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the objectives of one pre-training share.

    length: most tokens of a row. whole_word: for `masked`. weights: of the sources, 1 each where there are none.
    tied: for `causal`, whether the output's table is the input's.
    """

    pieces: Pieces
    length: int = 128
    seed: int = 0
    whole_word: bool = False
    weights: tuple[float, ...] = ()
    tied: bool = True

    def __post_init__(self) -> None:
        if self.length < MIN_LENGTH:
            raise UserError(f"--length: expected at least {MIN_LENGTH} tokens, got {self.length}.")


@dataclass(frozen=True)
class Tally:
    """Sums over answers: weight x loss, weight x (1 where the most probable answer is right), weight."""

    loss: float = 0.0
    right: float = 0.0
    count: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.loss + other.loss, self.right + other.right, self.count + other.count)

    def means(self) -> tuple[float, float]:
        """The mean loss and the share of right answers; NaN where there was no answer."""
        return (self.loss / self.count, self.right / self.count) if self.count else (math.nan, math.nan)


class Objective(Protocol):
    """What every objective offers, made from a `Recipe`. Answers are what a batch holds of them.

    states: (B, T, D) for one that reads tokens, (B, D) for one that reads the first, through the pooler.
    answers: (B, T) or (B,) int64, negative where there is none. weights: (B,) of the rows.
    """

    name: ClassVar[str]  # of its file
    reads: ClassVar[Literal["tokens", "first"]]
    layout: ClassVar[Literal["pairs", "packed"]]  # of its rows, where it decides
    head_name: ClassVar[str]  # under which its weights stand in the model
    metrics: ClassVar[Mapping[str, Metric]]
    primary: ClassVar[tuple[str, ...]]  # metrics that choose a checkpoint

    recipe: Recipe

    def __init__(self, recipe: Recipe) -> None: ...

    def plan(self, shard: Shard, *, epoch: int) -> Plan:
        """The rows that a shard gives in an epoch."""
        ...

    def rows(self, shard: Shard, plan: Plan, index: np.ndarray, *, epoch: int) -> Rows:
        """Those at `index`, (B,)."""
        ...

    def answers(self, rows: Rows) -> np.ndarray:
        """(N,) or (B,) int64, negative where there is none. May corrupt `rows.ids`."""
        ...

    def head(self, config: TrunkConfig, table: TokenEmbedding) -> nn.Module:
        """Its own weights; what is tied to the token table is not among them."""
        ...

    def loss(self, head: Any, states: Tensor, answers: Tensor, weights: Tensor) -> LossSum: ...

    def count(self, answers: Tensor, weights: Tensor) -> float:
        """The count of `loss`, from the batch alone."""
        ...

    def judge(self, head: Any, states: Tensor, answers: Tensor, weights: Tensor) -> Tally:
        """For evaluation: no gradient."""
        ...

    def score(self, tally: Tally) -> dict[str, float]:
        """Each of `metrics`."""
        ...


def kinds() -> list[str]:
    """The objectives that there are."""
    return listing.names(sys.modules[__name__])


def parse(text: str) -> tuple[str, ...]:
    """`mlm+nsp` -> ("masked", "next_sentence"). Raises UserError for what cannot be learned together."""
    if text == PATCHES:
        return ("masked_patches",)
    if text not in CHOICES:
        raise UserError(f"--objective: expected {', '.join(CHOICES)} or {PATCHES}, got '{text}'.")
    return tuple(SHORT[part] for part in text.split("+"))


def find(name: object, *, where: str) -> Any:
    """The class of an objective. `where` is the file or flag that the name came from. Raises UserError."""
    module = listing.load(sys.modules[__name__], name, where=where)
    return getattr(module, "".join(word.capitalize() for word in str(name).split("_")))


def make(names: Sequence[str], recipe: Recipe, *, where: str = "--objective") -> dict[str, Any]:
    """The objectives of these names, by name. Raises UserError."""
    return {name: find(name, where=where)(recipe) for name in names}


def layout(objectives: Mapping[str, Any]) -> Any:
    """The one that lays out the rows: one that pairs sentences where there is one, else the first."""
    every = list(objectives.values())
    return next((one for one in every if one.layout == "pairs"), every[0])
