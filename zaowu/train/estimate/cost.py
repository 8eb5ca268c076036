"""What a fit will take, as pure functions of its numbers of tokens, its sizes and what `probe` measured.

FLOPs of the trunk, a token and layer, forward (a product of (N, A) and (A, B) takes 2 N A B):

    2 (2 D D + 2 D G K + m D F) + 4 T D         queries and output, keys and values, feed-forward; q k^T and a v

with D width, F inner width, G key/value heads of width K, T tokens of the record; m is 2, with a gate 3. With
as many key/value heads as others this is 2 (4 D D + 2 D F) + 4 T D. A step of training takes three times as much:
the gradient of either side of a product is one more product. Norms, dropout and the last layer are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zaowu.batching.order import predict_batches, train_batches
from zaowu.config import TrunkConfig
from zaowu.train import head_start
from zaowu.train.estimate.pace import RESERVE
from zaowu.train.estimate.probe import Probe, Shape, Step
from zaowu.trunk.transformer.linear import even_size

CACHED = 1024  # kernels that oneDNN keeps; older ones make room
PRODUCTS = 9  # of different shape in a step, each a kernel: three weights, forward and for the two gradients
LOW, HIGH = 0.25, 0.9  # shares of the tokens that stand in shorter batches than the two that are probed
PAGE = 4096  # bytes that the system gives at once


@dataclass(frozen=True)
class Batches:
    """The batches of one pass. num_tokens: (S,) real ones; length: (S,) of the longest record, which pads the rest."""

    num_tokens: np.ndarray
    length: np.ndarray
    batch: int  # records in the fullest


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """One training and what its model answers afterwards. All lengths are tokens of items: records or windows.

    lengths, ids: (N,) of the training items. valid: (M,) validated after every epoch and once more at the end; empty
    where nothing is. asked: (K,) what the finished model answers. epochs: at most.
    """

    lengths: np.ndarray
    ids: np.ndarray
    valid: np.ndarray
    asked: np.ndarray
    epochs: int
    batch_size: int
    head_start: bool = False  # whether heads are fitted to the states of the first records
    seed: int = 0
    time_limit: float | None = None

    def epoch(self, number: int = 0) -> Batches:
        order = train_batches(self.lengths, self.ids, batch_size=self.batch_size, seed=self.seed, epoch=number)
        return _batches(self.lengths, order)

    @property
    def num_steps(self) -> int:
        return self.epochs * -(-len(self.lengths) // self.batch_size)

    @property
    def read_first(self) -> np.ndarray:
        """Lengths of the items that are read before the first step."""
        return self.lengths[: head_start.MOST if self.head_start else 0]

    @property
    def num_validations(self) -> int:
        return self.epochs + (self.head_start and len(self.valid) > 0)

    @property
    def num_tokens(self) -> int:
        """That are learned from in all epochs."""
        return self.epochs * int(self.lengths.sum())


@dataclass(frozen=True)
class Sizes:
    """Of a model. num_weights: all of them; of these `table_rows` x D are in token tables, of which a training
    touches `touched` (their numbers)."""

    trunk: TrunkConfig
    num_weights: int
    table_rows: int
    touched: np.ndarray
    adapted: int | None = None  # weights that learn where adapters do; then nothing else does

    @property
    def num_dense(self) -> int:
        """That learn at every step."""
        return self.num_weights - self.table_rows * self.trunk.dim if self.adapted is None else self.adapted


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """training: all steps. validating: after each epoch. answering: at the end."""

    training: float
    validating: float
    answering: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes at the peak of one training, beside what the process holds already.

    moments: of the optimizer. kept: the best weights so far. working: what autograd keeps of the largest batch, the
    gradients that come in its place, or new best weights beside the old ones: the largest of the three. kernels: that
    libraries make for every new size of a batch, and the copies of the weights in low precision.
    """

    weights: float
    moments: float
    kept: float
    working: float
    kernels: float

    @property
    def total(self) -> float:
        return self.weights + self.moments + self.kept + self.working + self.kernels


def flops(trunk: TrunkConfig, num_tokens: float, pairs: float) -> float:
    """Of one forward pass. num_tokens: all of them; pairs: the sum over records of their tokens squared."""
    dim, heads = trunk.dim, trunk.attention.num_heads
    keys = dim * (trunk.attention.num_groups or heads) // heads
    inner = (3 if trunk.activation == "swiglu" else 2) * dim * trunk.ffn_dim
    weights = 2 * dim * dim + 2 * dim * keys + inner
    return trunk.num_layers * (2.0 * weights * num_tokens + 4.0 * dim * pairs)


def fit_flops(fitting: Fitting, trunk: TrunkConfig) -> float:
    """Of one training with its validations and answers."""

    def once(lengths: np.ndarray) -> float:
        return flops(trunk, float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum()))

    learned = 3 * fitting.epochs * once(fitting.lengths)
    validated = (fitting.num_validations + 1) * once(fitting.valid)
    return once(fitting.read_first) + learned + validated + once(fitting.asked)


def pretrain_flops(trunk: TrunkConfig, num_tokens: float, *, length: int) -> float:
    """Of all steps of a pre-training in full rows of `length`."""
    return 3 * flops(trunk, num_tokens, num_tokens * length)


