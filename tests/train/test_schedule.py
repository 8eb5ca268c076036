"""The learning rate is a pure function of the step."""

import math
from typing import get_args

import pytest

from zaowu.train.optim.schedule import Shape, rate


def shares(shape: Shape, *, warmup: float = 0.1) -> list[float]:
    return [rate(step, num_steps=100, warmup=warmup, shape=shape) for step in range(100)]


def test_linear_rises_then_falls_to_nothing() -> None:
    found = shares("linear")
    assert found[0] == pytest.approx(0.1)
    assert found[9] == pytest.approx(1.0)
    assert found[55] == pytest.approx(0.5)
    assert found[99] == pytest.approx(1 / 90)
    assert rate(120, num_steps=100, warmup=0.1) == 0.0


def test_cosine_falls_to_a_tenth() -> None:
    found = shares("cosine")
    assert found[9] == found[10] == pytest.approx(1.0)
    assert found[55] == pytest.approx(0.55)  # half way: the middle of 1 and 0.1
    assert found[32] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 22 / 90)) / 2)
    assert rate(100, num_steps=100, warmup=0.1, shape="cosine") == pytest.approx(0.1)
    assert rate(120, num_steps=100, warmup=0.1, shape="cosine") == pytest.approx(0.1)


def test_wsd_is_flat_until_the_last_fifth() -> None:
    found = shares("wsd")
    assert found[9:81] == [1.0] * 72
    assert found[85] == pytest.approx(1 - math.sqrt(5 / 20))
    assert found[99] == pytest.approx(1 - math.sqrt(19 / 20))
    assert rate(100, num_steps=100, warmup=0.1, shape="wsd") == 0.0


def test_before_its_decay_wsd_does_not_depend_on_the_length() -> None:
    short = [rate(step, num_steps=100, warmup=0.1, shape="wsd") for step in range(80)]
    long = [rate(step, num_steps=1000, warmup=0.01, shape="wsd") for step in range(80)]
    assert short == long


@pytest.mark.parametrize("shape", get_args(Shape))
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.95, 1.0])
def test_a_shape_rises_falls_and_stays_in_its_bounds(shape, warmup) -> None:
    found = shares(shape, warmup=warmup)
    top = found.index(1.0)
    assert top == max(0, round(100 * warmup) - 1)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert min(found) > 0
    assert rate(0, num_steps=1, warmup=warmup, shape=shape) == 1.0
