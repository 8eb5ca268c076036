"""Padding happens here and nowhere else."""

import numpy as np
import pytest
import torch

from zaowu.batching.batch import collate
from zaowu.inputs import Feature

SPECS = {"ids": Feature(np.int32, pad=9)}


def test_pads_to_the_longest_and_masks_the_rest() -> None:
    rows = [{"ids": np.array([1, 2, 3], np.int32)}, {"ids": np.array([4], np.int32)}]
    batch = collate("text", rows, SPECS, targets={"category": np.array([0, 1])})
    assert batch.inputs["text"]["ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.positions.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch.weights.tolist() == [1.0, 1.0]


def test_features_may_have_more_axes() -> None:
    specs = {"pixels": Feature(np.float32, pad=0.0, shape=(2,))}
    rows = [{"pixels": np.ones((1, 2), np.float32)}, {"pixels": np.full((3, 2), 5, np.float32)}]
    pixels = collate("image", rows, specs).inputs["image"]["pixels"]
    assert pixels.shape == (2, 3, 2)
    assert pixels[0].sum() == 2
    assert pixels[1].sum() == 30


def test_weights_targets_and_places_come_through() -> None:
    rows = [{"ids": np.array([1], np.int32)}] * 2
    batch = collate(
        "text",
        rows,
        SPECS,
        targets={"category": np.array([-1, 2])},
        target_mask={"category": np.array([False, True])},
        weights=np.array([0.5, 1.0]),
        index=np.array([8, 3]),
    )
    assert batch.targets["category"].tolist() == [-1, 2]
    assert batch.target_mask["category"].tolist() == [False, True]
    assert batch.weights.dtype == torch.float32
    assert batch.index.tolist() == [8, 3]


def test_an_empty_batch_is_our_bug() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate("text", [], SPECS)
