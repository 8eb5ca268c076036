"""The cheap method's features of images, beside an implementation with loops."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from image_files import encoded, npy, smooth
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from zaowu.errors import UserError
from zaowu.inputs.image import BaselineFeatures
from zaowu.inputs.image.hog import BINS, CELLS, CUT, hog


def by_hand(image: np.ndarray, cell: int) -> np.ndarray:
    """HOG of one image, pixel by pixel."""
    side = len(image)
    cells = side // cell
    votes = np.zeros((cells, cells, BINS))
    for row in range(side):
        for column in range(side):
            across = image[row, column + 1] - image[row, column - 1] if 0 < column < side - 1 else 0.0
            down = image[row + 1, column] - image[row - 1, column] if 0 < row < side - 1 else 0.0
            strength, angle = math.hypot(across, down), math.degrees(math.atan2(down, across)) % 180
            for number in range(-1, BINS + 1):
                near = 1 - abs(angle - (number + 0.5) * 180 / BINS) / (180 / BINS)
                if near > 0:
                    votes[row // cell, column // cell, number % BINS] += strength * near
    blocks = []
    for row in range(cells - 1):
        for column in range(cells - 1):
            block = np.concatenate([votes[row + i, column + j] for i in (0, 1) for j in (0, 1)])
            block = np.minimum(block / max(1e-6, np.linalg.norm(block)), CUT)
            blocks.append(block / max(1e-6, np.linalg.norm(block)))
    found = np.concatenate(blocks)
    return found / max(1e-6, np.linalg.norm(found))


@pytest.mark.parametrize("side", CELLS)
def test_it_equals_an_implementation_with_loops(side):
    images = np.random.default_rng(0).random((2, side, side), np.float32)
    images[1, : side // 2] = 0.5  # blocks without any change
    found = hog(images, CELLS[side])
    for got, image in zip(found, images, strict=True):
        np.testing.assert_allclose(got, by_hand(image.astype(np.float64), CELLS[side]), atol=2e-4)


def test_a_linear_model_reads_digits_with_it():
    digits = load_digits()
    values = [npy((image / 16 * 255).astype(np.uint8)) for image in digits.images[:900]]
    features, matrix = BaselineFeatures.fit(values[:600], max_features=300_000)
    model = LogisticRegression(C=10, max_iter=300).fit(matrix, digits.target[:600])
    assert model.score(features.transform(values[600:]), digits.target[600:900]) > 0.9
    assert matrix.shape == (600, features.num_features) and matrix.dtype == np.float32
    length = np.sqrt(matrix.multiply(matrix).sum(1))
    np.testing.assert_allclose(length, math.sqrt(2), atol=1e-3)


def test_missing_images_are_zeros_and_colour_is_kept():
    values = [encoded(smooth(40, 60, colour=True)), None, encoded(smooth(40, 60))]
    features, matrix = BaselineFeatures.fit(values, max_features=300_000)
    assert features.colour and matrix[1].nnz == 0 and matrix[0].nnz > 0
    assert (features.transform(values) != matrix).nnz == 0
    assert features.transform([]).shape == (0, features.num_features)
    few, small = BaselineFeatures.fit(values, max_features=700)
    assert not few.hog and small.shape[1] == few.num_features <= 700
    nothing, empty = BaselineFeatures.fit([None, None], max_features=1000)
    assert empty.shape == (2, nothing.num_features) and empty.nnz == 0


def test_what_was_learned_is_plain_and_made_up_states_are_refused():
    values = [npy(np.random.default_rng(i).random((28, 28))) for i in range(5)]
    features, matrix = BaselineFeatures.fit(values, max_features=300_000)
    plain, arrays = features.state()
    plain = json.loads(json.dumps(plain, allow_nan=False))
    again = BaselineFeatures.from_state(plain, arrays, where="b.json")
    assert (again.transform(values) != matrix).nnz == 0
    wrong_plain = ({}, [], {**plain, "side": 10**9}, {**plain, "colour": 1}, {**plain, "levels": [1, 0]})
    for wrong in wrong_plain:
        with pytest.raises(UserError, match=r"b\.json"):
            BaselineFeatures.from_state(wrong, arrays, where="b.json")
    for center in (np.zeros(3, np.float32), arrays["center"].astype(np.float64), arrays["center"] * np.nan):
        with pytest.raises(UserError, match=r"b\.json, 'center'"):
            BaselineFeatures.from_state(plain, {"center": center}, where="b.json")
