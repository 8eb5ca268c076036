"""Batches of a corpus: every row once an epoch, little padding, and a pure function of (epoch, number)."""

from collections import Counter

import numpy as np
import pytest
import torch
from made_shards import PIECES, MadeFolder, made_folder, made_shard

from zaowu.batching.order import chance
from zaowu.objectives import CHOICES, Recipe, make, parse
from zaowu.train.corpus import BUCKET, KEPT, SURVEYED, CorpusFeed, held_out

TOKENS = 600


def feed_of(text="mlm+nsp", *, folder=None, batch_tokens=TOKENS, **how):
    chosen = make(parse(text), Recipe(pieces=PIECES, **({"length": 64} | how)))
    return CorpusFeed(folder or made_folder(), chosen, batch_tokens=batch_tokens)


def same(one, other) -> bool:
    tensors = [
        [batch.inputs["text"]["ids"], batch.mask, batch.positions, batch.segments, batch.coins, *batch.targets.values()]
        for batch in (one, other)
    ]
    documents = [torch.zeros(0) if batch.documents is None else batch.documents for batch in (one, other)]
    return all(map(torch.equal, *tensors)) and torch.equal(*documents) and np.array_equal(one.ids, other.ids)


@pytest.mark.parametrize("text", CHOICES)
def test_an_epoch_has_every_row_exactly_once(text):
    feed = feed_of(text)
    batches = [feed.batch(0, number) for number in range(feed.num_batches(0))]
    expected = Counter(int(key) for shard in feed.shards.shards[:3] for key in feed.layout.plan(shard, epoch=0).ids)
    assert Counter(int(key) for batch in batches for key in batch.ids) == expected
    assert max(expected.values()) == 1
    with pytest.raises(IndexError):
        feed.batch(0, len(batches))


@pytest.mark.parametrize("text", CHOICES)
def test_tokens_are_known_without_making_a_batch_and_stay_in_the_budget(text):
    feed = feed_of(text)
    for number in range(feed.num_batches(0)):
        assert feed.num_tokens(0, number) == int(feed.batch(0, number).mask.sum()) <= TOKENS


@pytest.mark.parametrize("text", CHOICES)
@pytest.mark.parametrize("batch_tokens", [2048, 512])
def test_padding_wastes_under_three_percent(text, batch_tokens):
    """The smaller batches are enough for a second bucket in each shard."""
    shards = [made_shard(3500, sentences=3, seed=seed) for seed in range(2)]
    feed = feed_of(text, folder=MadeFolder(shards, [0, 1], []), batch_tokens=batch_tokens, length=128)
    assert (feed.num_batches(0) > 2 * BUCKET) == (batch_tokens == 512)
    masks = [feed.batch(0, number).mask for number in range(feed.num_batches(0))]
    real, padded = sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    assert real > 0.97 * padded
    full = [int(mask.sum()) for mask in masks if int(mask.sum()) > batch_tokens - 128]
    assert len(full) >= len(masks) - 2  # one at the end of each shard may be smaller


@pytest.mark.parametrize("text", CHOICES)
def test_a_batch_is_a_function_of_epoch_and_number(text):
    """A feed that has just been opened, in the midst of an epoch, gives what the first one gave in turn."""
    feed = feed_of(text)
    places = [(epoch, number) for epoch in (0, 1) for number in range(feed.num_batches(epoch))]
    first = [feed.batch(*place) for place in places]
    for place, batch in list(zip(places, first, strict=True))[::-7]:
        assert same(feed_of(text).batch(*place), batch)
    assert all(same(feed.batch(*place), batch) for place, batch in zip(places, first, strict=True))
    assert not same(first[0], feed_of(text, seed=1).batch(0, 0))


def test_epochs_visit_shards_and_rows_in_other_orders_and_corrupt_anew():
    feed = feed_of("mlm")
    orders = {tuple(feed.order(epoch).tolist()) for epoch in range(20)}
    assert len(orders) == 6
    batches = [[feed.batch(epoch, number) for number in range(feed.num_batches(epoch))] for epoch in (0, 1)]
    first, second = ([int(key) for batch in own for key in batch.ids] for own in batches)
    assert first != second


def test_batches_of_one_length_do_not_all_come_together():
    feed = feed_of("mlm+nsp", folder=made_folder(num_documents=2000))
    widths = np.array([feed.batch(0, number).mask.shape[1] for number in range(0, feed.num_batches(0), 3)])
    assert abs(np.corrcoef(widths[1:], widths[:-1])[0, 1]) < 0.5 and widths.std() > 3


def test_a_batch_holds_what_the_model_reads():
    feed = feed_of("mlm+nsp", seed=3)
    batch = feed.batch(2, 1)
    rows, width = batch.mask.shape
    ids = batch.inputs["text"]["ids"]
    assert ids.dtype == torch.int32 and (ids[~batch.mask] == PIECES.pad).all()
    assert (batch.targets["masked"][~batch.mask] == -1).all()
    assert batch.targets["masked"].shape == (rows, width) and batch.targets["next_sentence"].shape == (rows,)
    assert batch.by_token == {"masked"} and batch.documents is None
    assert torch.equal(batch.target_mask["next_sentence"], batch.targets["next_sentence"] >= 0)
    assert torch.equal(batch.target_mask["masked"], (batch.targets["masked"] >= 0).any(1))
    assert batch.weights.tolist() == [1.0] * rows
    assert batch.coins.dtype == torch.int64
    assert np.array_equal(batch.coins.numpy().view(np.uint64), chance(batch.ids, seed=3, epoch=2))
    assert (batch.positions.max(1).values == batch.mask.sum(1) - 1).all()


