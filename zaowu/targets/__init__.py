"""One file per kind of answer: features, head, loss, decoding.

A kind of answer is a module of this folder whose class has the file's name with a capital: category.Category.
`Target` says what the class offers; the rest of the house knows an answer by nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from zaowu import listing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zaowu.batching.batch import Batch


@dataclass(frozen=True)
class LossSum:
    """A loss before it is divided. The total is the sum over names of weight x (all sums) / (all counts).

    `count` depends on targets and weights only, so it can be added up over micro-batches and ranks before
    the backward pass. A count of zero contributes zero.
    """

    sum: Tensor
    count: Tensor | float
    weight: float = 1.0


@dataclass(frozen=True)
class Score:
    """A figure and its 95 % interval; without an interval it is only known as a point."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric:
    """How a figure is read."""

    higher_is_better: bool


class Target(Protocol):
    """What every kind of answer offers. A prediction is whatever `decode` returns; labels are raw values."""

    name: ClassVar[str]  # its kind: the name of its file
    metrics: ClassVar[Mapping[str, Metric]]
    primary: ClassVar[
        tuple[str, ...]
    ]  # metrics that choose a checkpoint; the next one decides when all before are equal

    def state(self) -> dict[str, Any]:
        """Plain data for the saved config; `from_state(state, where=...)` is its strict inverse."""
        ...

    def features(self, labels: Sequence) -> np.ndarray:
        """The answers as the batch holds them, (N, ...): negative integers and NaN are "no answer"."""
        ...

    def head(self, dim: int) -> nn.Module: ...

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, LossSum]: ...

    def decode(self, logits: Any) -> Any: ...

    def baseline_estimator(self, *, strength: float, seed: int) -> Any:
        """The linear scikit-learn estimator, not yet fitted, that answers the same question cheaply."""
        ...

    def score(self, prediction: Any, labels: Sequence) -> dict[str, float]:
        """Each of `metrics`, without intervals: cheap enough for every evaluation of a training run."""
        ...

    def intervals(
        self, prediction: Any, labels: Sequence, *, seed: int, resamples: int
    ) -> dict[str, tuple[float, float]]: ...

    def differences(self, first: Any, second: Any, labels: Sequence, *, seed: int, resamples: int) -> dict[str, Score]:
        """First minus second on the same rows, for the metrics that can be paired."""
        ...

    def details(self, prediction: Any, labels: Sequence) -> Any:
        """What a report shows beside the scores: a dataclass with `to_plain()`, which
        `details_from_plain(data, where=...)` reads back strictly."""
        ...


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
