"""A text: translated, summed up, answered or told of what is read, piece by piece.

An encoder-decoder: the trunk reads, and the head, a decoder, looks back to the trunk's states (Vaswani et al. 2017).
Where a text is read, both halves and the output layer share one table of pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from zaowu.config import TrunkConfig, WriteConfig, from_plain, to_plain
from zaowu.errors import UserError, shorten
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.progress import note
from zaowu.targets import LossSum, Metric, Mistake, Score
from zaowu.targets.text import scores
from zaowu.targets.text.behind import BehindHead
from zaowu.targets.text.beside import Beside
from zaowu.targets.text.details import TextDetails, TextPrediction, Written
from zaowu.targets.text.head import TextHead, Told, decoder_config
from zaowu.trunk.transformer.encoder import check

SMOOTHING = 0.1  # of the right piece, where nothing is said: Vaswani et al. 2017, section 5.4
SPARE = 4  # pieces that a text may be longer than half as long again as the longest training answer
MOST_LAYERS, MOST_BEAMS = 512, 64


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is saved of a target. All are 0 before they are known.

    layers: of the decoder. most: pieces that an answer can have. longest: those of the longest training answer, the end
    piece among them. behind: a causal trunk writes it behind what it reads (`behind`), and has no decoder; tied: with
    the input's table as its output layer. write: how it is written; its `max_tokens` is not looked at.
    """

    layers: int = 0
    most: int = 0
    longest: int = 0
    label_smoothing: float = SMOOTHING
    behind: bool = False
    tied: bool = True
    write: WriteConfig = field(default_factory=WriteConfig)


