"""Records -> train, validation and test by their own content, so that a row does not change side when others come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from zaowu.errors import UserError
from zaowu.records.identity import mixed
from zaowu.records.records import Records

SIDES = ("train", "valid", "test")
FILLED = ("train", "test", "valid")  # in this order of need, where a class has too few members for all


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of indices into the records, each (n,) int64 and ascending, together all of them.

    deviation: side -> the largest difference, over the classes, between a class's share of that side and its share
    of all records (0 to 1). moved: how many records went against their hash so that their class stands on a side.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    deviation: dict[str, float] = field(default_factory=dict)
    moved: int = 0


def split(records: Records, *, shares: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> Split:
    """Sides by a threshold on the hash of each record's group: the same row has the same side in every file.

    shares: of train, validation and test; they sum to 1, and a side with share 0 stays empty. Equal groups (equal
    contents, where there is no group column) are on one side. The order of the records has no influence.

    A class of the schema's target (without classes: all records) that has no record on a side gets its lowest-hash
    group moved there: first to train, then to test, then to validation, and never away from a side that needs it
    more. So a class of one record is in train. Only these rows may change side when rows are added. Raises UserError
    when there are too few groups for the sides.
    """
    assert len(shares) == 3 and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-9, shares
    hashes = mixed(records.groups)
    place = hashes / 2.0**64
    wanted = dict(zip(SIDES, shares, strict=True))
    side = np.full(len(records), SIDES.index("train"))
    side[place < wanted["valid"] + wanted["test"]] = SIDES.index("valid")
    side[place < wanted["test"]] = SIDES.index("test")
    labels = _labels(records)
    by_hash = side
    needed = [SIDES.index(name) for name in FILLED if wanted[name] > 0]
    side = _fill(side, hashes, np.zeros(len(records), np.int64) if labels is None else labels, needed)
    if empty := [SIDES[k] for k in needed if not (side == k).any()]:
        groups = len(np.unique(hashes))
        raise UserError(
            f"{records.source}: {groups} different group{'s' * (groups > 1)} cannot fill {len(needed)} sides, none "
            f"is left for {' and '.join(empty)}. Choose another --group, or give files with --valid and --test."
        )
    train, valid, test = (np.flatnonzero(side == k) for k in range(3))
    deviation = {} if labels is None else _deviation(side, labels)
    return Split(train, valid, test, deviation, int((side != by_hash).sum()))


def split_off(records: Records, share: float = 0.1) -> Split:
    """A validation set of about `share` taken from a training set, by the same rule; `test` is empty."""
    return split(records, shares=(1 - share, share, 0.0))


def folds(records: Records, k: int = 5) -> np.ndarray:
    """(N,) int64, the fold 0 to k - 1 of each record: equal groups together, classes as even as they allow.

    Groups are dealt out, large ones first, then class by class, then by hash: each goes to the fold that holds least
    of its classes, then to the smallest. The order of the records has no influence, but added rows may change the
    folds of others.
    """
    hashes = mixed(records.groups)
    labels = _labels(records)
    if labels is None:
        labels = np.zeros(len(records), np.int64)
    groups, group_of = np.unique(hashes, return_inverse=True)
    group, label, count = _pairs(group_of, labels)
    share = count / np.bincount(labels)[label]  # of its class
    begins = np.searchsorted(group, np.arange(len(groups) + 1))
    sizes = np.bincount(group_of)
    held = np.zeros((k, int(labels.max()) + 1))  # share of each class that a fold holds
    filled = np.zeros(k, np.int64)
    fold_of = np.zeros(len(groups), np.int64)
    for g in np.lexsort((groups, label[begins[:-1]], -sizes)):
        own = slice(begins[g], begins[g + 1])
        cost = held[:, label[own]] @ share[own]
        best = np.lexsort((filled, cost.round(12)))[0]
        fold_of[g] = best
        held[best, label[own]] += share[own]
        filled[best] += sizes[g]
    return fold_of[group_of]


def _labels(records: Records) -> np.ndarray | None:
    """(N,) int64, each record's class as a number; the classes in the order of their names. None where no target
    is a category."""
    target = records.schema.classes
    if target is None or target.name not in records.frame.columns:
        return None
    labels = records.frame.get_column(target.name).fill_null("")
    names = labels.unique().sort()
    return labels.replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()


def _pairs(group_of: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) group, class and number of records of each pair that occurs, ascending by group."""
    num_classes = int(labels.max()) + 1
    pairs, count = np.unique(group_of * num_classes + labels, return_counts=True)
    return pairs // num_classes, pairs % num_classes, count


def _fill(side: np.ndarray, hashes: np.ndarray, labels: np.ndarray, needed: list[int]) -> np.ndarray:
    """`side` with groups moved to where a class has no member; `needed`: sides, the most needed first."""
    _, first, group_of = np.unique(hashes, return_index=True, return_inverse=True)  # groups ascend by hash
    group, label, _ = _pairs(group_of, labels)
    side_of = side[first]
    held = np.zeros((int(labels.max()) + 1, len(SIDES)), np.int64)  # groups of each class on each side
    np.add.at(held, (label, side_of[group]), 1)
    if held[:, needed].all():
        return side
    by_class = group[np.argsort(label, kind="stable")]
    class_begins = np.searchsorted(np.sort(label), np.arange(len(held) + 1))
    group_begins = np.searchsorted(group, np.arange(len(first) + 1))
    for rank, goal in enumerate(needed):
        for name in np.flatnonzero(held[:, goal] == 0):
            for g in by_class[class_begins[name] : class_begins[name + 1]]:
                classes = label[group_begins[g] : group_begins[g + 1]]
                giver = side_of[g]
                if giver in needed[:rank] and (held[classes, giver] == 1).any():
                    continue
                held[classes, giver] -= 1
                held[classes, goal] += 1
                side_of[g] = goal
                break
    return side_of[group_of]


def _deviation(side: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    whole = np.bincount(labels) / len(labels)
    found = {}
    for k, name in enumerate(SIDES):
        if (chosen := labels[side == k]).size:
            shares = np.bincount(chosen, minlength=len(whole)) / chosen.size
            found[name] = float(np.abs(shares - whole).max())
    return found
