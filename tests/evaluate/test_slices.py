import numpy as np
import pytest

from zaowu.evaluate import slices
from zaowu.metrics import wilson_interval


def test_quarters_by_length():
    lengths = list(range(1, 101))
    correct = np.array(lengths) <= 60
    found = slices.by_length(correct, lengths)
    assert [(part.name, part.rows) for part in found] == [("1-25", 25), ("26-50", 25), ("51-75", 25), ("76-100", 25)]
    assert [part.score.value for part in found] == [1, 1, 0.4, 0]
    assert (found[2].score.low, found[2].score.high) == wilson_interval(10, 25)


def test_equal_lengths_stay_together():
    found = slices.by_length(np.ones(10, bool), [7] * 8 + [9, 12])
    assert [(part.name, part.rows) for part in found] == [("7", 8), ("9-12", 2)]
    assert [part.name for part in slices.by_length(np.ones(3, bool), [5, 5, 5])] == ["5"]
    assert slices.by_length(np.ones(0, bool), []) == []


def test_slices_by_value_are_the_frequent_ones():
    values = ["a"] * 30 + ["b"] * 6 + ["c"] * 4 + [None] * 5 + [""] * 2
    correct = np.array([value == "a" for value in values])
    correct[0] = False
    found = slices.by_value(correct, values)
    assert [(part.name, part.rows) for part in found] == [("a", 30), ("(empty)", 7), ("b", 6)]
    assert found[0].score.value == pytest.approx(29 / 30) and found[1].score.value == 0
    assert [part.name for part in slices.by_value(correct, values, limit=1)] == ["a"]
    assert len(slices.by_value(np.ones(200, bool), [i % 20 for i in range(200)])) == 12


def test_figures_that_are_no_shares_have_the_interval_of_their_mean():
    figures = np.random.default_rng(0).lognormal(size=400)
    (only,) = slices.by_value(figures, ["a"] * 400)
    half = 1.96 * figures.std() / 20
    assert only.score.value == pytest.approx(figures.mean())
    assert (only.score.low, only.score.high) == pytest.approx((figures.mean() - half, figures.mean() + half), rel=0.05)
    assert slices.by_length(np.array([2.5]), [7])[0].score.low is None  # one row says nothing of chance
