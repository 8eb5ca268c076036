"""One file per kind of answer: features, head, loss, decoding.

A kind of answer is a module of this folder whose class has the file's name with a capital: category.Category.
`Target` says what the class offers; the rest of the house knows an answer by nothing else.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from zaowu import listing

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LossSum:
    """A loss before it is divided. The total is the sum over names of weight x (all sums) / (all counts).

    `count` depends on targets and weights only, so it can be added up over micro-batches and ranks before
    the backward pass. A count of zero contributes zero.
    """

    sum: Tensor
    count: Tensor | float
    weight: float = 1.0


def sum_losses(losses: Mapping[str, LossSum], counts: Mapping[str, float] | None = None) -> Tensor:
    """(): the sum over names of weight x (sum / count); a zero count contributes zero.

    counts: those of the whole batch, where `losses` are of a part of it; None: their own.
    """
    found = []
    for name, loss in losses.items():
        count = float(loss.count) if counts is None else counts[name]
        if count > 0:
            found.append(loss.weight * loss.sum / count)
    return sum(found[1:], found[0]) if found else next(iter(losses.values())).sum.detach() * 0.0


@dataclass(frozen=True)
class Score:
    """A figure and its 95 % interval; without an interval it is only known as a point."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric:
    """How a figure is read. is_share: it lies between 0 and 1, and its noise is about that of a share of rows."""

    higher_is_better: bool
    is_share: bool = False


@dataclass(frozen=True)
class Mistake:
    """An answer that is far from the truth. index: place of the record. confidence: None where there is none."""

    index: int
    truth: str
    predicted: str
    confidence: float | None


class Prediction(Protocol):
    """What a model says about N records: a dataclass. rowwise: its fields that are arrays of N."""

    rowwise: ClassVar[tuple[str, ...]]

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray) -> Prediction:
        """The records at `index` (integers or a boolean mask), in that order."""
        ...

    def columns(self, name: str, *, top: int) -> dict[str, list]:
        """What stands beside the rows of a table, by column; `name` is the target's column."""
        ...

    def plain(self, *, top: int) -> list[dict[str, Any]]:
        """One JSON-ready object per record."""
        ...

    def agrees(self, other: Any) -> np.ndarray:
        """(N,) bool: where another prediction of the same kind says the same."""
        ...

    def shown(self, *, top: int) -> list[list[tuple[str, float | None]]]:
        """For each record its answers as words, with the confidence in each."""
        ...


def joined(parts: Sequence[Any]) -> Any:
    """Predictions of one kind below one another. Arrays are put together; what else they hold is the first one's."""
    columns = {name: [getattr(part, name) for part in parts] for name in parts[0].rowwise}
    return replace(
        parts[0],
        **{name: None if any(p is None for p in own) else np.concatenate(own) for name, own in columns.items()},
    )


