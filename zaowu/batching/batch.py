"""One batch, and the only place that pads.

The legend of shapes, used everywhere:
B batch, T positions, D width, H heads, K head width, V vocabulary, C classes, N records.
Masks are boolean, True = real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from zaowu.inputs import Feature


@dataclass
class Batch:
    """What the model sees of B records.

    inputs: column group -> feature -> (B, T, ...), padded with the feature's own pad value.
    mask: (B, T), True = real. positions: (B, T), each column restarts at 0. segments: (B, T), column or sentence.
    documents: (B, T) or None; a token attends only within equal values. None = one document per record.
    targets: name -> (B, ...). target_mask: name -> (B,), True where the record has that answer.
    weights: (B,) of the loss. ids, groups: (B,) uint64, as in `Records`. index: (B,) place in the source.
    coins: (B,) int64, dropout's seed of each row. by_token: targets that have an answer for every token, (B, T).
    places: (B, T) or None: where each token stands among the (B, T1 + T2 + ...) of the groups side by side, each padded
    by itself; None with one group.
    """

    inputs: dict[str, dict[str, Tensor]]
    mask: Tensor
    positions: Tensor
    segments: Tensor
    documents: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    target_mask: dict[str, Tensor] = field(default_factory=dict)
    weights: Tensor = field(default_factory=lambda: torch.ones(0))
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    coins: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    places: Tensor | None = None
    by_token: frozenset[str] = frozenset()

    def part(self, rows: slice) -> Batch:
        """Some of its rows as a batch of their own, without the padding that none of them needs.

        Of several column groups the features keep it.
        """
        mask = self.mask[rows]
        real = torch.nonzero(mask.any(0))
        alone = self.places is None
        width = int(real[-1]) + 1 if len(real) else mask.shape[1]
        by_token = {name: target[rows, :width] for name, target in self.targets.items() if name in self.by_token}
        return replace(
            self,
            inputs={
                group: {name: x[rows, : width if alone else None] for name, x in features.items()}
                for group, features in self.inputs.items()
            },
            mask=mask[:, :width],
            positions=self.positions[rows, :width],
            segments=self.segments[rows, :width],
            documents=None if self.documents is None else self.documents[rows, :width],
            targets={name: target[rows] for name, target in self.targets.items()} | by_token,
            target_mask={name: known[rows] for name, known in self.target_mask.items()},
            weights=self.weights[rows],
            ids=self.ids[rows],
            groups=self.groups[rows],
            index=self.index[rows],
            coins=self.coins[rows],
            places=None if self.places is None else self.places[rows, :width],
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on `device`; itself when they are there already."""
        if self.mask.device == device:
            return self
        return replace(
            self,
            inputs={group: _move(features, device) for group, features in self.inputs.items()},
            mask=self.mask.to(device),
            positions=self.positions.to(device),
            segments=self.segments.to(device),
            documents=None if self.documents is None else self.documents.to(device),
            targets=_move(self.targets, device),
            target_mask=_move(self.target_mask, device),
            weights=self.weights.to(device),
            coins=self.coins.to(device),
            places=None if self.places is None else self.places.to(device),
        )


def _move(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def collate(
    rows: Sequence[Mapping[str, Mapping[str, np.ndarray]]],
    specs: Mapping[str, Mapping[str, Feature]],
    *,
    numbered: Mapping[str, bool] | None = None,
    targets: Mapping[str, np.ndarray] | None = None,
    target_mask: Mapping[str, np.ndarray] | None = None,
    weights: np.ndarray | None = None,
    index: np.ndarray | None = None,
) -> Batch:
    """Pads `rows`, B items as group -> features, each group to its longest; a row may lack a group.

    specs: group -> feature -> its dtype and pad value. numbered: group -> whether its tokens are at the places 0, 1,
    2, ...; else all are at 0. targets, target_mask: name -> (B, ...), (B,).
    Raises ValueError for no rows.
    """
    if not rows:
        raise ValueError("a batch needs at least one row")
    inputs, masks, counted = {}, [], []
    for group, own in specs.items():
        inputs[group], mask = _padded([row.get(group) for row in rows], own)
        masks.append(mask)
        places = np.arange(mask.shape[1]) if numbered is None or numbered[group] else np.zeros(mask.shape[1], np.int64)
        counted.append(places)
    mask, order = masks[0], None
    positions = torch.from_numpy(counted[0]).expand(mask.shape)
    if len(specs) > 1:  # the real tokens of all groups in a row, so that only its end is padding
        side_by_side = np.concatenate(masks, 1)
        width = max(1, int(side_by_side.sum(1).max()))
        order = np.argsort(~side_by_side, axis=1, kind="stable")[:, :width]  # (B, T)
        mask = np.take_along_axis(side_by_side, order, 1)
        positions = torch.from_numpy(np.concatenate(counted)[order])
    return Batch(
        inputs=inputs,
        mask=torch.from_numpy(mask),
        positions=positions,
        segments=torch.zeros(mask.shape, dtype=torch.long),
        targets={name: torch.from_numpy(value) for name, value in (targets or {}).items()},
        target_mask={name: torch.from_numpy(value) for name, value in (target_mask or {}).items()},
        weights=torch.ones(len(rows)) if weights is None else torch.from_numpy(weights.astype(np.float32)),
        index=np.arange(len(rows)) if index is None else index,
        places=None if order is None else torch.from_numpy(order),
    )


def _padded(
    rows: Sequence[Mapping[str, np.ndarray] | None], specs: Mapping[str, Feature]
) -> tuple[dict[str, Tensor], np.ndarray]:
    """One group's features, (B, T, ...), and which places are real, (B, T). None: the row lacks the group."""
    sizes = np.array([0 if row is None else len(next(iter(row.values()))) for row in rows])
    width = max(1, int(sizes.max()))
    features = {}
    for name, spec in specs.items():
        padded: np.ndarray = np.full((len(rows), width, *spec.shape), spec.pad, spec.dtype)
        for row, size, out in zip(rows, sizes, padded, strict=True):
            if row is not None:
                out[:size] = row[name]
        features[name] = torch.from_numpy(padded)
    return features, np.arange(width) < sizes[:, None]


def padded_answers(rows: Sequence[np.ndarray], *, width: int | None = None) -> np.ndarray:
    """(U, ...) answers of B records -> (B, width, ...), -1 where there is none; width: None means of the longest."""
    width = max(1, max((len(row) for row in rows), default=1)) if width is None else width
    padded: np.ndarray = np.full((len(rows), width, *rows[0].shape[1:]), -1, rows[0].dtype)
    for row, out in zip(rows, padded, strict=True):
        out[: len(row)] = row
    return padded


def spread(values: np.ndarray, mask: np.ndarray, *, pad: float = 0) -> Tensor:
    """(N,) values of the real tokens, row after row -> (B, T). mask: (B, T), True at N places."""
    padded = np.full(mask.shape, pad, values.dtype)
    padded[mask] = values
    return torch.from_numpy(padded)