def test_packed_rows_tell_documents_apart():
    feed = feed_of("mlm", length=250)
    batch = next(batch for number in range(99) if not (batch := feed.batch(0, number)).mask.all())
    assert batch.documents is not None and batch.documents.max() > 0
    assert (batch.documents[~batch.mask] == -1).all()


def many_shards(num: int, num_documents: int = 30) -> MadeFolder:
    return MadeFolder([made_shard(num_documents, seed=seed) for seed in range(num)], list(range(num)), [])


def batches_of_epoch(feed, epoch=0) -> list[int]:
    """The tokens of each batch, found by going through the epoch to its end."""
    found = []
    while True:
        try:
            found.append(feed.num_tokens(epoch, len(found)))
            feed.batch(epoch, len(found) - 1)
        except IndexError:
            return found


def test_only_a_few_plans_are_in_memory():
    folder = many_shards(8)
    feed = feed_of("mlm", folder=folder)
    assert len(feed._opened) == 0
    for epoch in range(4):
        folder.opened.clear()
        batches_of_epoch(feed, epoch)
        assert len(folder.opened) == 8 and len(feed._opened) <= KEPT and len(feed._visits) <= KEPT


def test_a_shard_is_planned_when_it_is_come_to():
    """The first batch of an epoch must not wait for a pass over the whole corpus, nor a step for a sum over it."""
    folder = many_shards(12)
    feed = feed_of("mlm", folder=folder)
    feed.batch(0, 0)
    assert len(folder.opened) == 1
    folder.opened.clear()
    assert feed.num_batches(0) > 0 and feed.epoch_tokens(0) > 0
    assert len(folder.opened) <= SURVEYED
    folder.opened.clear()
    feed.order = None  # what an epoch's way is, is worked out once
    for number in range(3):
        feed.batch(0, number)
        feed.num_batches(0)
    assert len(folder.opened) <= 1


@pytest.mark.parametrize("text", CHOICES)
def test_of_many_shards_the_size_of_an_epoch_is_told_from_a_few(text):
    """Also where a source that weighs little fills most of them: its shards alone would say little."""
    shards = [made_shard(60, seed=seed) for seed in range(10)]
    for place, shard in enumerate(shards):
        shard.sources[:] = place >= 4
    folder = MadeFolder(shards, list(range(10)), [])
    for weights in ((), (1.0, 0.02), (0.5, 2.0)):
        feed = feed_of(text, folder=folder, weights=weights)
        tokens = batches_of_epoch(feed)
        assert feed.num_batches(0) == pytest.approx(len(tokens), rel=0.2)
        assert feed.epoch_tokens(0) == pytest.approx(sum(tokens), rel=0.2)


def test_what_an_epoch_holds_is_worked_out_once():
    folder = made_folder()
    feed = feed_of("mlm", folder=folder)
    assert feed.epoch_tokens(0) == sum(feed.num_tokens(0, number) for number in range(feed.num_batches(0)))
    feed.num_batches(3)
    count = len(folder.opened)
    for number in range(5):
        feed.batch(3, number)
        assert feed.epoch_tokens(0) > 0 and feed.num_batches(0) > 0
    assert len(folder.opened) <= count + 2 and len(feed._opened) == KEPT


def test_a_batch_can_be_named():
    feed = feed_of("mlm")
    assert feed.named(0, 0).startswith("rows ") and "of train shard" in feed.named(0, 0)
    assert feed.named(0, 0) != feed.named(0, 1)


def test_what_is_held_out_is_always_the_same_and_of_the_other_side():
    folder = made_folder()
    chosen = make(parse("mlm+nsp"), Recipe(pieces=PIECES, length=64, weights=(0.5, 3.0)))
    first, again = (held_out(folder, chosen, batch_tokens=TOKENS, max_tokens=2000) for _ in range(2))
    assert len(first) == len(again) and all(map(same, first, again))
    assert 2000 <= sum(int(batch.mask.sum()) for batch in first) < 2000 + TOKENS
    assert set(folder.opened) == {3}
    everything = held_out(folder, chosen, batch_tokens=TOKENS, max_tokens=10**9)
    rows = [int(key) for batch in everything for key in batch.ids]
    unweighted = make(parse("mlm+nsp"), Recipe(pieces=PIECES, length=64))
    assert sorted(rows) == sorted(unweighted["next_sentence"].plan(folder.shards[3], epoch=0).ids.tolist())


def test_an_empty_side_has_no_batches():
    folder = MadeFolder([made_shard(5)], [0], [])
    chosen = make(parse("mlm"), Recipe(pieces=PIECES))
    assert held_out(folder, chosen, batch_tokens=TOKENS) == []
    assert CorpusFeed(folder, chosen, batch_tokens=TOKENS, side="valid").num_batches(0) == 0


@pytest.mark.parametrize("text", CHOICES)
def test_sources_that_weigh_nothing_give_nothing_and_others_what_they_weigh(text):
    assert feed_of(text, weights=(0.0, 0.0)).num_batches(0) == 0
    once, twice = (feed_of(text, weights=(0.0, weight)).epoch_tokens(0) for weight in (1.0, 2.0))
    assert once > 0 and 1.9 < twice / once < 2.1
