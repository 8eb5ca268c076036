"""The cheap methods' features of a table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.inputs.table.baseline import ONE_HOT, BaselineFeatures, TreeFeatures

NAMES, KINDS = ["x", "c", "d"], {"x": "number", "c": "category", "d": "date"}
VALUES: list[list[str | None]] = [
    ["1", "2", None, "4", "100"],
    ["a", "b", "a", "b", None],
    ["2024-01-01", "2024-02-01", "2024-01-01", None, "2024-02-05"],
]


def fit(max_features: int = 1000):
    return BaselineFeatures.fit(*VALUES, max_features=max_features, columns=NAMES, kinds=KINDS)


def test_the_matrix_is_what_transform_gives_and_is_scaled():
    features, matrix = fit()
    assert matrix.shape == (5, features.num_features) and matrix.dtype == np.float32
    np.testing.assert_array_equal(features.transform(*VALUES).toarray(), matrix.toarray())
    x = matrix.toarray()[:, 0]
    known = np.array([1, 2, 4, 100.0])
    np.testing.assert_allclose(x[[0, 1, 3, 4]], (known - known.mean()) / known.std(), rtol=1e-5)
    assert x[2] == 0  # missing


def test_missing_and_unknown_have_columns_of_their_own():
    features, matrix = fit()
    dense = matrix.toarray()
    missing = (dense == np.array([0, 0, 1, 0, 0])[:, None]).all(axis=0)
    assert missing.sum() == 1
    one_hot = [column for column in dense.T if set(column.tolist()) <= {0.0, 1.0}]
    assert len(one_hot) == 5  # x and d missing; c missing, a, b: of "unknown" no training row has any
    assert np.isfinite(features.transform(["1e300", "inf"], ["new", "a"], ["2030-01-01", "?"]).toarray()).all()


def test_there_are_never_more_features_than_asked():
    features, matrix = fit(4)
    assert features.num_features == 4 == matrix.shape[1]
    np.testing.assert_array_equal(features.transform(*VALUES).toarray(), matrix.toarray())


def test_it_survives_json_and_refuses_lies():
    features, matrix = fit()
    plain, arrays = features.state()
    plain = json.loads(json.dumps(plain, allow_nan=False))
    again = BaselineFeatures.from_state(plain, arrays, where="here")
    np.testing.assert_array_equal(again.transform(*VALUES).toarray(), matrix.toarray())
    lies = [{**plain, name: wrong} for name in plain for wrong in (None, [-1], [10**9], "x", [1.5, "a"])]
    lies += [{**plain, "spreads": [0.0] * len(plain["spreads"])}, {**plain, "kept": [1, 1]}, {}, None]
    for lie in lies:
        with pytest.raises(UserError, match="here"):
            BaselineFeatures.from_state(lie, {}, where="here")
    with pytest.raises(UserError, match="here"):
        BaselineFeatures.from_state(plain, {"more": np.zeros(1, np.float32)}, where="here")


def test_features_of_trees_keep_the_order_and_put_missing_first():
    features, matrix = TreeFeatures.fit(*VALUES, columns=NAMES, kinds=KINDS)
    assert matrix.shape == (5, features.num_features) and matrix.dtype == np.float32
    assert matrix[:, 0].tolist() == [0, 1, -1, 2, 3]
    again = TreeFeatures.from_state(json.loads(json.dumps(features.state())), where="here")
    np.testing.assert_array_equal(again.transform(*VALUES), matrix)


def test_trees_get_a_column_a_value_or_the_rank_by_frequency():
    few = [f"v{k}" for k in range(ONE_HOT) for _ in range(2)]
    _, matrix = TreeFeatures.fit(few, columns=["c"], kinds={"c": "category"})
    assert matrix.shape[1] == ONE_HOT + 2 and (matrix.sum(axis=1) == 1).all()
    many = [f"v{k:02}" for k in range(ONE_HOT + 1) for _ in range(2 + ONE_HOT - k)]
    _, matrix = TreeFeatures.fit(many, columns=["c"], kinds={"c": "category"})
    assert matrix.shape[1] == 1 and matrix[0, 0] == 2 and (np.diff(matrix[:, 0]) >= 0).all()
