"""Pairs of spans by their distribution over many draws: next sentence, and sentence order."""

import numpy as np
import pytest
from made_shards import BETWEEN, PIECES, START, made_shard, shard_of

from zaowu.objectives import Recipe
from zaowu.objectives.next_sentence import NextSentence
from zaowu.objectives.sentence_order import SentenceOrder

LENGTH = 96
RECIPE = Recipe(pieces=PIECES, length=LENGTH)
SHARD = made_shard(1500, sentences=12)


def spans(plan):
    """(R, 2) starts and stops of both spans, the rows with two, and their labels."""
    two = np.diff(plan.first) == 2
    first = plan.first[:-1][two]
    starts, stops = (np.stack([own[first], own[first + 1]], 1) for own in (plan.starts, plan.stops))
    return starts, stops, two, plan.labels[two]


def document(shard, token):
    return np.searchsorted(shard.documents, token, side="right") - 1


def half(labels):
    return abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(labels))


def test_half_follow_and_half_are_from_another_document():
    starts, stops, _, labels = spans(NextSentence(RECIPE).plan(SHARD, epoch=0))
    assert len(labels) > 1500 and set(labels) == {0, 1} and half(labels)
    one, other = document(SHARD, starts[:, 0]), document(SHARD, starts[:, 1])
    follows = labels == 0
    assert (one == other)[follows].all() and (stops[:, 0] == starts[:, 1])[follows].all()
    assert (one != other)[~follows].all()


def test_other_documents_are_drawn_evenly():
    shard = made_shard(20, sentences=200, longest=8)
    drawn = np.zeros(20)
    for epoch in range(8):
        starts, _, _, labels = spans(NextSentence(RECIPE).plan(shard, epoch=epoch))
        drawn += np.bincount(document(shard, starts[labels == 1, 1]), minlength=20)
    # Each row draws from all documents but its own: a document's chance is known from where the rows come from.
    assert drawn.min() > 0 and abs(drawn / drawn.sum() - 1 / 20).max() < 0.02


@pytest.mark.parametrize("kind", [NextSentence, SentenceOrder])
def test_spans_are_whole_sentences_and_fit(kind):
    plan = kind(RECIPE).plan(SHARD, epoch=0)
    starts, stops, _, labels = spans(plan)
    assert np.isin(starts, SHARD.sentences).all()  # no sentence here is longer than a row
    whole = np.isin(stops, SHARD.sentences)
    assert whole[:, 0].all() and whole[labels == 0].all() and whole[labels == 1].mean() > 0.98
    assert (stops > starts).all() and plan.lengths.max() <= LENGTH
    assert (document(SHARD, starts) == document(SHARD, stops - 1)).all()


@pytest.mark.parametrize("kind", [NextSentence, SentenceOrder])
def test_the_walk_covers_every_token_once(kind):
    """As A, or as what follows it; B from elsewhere comes on top."""
    plan = kind(RECIPE).plan(SHARD, epoch=0)
    seen = np.zeros(SHARD.num_tokens, int)
    number = np.arange(len(plan.starts)) - np.repeat(plan.first[:-1], np.diff(plan.first))
    labels = np.repeat(plan.labels, np.diff(plan.first))
    own = (number == 0) | (labels == 0) if kind is NextSentence else np.ones(len(labels), bool)
    for start, stop in zip(plan.starts[own], plan.stops[own], strict=True):
        seen[start:stop] += 1
    assert (seen == 1).all()


def test_half_of_the_orders_are_swapped():
    starts, stops, _, labels = spans(SentenceOrder(RECIPE).plan(SHARD, epoch=0))
    assert len(labels) > 1000 and half(labels)
    assert (stops[labels == 0, 0] == starts[labels == 0, 1]).all()
    assert (stops[labels == 1, 1] == starts[labels == 1, 0]).all()


