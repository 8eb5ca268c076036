"""Series as patches: scale and shape, missing points, channels, times, windows; and what is said and saved of them."""

from __future__ import annotations

import json
from base64 import b64decode

import numpy as np
import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.inputs.series import Input, clean, patch_for

ROOM = 8


def fitted(cells, **given) -> tuple[Input, list[str | None]]:
    values = clean(pl.Series("s", cells, strict=False), None).values.to_list()
    return Input.fit(["s"], [values], **given), values


def test_a_patch_holds_the_points_on_both_scales_and_the_series_own_statistics():
    source, values = fitted(["[0, 2, 4, 6]", "[10, 12, 14, 16]"], settings={"s": {"patch": "2"}})
    first, second = (item.features["patches"] for item in source.features(values))
    assert first.shape == (2, source.num_features) == (2, 3 * 2 + 3)
    mean, std = np.mean([0, 2, 4, 6, 10, 12, 14, 16]), np.std([0, 2, 4, 6, 10, 12, 14, 16])
    np.testing.assert_allclose(source.mean, [mean], rtol=1e-2)
    scaled = (np.array([[0, 2], [4, 6]]) - source.mean) / source.std
    np.testing.assert_allclose(first[:, :2], scaled, rtol=1e-5)
    np.testing.assert_allclose(second[:, :2] - first[:, :2], 10 / source.std[0], rtol=1e-5)  # the level is kept
    np.testing.assert_allclose(second[:, 2:4], first[:, 2:4], atol=1e-4)  # and so is the shape
    assert (first[:, 4:6] == 1).all()
    own_mean, own_std = (3 - source.mean[0]) / source.std[0], np.std([0, 2, 4, 6]) / source.std[0]
    np.testing.assert_allclose(first[0, 6:8], [own_mean, own_std], rtol=1e-5)
    assert source.std[0] == pytest.approx(std, rel=1e-2)


def test_missing_points_lie_between_their_neighbours_and_are_marked():
    source, values = fitted(["[1, null, 3, null]", "[4, 5, 6, 7]"])
    patches = source.features(values)[0].features["patches"]
    np.testing.assert_allclose(patches[:, 0] * source.std + source.mean, [1, 2, 3, 3], rtol=1e-5)
    assert patches[:, 2].tolist() == [1, 0, 1, 0]
    assert (source.facts.points, source.facts.missing, source.facts.series) == (8, 2, 2)


def test_a_sign_that_training_never_gave_is_not_given_later():
    source, _ = fitted(["[1, 2, 3]", "[4, 5, 6]"], settings={"s": {"patch": "2"}})
    patches = source.features(["[1,null,3]"])[0].features["patches"]
    assert patches[:, 4:6].tolist() == [[1, 1], [1, 0]], "but that the last patch is not full, every series may say"
    assert patches[1, 1] == patches[1, 3] == 0


def test_what_lacks_is_filled_by_time():
    regular = '{"times": [0, 1, 4], "x": [0, null, 4]}'
    source, values = fitted([regular, regular])
    patches = source.features(values)[0].features["patches"]
    np.testing.assert_allclose(patches[:, 0] * source.std + source.mean, [0, 1, 4], atol=1e-5)


def test_a_missing_series_gives_no_item_and_others_keep_their_place():
    source, values = fitted(["[1, 2]", None, "[3, 4]"])
    assert [item.record for item in source.features(values)] == [0, 2]


def test_a_constant_series_and_a_constant_column_are_finite():
    source, values = fitted(["[5, 5, 5]", "[5, 5]"])
    for item in source.features(values):
        assert np.isfinite(item.features["patches"]).all()


def test_one_mad_point_does_not_drown_the_rest():
    usual = [json.dumps([float(k % 5) for k in range(20)]) for _ in range(200)]
    source, values = fitted([*usual, "[1e29, 1, 2]"])
    assert source.std[0] < 10
    last = source.features(values)[-1].features["patches"]
    assert np.isfinite(last).all() and last[:, 0].max() == 20


@pytest.mark.parametrize(("length", "patch"), [(1, 1), (24, 1), (64, 2), (512, 16), (1000, 32), (10**6, 256)])
def test_the_patch_follows_the_median_length(length, patch):
    assert patch_for(length) == patch
    source, _ = fitted([json.dumps(list(range(min(length, 2000))))] * 2)
    assert source.patch == patch_for(min(length, 2000))


@pytest.mark.parametrize("wrong", ["0", "5000"])
def test_a_patch_that_cannot_be_is_refused(wrong):
    with pytest.raises(UserError, match=r"--column s: expected patch from 1 to 4,096"):
        fitted(["[1, 2]"], settings={"s": {"patch": wrong}})


def test_a_long_series_becomes_windows_that_share_it_and_its_own_statistics():
    source, values = fitted([json.dumps(list(range(50))), "[1, 2]"], max_tokens=ROOM, settings={"s": {"patch": "2"}})
    items = source.features(values)
    assert [(item.start, item.stop) for item in items[:4]] == [(0, 16), (16, 32), (32, 48), (48, 50)]
    assert [item.length for item in items] == [8, 8, 8, 1, 1] and sum(item.share for item in items[:4]) == 1
    assert len({item.features["patches"][0, -3:].tobytes() for item in items[:4]}) == 1
    assert source.facts.over == 1
    many = source.features([json.dumps(list(range(5000)))])
    assert len(many) == 64 and len(source.features([json.dumps(list(range(5000)))], training=True)) == 8


