"""Images or recordings without labels as the loop wants them: of each record the patches that the trunk may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from zaowu.batching.batch import Batch, collate
from zaowu.batching.order import chance, train_batches
from zaowu.inputs import Feature
from zaowu.objectives.masked_patches import PADDING, MaskedPatches
from zaowu.train.labelled import NAMED, item_ids

PLACES = "places"


class PatchFeed:
    """N items of one column of images or sounds in batches of similar length.

    source: the `Input` that made them. ids: (N,) uint64 of their records. moves: whether images are moved and turned
    over, by the same chance that hides their patches.
    """

    def __init__(
        self,
        source: Any,
        items: Sequence[Any],
        ids: np.ndarray,
        objective: MaskedPatches,
        *,
        batch_size: int,
        seed: int,
        moves: bool = True,
    ) -> None:
        self.source, self.items, self.objective = source, items, objective
        self.batch_size, self.seed = batch_size, seed
        self.moves = moves and hasattr(source, "moved")
        self.blank = int(getattr(source, "cls", False))  # tokens without a patch that stand first
        self.records = np.array([item.record for item in items])
        self.ids = item_ids(ids[self.records], self.records)
        self.lengths = np.array([objective.num_seen(item.length - self.blank) + self.blank for item in items])
        (self.feature,) = source.specs
        self.specs = dict(source.specs)
        if not source.numbered:
            self.specs[PLACES] = Feature(np.int64, pad=0)
        self._order: tuple[int, list[np.ndarray]] = -1, []

    def batches(self, epoch: int) -> list[np.ndarray]:
        if self._order[0] != epoch:
            found = train_batches(self.lengths, self.ids, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
            self._order = epoch, found
        return self._order[1]

    def num_batches(self, epoch: int) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def num_tokens(self, epoch: int, number: int) -> int:
        return int(self.lengths[self.batches(epoch)[number]].sum())

    def epoch_tokens(self, epoch: int) -> int:
        return int(self.lengths.sum())

    def batch(self, epoch: int, number: int) -> Batch:
        index = self.batches(epoch)[number]
        chances = chance(self.ids[index], seed=self.seed, epoch=epoch)
        rows, seen, answers = [], [], []
        for place, own in zip(index, chances.tolist(), strict=True):
            features = self.items[place].features
            values = (self.source.moved(features, own) if self.moves else features)[self.feature]
            scale = 255 if values.dtype == np.uint8 else 1
            patches = values[self.blank :].reshape(len(values) - self.blank, -1)
            kept, painted = self.objective.hide(patches.astype(np.float32) / np.float32(scale), own)
            kept = np.concatenate((np.arange(self.blank), kept + self.blank))
            seen.append(kept)
            answers.append(painted)
            rows.append({"": {self.feature: values[kept], **({} if self.source.numbered else {PLACES: kept})}})
        batch = collate(rows, {"": self.specs}, numbered={"": self.source.numbered}, index=self.records[index])
        batch.inputs = {self.source.kind: batch.inputs[""]}
        if self.source.numbered:
            batch.positions = torch.from_numpy(_padded(seen, 0))
        batch.targets = {self.objective.name: torch.from_numpy(_padded(answers, PADDING))}
        batch.target_mask = {self.objective.name: torch.ones(len(index), dtype=torch.bool)}
        batch.ids, batch.coins = self.ids[index], torch.from_numpy(chances.view(np.int64))
        return batch

    def named(self, epoch: int, number: int) -> str:
        records = np.unique(self.records[self.batches(epoch)[number]])[:NAMED]
        return f"records {', '.join(str(record + 1) for record in records)}, ..."


class Always(Sequence[Batch]):
    """The batches of epoch 0 for judging: always the same ones, each made when it is asked for."""

    def __init__(self, feed: PatchFeed) -> None:
        self.feed = feed

    def __len__(self) -> int:
        return self.feed.num_batches(0)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return (self.feed.batch(0, number) for number in range(len(self))[place])
        return self.feed.batch(0, range(len(self))[place])


def _padded(rows: Sequence[np.ndarray], pad: float) -> np.ndarray:
    """(T, ...) of B records -> (B, longest T, ...)."""
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), pad, rows[0].dtype)
    for row, out in zip(rows, padded, strict=True):
        out[: len(row)] = row
    return padded
