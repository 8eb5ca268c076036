"""Padding happens here and nowhere else."""

import numpy as np
import pytest
import torch

from zaowu.batching.batch import Batch, collate, spread
from zaowu.inputs import Feature

SPECS = {"text": {"ids": Feature(np.int32, pad=9)}}


def texts(*rows: list[int]) -> list[dict]:
    return [{"text": {"ids": np.array(row, np.int32)}} for row in rows]


def test_pads_to_the_longest_and_masks_the_rest() -> None:
    batch = collate(texts([1, 2, 3], [4]), SPECS, targets={"category": np.array([0, 1])})
    assert batch.inputs["text"]["ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.positions.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch.weights.tolist() == [1.0, 1.0]


def test_features_may_have_more_axes() -> None:
    specs = {"image": {"pixels": Feature(np.float32, pad=0.0, shape=(2,))}}
    rows = [{"image": {"pixels": np.full((size, 2), value, np.float32)}} for size, value in ((1, 1), (3, 5))]
    pixels = collate(rows, specs).inputs["image"]["pixels"]
    assert pixels.shape == (2, 3, 2)
    assert pixels[0].sum() == 2
    assert pixels[1].sum() == 30


def test_weights_targets_and_places_come_through() -> None:
    batch = collate(
        texts([1], [1]),
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
        collate([], SPECS)


def two_groups() -> Batch:
    """A text and an image, a text alone, an image alone."""
    specs = {**SPECS, "image": {"pixels": Feature(np.float32, pad=0.0)}}
    words, pixels = {"ids": np.array([1, 2, 3], np.int32)}, {"pixels": np.array([7, 8], np.float32)}
    rows = [{"text": {"ids": words["ids"][:2]}, "image": pixels}, {"text": words}, {"image": pixels}]
    return collate(rows, specs, numbered={"text": True, "image": False})


def test_groups_stand_side_by_side_with_all_padding_at_the_end() -> None:
    batch = two_groups()
    assert batch.mask.tolist() == [[True] * 4, [True, True, True, False], [True, True, False, False]]
    assert batch.positions.tolist()[0] == [0, 1, 0, 0]  # the picture brings its own places
    assert batch.places is not None
    side_by_side = torch.cat([batch.inputs["text"]["ids"].float(), batch.inputs["image"]["pixels"]], 1)
    found = side_by_side.take_along_dim(batch.places, 1)
    assert [row[mask].tolist() for row, mask in zip(found, batch.mask, strict=True)] == [
        [1, 2, 7, 8],
        [1, 2, 3],
        [7, 8],
    ]


def test_a_part_of_several_groups_keeps_where_its_tokens_stand() -> None:
    whole, part = two_groups(), two_groups().part(slice(1, 3))
    assert part.mask.shape == (2, 3)
    assert torch.equal(part.places, whole.places[1:3, :3])
    assert part.inputs["image"]["pixels"].shape == (2, 2)


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


def test_a_batch_without_coins_or_ids_has_parts() -> None:
    part = collate(texts([1, 2, 3], [4]), SPECS, targets={"category": np.array([0, 1])}).part(slice(1, 2))
    assert part.inputs["text"]["ids"].tolist() == [[4]] and part.targets["category"].tolist() == [1]


def test_values_of_the_real_tokens_are_spread_over_the_places() -> None:
    mask = np.array([[True, True], [True, False]])
    assert spread(np.array([5, 6, 7]), mask, pad=-1).tolist() == [[5, 6], [7, -1]]