def test_beside_others_a_long_series_is_thinned_to_one_item():
    source, _ = fitted(["[1, 2]", "[3, 4]"], max_tokens=4, settings={"s": {"patch": "1"}})
    (item,) = source.features(["[1,3,5,7,null,null,9]"], whole=True)
    values = item.features["patches"][:, 0] * source.std + source.mean
    np.testing.assert_allclose(values, [2, 6, 7.5, 9], rtol=1e-5)
    assert item.length == 4 and item.share == 1


def test_uneven_times_become_gaps():
    regular = '{"times": [0, 10, 20, 30], "x": [1, 2, 3, 4]}'
    source, values = fitted([regular, '{"times": [0, 10, 30, 1000], "x": [1, 2, 3, 4]}', regular])
    assert source.gap == 10
    even, uneven, _ = (item.features["patches"][:, 3] for item in source.features(values))
    np.testing.assert_allclose(even, 0, atol=1e-6)
    np.testing.assert_allclose(uneven, [0, 0, np.log(1.5), np.log(49)], rtol=1e-5)
    assert source.features(['{"channels":{"x":[1,2]}}'])[0].features["patches"][:, 3].tolist() == [0, 0]
    assert fitted(["[1, 2]"])[0].gap is None


def test_channels_are_matched_by_name_and_what_lacks_is_missing():
    source, _ = fitted(['{"a": [1, 2], "b": [3, 4]}', '{"b": [5, 6], "a": [7, 8]}'])
    assert source.channels == ("a", "b")
    both, only = source.features(['{"channels":{"a":[1,2],"b":[3,4]}}', '{"channels":{"b":[3,4],"c":[0,0]}}'])
    there, absent = both.features["patches"], only.features["patches"]
    np.testing.assert_array_equal(there[:, 1], absent[:, 1])
    assert absent[:, 0].tolist() == [0, 0]
    with pytest.raises(UserError, match="expected the channels a, b, got c, d"):
        source.features(['{"channels":{"c":[1],"d":[1]}}'])
    with pytest.raises(UserError, match=r"expected 2 channels \(a, b\), got 1"):
        source.features(["[1,2]"])


def test_lists_of_points_and_lists_of_channels_are_told_apart():
    by_channel, _ = fitted([[[1, 2, 3], [4, 5, 6]], [[1, 2], [3, 4]]])
    by_point, values = fitted([[[1, 4], [2, 5], [3, 6]], [[1, 2], [3, 4]], [[9, 9]]])
    assert by_channel.channels == by_point.channels == ("1", "2")
    assert [item.length for item in by_point.features(values)] == [3, 2, 1]
    np.testing.assert_allclose(by_channel.mean, [1.8, 4.4], rtol=1e-2)
    with pytest.raises(UserError, match=r"column 's': expected the same channels.*of 1 and of 2 channels"):
        fitted(["[1, 2, 3]", "[[1, 2], [3, 4]]"])


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(UserError, match="column 's': expected series of numbers to learn from, got none"):
        fitted([None, "[]"])


def test_a_record_is_shown_in_words_and_as_a_line():
    source, _ = fitted(['{"a": [1, 2, null, 4], "b": [0, 0, 0, 0]}'] * 2)
    shown = source.shown('{"channels":{"a":[1,2,null,4],"b":[0,0,0,0]}}')
    assert shown.words == "4 points of 2 channels (a, b), from 0 to 4, mean 1, 1 missing"
    svg = b64decode(shown.picture.removeprefix("data:image/svg+xml;base64,")).decode()
    assert svg.count("<polyline") == 2 and svg.count("<circle") == 1, "the gap breaks the line; one point is a dot"
    assert source.shown(None).picture == ""
    long = source.shown(json.dumps({"channels": {"a": [k % 9 for k in range(10**5)], "b": [None] * 10**5}}))
    assert len(long.picture) < 30_000 and len(long.words) <= 400


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["a", "b"]},
        {"mean": [0.0]},
        {"std": [1.0, 0.0]},
        {"std": [1.0, float("inf")]},
        {"mean": [float("nan"), 0.0]},
        {"mean": [True, 0.0]},
        {"patch": 10**6},
        {"patch": True},
        {"gap": float("inf")},
        {"gap": 0.0},
        {"max_tokens": 10**9},
        {"facts": {"series": 1}},
        {"layout": {"channels": ["a", "a"], "named": True, "by_points": False}},
        {"layout": {"channels": [str(k) for k in range(300)], "named": True, "by_points": False}},
        {"layout": {"channels": ["a", "b"], "named": 1, "by_points": False}},
        {"layout": {"channels": [], "named": True, "by_points": False}},
    ],
    ids=str,
)
def test_a_made_up_state_is_refused(change, tmp_path):
    source, _ = fitted(['{"a": [1, 2], "b": [3, 4]}', '{"b": [5, 6], "a": [7, 8]}'])
    assert Input.from_state(source.state(), tmp_path, where="f").state() == source.state()
    with pytest.raises(UserError, match=r"^f: "):
        Input.from_state({**source.state(), **change}, tmp_path, where="f")


def test_the_vectors_of_fresh_weights_have_about_unit_size():
    import torch

    source, values = fitted([json.dumps(list(np.sin(np.arange(k, k + 200)))) for k in range(20)])
    embedder = source.embedder(64)
    embedder.initialise(torch.Generator().manual_seed(0))
    rows = torch.from_numpy(np.stack([item.features["patches"] for item in source.features(values)]))
    assert 0.3 < embedder(rows).std() < 3
