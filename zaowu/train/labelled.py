"""Labelled records as the loop wants them: batches of similar length to learn from, scores to choose by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zaowu.batching.batch import Batch, collate, padded_answers
from zaowu.batching.order import chance, train_batches
from zaowu.config import TrainConfig
from zaowu.evaluate.predict import predict
from zaowu.inputs import Inputs, Item
from zaowu.model import Model
from zaowu.targets import answered, noise, packed, rank, unpacked
from zaowu.targets.text.behind import joined
from zaowu.train import loop
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.feed import Judged
from zaowu.train.head_start import fit_heads, linear_heads
from zaowu.train.parallel import ALONE, Ranks, current

ALPHA = 0.2  # of the distribution of shares in mix-up: most are near 0 or 1
MIX = 0x4D1C5
NAMED = 8  # records of a batch that are named in a sentence


@dataclass(frozen=True)
class Part:
    """N records made ready for the model. labels: target column -> N labels as they were read; ids: (N,) uint64.

    weights: (N,) float32 of the loss; None = all weigh the same.
    """

    items: Sequence[Item]
    labels: Mapping[str, Sequence[Any]]
    ids: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


class LabelledFeed:
    """The records of a `Part` in batches of similar length.

    source: the `Inputs` that made its items. targets: column -> its `Target`.
    """

    def __init__(self, source: Inputs, part: Part, targets: Mapping[str, Any], *, batch_size: int, seed: int) -> None:
        self.source, self.part, self.batch_size, self.seed = source, part, batch_size, seed
        self.lengths = np.array([item.length for item in part.items])
        self.records = np.array([item.record for item in part.items])
        self.shares = np.array([item.share for item in part.items], np.float32)
        self.ids = item_ids(part.ids[self.records], self.records)
        if part.weights is not None:
            self.shares = self.shares * part.weights[self.records]
        pooled = {name: target for name, target in targets.items() if target.reads == "pooled"}
        self.answers = {name: target.features(part.labels[name]) for name, target in pooled.items()}
        self.by_token = {
            name: _token_answers(source, part, name, target)
            for name, target in targets.items()
            if target.reads == "tokens"
        }
        self.told = told_answers(targets, part)
        self.behind = {name for name in self.told if targets[name].behind}
        beside = [np.array([len(row) for row in rows])[self.records] for rows in self.told.values()]
        self.beside = sum(beside[1:], beside[0]) if beside else None
        self.sizes = self.lengths if self.beside is None else self.lengths + self.beside
        self._order: tuple[int, list[np.ndarray]] = -1, []

    def batches(self, epoch: int) -> list[np.ndarray]:
        if self._order[0] != epoch:
            how = {"batch_size": self.batch_size, "seed": self.seed, "epoch": epoch}
            found = train_batches(self.lengths, self.ids, beside=self.beside, **how)
            self._order = epoch, found
        return self._order[1]

    def num_batches(self, epoch: int) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def num_tokens(self, epoch: int, number: int) -> int:
        return int(self.sizes[self.batches(epoch)[number]].sum())

    def epoch_tokens(self, epoch: int) -> int:
        return int(self.sizes.sum())

    def batch(self, epoch: int, number: int) -> Batch:
        index = self.batches(epoch)[number]
        records = self.records[index]
        answers = {name: own[records] for name, own in self.answers.items()}
        told = {name: [each[i] for i in records] for name, each in self.told.items()}
        chances = chance(self.ids[index], seed=self.seed, epoch=epoch)
        rows: list[Any] = [
            self.source.features(self.part.items[i], chance=own) for i, own in zip(index, chances.tolist(), strict=True)
        ]
        mixed = self._mixed(rows, chances)
        for name in self.behind:
            rows, told[name] = joined(rows, told[name])
        batch = collate(
            rows,
            self.source.specs,
            numbered=self.source.numbered,
            targets=answers,
            target_mask={name: answered(own) for name, own in answers.items()},
            weights=self.shares[index],
            index=records,
        )
        batch.coins = torch.from_numpy(chances.view(np.int64))
        if mixed is not None:
            others, shares = mixed
            batch.others = {name: torch.from_numpy(own[self.records[others]]) for name, own in self.answers.items()}
            known = np.all([answered(own[self.records[others]]) for own in self.answers.values()], axis=0)
            batch.shares = torch.from_numpy(np.where(known, shares, 1).astype(np.float32))
        for name, each in self.by_token.items():
            padded = padded_answers([each[i] for i in index], width=batch.mask.shape[1])
            batch.targets[name] = torch.from_numpy(padded)
            batch.target_mask[name] = torch.from_numpy((padded >= 0).reshape(len(index), -1).any(axis=1))
        for name, own in told.items():
            padded = padded_answers(own)
            batch.targets[name] = torch.from_numpy(padded.astype(np.int64))
            batch.target_mask[name] = torch.from_numpy((padded >= 0).any(axis=1))
        batch.by_token = frozenset(self.by_token) | self.behind
        return batch

    def _mixed(self, rows: list[Any], chances: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Mix-up (Zhang et al. 2018): each row becomes a mixture with another item, drawn from all by its own chance.

        Returns which items were mixed in, and the shares that are left of the rows. None where the column does not ask
        for it.
        """
        own = self.source.alone
        if own is None or not getattr(own, "mixes", False):
            return None
        draws = [np.random.Generator(np.random.Philox(chance ^ MIX)) for chance in chances.tolist()]
        others = np.array([draw.integers(len(self.part.items)) for draw in draws])
        shares = np.array([draw.beta(ALPHA, ALPHA) for draw in draws])
        shares = np.maximum(shares, 1 - shares)
        (name,) = self.source.groups
        for row, other, share, draw in zip(rows, others, shares, draws, strict=True):
            second = self.source.features(self.part.items[other], chance=int(draw.integers(2**63)))
            row[name] = own.mix(row[name], second[name], float(share))
        return others, shares

    def named(self, epoch: int, number: int) -> str:
        records = np.unique(self.records[self.batches(epoch)[number]])[:NAMED]
        return f"training records {', '.join(str(record + 1) for record in records)}, ..."