def shapes(fittings: Sequence[Fitting], *, longest: int) -> tuple[list[Shape], list[Shape]]:
    """What to probe for these trainings: two shapes of a step, and one of an answer.

    longest: tokens of the longest record that the model takes.
    """
    train, predict = dict[Shape, None](), dict[Shape, None]()
    for fitting in fittings:
        epoch = fitting.epoch()
        train |= {Shape(epoch.batch, rounded(_share(epoch, at), longest)): None for at in (LOW, HIGH)}
        for lengths in (fitting.valid, fitting.asked):
            if len(lengths):
                asked = _batches(lengths, predict_batches(lengths))
                middle = rounded(_share(asked, 0.5), longest)
                predict[Shape(max(1, min(asked.batch, 4096 // middle)), middle)] = None
    return list(train), list(predict)[:1]


def rounded(length: int, longest: int) -> int:
    """Upwards, by at most a quarter, so that few lengths have to be probed."""
    step = max(8, 2 ** (length.bit_length() - 1) // 4)
    return min(longest, -(-length // step) * step)


def fit_seconds(fitting: Fitting, sizes: Sizes, probe: Probe) -> Seconds:
    """Of one training, all epochs done, beside what new numbers of tokens cost (`num_fresh`)."""
    layers, epoch = sizes.trunk.num_layers, fitting.epoch()
    steps = fitting.epochs * _seconds(epoch, probe.train, layers)
    steps += fitting.num_steps * sizes.num_dense * probe.dense_s
    first, valid, asked = (
        _seconds(_batches(lengths, predict_batches(lengths)), probe.predict, layers) if len(lengths) else 0.0
        for lengths in (fitting.read_first, fitting.valid, fitting.asked)
    )
    steps += first
    if fitting.time_limit is not None:
        steps = min(steps, RESERVE * fitting.time_limit)
    return Seconds(training=steps, validating=fitting.num_validations * valid, answering=valid + asked)


def num_fresh(fittings: Sequence[Fitting]) -> float:
    """Sizes of products that a step of one process meets for the first time; one that is only answered counts a third,
    as no gradient needs a kernel for it. Products come in the sizes of `linear.even`."""
    learned, answered = set[int](), set[int]()
    for fitting in fittings:
        for number in range(fitting.epochs if len(fitting.lengths) <= 100_000 else 1):
            learned.update(map(even_size, fitting.epoch(number).num_tokens.tolist()))
        for lengths in (fitting.valid, fitting.asked):
            if len(lengths):
                answered.update(map(even_size, _batches(lengths, predict_batches(lengths)).num_tokens.tolist()))
    return len(learned) + len(answered - learned) / 3


def fit_memory(fitting: Fitting, sizes: Sizes, probe: Probe, *, fresh: float) -> Memory:
    """At the largest step of one training, or where the best weights are replaced, whichever takes more.

    fresh: what `num_fresh` says of this training and those before it in the process.
    """
    trunk, weights = sizes.trunk, 4.0 * sizes.num_weights
    epoch = fitting.epoch()
    kept = _per_token(probe.train, epoch.length, trunk.num_layers, "bytes") * epoch.num_tokens
    gradients = 4.0 * sizes.num_dense
    table = 4.0 * sizes.table_rows * trunk.dim if sizes.adapted is None else 0.0
    touched = min(table, _pages(sizes.touched, 4 * trunk.dim) * PAGE)
    copies = trunk.num_layers * max(step.copy_bytes for step in probe.train.values())
    best = 0.0 if not len(fitting.valid) else weights if sizes.adapted is None else gradients
    working = max(float(kept.max()), gradients)
    twice = best if fitting.epochs > 1 else 0.0  # while new best weights are copied the old ones are there still
    return Memory(
        weights=weights,
        moments=2 * (gradients + probe.zeros_share * table + (1 - probe.zeros_share) * touched),
        kept=best,
        working=max(working, twice),
        kernels=copies + probe.fresh_bytes * min(fresh, CACHED / PRODUCTS),
    )


def checkpoint_bytes(sizes: Sizes, *, keep: int, validated: bool) -> float:
    """Of the checkpoints on disk while one more is written: weights, two moments, and the best weights so far."""
    changing = sizes.num_weights if sizes.adapted is None else sizes.adapted
    return (keep + 1) * 4.0 * changing * (4 if validated else 3)


def _batches(lengths: np.ndarray, order: Sequence[np.ndarray]) -> Batches:
    return Batches(
        num_tokens=np.array([lengths[index].sum() for index in order]),
        length=np.array([lengths[index].max() for index in order]),
        batch=max(map(len, order)),
    )


def _share(batches: Batches, share: float) -> int:
    """The length below which that share of the tokens stands."""
    order = np.argsort(batches.length, kind="stable")
    passed = np.cumsum(batches.num_tokens[order])
    return int(batches.length[order][np.searchsorted(passed, share * passed[-1])])


def _per_token(steps: dict[str, Step], lengths: np.ndarray, layers: int, unit: str) -> np.ndarray:
    """(S,) what a token costs in batches of these lengths, between the shapes that were probed."""
    at = sorted(
        (int(name.split("x")[1]), getattr(step, f"entry_{unit}") + layers * getattr(step, f"layer_{unit}"))
        for name, step in steps.items()
    )
    return np.interp(lengths, [length for length, _ in at], [cost for _, cost in at])


def _seconds(batches: Batches, steps: dict[str, Step], layers: int) -> float:
    return float((_per_token(steps, batches.length, layers, "s") * batches.num_tokens).sum())


def _pages(rows: np.ndarray, row_bytes: int) -> int:
    """Pages of the system that these rows of a table lie in."""
    first, last = rows * row_bytes // PAGE, ((rows + 1) * row_bytes - 1) // PAGE
    width = int((last - first).max(initial=0)) + 1
    return len(np.unique(np.minimum(first[:, None] + np.arange(width), last[:, None])))
