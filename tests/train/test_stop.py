"""When to stop is a pure function of what was measured."""

import math
from dataclasses import replace

import pytest

from zaowu import targets
from zaowu.train.stop import Point, best, reason_to_stop


def history(*scores: tuple[float, float], noise: float = 0.0) -> list[Point]:
    """Points of (macro-F1, log-loss)."""
    return [
        Point(
            epoch=i + 1,
            step=10 * (i + 1),
            train_loss=1.0,
            lr=0.1,
            seconds=1.0,
            valid={"macro_f1": f1, "log_loss": loss},
            rank=(f1, -loss),
            noise=noise,
        )
        for i, (f1, loss) in enumerate(scores)
    ]


def test_goes_on_while_it_gains() -> None:
    assert reason_to_stop(history((0.5, 1.0), (0.6, 1.0)), epochs=9, patience=1) is None


def test_stops_after_patience_without_a_gain() -> None:
    points = history((0.6, 1.0), (0.5, 1.0), (0.6, 1.1))
    assert reason_to_stop(points[:2], epochs=9, patience=2) is None
    assert reason_to_stop(points, epochs=9, patience=2) == "no gain on validation in 2 evaluations"


def test_a_gain_in_the_loss_alone_keeps_training_alive() -> None:
    points = history((0.6, 1.0), (0.6, 0.9), (0.5, 0.1))
    assert best(points) is points[1]
    assert reason_to_stop(points, epochs=9, patience=2) is None


def test_the_later_of_equals_is_kept() -> None:
    points = history((0.6, 1.0), (0.6, 1.0))
    assert best(points) is points[1]


def test_ends_with_the_last_epoch() -> None:
    assert reason_to_stop(history((0.5, 1.0), (0.6, 1.0)), epochs=2, patience=5) == "all 2 epochs done"


def test_without_validation_the_last_point_is_kept() -> None:
    points = [Point(i, 10 * i, 1.0, 0.1, 1.0, {}) for i in (1, 2, 3)]
    assert best(points) is points[2]
    assert reason_to_stop(points[:2], epochs=3, patience=1) is None


def test_a_lead_within_the_noise_is_no_lead() -> None:
    """The highest of the scores is the second, by less than a standard error over the fourth, which is the later."""
    points = history((0.80, 0.9), (0.84, 0.5), (0.82, 0.8), (0.83, 0.7), (0.70, 0.1), noise=0.03)
    assert best(points) is points[3]
    assert best(history((0.80, 0.9), (0.84, 0.7), (0.82, 0.8), (0.83, 0.5))).epoch == 2  # without noise it is one


def test_a_lead_beyond_the_noise_decides_whatever_comes_second() -> None:
    points = history((0.80, 0.1), (0.84, 0.9), noise=0.03)
    assert best(points) is points[1]
    assert best(points[::-1]) is points[1]


def test_the_larger_noise_of_two_points_counts() -> None:
    unsure, sure = history((0.80, 0.5), noise=0.1)[0], history((0.85, 0.9))[0]
    assert best([sure, unsure]) is unsure
    assert best([unsure, sure]) is sure


def test_patience_is_of_the_highest_scores_noise_or_not() -> None:
    points = history((0.80, 0.5), (0.81, 0.6), (0.82, 0.7), (0.815, 0.8), (0.81, 0.9), noise=0.05)
    assert reason_to_stop(points[:4], epochs=9, patience=2) is None
    assert reason_to_stop(points, epochs=9, patience=2) == "no gain on validation in 2 evaluations"
    assert best(points) is points[4]


def test_what_a_base_knew_before_the_first_step_does_not_end_a_training():
    before, *after = history((0.9, 0.1), (0.5, 1.0), (0.6, 0.9), (0.7, 0.8))
    start = replace(before, epoch=0, step=0)
    assert reason_to_stop([start, *after], epochs=9, patience=2) is None
    assert reason_to_stop([before, *after], epochs=9, patience=2) == "no gain on validation in 3 evaluations"


def test_noise_is_the_standard_error_of_a_share_and_nothing_for_what_is_none() -> None:
    category, number = targets.find("category", where="test"), targets.find("number", where="test")
    assert targets.noise(category, {"macro_f1": 0.8}, 100) == pytest.approx(0.04)
    assert targets.noise(category, {"macro_f1": 1.0}, 100) == 0
    assert targets.noise(number, {"r2": 0.5}, 100) == 0