@dataclass(frozen=True, kw_only=True)
class Text(Known):
    """Knows the pieces, how long an answer may be, and how it is written.

    codec: the pieces, which stand in files of their own.
    """

    name: ClassVar[str] = "text"
    reads: ClassVar[str] = "states"
    metrics: ClassVar[Mapping[str, Metric]] = scores.METRICS
    headline: ClassVar[str] = scores.HEADLINE
    primary: ClassVar[tuple[str, ...]] = (scores.HEADLINE,)  # of written texts; epochs are chosen by `told`
    piece: ClassVar[type[Written]] = Written

    codec: Codec | None = field(default=None, compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        labels: Sequence,
        *,
        also: Sequence = (),
        label_smoothing: float | None = None,
        class_weights: str = "none",
    ) -> Text:
        """Raises UserError where no training answer has a word."""
        if class_weights != "none":
            raise UserError("--class-weights: is for classes; this target is a text: leave it out.")
        if not any(label is not None and label.strip() for label in labels):
            raise UserError("Training answers: expected texts, got none that is not empty.")
        return cls(label_smoothing=SMOOTHING if label_smoothing is None else label_smoothing)

    def shaped(self, codec: Codec, labels: Sequence, trunk: TrunkConfig, *, layers: int, write: WriteConfig) -> Text:
        """The same target, with its pieces and with what training answers say about lengths."""
        found = replace(self, codec=codec, layers=layers, write=write)
        found = replace(found, most=found.decoder(trunk).positions.max_positions)
        _, end = codec.end_pieces()
        rows = [row for row in found.answer_tokens(list(found.features(labels))) if len(row)]
        if cut := sum(row[-1] != end for row in rows):
            note(f"{cut:,} of {len(rows):,} answers are longer than {found.most:,} pieces: cut there.")
        return replace(found, longest=max(map(len, rows), default=0))

    def stands_behind(self, labels: Sequence, *, most: int, tied: bool) -> Text:
        """The same target for a causal trunk, which has room for `most` pieces behind a prompt."""
        found = replace(self, behind=True, most=most, tied=tied, layers=0)
        return replace(found, longest=max(map(len, found.answer_tokens(list(found.features(labels)))), default=0))

    def equipped(self, codec: Codec) -> Text:
        """The same target with its pieces."""
        return replace(self, codec=codec)

    def decoder(self, trunk: TrunkConfig) -> TrunkConfig:
        """The shape of the half that writes."""
        return decoder_config(trunk, layers=self.layers)

    # ---- saving

    def state(self) -> dict[str, Any]:
        return to_plain(Known(**{name: getattr(self, name) for name in Known.__dataclass_fields__}))

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Text:
        """The strict inverse of `state`; the pieces are given with `equipped`."""
        if not isinstance(state, dict) or state.keys() != Known.__dataclass_fields__.keys():
            raise UserError(f"{where}: expected what is known of texts to be written, got {shorten(state)}.")
        known = from_plain(Known, state, where=where)
        if not 0 <= known.layers <= MOST_LAYERS or not 0 <= known.longest <= known.most <= 1_000_000:
            raise UserError(f"{where}: expected layers up to {MOST_LAYERS} and a length, got {shorten(state)}.")
        if not 0 <= known.label_smoothing < 1:
            raise UserError(f"{where}, 'label_smoothing': expected a share below 1, got {known.label_smoothing}.")
        if not 1 <= known.write.beams <= MOST_BEAMS or not 0 <= known.write.no_repeat <= 1000:
            raise UserError(f"{where}, 'write': expected 1 to {MOST_BEAMS} beams, got {known.write.beams:,}.")
        return cls(**vars(known))

    # ---- training

    @property
    def pieces(self) -> Codec:
        assert self.codec is not None, "the target was not given its pieces"
        return self.codec

    @property
    def num_outputs(self) -> int:
        return 0 if self.codec is None else self.codec.num_pieces

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @property
    def room(self) -> int:
        """Pieces that a text may have."""
        return max(1, min(self.most - 1, self.longest + self.longest // 2 + SPARE))

    def features(self, labels: Sequence[str | None]) -> np.ndarray:
        """(N,) object: the texts, None where there is none."""
        found = np.empty(len(labels), object)
        found[:] = [None if label is None or not label.strip() else label for label in labels]
        return found

    def answer_tokens(self, answers: Sequence[str | None]) -> list[np.ndarray]:
        """The pieces of each answer, (U,) int32, the end piece behind them unless cut at `most`; of none, (0,)."""
        _, end = self.pieces.end_pieces()
        rows = self.pieces.bare([answer or "" for answer in answers])
        return [
            np.empty(0, np.int32) if answer is None else np.r_[row, np.int32(end)][: self.most].astype(np.int32)
            for answer, row in zip(answers, rows, strict=True)
        ]

    def head(self, trunk: TrunkConfig, table: TokenEmbedding | None) -> TextHead | BehindHead:
        """trunk: the shape of what reads. table: of the text that is read, or None."""
        if self.behind:
            assert table is not None and trunk.causal
            return BehindHead(table, tied=self.tied, unwritten=self.unwritten)
        config, codec = self.decoder(trunk), self.pieces
        check(config, where="the decoder")
        start, _ = codec.end_pieces()
        return TextHead(
            config,
            table,
            num_pieces=codec.num_pieces,
            pad_id=codec.pad_id,
            start=start,
            unwritten=self.unwritten,
        )

    @property
    def unwritten(self) -> list[int]:
        """Pieces that no answer may hold."""
        _, end = self.pieces.end_pieces()
        return [number for number in self.pieces.special_ids if number != end]

    def loss(self, outputs: Told, answers: Tensor, weights: Tensor) -> LossSum:
        """The cross-entropy of each piece. answers: (B, U), negative at padding. weights: (B,)."""
        total = outputs.loss(weights, smoothing=self.label_smoothing)
        return LossSum(sum=total, count=self.count(answers, weights))

    def count(self, answers: Tensor, weights: Tensor) -> float:
        """Real pieces, each by the weight of its row."""
        return float(((answers >= 0).sum(1) * weights).sum())

    def told(self, outputs: np.ndarray) -> dict[str, float]:
        """What chooses an epoch, from (N, 3) of `Told.judge`: the loss of a piece, exp of it, and the share of the
        pieces that were the likeliest ones."""
        loss, pieces, right = outputs.astype(np.float64).sum(0)
        mean = float(loss / max(1.0, pieces))
        shares = {"accuracy": float(right / max(1.0, pieces))}
        return {"log_loss": mean, "perplexity": float(np.exp(min(mean, 700.0))), **shares}

    # ---- answering

    def merge(self, windows: Sequence[Sequence[Written]]) -> list[Written]:
        """What is kept of a record: what was written of its first window."""
        return list(windows[0]) if windows else []

    def decode(self, outputs: np.ndarray) -> TextPrediction:
        """(N,) object of lists of `Written`."""
        return TextPrediction(outputs)

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Text:
        """There is nothing that only unseen rows could tell."""
        return self

    # ---- the cheap methods

    def fit_cheap(
        self,
        texts: Mapping[str, Sequence[Any]],
        labels: Sequence[str | None],
        valid: tuple[Mapping[str, Sequence[Any]], Sequence[str | None]] | None = None,
    ) -> tuple[Beside, Text]:
        """Methods that copy, and this target. texts: the columns of text, or one of another kind where there is none.
        valid: the same of validation rows."""
        return Beside.fit(texts, labels, valid), self

    @staticmethod
    def cheap_from_state(state: Any, *, where: str) -> Beside:
        return Beside.from_state(state, where=where)

    # ---- judging

    def score(self, prediction: TextPrediction, labels: Sequence[str]) -> dict[str, float]:
        """Each of `metrics`; rows with one source are one row with all their answers."""
        found = scores.score_texts(prediction.texts, labels, prediction.sources, resamples=0)
        return {name: score.value for name, score in found.items()}

    def intervals(
        self, prediction: TextPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]:
        found = scores.score_texts(prediction.texts, labels, prediction.sources, seed=seed, resamples=resamples)
        known = {name: (score.low, score.high) for name, score in found.items()}
        return {name: (low, high) for name, (low, high) in known.items() if low is not None and high is not None}

    def differences(
        self, first: TextPrediction, second: TextPrediction, labels: Sequence[str], *, seed: int, resamples: int
    ) -> dict[str, Score]:
        """First minus second, in each of `metrics`. Rows are one row where both were told the same: what a model has
        never seen is all the same to it, and not to one that reads words."""
        both = None
        if first.sources is not None and second.sources is not None:
            both = [f"{one} {other}" for one, other in zip(first.sources, second.sources, strict=True)]
        return scores.differences(first.texts, second.texts, labels, both, seed=seed, resamples=resamples)

    def per_record(self, prediction: TextPrediction, labels: Sequence[str]) -> np.ndarray:
        """chrF of each row."""
        return scores.per_row(prediction.texts, labels, prediction.sources)

    def mistakes(self, prediction: TextPrediction, labels: Sequence[str], *, limit: int) -> list[Mistake]:
        """The texts of lowest chrF; of equals those that the model was surest of."""
        figures = self.per_record(prediction, labels)
        wrong = np.flatnonzero(figures < 1)
        order = wrong[np.lexsort((-prediction.scores[wrong], figures[wrong]))][:limit]
        shown = prediction.take(order).shown(top=1)
        return [Mistake(i, labels[i], *own[0]) for i, own in zip(order.tolist(), shown, strict=True)]

    def details(self, prediction: TextPrediction, labels: Sequence[str]) -> TextDetails:
        return TextDetails(
            mean_true=float(np.mean([len(label) for label in labels])),
            mean_predicted=float(np.mean([len(text) for text in prediction.texts])),
            empty=sum(not text for text in prediction.texts),
            cut=sum(bool(own) and own[0].cut for own in prediction.said),
        )

    @staticmethod
    def details_from_plain(data: Any, *, where: str) -> TextDetails:
        return TextDetails.from_plain(data, where=where)
