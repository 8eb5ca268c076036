"""Masking by its distribution over many draws."""

import numpy as np
import pytest
from made_shards import BETWEEN, MASK, ORDINARY, PIECES, START, UNKNOWN, made_shard, shard_of

from zaowu.objectives import Recipe
from zaowu.objectives.masked import Masked

SHARD = made_shard(600, words=True)


def corrupted(objective: Masked, *, shard=SHARD, epoch=0, index=None):
    """The plan, its rows as they were, the answers, and the rows as they are now."""
    plan = objective.plan(shard, epoch=epoch)
    index = np.arange(len(plan)) if index is None else index
    rows = objective.rows(shard, plan, index, epoch=epoch)
    before = rows.ids.copy()
    return plan, before, objective.answers(rows), rows


def close(share: float, expected: float, count: int) -> bool:
    """Within four standard errors."""
    return abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_shares_are_those_of_the_paper():
    """Long rows, where that at least one token is chosen changes nothing."""
    _, before, answers, rows = corrupted(Masked(Recipe(pieces=PIECES, length=512)))
    chosen = answers >= 0
    ordinary = before >= ORDINARY
    assert close(chosen[ordinary].mean(), 0.15, ordinary.sum())
    assert (answers[chosen] == before[chosen]).all() and (rows.ids[~chosen] == before[~chosen]).all()
    now, then = rows.ids[chosen], before[chosen]
    assert close((now == MASK).mean(), 0.8, len(now))
    assert close((now == then).mean(), 0.1 + 0.1 / (PIECES.count - ORDINARY), len(now))
    drawn = now[(now != MASK) & (now != then)]
    assert close(len(drawn) / len(now), 0.1, len(now))
    assert drawn.min() >= ORDINARY
    halves = np.bincount(drawn >= (ORDINARY + PIECES.count) // 2, minlength=2)
    assert close(halves[0] / halves.sum(), 0.5, halves.sum())


def test_places_are_chosen_evenly_along_a_row():
    _, _, answers, rows = corrupted(Masked(Recipe(pieces=PIECES, length=512)))
    ordinary = answers >= 0
    for low, high in ((1, 100), (100, 200), (200, 511)):
        part = (rows.place >= low) & (rows.place < high) & ((rows.ids >= ORDINARY) | ordinary)
        assert close((answers[part] >= 0).mean(), 0.15, part.sum())


def test_special_pieces_are_never_touched():
    shard = shard_of([[[UNKNOWN, 50, UNKNOWN, 51] * 20] for _ in range(60)])
    _, before, answers, rows = corrupted(Masked(Recipe(pieces=PIECES, length=128)), shard=shard)
    special = before < ORDINARY
    assert special.sum() > 2000 and (answers[special] == -1).all() and (rows.ids[special] == before[special]).all()
    assert (answers >= 0).any()


def test_a_row_of_few_tokens_has_an_answer_and_one_of_none_has_none():
    shard = shard_of([[[70, 71, 72, 73, 74, 75]] for _ in range(40)])
    plan, _, answers, rows = corrupted(Masked(Recipe(pieces=PIECES, length=8)), shard=shard)
    assert len(plan) == 40 and (np.bincount(rows.row, weights=answers >= 0) >= 1).all()
    assert set(rows.place[answers >= 0].tolist()) == {1, 2, 3, 4, 5, 6}
    only_unknown = shard_of([[[UNKNOWN] * 5]])
    _, _, answers, _ = corrupted(Masked(Recipe(pieces=PIECES, length=8)), shard=only_unknown)
    assert (answers == -1).all()


def test_whole_words_are_chosen_whole_at_the_same_share():
    _, before, answers, rows = corrupted(Masked(Recipe(pieces=PIECES, length=512, whole_word=True)))
    starts = rows.starts_word | (before < ORDINARY)
    starts[1:] |= before[:-1] < ORDINARY
    chosen = answers >= 0
    assert (chosen[1:] == chosen[:-1])[~starts[1:]].all()
    words = starts & (before >= ORDINARY)
    assert close(chosen[words].mean(), 0.15, words.sum())
    ordinary = before >= ORDINARY
    size = np.bincount(np.cumsum(starts)[ordinary])
    error = np.sqrt(0.15 * 0.85 * (size.astype(float) ** 2).sum()) / ordinary.sum()
    assert abs(chosen[ordinary].mean() - 0.15) < 4 * error
    _, _, apart, _ = corrupted(Masked(Recipe(pieces=PIECES, length=512)))
    assert not ((apart >= 0)[1:] == (apart >= 0)[:-1])[~starts[1:]].all()


def test_every_epoch_hides_others_and_the_same_row_the_same():
    """A row is drawn by (seed, epoch, id): whatever stands beside it in a batch."""
    shard = shard_of([[list(range(10 + i, 130 + i))] for i in range(30)])  # each document fills a row
    objective = Masked(Recipe(pieces=PIECES, length=128))

    def by_id(objective, epoch, index):
        plan, _, answers, rows = corrupted(objective, shard=shard, epoch=epoch, index=index)
        ends = np.cumsum(rows.lengths)[:-1]
        return {
            int(plan.ids[i]): (own.tolist(), now.tolist())
            for i, own, now in zip(index, np.split(answers, ends), np.split(rows.ids, ends), strict=True)
        }

    whole = by_id(objective, 0, np.arange(30))
    assert by_id(objective, 0, np.array([4, 17, 2])).items() <= whole.items()
    for other in (by_id(objective, 1, np.arange(30)), by_id(Masked(Recipe(pieces=PIECES, seed=1)), 0, np.arange(30))):
        assert other.keys() == whole.keys()
        assert all(other[key][0] != whole[key][0] for key in whole)
    share = np.mean([np.mean((np.array(whole[k][0]) >= 0) & (np.array(other[k][0]) >= 0)) for k in whole])
    assert share < 0.05  # 0.15 squared, were they independent


@pytest.mark.parametrize("length", [16, 64, 200])
def test_packing_loses_and_repeats_no_token(length):
    objective = Masked(Recipe(pieces=PIECES, length=length))
    plan = objective.plan(SHARD, epoch=0)
    order = np.argsort(plan.starts)
    assert plan.starts[order][0] == 0 and plan.stops[order][-1] == SHARD.num_tokens
    assert (plan.starts[order][1:] == plan.stops[order][:-1]).all()
    assert plan.lengths.max() <= length
    rows = objective.rows(SHARD, plan, np.arange(len(plan)), epoch=0)
    assert len(rows.ids) == plan.lengths.sum() and (np.bincount(rows.row) == plan.lengths).all()
    kept = rows.ids[rows.ids >= ORDINARY]
    assert np.array_equal(np.sort(kept), np.sort(SHARD.tokens))


def test_rows_are_full_and_documents_in_them_apart():
    plan, before, _, rows = corrupted(Masked(Recipe(pieces=PIECES, length=128)))
    assert plan.lengths.mean() > 0.97 * 128
    opens = before == START
    assert (rows.positions[opens] == 0).all() and (rows.documents == np.cumsum(opens) - 1 - _first(opens, rows)).all()
    assert (before[np.flatnonzero(opens)[1:] - 1] == BETWEEN).all()
    assert rows.documents.max() > 0


def _first(opens, rows):
    """For each token, how many documents opened in earlier rows."""
    per_row = np.bincount(rows.row, weights=opens).astype(int)
    return np.repeat(np.cumsum(per_row) - per_row, rows.lengths)