@pytest.mark.parametrize("kind", [NextSentence, SentenceOrder])
def test_the_layout_is_berts(kind):
    objective = kind(RECIPE)
    plan = objective.plan(SHARD, epoch=0)
    _, _, two, _ = spans(plan)
    for row in (np.flatnonzero(two)[0], np.flatnonzero(~two)[0]):
        rows = objective.rows(SHARD, plan, np.array([row]), epoch=0)
        parts = [SHARD.tokens[plan.starts[s] : plan.stops[s]].tolist() for s in range(*plan.first[row : row + 2])]
        expected = [START, *parts[0], BETWEEN]
        segments = [0] * len(expected)
        if two[row]:
            expected, segments = [*expected, *parts[1], BETWEEN], [*segments, *[1] * (len(parts[1]) + 1)]
        assert rows.ids.tolist() == expected and rows.segments.tolist() == segments
        assert rows.positions.tolist() == [*range(len(expected))] and not rows.documents.any()
        assert objective.answers(rows).tolist() == [plan.labels[row]]


@pytest.mark.parametrize("kind", [NextSentence, SentenceOrder])
def test_a_document_of_one_sentence_has_no_answer(kind):
    shard = shard_of([[[20, 21, 22]], [[30, 31], [32]], [[40]]])
    objective = kind(RECIPE)
    plan = objective.plan(shard, epoch=0)
    rows = objective.rows(shard, plan, np.arange(len(plan)), epoch=0)
    alone = [row for row in range(len(plan)) if plan.starts[plan.first[row]] in (0, 6)]
    assert len(alone) >= 2 and (objective.answers(rows)[alone] == -1).all()
    assert (np.diff(plan.first)[alone] == 1).all()


def test_lengths_do_not_give_the_answer_away():
    starts, stops, _, labels = spans(NextSentence(RECIPE).plan(made_shard(4000, sentences=40), epoch=0))
    sizes = stops - starts
    for side in (0, 1):
        follows, other = sizes[labels == 0, side], sizes[labels == 1, side]
        assert abs(follows.mean() - other.mean()) < 0.1 * sizes[:, side].mean()


def test_a_shard_of_one_document_has_no_other_to_draw_from():
    plan = NextSentence(RECIPE).plan(shard_of([[[20 + i] * 5 for i in range(400)]]), epoch=0)
    assert set(plan.labels.tolist()) <= {-1}


@pytest.mark.parametrize("kind", [NextSentence, SentenceOrder])
def test_epochs_differ_and_repeat(kind):
    plans = [kind(RECIPE).plan(SHARD, epoch=epoch) for epoch in (0, 0, 1)]
    assert all(np.array_equal(getattr(plans[0], name), getattr(plans[1], name)) for name in vars(plans[0]))
    assert not np.array_equal(plans[0].starts, plans[2].starts)
    other = kind(Recipe(pieces=PIECES, length=LENGTH, seed=1)).plan(SHARD, epoch=0)
    assert not np.array_equal(plans[0].starts, other.starts)


def test_a_document_is_treated_alike_whatever_stands_beside_it():
    """Its own rows and answers hang on its id alone; only what comes from elsewhere does not."""
    objective = SentenceOrder(RECIPE)
    whole = objective.plan(SHARD, epoch=0)
    first = SHARD.documents[700]
    part = type(SHARD)(
        tokens=SHARD.tokens[first:],
        documents=SHARD.documents[700:] - first,
        sentences=SHARD.sentences[SHARD.sentences >= first] - first,
        ids=SHARD.ids[700:],
        sources=SHARD.sources[700:],
    )
    alone = objective.plan(part, epoch=0)
    known = dict(zip(whole.ids.tolist(), whole.labels.tolist(), strict=True))
    assert all(known[key] == label for key, label in zip(alone.ids.tolist(), alone.labels.tolist(), strict=True))


def test_long_sentences_are_cut_to_fit():
    shard = shard_of([[[20] * 300, [21] * 7], [[30] * 200, [31] * 250]])
    for kind in (NextSentence, SentenceOrder):
        for epoch in range(6):
            plan = kind(RECIPE).plan(shard, epoch=epoch)
            assert plan.lengths.max() <= LENGTH and (plan.stops > plan.starts).all()
