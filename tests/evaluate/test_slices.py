import numpy as np
import pytest

from zaowu.evaluate import slices
from zaowu.metrics import wilson_interval
from zaowu.targets.category import CategoryPrediction


def test_quarters_by_length():
    lengths = list(range(1, 101))
    correct = np.array(lengths) <= 60
    found = slices.by_length(correct, lengths)
    assert [(part.name, part.rows) for part in found] == [("1-25", 25), ("26-50", 25), ("51-75", 25), ("76-100", 25)]
    assert [part.accuracy.value for part in found] == [1, 1, 0.4, 0]
    assert (found[2].accuracy.low, found[2].accuracy.high) == wilson_interval(10, 25)


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
    assert found[0].accuracy.value == pytest.approx(29 / 30) and found[1].accuracy.value == 0
    assert [part.name for part in slices.by_value(correct, values, limit=1)] == ["a"]
    assert len(slices.by_value(np.ones(200, bool), [i % 20 for i in range(200)])) == 12


def test_worst_mistakes_are_the_surest_first():
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95], [0.8, 0.2]])
    found = slices.worst_mistakes(CategoryPrediction(given, ("a", "b")), ["b", "b", "a", "x", "b"])
    assert [mistake.index for mistake in found] == [3, 0, 4, 2]
    first, second = found[:2]
    assert (first.label, first.predicted, first.confidence, first.probability) == ("x", "b", 0.95, 0.0)
    assert (second.label, second.predicted, second.probability) == ("b", "a", 0.1)
    assert len(slices.worst_mistakes(CategoryPrediction(given, ("a", "b")), ["b"] * 5, limit=1)) == 1
    assert slices.worst_mistakes(CategoryPrediction(given, ("a", "b")), ["a", "b", "b", "b", "a"]) == []
