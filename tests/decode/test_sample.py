"""What is drawn: shares, limits and seeds; and the penalties by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from zaowu.config import WriteConfig
from zaowu.decode import check, without_effect
from zaowu.decode.penalty import History, bent
from zaowu.decode.sample import AT_ONCE, pick
from zaowu.errors import UserError

SHARES = torch.tensor([0.4, 0.1, 0.25, 0.05, 0.2])
DRAWS = 20_000


def shares(logits: Tensor, config: WriteConfig) -> np.ndarray:
    """(V,) how often each token comes, over many rows."""
    many = logits.expand(DRAWS, -1)
    found = pick(many, config, rows=np.arange(DRAWS), step=3)
    return np.bincount(found.numpy(), minlength=len(logits)) / DRAWS


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"temperature": 1.0}, SHARES),
        ({"temperature": 0.5}, SHARES**2 / (SHARES**2).sum()),
        ({"temperature": 2.0}, SHARES**0.5 / (SHARES**0.5).sum()),
        ({"temperature": 1.0, "top_k": 2}, torch.tensor([0.4, 0, 0.25, 0, 0]) / 0.65),
        ({"temperature": 1.0, "top_p": 0.7}, torch.tensor([0.4, 0, 0.25, 0, 0.2]) / 0.85),
        ({"temperature": 1.0, "top_p": 0.64}, torch.tensor([0.4, 0, 0.25, 0, 0]) / 0.65),
        ({"temperature": 1.0, "top_k": 3, "top_p": 0.5}, torch.tensor([0.4, 0, 0.25, 0, 0]) / 0.65),
        ({"temperature": 1.0, "top_p": 1e-9}, torch.tensor([1.0, 0, 0, 0, 0])),
        ({"temperature": 1e-6}, torch.tensor([1.0, 0, 0, 0, 0])),
        ({"temperature": 0.0}, torch.tensor([1.0, 0, 0, 0, 0])),
    ],
)
def test_tokens_come_as_often_as_they_should(choices, expected):
    """Five standard deviations around the share; what must not come never does."""
    found = shares(SHARES.log() + 3.0, WriteConfig(**choices))
    wide = 5 * np.sqrt(expected.numpy() * (1 - expected.numpy()) / DRAWS)
    assert np.all(np.abs(found - expected.numpy()) <= wide + 1e-6)
    assert np.all(found[expected.numpy() == 0] == 0)


def test_the_fewest_likeliest_may_be_more_than_are_looked_at_first():
    """All tokens alike: half of the probability is half of the tokens."""
    logits = torch.zeros(3 * AT_ONCE)
    config = WriteConfig(temperature=1.0, top_p=0.5)
    found = pick(logits.expand(DRAWS, -1), config, rows=np.arange(DRAWS), step=0)
    assert len(found.unique()) == pytest.approx(1.5 * AT_ONCE, abs=2)


def test_chance_depends_on_seed_row_and_step_alone():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    rows = np.arange(6)

    def draw(seed: int, step: int, some: list[int]) -> list[int]:
        config = WriteConfig(temperature=5.0, seed=seed)
        return pick(logits[some], config, rows=rows[some], step=step).tolist()

    whole = draw(1, 2, [0, 1, 2, 3, 4, 5])
    assert draw(1, 2, [4, 1]) == [whole[4], whole[1]]
    assert len({tuple(draw(seed, step, [0, 1, 2, 3, 4, 5])) for seed in range(5) for step in range(5)}) == 25


def test_a_share_of_nearly_one_takes_the_last_token_that_may_come(monkeypatch):
    from zaowu.decode import sample

    monkeypatch.setattr(sample, "chance", lambda ids, **_: np.full(len(ids), 2**64 - 1, np.uint64))
    logits = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])
    assert pick(logits, WriteConfig(temperature=1.0), rows=np.arange(1), step=0).tolist() == [1]


def test_the_repetition_penalty_by_hand():
    history = History([[1, 1, 3], [2]])
    logits = torch.tensor([[1.0, 2.0, -3.0, -4.0], [1.0, 2.0, -3.0, -4.0]])
    got = bent(logits, history, WriteConfig(repeat_penalty=2.0))
    assert got.tolist() == [[1.0, 1.0, -3.0, -8.0], [1.0, 2.0, -6.0, -4.0]]


def test_runs_that_were_there_do_not_come_again_by_hand():
    history = History([[5, 1, 2, 5, 1], [7]])
    for tokens in ((2, 7), (5, 7), (1, 7)):
        history.add(tokens)  # 5 1 2 5 1 2 5 1 | 7 7 7 7
    got = bent(torch.zeros(2, 9), history, WriteConfig(no_repeat=3))
    assert torch.nonzero(got == -torch.inf).tolist() == [[0, 2], [1, 7]]
    got = bent(torch.zeros(2, 9), history, WriteConfig(no_repeat=1))
    assert torch.nonzero(got == -torch.inf).tolist() == [[0, 1], [0, 2], [0, 5], [1, 7]]
    assert bool((bent(torch.zeros(2, 9), history, WriteConfig(no_repeat=9)) == 0).all())
    history.select([1])
    assert bent(torch.zeros(1, 9), history, WriteConfig(no_repeat=4))[0, 7] == -torch.inf


def test_a_history_outgrows_what_was_made_for_it():
    history = History([[1, 2]])
    for token in range(300):
        history.add([token])
    assert history.known[0].tolist() == [1, 2, *range(300)]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"max_tokens": 0}, "--max-tokens: expected a number from 1 to 1,000,000, got 0."),
        ({"beams": 10_000}, "--beams: expected a number from 1 to 64, got 10,000."),
        ({"temperature": -0.5}, "--temperature: expected a number from 0 to 100, got -0.5."),
        ({"temperature": float("nan")}, "--temperature: expected a number"),
        ({"top_k": -1}, "--top-k: expected"),
        ({"top_p": 0.0}, "--top-p: expected a share"),
        ({"top_p": 1.5}, "--top-p: expected a share"),
        ({"repeat_penalty": 0.0}, "--repeat-penalty: expected"),
        ({"length_penalty": 1e9}, "--length-penalty: expected"),
        ({"no_repeat": -2}, "--no-repeat: expected"),
        ({"stop": ("a", "")}, "--stop: expected some text"),
        ({"beams": 2, "temperature": 0.7}, "choose one of them"),
    ],
)
def test_choices_that_make_no_sense_are_one_sentence(choices, words):
    with pytest.raises(UserError) as caught:
        check(WriteConfig(**choices))
    assert words in str(caught.value) and str(caught.value).count("\n") == 0


def test_choices_without_effect_are_named():
    assert without_effect(WriteConfig()) == without_effect(WriteConfig(temperature=1.0, top_k=3)) == []
    found = without_effect(WriteConfig(top_k=3, top_p=0.5, length_penalty=2.0))
    assert [sentence.split()[0] for sentence in found] == ["--top-k", "--top-p", "--length-penalty"]
