"""Causal rows: no place is wasted, no token sees another document, every label is the next token."""

import numpy as np
import pytest
import torch
from made_shards import END, PIECES, made_shard, shard_of

from zaowu.config import TrunkConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.objectives import Recipe
from zaowu.objectives.causal import Causal, CausalHead

SHARD = made_shard(300)


def whole(length, *, shard=SHARD, epoch=0, seed=0):
    objective = Causal(Recipe(pieces=PIECES, length=length, seed=seed))
    plan = objective.plan(shard, epoch=epoch)
    rows = objective.rows(shard, plan, np.arange(len(plan)), epoch=epoch)
    return plan, rows, objective.answers(rows)


@pytest.mark.parametrize("length", [8, 50, 128])
def test_rows_are_exactly_full_and_lose_nothing(length):
    plan, rows, _ = whole(length)
    assert (plan.lengths[:-1] == length).all() and 0 < plan.lengths[-1] <= length
    assert plan.lengths.sum() == SHARD.num_tokens + SHARD.num_documents == len(rows.ids)
    # Cut at its end pieces, the stream is the documents again, each once.
    ends = np.flatnonzero(rows.ids == END)
    found = sorted(tuple(part[:-1].tolist()) for part in np.split(rows.ids, ends + 1)[:-1])
    documents = np.split(SHARD.tokens, SHARD.documents[1:-1])
    assert found == sorted(tuple(document.tolist()) for document in documents)


def test_labels_by_hand():
    shard = shard_of([[[10, 11, 12]], [[20, 21], [22, 23, 24, 25]]])
    _, rows, answers = whole(8, shard=shard)
    first = [[10, 11, 12, END], [20, 21, 22, 23, 24, 25, END]]
    first = first if rows.ids[0] == 10 else first[::-1]
    stream = [*first[0], *first[1]]
    assert rows.ids.tolist() == stream
    cut = len(first[0])
    expected = [-1 if i in (cut - 1, 7, 10) else stream[i + 1] for i in range(11)]
    assert answers.tolist() == expected
    assert rows.documents.tolist() == [0] * cut + [1] * (8 - cut) + [0] * 3
    assert rows.positions.tolist() == [*range(cut), *range(8 - cut), *range(3)]


def test_labels_are_the_next_token_of_the_same_document():
    _, rows, answers = whole(50)
    known = np.flatnonzero(answers >= 0)
    assert (answers[known] == rows.ids[known + 1]).all()
    assert (rows.row[known] == rows.row[known + 1]).all() and (rows.ids[known] != END).all()
    unknown = np.flatnonzero(answers < 0)
    last = (rows.place[unknown] == rows.lengths[rows.row[unknown]] - 1) | (rows.ids[unknown] == END)
    assert last.all()


def test_every_epoch_has_an_order_of_its_own():
    first, again, other = (whole(50, epoch=epoch)[1].ids.tolist() for epoch in (0, 0, 1))
    assert first == again and first != other and first != whole(50, seed=1)[1].ids.tolist()


def test_an_untied_head_has_its_own_table_and_a_tied_one_the_inputs():
    config = TrunkConfig(dim=8, num_layers=1, causal=True)
    table = TokenEmbedding(PIECES.count, 8, pad_id=0)
    own = CausalHead(config, table, tied=False)
    assert list(own.state_dict()) == ["weight"] and not table.tied and own.table is own.weight
    tied = CausalHead(config, table, tied=True)
    assert not tied.state_dict() and table.tied and tied.table is table.weight
    own.initialise(torch.Generator().manual_seed(0))
    assert 0.015 < float(own.weight.detach().std()) < 0.025


def test_a_trunk_that_sees_ahead_is_our_bug():
    with pytest.raises(AssertionError):
        CausalHead(TrunkConfig(dim=8), TokenEmbedding(10, 8, pad_id=0), tied=True)