def test_rank_turns_losses_round_in_the_order_of_the_target() -> None:
    category, number = targets.find("category", where="test"), targets.find("number", where="test")
    assert targets.rank(category, {"macro_f1": 0.8, "log_loss": 0.3, "accuracy": 0.9}) == (0.8, -0.3)
    assert targets.rank(number, {"r2": 0.5, "mae": 2.0, "rmse": 3.0}) == (0.5, -2.0)


def test_small_steps_down_do_not_add_up() -> None:
    points = history((0.80, 1.0), (0.79, 0.9), (0.78, 0.8), (0.77, 0.7), noise=0.015)
    assert best(points) is points[1]


def test_a_loss_that_still_falls_keeps_training_alive() -> None:
    points = history((0.12, 2.09), (0.05, 2.07), (0.11, 2.03), noise=0.04)
    assert reason_to_stop(points, epochs=5, patience=2) is None
    assert reason_to_stop(history((0.12, 2.0), (0.1, 2.1), (0.1, 2.2)), epochs=5, patience=2) is not None


def plain(*, step: int = 10, loss: float = 1.0, **other) -> Point:
    return Point(epoch=0, step=step, train_loss=loss, lr=0.1, seconds=other.pop("seconds", 1.0), valid={}, **other)


def measured(*losses: float) -> list[Point]:
    return [Point(0, 10 * i, 1.0, 0.1, 1.0, {"loss": loss}, rank=(-loss,)) for i, loss in enumerate(losses, 1)]


def test_without_bounds_training_goes_on() -> None:
    assert reason_to_stop([plain(step=10**9, tokens=10**12, seconds=1e9)]) is None


@pytest.mark.parametrize(
    ("bound", "before", "at", "reason"),
    [
        ({"steps": 1000}, plain(step=999), plain(step=1000), "all 1,000 steps done"),
        ({"tokens": 5000}, plain(tokens=4999), plain(tokens=5001), "all 5,000 tokens read"),
        ({"seconds": 60.0}, plain(seconds=59.9), plain(seconds=60.1), "time limit reached"),
    ],
)
def test_each_bound_stops_where_it_is_met(bound, before, at, reason) -> None:
    assert reason_to_stop([before], **bound) is None
    assert reason_to_stop([at], **bound) == reason


def test_the_target_is_reached_at_or_below_its_loss() -> None:
    assert reason_to_stop(measured(3.0, 2.01), reach=2.0) is None
    assert reason_to_stop(measured(3.0, 2.0), reach=2.0) == "target reached: validation loss 2.0000"
    assert reason_to_stop(history((0.5, 0.4)), reach=0.4) == "target reached: validation loss 0.4000"
    assert reason_to_stop([plain()], reach=9.0) is None  # nothing to measure it on


def test_a_loss_that_rises_far_above_its_start_has_diverged() -> None:
    def points(*losses):
        return [plain(step=i, loss=loss) for i, loss in enumerate(losses)]

    for losses in ((1.0, 0.3, 1.1), (1.0, math.nan), (math.inf,)):
        assert str(reason_to_stop(points(*losses), epochs=9)).startswith("diverged")
    for losses in ((1.0, 0.3, 0.9), (1.0, 1.5), (0.0, 0.0), (1.0, 0.6, 1.19)):
        assert reason_to_stop(points(*losses), epochs=9) is None
    assert str(reason_to_stop(measured(1.0, math.nan))).startswith("diverged")


def test_bounds_combine_and_the_first_that_is_met_is_named() -> None:
    bounds = {"steps": 30, "tokens": 10**6, "patience": 2, "reach": 0.5}
    assert reason_to_stop(measured(3.0, 2.0), **bounds) is None
    assert reason_to_stop(measured(3.0, 2.0, 1.0), **bounds) == "all 30 steps done"
    assert reason_to_stop(measured(3.0, 0.5), **bounds) == "target reached: validation loss 0.5000"
    stuck = [Point(0, i, 1.0, 0.1, 1.0, {"loss": 3.0 + i}, rank=(-3.0 - i,)) for i in (1, 2, 3)]
    assert reason_to_stop(stuck, **bounds) == "no gain on validation in 2 evaluations"
