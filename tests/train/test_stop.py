"""When to stop is a pure function of what was measured."""

from zaowu.train.stop import Point, best, reason_to_stop


def history(*scores: tuple[float, float]) -> list[Point]:
    return [
        Point(
            epoch=i + 1,
            step=10 * (i + 1),
            train_loss=1.0,
            lr=0.1,
            seconds=1.0,
            valid={"macro_f1": f1, "log_loss": loss},
        )
        for i, (f1, loss) in enumerate(scores)
    ]


def test_goes_on_while_it_gains() -> None:
    assert reason_to_stop(history((0.5, 1.0), (0.6, 1.0)), epochs=9, patience=1) is None


def test_stops_after_patience_without_a_gain() -> None:
    points = history((0.6, 1.0), (0.5, 1.0), (0.6, 1.1))
    assert reason_to_stop(points[:2], epochs=9, patience=2) is None
    assert reason_to_stop(points, epochs=9, patience=2) == "no gain on validation in 2 evaluations"


def test_log_loss_decides_between_equal_scores() -> None:
    points = history((0.6, 1.0), (0.6, 0.9), (0.5, 0.1))
    assert best(points) is points[1]
    assert reason_to_stop(points, epochs=9, patience=2) is None


def test_the_earlier_of_equals_is_kept() -> None:
    points = history((0.6, 1.0), (0.6, 1.0))
    assert best(points) is points[0]


def test_ends_with_the_last_epoch() -> None:
    assert reason_to_stop(history((0.5, 1.0), (0.6, 1.0)), epochs=2, patience=5) == "all 2 epochs done"


def test_without_validation_the_last_point_is_kept() -> None:
    points = [Point(i, 10 * i, 1.0, 0.1, 1.0, {}) for i in (1, 2, 3)]
    assert best(points) is points[2]
    assert reason_to_stop(points[:2], epochs=3, patience=1) is None
