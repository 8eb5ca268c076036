"""Order and chance hang on ids, seed and epoch alone."""

import numpy as np
import pytest

from zaowu.batching.order import BUCKET, chance, predict_batches, train_batches

IDS = np.random.default_rng(0).integers(0, 2**64, 5000, dtype=np.uint64)
LENGTHS = np.random.default_rng(1).integers(3, 60, 5000)


def test_chance_is_even_and_independent_of_neighbours() -> None:
    """A uniform draw over 2**64: each of 16 bins holds its share within five standard deviations."""
    drawn = chance(np.arange(160_000, dtype=np.uint64), seed=0, epoch=0)
    counts = np.bincount((drawn >> np.uint64(60)).astype(int), minlength=16)
    assert abs(counts - 10_000).max() < 5 * np.sqrt(10_000)
    alone = chance(np.array([7], np.uint64), seed=0, epoch=0)
    assert alone[0] == drawn[7]


@pytest.mark.parametrize("other", [{"seed": 1, "epoch": 0}, {"seed": 0, "epoch": 1}])
def test_seed_and_epoch_change_every_draw(other: dict) -> None:
    assert not (chance(IDS, seed=0, epoch=0) == chance(IDS, **other)).any()


def test_an_epoch_sees_every_record_once() -> None:
    batches = train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(5000))
    assert max(map(len, batches)) == 32


def test_epochs_differ_and_repeat() -> None:
    first = [b.tolist() for b in train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=0)]
    again = [b.tolist() for b in train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=0)]
    second = [b.tolist() for b in train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=1)]
    assert first == again
    assert first != second


def test_batches_hold_similar_lengths() -> None:
    """Padding is under a tenth, where batches drawn blindly would waste four tenths."""
    batches = train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=0)
    padded = sum(len(b) * LENGTHS[b].max() for b in batches)
    assert padded < 1.1 * LENGTHS.sum()
    blind = sum(32 * LENGTHS[i : i + 32].max() for i in range(0, 5000, 32))
    assert blind > 1.4 * LENGTHS.sum()


def test_long_batches_do_not_all_come_last() -> None:
    batches = train_batches(LENGTHS, IDS, batch_size=32, seed=0, epoch=0)
    longest = [LENGTHS[b].max() for b in batches[:BUCKET]]
    assert np.ptp(longest) > 40
    assert (np.diff(longest) < 0).sum() > 10


def test_prediction_batches_stay_within_their_budget() -> None:
    batches = predict_batches(LENGTHS, max_tokens=512, max_items=16)
    assert sorted(np.concatenate(batches)) == list(range(5000))
    assert all(len(b) <= 16 and len(b) * LENGTHS[b].max() <= 512 for b in batches)


def test_one_item_beyond_the_budget_goes_alone() -> None:
    batches = predict_batches(np.array([3, 900, 3]), max_tokens=512)
    assert [len(b) for b in batches] == [2, 1]


def test_nothing_to_predict_is_no_batch() -> None:
    assert predict_batches(np.array([], np.int64)) == []