class Target(Protocol):
    """What every kind of answer offers. Labels are raw values; answers are what the batch holds of them."""

    name: ClassVar[str]  # its kind: the name of its file
    reads: ClassVar[
        str
    ]  # what its head is given: "pooled", a record's states as one (B, D), "tokens", (B, T, D), or "states"
    metrics: ClassVar[Mapping[str, Metric]]
    headline: ClassVar[str]  # the metric by which it is held against a baseline
    primary: ClassVar[tuple[str, ...]]  # metrics that choose a checkpoint; each decides when all before are equal
    prior_name: ClassVar[str]  # of the baseline that says the same of every record
    scaled: ClassVar[bool]  # whether a linear baseline's outputs need a scale of their own

    @classmethod
    def fit(
        cls, labels: Sequence, *, also: Sequence = (), label_smoothing: float = 0.0, class_weights: str = "none"
    ) -> Any:
        """Learns from training labels; None is no label. Raises UserError for what cannot be learned from.

        also: labels that may be asked for later. Only which of them there are matters, not how often.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Plain data for the saved config; `from_state(state, where=...)` is its strict inverse."""
        ...

    @property
    def num_outputs(self) -> int: ...

    @property
    def names(self) -> tuple[str, ...]:
        """What each output stands for; empty where that is no label."""
        ...

    def features(self, labels: Sequence) -> np.ndarray:
        """The answers as the batch holds them, (N, ...): negative integers and NaN are "no answer"."""
        ...

    def head(self, dim: int) -> nn.Module:
        """(B, D) states -> (B, num_outputs)."""
        ...

    def loss(self, outputs: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """outputs: (B, num_outputs). answers: (B, ...). weights: (B,), zero where a record has no answer."""
        ...

    def count(self, answers: Tensor, weights: Tensor) -> float:
        """The count of `loss`, from the batch alone: it is added up before anything is computed."""
        ...

    def decode(self, outputs: Any) -> Any:
        """(N, num_outputs) -> a `Prediction`."""
        ...

    def tuned(self, outputs: np.ndarray, answers: np.ndarray) -> Any:
        """The same target with what only unseen rows can tell: thresholds, the width of an interval.

        outputs: (N, num_outputs). answers: as `features` gives them; records without one say nothing.
        """
        ...

    def prior(self, answers: np.ndarray) -> np.ndarray:
        """(num_outputs,) float32: what to say of every record when nothing but the answers is known."""
        ...

    def fit_linear(self, matrix: Any, answers: np.ndarray, *, strength: float, seed: int) -> tuple[Any, Any]:
        """The cheap method: weight (num_outputs, F) and bias (num_outputs,) of a linear scikit-learn model.

        matrix: (N, F) scipy CSR. A higher `strength` follows the data closer.
        """
        ...

    def row_losses(self, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) how wrong the outputs are, as training sees it."""
        ...

    def score(self, prediction: Any, labels: Sequence) -> dict[str, float]:
        """Each of `metrics`, without intervals: cheap enough for every evaluation of a training run."""
        ...

    def intervals(
        self, prediction: Any, labels: Sequence, *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]: ...

    def differences(self, first: Any, second: Any, labels: Sequence, *, seed: int, resamples: int) -> dict[str, Score]:
        """First minus second on the same rows, for the metrics that can be paired; `headline` among them."""
        ...

    def per_record(self, prediction: Any, labels: Sequence) -> np.ndarray:
        """(N,) float: how good each answer is, such that slices can be held against each other by the mean."""
        ...

    def mistakes(self, prediction: Any, labels: Sequence, *, limit: int) -> list[Mistake]:
        """The worst answers, the worst first."""
        ...

    def details(self, prediction: Any, labels: Sequence) -> Any:
        """What a report shows beside the scores: a dataclass with `to_plain()` and `caveats()` (sentences), which
        `details_from_plain(data, where=...)` reads back strictly."""
        ...


class TokenTarget(Target, Protocol):
    """A target with `reads` "tokens": its answers are places in a text, its head has outputs for every token.

    What is kept of a window and of a record is plain data: a list of `piece`, a NamedTuple of numbers and words.
    Outputs of N records are (N,) object of such lists; so is what `decode` and `tuned` are given. `features` gives (N,)
    object, None for "no label". Instead of a linear model it brings its own cheap method.
    """

    piece: ClassVar[Any]
    cheap_name: ClassVar[str]
    column: str  # that is searched

    def located(self, texts: Mapping[str, Sequence[str]], labels: Sequence) -> Any:
        """The same target, knowing which text column its answers stand in."""
        ...

    def token_answers(self, answer: Any, text: str, places: np.ndarray) -> np.ndarray:
        """(T, ...) the answers of a window's tokens, one of `features`; negative: none. places: (T, 2), of `Item`."""
        ...

    def reduce(self, outputs: np.ndarray, text: str, places: np.ndarray) -> Any:
        """What is kept of a window. outputs: (T, num_outputs)."""
        ...

    def merge(self, windows: Sequence) -> list:
        """What is kept of a record, from that of its windows; there may be none."""
        ...

    def fit_cheap(self, texts: Mapping[str, Sequence[str]], labels: Sequence) -> tuple[Any, Any]:
        """The cheap method, with `outputs(texts)` as `decode` takes them and `state()`; and the target tuned for it."""
        ...


class StatesTarget(Target, Protocol):
    """A target with `reads` "states": its head makes answers of several parts, each with all states before its eyes.

    The head is given the states, their mask, and in training the answers, (B, U); without answers it writes some. What
    is kept of a record is as of a `TokenTarget`: a list of `piece`. `features` gives (N,) object, None for "no label".
    It has pieces and sizes that come from all columns together: `shaped` and, where they were saved, `equipped`.
    """

    piece: ClassVar[Any]
    behind: bool  # the trunk itself writes them, behind what it reads, and the head is its output layer

    def shaped(self, codec: Any, labels: Sequence, trunk: Any, *, layers: int, write: Any) -> Any:
        """The same target, with its pieces, and with what training labels say about sizes."""
        ...

    def equipped(self, codec: Any) -> Any:
        """The same target with its pieces."""
        ...

    def answer_tokens(self, answers: Sequence) -> list[np.ndarray]:
        """The parts of each answer, (U,) int32, as many as there is room for; of none, (0,). answers: of `features`."""
        ...

    def told(self, outputs: np.ndarray) -> dict[str, float]:
        """What chooses an epoch, `log_loss` among it: from (N, 3) of each record's loss, parts, and right parts."""
        ...

    def merge(self, windows: Sequence) -> list:
        """What is kept of a record, from that of its windows; there may be none."""
        ...

    def fit_cheap(self, texts: Mapping[str, Sequence], labels: Sequence, valid: Any = None) -> tuple[Any, Any]:
        """As that of a `TokenTarget`; `outputs` has one piece for each of the method's `names`."""
        ...


def packed(outputs: np.ndarray) -> str:
    """(N,) object, lists of what a target keeps of records, as JSON."""
    return json.dumps(outputs.tolist(), ensure_ascii=False)


def unpacked(text: str, target: Any) -> np.ndarray:
    """The inverse of `packed`."""
    rows = json.loads(text)
    found = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        found[place] = [target.piece(*one) for one in row]
    return found


def as_tensor(outputs: np.ndarray) -> np.ndarray:
    """Outputs of any target as numbers that a file can hold."""
    if outputs.dtype != object:
        return np.ascontiguousarray(outputs)
    return np.frombuffer(packed(outputs).encode("utf-8", "surrogatepass"), np.uint8)


def from_tensor(tensor: np.ndarray, target: Any) -> np.ndarray:
    """The inverse of `as_tensor`. Raises ValueError or TypeError for what it did not make."""
    if target.reads == "pooled":
        return tensor
    return unpacked(tensor.tobytes().decode("utf-8", "surrogatepass"), target)


def answered(answers: np.ndarray) -> np.ndarray:
    """(N,) bool: which records have an answer."""
    if answers.dtype == object:
        return np.fromiter((answer is not None for answer in answers), bool, len(answers))
    real: np.ndarray = np.isfinite(answers) if answers.dtype.kind == "f" else np.greater_equal(answers, 0)
    return np.all(real.reshape(len(answers), -1), axis=1)


def labelled(labels: Sequence) -> np.ndarray:
    """(n,) int64: the places of the labels that are not missing."""
    return np.flatnonzero(np.fromiter((label is not None for label in labels), bool, len(labels)))


def rank(target: Target, scores: Mapping[str, float]) -> tuple[float, ...]:
    """Scores as numbers of which the higher is the better, in the order in which they decide."""
    return tuple(
        round(scores[name], 6) if target.metrics[name].higher_is_better else -round(scores[name], 6)
        for name in target.primary
    )


def noise(target: Target, scores: Mapping[str, float], rows: int) -> float:
    """The standard error of the metric that decides first; 0 where it is no share."""
    first = target.primary[0]
    value = min(1.0, max(0.0, scores[first]))
    return math.sqrt(value * (1 - value) / rows) if target.metrics[first].is_share else 0.0


def kinds() -> list[str]:
    """The kinds of answer that there are."""
    return listing.names(sys.modules[__name__])


def find(kind: object, *, where: str) -> Any:
    """The class of a kind. `where` is the file or flag that the name came from. Raises UserError."""
    module = listing.load(sys.modules[__name__], kind, where=where)
    return getattr(module, str(kind).capitalize())


def load(kind: object, state: object, *, where: str) -> Any:
    """The target that a saved config describes. Raises UserError naming `where`."""
    return find(kind, where=where).from_state(state, where=where)
