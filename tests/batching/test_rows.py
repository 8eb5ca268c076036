"""Documents become rows: nothing is lost, nothing comes twice, and rows are as full as can be."""

import numpy as np
import pytest
from made_shards import BETWEEN, START, made_shard, shard_of

import zaowu.batching.rows as rows_module
from zaowu.batching.rows import cut, cut_at, documents_of, draw, grouped, lay_out, pack, ranges
from zaowu.batching.shards import Shard


def test_ranges_follow_one_another():
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.array([], np.int64), np.array([], np.int64)).tolist() == []


def test_draws_are_even_and_stay_below():
    chances = np.arange(70_000, dtype=np.uint64)
    counts = np.bincount(draw(chances, 1, 7), minlength=7)
    assert len(counts) == 7 and abs(counts - 10_000).max() < 4 * np.sqrt(10_000 * 6 / 7)
    both = np.corrcoef(draw(chances, 1, 1000), draw(chances, 2, 1000))[0, 1]
    assert abs(both) < 4 / np.sqrt(70_000)


def test_long_documents_are_cut_at_sentence_ends():
    shard = shard_of([[[6] * 4, [7] * 4, [8] * 5], [[9] * 3]])
    owner, starts, stops = cut(shard, np.array([0, 1]), room=9)
    assert owner.tolist() == [0, 0, 1]
    assert (starts.tolist(), stops.tolist()) == ([0, 8, 13], [8, 13, 16])


def test_a_sentence_beyond_the_room_is_cut_where_it_must_be():
    shard = shard_of([[[6] * 2, [7] * 25, [8] * 3]])
    _, starts, stops = cut(shard, np.array([0]), room=10)
    assert stops.tolist() == [2, 12, 22, 30] and starts.tolist() == [0, 2, 12, 22]
    assert cut_at(shard.sentences, np.array([0]), np.array([30]), 1).tolist() == [1]


@pytest.mark.parametrize("room", [7, 30, 500])
def test_cutting_loses_and_repeats_nothing(room):
    shard = made_shard(80, longest=40)
    owner, starts, stops = cut(shard, np.arange(80), room=room)
    assert starts[0] == 0 and stops[-1] == shard.num_tokens and (starts[1:] == stops[:-1]).all()
    assert (stops - starts).max() <= room and (stops > starts).all()
    assert (shard.documents[owner] <= starts).all() and (stops <= shard.documents[owner + 1]).all()


def test_a_book_is_cut_as_quickly_as_articles(monkeypatch):
    """Its pieces are few more than it needs, and they are found some thousands at a time."""
    rounds = []
    real = cut_at
    monkeypatch.setattr(rows_module, "cut_at", lambda *given: rounds.append(1) or real(*given))
    shard = made_shard(1, sentences=1, longest=1)
    ends = np.arange(0, 1_000_001, 7)
    book = Shard(
        tokens=np.zeros(ends[-1], np.uint16), documents=ends[[0, -1]], sentences=ends, ids=shard.ids,
        sources=shard.sources,
    )  # fmt: skip
    _, starts, stops = cut(book, np.array([0]), room=126)
    assert len(rounds) < 200 and len(starts) < 1.05 * len(book.tokens) / 126
    assert starts[0] == 0 and stops[-1] == ends[-1] and (starts[1:] == stops[:-1]).all()


def test_packing_fills_rows_and_overfills_none():
    rng = np.random.default_rng(0)
    sizes = np.sort(rng.integers(3, 129, 5000))[::-1]
    rows = pack(sizes, room=128)
    filled = np.bincount(rows, weights=sizes)
    assert filled.max() <= 128 and filled.min() > 0
    assert filled.mean() > 0.99 * 128


def test_packing_by_hand():
    assert pack(np.array([6, 5, 4, 3, 2]), room=10).tolist() == [0, 1, 0, 1, 1]
    assert pack(np.array([], np.int64), room=10).tolist() == []


def test_sources_weigh_what_they_are_given():
    shard = made_shard(4000)
    places, ids = documents_of(shard, seed=0, epoch=0, weights=(2.0, 0.3))
    counts = np.bincount(places, minlength=4000)
    assert (counts[shard.sources == 0] == 2).all()
    others = counts[shard.sources == 1]
    assert set(others) == {0, 1} and abs(others.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)
    assert len(np.unique(ids)) == len(ids)  # copies have chances of their own
    again, _ = documents_of(shard, seed=0, epoch=1, weights=(2.0, 0.3))
    assert not np.array_equal(places, again)


def test_without_weights_every_document_comes_once_except_empty_ones():
    shard = shard_of([[[6, 7]], [[]], [[8]]])
    places, ids = documents_of(shard, seed=0, epoch=0)
    assert places.tolist() == [0, 2] and ids.tolist() == shard.ids[[0, 2]].tolist()


def laid_out(apart: bool, index: list[int], shard: Shard | None = None):
    """Rows [6 7] [8] and [9 10 11] of two documents and one."""
    shard = shard or shard_of([[[6, 7], [8]], [[9, 10, 11]]])
    starts, stops = np.array([0, 2, 3]), np.array([2, 3, 6])
    extra = np.array([2, 2, 2]) if apart else np.array([2, 1, 2])
    plan = grouped(np.array([0, 0, 1]), shard.ids[[0, 0, 1]], starts, stops, extra, np.ones(3, bool))
    how = {"seed": 0, "epoch": 0, "opening": START, "closing": BETWEEN}
    return plan, lay_out(shard, plan, np.array(index), **how, apart=apart)


def test_spans_apart_are_documents_of_their_own():
    plan, rows = laid_out(True, [0, 1])
    assert plan.lengths.tolist() == [7, 5]
    assert rows.ids.tolist() == [START, 6, 7, BETWEEN, START, 8, BETWEEN, START, 9, 10, 11, BETWEEN]
    assert rows.documents.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert rows.positions.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]
    assert not rows.segments.any()
    assert rows.row.tolist() == [0] * 7 + [1] * 5 and rows.place.tolist() == [*range(7), *range(5)]


def test_spans_of_one_document_are_its_segments():
    plan, rows = laid_out(False, [1, 0])
    assert plan.lengths.tolist() == [6, 5]
    assert rows.ids.tolist() == [START, 9, 10, 11, BETWEEN, START, 6, 7, BETWEEN, 8, BETWEEN]
    assert rows.segments.tolist() == [0] * 5 + [0, 0, 0, 0, 1, 1]
    assert rows.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5]
    assert not rows.documents.any()


def test_a_row_is_the_same_in_any_batch():
    _, both = laid_out(True, [0, 1])
    _, alone = laid_out(True, [1])
    assert alone.chances[0] == both.chances[1] and alone.ids.tolist() == both.ids[7:].tolist()
