"""The cheap features of series against hand-made cases."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.inputs.series.baseline import LAGS, NUM_PLACES, OVERALL, QUANTILES, STATISTICS, BaselineFeatures, described
from zaowu.inputs.series.cells import Points

AFTER = OVERALL + STATISTICS + len(QUANTILES)


def made(seed: int = 0, n: int = 40) -> list[str | None]:
    rng = np.random.default_rng(seed)
    return [json.dumps(rng.normal(k, 1 + k % 3, size=20 + k % 5).round(3).tolist()) for k in range(n)]


def test_statistics_are_those_of_the_points_that_are_there():
    values = np.array([[1.0, np.nan, 5.0, 3.0]])
    found = described(Points(values))
    assert found[:2] == pytest.approx([np.log(5), np.log(4)])
    assert found[2:8] == pytest.approx([3, np.std([1, 5, 3]), 1, 5, np.polyfit([0, 2, 3], [1, 5, 3], 1)[0], 0.25])
    assert found[8:AFTER] == pytest.approx(np.quantile([1, 5, 3], QUANTILES))


def test_what_repeats_is_seen_in_lags_and_frequencies():
    wave = np.array([[1.0, -1.0] * 16])
    found = described(Points(wave))
    lags = found[AFTER : AFTER + len(LAGS)]
    assert lags[0] == pytest.approx(-31 / 32) and lags[1] == pytest.approx(30 / 32)
    slow = np.cos(2 * np.pi * 3 * np.arange(64) / 64)[None]
    waves = described(Points(slow))[AFTER + len(LAGS) + NUM_PLACES :]
    assert waves.argmax() == 2 and waves[2] == pytest.approx(0.5)


def test_the_slope_goes_by_time_and_the_course_ends_with_the_last_point():
    found = described(Points(np.array([[0.0, 10.0, 30.0]]), times=np.array([0.0, 1.0, 3.0])))
    assert found[2 + 4] == pytest.approx(10)
    course = found[AFTER + len(LAGS) : AFTER + len(LAGS) + NUM_PLACES]
    assert course[-3:].tolist() == [0, 10, 30] and course[0] == 0


@pytest.mark.parametrize("values", [[[np.nan, np.nan]], [[4.0]], [[2.0, 2.0]]], ids=str)
def test_hardly_anything_is_still_finite(values):
    assert np.isfinite(described(Points(np.array(values)))).all()


def test_columns_are_standardised_and_saved_ones_give_the_same():
    cells = [*made(), None]
    features, matrix = BaselineFeatures.fit(cells)
    dense = matrix.toarray()
    assert dense.shape == (41, features.num_features) and matrix.dtype == np.float32
    assert not dense[-1].any()
    np.testing.assert_allclose(dense[:-1].mean(0), 0, atol=1e-4)
    assert np.abs(dense[:-1, 2].std() - 1) < 1e-4
    again = BaselineFeatures.from_state(*features.state(), where="f")
    np.testing.assert_array_equal(again.transform(cells).toarray(), dense)


def test_few_features_are_wanted_of_many_channels():
    cells = [json.dumps({"channels": {"a": [k, 2, 3], "b": [4, k, 6]}}) for k in range(5)]
    whole, _ = BaselineFeatures.fit(cells)
    features, matrix = BaselineFeatures.fit(cells, max_features=60)
    assert matrix.shape[1] == features.num_features < whole.num_features
    assert BaselineFeatures.from_state(*features.state(), where="f").transform(cells).shape == matrix.shape


@pytest.mark.parametrize(
    ("plain", "change"),
    [
        ({}, {}),
        ({"layout": []}, {}),
        (None, {"mean": np.zeros(3, np.float32)}),
        (None, {"mean": None}),
        (None, {"scale": np.zeros(55, np.float32)}),
        (None, {"scale": np.ones(55)}),
    ],
    ids=str,
)
def test_a_made_up_state_is_refused(plain, change):
    own, arrays = BaselineFeatures.fit(made())[0].state()
    with pytest.raises(UserError, match=r"^f: "):
        BaselineFeatures.from_state(own if plain is None else plain, {**arrays, **change}, where="f")