@dataclass(frozen=True)
class LabelledJudge:
    """The scores of a model on a `Part` that takes no part in training."""

    source: Inputs
    part: Part

    def __call__(self, model: Model) -> Judged:
        scores: dict[str, float] = {}
        ranks: list[tuple[float, ...]] = []
        noises: list[float] = []
        # With ranks each one answers its share; where weights are spread over them, all go through all together.
        others = ALONE if model.is_sharded else current()
        items = [item for item in self.part.items if item.record % others.world == others.rank]
        told = told_answers(model.targets, self.part)
        outputs = predict(model, self.source, items, num_records=len(self.part), label="validating", told=told)
        outputs = {name: _of_all(raw, model.targets[name], others) for name, raw in outputs.items()}
        target: Any
        for name, target in model.targets.items():
            rows = [i for i, label in enumerate(self.part.labels[name]) if label is not None]
            labels, raw = [self.part.labels[name][i] for i in rows], outputs[name][rows]
            if rows and name in told:
                found = target.told(raw)
                ranks.append((-found["log_loss"],))
                noises.append(0.0)
            elif rows:
                found = target.score(target.tuned(raw, target.features(labels)).decode(raw), labels)
                ranks.append(rank(target, found))
                noises.append(noise(target, found, len(rows)))
            if rows:
                before = f"{name}: " if len(model.targets) > 1 else ""
                scores |= {f"{before}{metric}": value for metric, value in found.items()}
        middle = tuple(sum(parts) / len(parts) for parts in zip(*ranks, strict=False))  # over the targets
        return Judged(scores, middle, sum(noises) / max(1, len(noises)))


def _token_answers(source: Inputs, part: Part, name: str, target: Any) -> list[np.ndarray]:
    """For each item the answers of its tokens; those of other groups come behind the text and have none."""
    answers, found = target.features(part.labels[name]), []
    for item in part.items:
        words = source.text_item(item)
        text, places = ("", np.empty((0, 2), np.int32)) if words is None else (words.text, words.places)
        found.append(target.token_answers(answers[item.record], text, places))
    return found


def told_answers(targets: Mapping[str, Any], part: Part) -> dict[str, list[np.ndarray]]:
    """For targets that read states, the parts of each record's answer."""
    return {
        name: target.answer_tokens(target.features(part.labels[name]))
        for name, target in targets.items()
        if target.reads == "states"
    }


def _of_all(raw: np.ndarray, target: Any, others: Ranks) -> np.ndarray:
    """The outputs of all records, of which each rank has answered one in so many."""
    if raw.dtype != object:
        return others.add(raw)
    parts = [unpacked(text, target) for text in others.texts(packed(raw))] if others.world > 1 else [raw]
    found = np.empty(len(raw), object)
    for record in range(len(raw)):
        found[record] = parts[record % others.world][record]
    return found


def item_ids(ids: np.ndarray, records: np.ndarray) -> np.ndarray:
    """(N,) the records' ids, made different for the windows of one record, so that each has its own chance."""
    first = np.r_[True, records[1:] != records[:-1]]
    window = np.arange(len(records)) - np.maximum.accumulate(np.where(first, np.arange(len(records)), 0))
    return np.where(window == 0, ids, chance(ids, seed=0, epoch=0) + window.astype(np.uint64))


def train(
    model: Model,
    source: Inputs,
    part: Part,
    valid: Part | None,
    config: TrainConfig,
    *,
    checkpoint: Checkpoint | None = None,
    head_start: bool = False,
    label: str = "training",
) -> loop.Training:
    """`loop.train` on `part`. source: the `Inputs` that made the items. valid: chooses the epoch; None: the last.

    head_start: the trunk knows something already, and its heads begin with what they can read there.
    """
    assert config.batch_size
    feed = LabelledFeed(source, part, model.targets, batch_size=config.batch_size, seed=config.seed)
    judge = None if valid is None else LabelledJudge(source, valid)

    def begin(fresh: Model) -> None:
        answers = {name: feed.answers[name] for name in linear_heads(fresh)}
        fit_heads(fresh, source, part.items, answers, ids=part.ids, weights=part.weights, seed=config.seed)

    return loop.train(
        model,
        feed,
        judge,
        config,
        checkpoint=checkpoint,
        begin=begin if head_start else None,
        label=label,
    )
