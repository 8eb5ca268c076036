"""What the page of a pre-training run says, as plain data: `pretrain` fills it, the template lays it out."""

from __future__ import annotations

from dataclasses import dataclass, field

from zaowu.evaluate.filled import Filled
from zaowu.train.stop import Point


@dataclass(frozen=True)
class Source:
    """One row of the corpus table. bytes: of its files as they lie there. weight: how often its documents come in an
    epoch, 1 for once."""

    name: str
    documents: int
    bytes: int
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Everything on the page. Whatever is empty is left out, and a number that is missing, NaN or infinite is a dash.

    Texts are shown as they are, shortened where they are long; nothing in them is taken for HTML.

    name: of the base that was made, its folder as the person would type it. objectives: "masked", "next_sentence",
        "sentence_order", "causal". base: what was gone on from, empty from scratch.
    shape: "layers", "width", "heads", "parameters", "pieces" (of the vocabulary), "length" (pieces read at once).
    sources: where the text comes from. corpus: counts "documents", "paragraphs", "duplicates" and "near_duplicates"
        (paragraphs that were removed), "unreadable" (files), "held_out" (documents), "train_tokens", "valid_tokens".
    unreadable: sentences that name skipped files, the first few. mask: the piece that hides another one.
    history: the evaluations. `valid` is measured on the held-out documents: "loss", "perplexity", "accuracy" (share
        of hidden, or of next, pieces that are named right), and "next_sentence_accuracy" or
        "sentence_order_accuracy" (share of pairs) where that was an objective.
    before: the same metrics before the first step. reason: why training ended.
    filled: what the model says about held-out sentences.
    cost: "seconds" and "tokens" of training, "tokens_per_s", "flops", "peak_mb", "watt_hours", and "watts", the power
        that was assumed for it.
    command: repeats the run. opens_with: classes of transformers that open the folder; where there are none,
        no_config: why. notes: what the run had to say beside that.
    """

    name: str
    objectives: tuple[str, ...] = ()
    base: str = ""
    shape: dict[str, int] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    corpus: dict[str, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    mask: str = "[MASK]"
    history: tuple[Point, ...] = ()
    before: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    filled: tuple[Filled, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    command: str = ""
    opens_with: tuple[str, ...] = ()
    no_config: str = ""
    notes: tuple[str, ...] = ()
