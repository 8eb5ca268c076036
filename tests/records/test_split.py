"""Sides and folds: what stays where when other rows come, and how even they are."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from zaowu.errors import UserError
from zaowu.records.check import clean
from zaowu.records.identity import mixed
from zaowu.records.read import read
from zaowu.records.records import Column, Records, Schema
from zaowu.records.split import SIDES, Split, folds, split, split_off

COLUMNS = (Column("text", "input", "text", ""), Column("label", "target", "category", ""))
GROUPED = Schema((*COLUMNS, Column("user", "group", "id", "")))


def records(texts: list[str], labels: list[str], users: list | None = None) -> Records:
    source = {"text": texts, "label": labels} | ({"user": users} if users else {})
    return clean(read(source), GROUPED if users else Schema(COLUMNS), min_classes=1)


def made(num_rows: int, *, classes: int = 4, seed: int = 0, users: int = 0) -> Records:
    rng = random.Random(seed)
    texts = [f"text {seed} {rng.randrange(num_rows)}" for _ in range(num_rows)]  # about a third occurs more than once
    labels = [f"class {min(rng.randrange(classes), rng.randrange(classes))}" for _ in range(num_rows)]
    return records(texts, labels, [f"user {rng.randrange(users)}" for _ in range(num_rows)] if users else None)


def sides(found: Split, num: int) -> np.ndarray:
    """(N,) the side of each record; fails when a record is on none or on two."""
    places = np.concatenate([found.train, found.valid, found.test])
    assert sorted(places.tolist()) == list(range(num))
    side = np.empty(num, object)
    for name in SIDES:
        assert (np.diff(getattr(found, name)) > 0).all()
        side[getattr(found, name)] = name
    return side


def test_shares_are_what_was_asked():
    own = made(20_000)
    found = split(own)
    assert abs(len(found.train) / len(own) - 0.8) < 0.01
    assert abs(len(found.valid) / len(own) - 0.1) < 0.01
    found = split(own, shares=(0.5, 0.2, 0.3))
    assert abs(len(found.test) / len(own) - 0.3) < 0.015
    assert abs(len(found.valid) / len(own) - 0.2) < 0.015


@pytest.mark.parametrize("users", [0, 40])
def test_equal_groups_are_on_one_side(users):
    for seed in range(10):
        own = made(300, seed=seed, users=users)
        side = sides(split(own), len(own))
        fold = folds(own)
        for group in np.unique(own.groups):
            assert len(set(side[own.groups == group])) == 1
            assert len(set(fold[own.groups == group])) == 1


def test_the_order_of_the_rows_has_no_influence():
    own = made(500, classes=60)
    order = np.random.default_rng(0).permutation(len(own))
    shuffled = own.take(order)
    assert (sides(split(own), len(own))[order] == sides(split(shuffled), len(own))).all()
    assert (folds(own)[order] == folds(shuffled)).all()


def test_no_row_changes_side_when_rows_are_added():
    """With enough rows of each class nothing goes against its hash, and then no side may change at all."""
    for seed in range(20):
        whole = made(2000, seed=seed, users=200 if seed % 2 else 0)
        rng = np.random.default_rng(seed)
        part = np.sort(rng.choice(len(whole), 1000, replace=False))
        small, large = split(whole.take(part)), split(whole)
        assert small.moved == large.moved == 0
        assert (sides(small, len(part)) == sides(large, len(whole))[part]).all()


def test_only_rows_of_classes_that_lacked_a_side_may_change():
    changed = 0
    for seed in range(40):
        whole = made(120, classes=10, seed=seed)
        part = np.sort(np.random.default_rng(seed).choice(len(whole), 60, replace=False))
        own = whole.take(part)
        small, large = split(own), split(whole)
        place = mixed(own.groups) / 2.0**64
        by_hash = np.select([place < 0.1, place < 0.2], ["test", "valid"], "train")
        before, after = sides(small, len(part)), sides(large, len(whole))[part]
        free = before == by_hash
        assert (~free).sum() == small.moved
        large_by_hash = sides(split(Records(**{**vars(whole), "schema": Schema(COLUMNS[:1])})), len(whole))[part]
        assert (by_hash == large_by_hash).all()
        differs = before != after
        assert ((before != by_hash) | (after != by_hash))[differs].all()
        changed += differs.sum()
    assert changed > 0  # else the test has seen nothing


@pytest.mark.parametrize("num", [1, 2, 3, 4, 7, 12])
def test_a_rare_class_stands_on_as_many_sides_as_it_can(num):
    for seed in range(20):
        common = [f"common {seed} {k}" for k in range(200)]
        rare = [f"rare {seed} {k}" for k in range(num)]
        own = records(common + rare, ["common"] * 200 + ["rare"] * num)
        side = sides(split(own), len(own))[200:]
        wanted = [{"train"}, {"train", "test"}, {"train", "test", "valid"}][min(num, 3) - 1]
        assert set(side) == wanted


def test_the_row_that_is_moved_has_the_lowest_hash():
    for seed in range(50):
        own = records([f"{seed} {k}" for k in range(103)], ["common"] * 100 + ["rare"] * 3)
        bare = Records(**{**vars(own), "schema": Schema(COLUMNS[:1])})
        if set(sides(split(bare), 103)[100:]) != {"train"}:
            continue
        # By a threshold alone, a lower share of test and validation takes the lowest hashes first.
        ranks = [
            min(t for t in np.linspace(0, 1, 201) if k in split_off(bare, float(t)).valid) for k in (100, 101, 102)
        ]
        order = [100 + int(k) for k in np.argsort(ranks)]
        found = split(own)
        assert order[0] in found.test
        assert order[1] in found.valid
        assert order[2] in found.train
        return
    raise AssertionError("no case was found")


def test_moving_a_group_takes_no_class_from_a_side_that_needs_it():
    """Groups of several classes: whatever is moved, every class is in train."""
    for seed in range(60):
        rng = random.Random(seed)
        num = 40
        own = records(
            [f"{seed} {k}" for k in range(num)],
            [f"class {rng.randrange(8)}" for _ in range(num)],
            [f"user {rng.randrange(12)}" for _ in range(num)],
        )
        found = split(own)
        labels = np.array(own.values("label"))
        assert set(labels[found.train]) == set(labels)
        for label in set(labels):
            if len(set(own.groups[labels == label].tolist())) == 1:
                assert (labels[found.train] == label).sum() == (labels == label).sum()


def test_a_side_without_a_share_stays_empty():
    own = made(300, classes=100)
    found = split_off(own, 0.2)
    assert len(found.test) == 0
    assert 20 < len(found.valid) < 120
    assert len(split(own, shares=(1.0, 0.0, 0.0)).train) == len(own)


def test_deviation_by_hand():
    own = made(400, classes=3)
    found = split(own)
    labels = np.array(own.values("label"))
    whole = {label: (labels == label).mean() for label in set(labels)}
    for name in SIDES:
        part = labels[getattr(found, name)]
        worst = max(abs((part == label).mean() - share) for label, share in whole.items())
        assert found.deviation[name] == pytest.approx(worst)


def test_folds_are_as_even_as_scikit_learns():
    for seed, num in enumerate((80, 101, 503)):
        rng = random.Random(seed)
        labels = [f"class {min(rng.randrange(3), rng.randrange(3))}" for _ in range(num)]
        own = records([f"{seed} {k}" for k in range(num)], labels)
        fold, names = folds(own), np.array(labels)
        theirs = np.empty(num, int)
        for k, (_, held) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(names, names)):
            theirs[held] = k

        def spread(places, names=names):
            counts = [np.bincount(places[names == name], minlength=5) for name in sorted(set(names))]
            return max(np.ptp(count) for count in counts), np.ptp(np.bincount(places, minlength=5))

        assert spread(fold)[0] <= spread(theirs)[0] == 1
        assert spread(fold)[1] <= max(1, spread(theirs)[1])


def test_folds_with_large_groups():
    own = made(600, classes=3, users=30)
    fold = folds(own)
    sizes = np.bincount(fold, minlength=5)
    assert sizes.min() > 0.6 * 600 / 5
    assert sizes.max() < 1.4 * 600 / 5
    assert set(folds(own, 3).tolist()) == {0, 1, 2}


def test_one_group_is_one_fold():
    own = records(["a", "b", "c"], ["x", "y", "x"], ["u", "u", "u"])
    assert len(set(folds(own).tolist())) == 1


def test_where_a_text_stands_is_the_same_for_good():
    """Hashes that changed with a library or a machine would move test rows into training data."""
    own = records(["姚明宣布退役", "苹果发布新手机", "ＡＢＣ　公司上市"], ["x", "y", "x"])
    from hashlib import blake2b

    for text, group in zip(["姚明宣布退役", "苹果发布新手机", "ABC 公司上市"], own.groups.tolist(), strict=True):
        assert group == int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def test_without_classes_no_side_is_empty_and_too_few_groups_are_refused():
    schema = Schema((COLUMNS[0], Column("price", "target", "number", ""), Column("user", "group", "id", "")))

    def made_of(groups: int) -> Records:
        rows = [{"text": f"text {k}", "price": k, "user": k % groups} for k in range(600)]
        return clean(read(rows), schema)

    for groups in (3, 4, 5, 40):
        found = split(made_of(groups))
        assert min(len(found.train), len(found.valid), len(found.test)) > 0
    with pytest.raises(UserError, match="2 different groups cannot fill 3 sides"):
        split(made_of(2))
