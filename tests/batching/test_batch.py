"""Padding happens here and nowhere else."""

import numpy as np
import pytest
import torch

from zaowu.batching.batch import Batch, collate, spread
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


def by_rows() -> Batch:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    numbers = torch.arange(16).view(4, 4)
    return Batch(
        inputs={"text": {"ids": numbers}},
        mask=mask,
        positions=numbers + 100,
        segments=numbers + 200,
        documents=numbers + 300,
        targets={"masked": numbers + 400, "tags": numbers + 500, "next_sentence": numbers[:, 0]},
        target_mask=dict.fromkeys(("masked", "tags", "next_sentence"), mask[:, 1]),
        weights=torch.tensor([1.0, 2.0, 3.0, 4.0]),
        ids=np.arange(4, dtype=np.uint64),
        index=np.arange(4) + 10,
        coins=torch.arange(4) + 50,
        by_token=frozenset(["masked"]),
    )


def test_a_part_has_its_rows_and_no_padding_that_none_needs() -> None:
    part = by_rows().part(slice(1, 3))
    assert part.mask.tolist() == [[True, True], [True, False]]
    assert part.inputs["text"]["ids"].tolist() == [[4, 5], [8, 9]]
    assert part.positions.tolist() == [[104, 105], [108, 109]] and part.segments.tolist() == [[204, 205], [208, 209]]
    assert part.documents is not None and part.documents.tolist() == [[304, 305], [308, 309]]
    assert part.targets["masked"].tolist() == [[404, 405], [408, 409]]
    assert part.targets["tags"].shape == (2, 4) and part.targets["next_sentence"].tolist() == [4, 8]
    assert part.target_mask["masked"].tolist() == [True, False] and part.weights.tolist() == [2.0, 3.0]
    assert part.ids.tolist() == [1, 2] and part.index.tolist() == [11, 12] and part.coins.tolist() == [51, 52]


def test_parts_are_the_batch_again_and_the_whole_is_itself() -> None:
    batch = by_rows()
    assert batch.part(slice(0, 4)).mask.tolist() == batch.mask.tolist()
    parts = [batch.part(slice(start, start + 1)) for start in range(4)]
    assert [part.mask.shape[1] for part in parts] == [3, 2, 1, 4]
    assert torch.cat([part.weights for part in parts]).tolist() == batch.weights.tolist()


def test_a_part_keeps_the_width_of_groups_side_by_side() -> None:
    batch = by_rows()
    batch.inputs = {"text": {"ids": torch.ones(4, 2)}, "image": {"pixels": torch.ones(4, 2, 7)}}
    part = batch.part(slice(1, 2))
    assert part.mask.shape == (1, 4) and part.inputs["image"]["pixels"].shape == (1, 2, 7)


def test_a_batch_without_coins_or_ids_has_parts() -> None:
    rows = [{"ids": np.array([1, 2, 3], np.int32)}, {"ids": np.array([4], np.int32)}]
    part = collate("text", rows, SPECS, targets={"category": np.array([0, 1])}).part(slice(1, 2))
    assert part.inputs["text"]["ids"].tolist() == [[4]] and part.targets["category"].tolist() == [1]


def test_values_of_the_real_tokens_are_spread_over_the_places() -> None:
    mask = np.array([[True, True], [True, False]])
    assert spread(np.array([5, 6, 7]), mask, pad=-1).tolist() == [[5, 6], [7, -1]]
