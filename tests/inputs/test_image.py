"""The image column: one size for all, patches, augmentation, vectors, what is saved."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import encoded, npy, smooth

from zaowu.batching.batch import collate
from zaowu.errors import UserError
from zaowu.inputs import image
from zaowu.inputs.image import store
from zaowu.inputs.image.augment import augment, cut, join
from zaowu.inputs.image.embedder import ConvStem, sinusoids
from zaowu.trunk import precision


def noise(count: int, *shape: int) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    return [npy(one) for one in pixels]


def fit(values, **settings) -> image.Input:
    return image.Input.fit(["photo"], [values], settings={"photo": settings})


def vectors(source: image.Input, values, *, dim: int = 12) -> torch.Tensor:
    torch.manual_seed(0)
    embedder = source.embedder(dim).eval()
    for parameter in embedder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    batch = collate([{"image": item.features} for item in source.features(values)], {"image": source.specs})
    return embedder(**batch.inputs["image"])


@pytest.mark.parametrize(
    ("shape", "settings", "size", "patch"),
    [
        ((28, 28), {}, (28, 28), 4),
        ((8, 8), {}, (8, 8), 1),
        ((5, 3), {}, (8, 8), 1),
        ((32, 32, 3), {}, (32, 32), 4),
        ((100, 60), {}, (96, 64), 8),
        ((480, 640, 3), {}, (160, 224), 32),
        ((500, 500), {}, (224, 224), 32),
        ((400, 20), {}, (224, 64), 16),
        ((28, 28), {"size": "56"}, (56, 56), 8),
        ((100, 50), {"size": "32"}, (32, 16), 4),
    ],
)
def test_the_size_is_that_of_the_training_images(shape, settings, size, patch):
    source = fit([npy(np.zeros(shape, np.uint8))] * 3, **settings)
    assert (source.size, source.patch) == (size, patch)
    assert source.max_tokens == size[0] * size[1] // patch**2 <= 130


def test_a_size_that_cannot_be_is_refused():
    for size in ("3", "5000"):
        with pytest.raises(UserError, match=f"--column photo:size={size}"):
            fit(noise(2, 9, 9), size=size)


def test_nothing_to_learn_from_is_said():
    for values in ([], [None, None]):
        with pytest.raises(UserError, match="column 'photo': expected images"):
            fit(values)


def test_statistics_and_channels_are_those_of_the_training_images():
    values = noise(40, 9, 9)
    source = fit(values)
    pixels = np.stack([np.frombuffer(value[128:], np.uint8) for value in values]) / 255
    assert source.channels == 1 and source.mean == pytest.approx([pixels.mean()], abs=1e-5)
    assert source.std == pytest.approx([pixels.std()], abs=1e-5)
    assert fit(noise(5, 9, 9, 3)).channels == 3
    grey = np.repeat(smooth(40, 40)[:, :, None], 3, 2)
    assert fit([encoded(grey, "JPEG")] * 3).channels == 1, "grey stored as colour"
    assert fit([npy(np.full((9, 9), 7, np.uint8))] * 2).std == (1.0,)


@pytest.mark.parametrize(
    ("shape", "said", "flips"),
    [
        ((28, 28), "auto", False),
        ((28, 28), "yes", True),
        ((64, 64), "auto", False),
        ((64, 64, 3), "auto", True),
        ((64, 64, 3), "no", False),
        ((16, 16, 3), "auto", False),
    ],
)
def test_when_images_are_turned_over(shape, said, flips):
    assert fit(noise(3, *shape), flip=said).flip is flips


def test_patches_are_cut_row_by_row_and_joined_again():
    pixels = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    patches = cut(pixels, 2)
    assert patches.shape == (6, 12)
    np.testing.assert_array_equal(patches[1].reshape(3, 2, 2), pixels[:2, 2:4].transpose(2, 0, 1))
    np.testing.assert_array_equal(join(patches, 2, (4, 6)), pixels)


def test_a_missing_image_gives_no_item_and_pixels_are_read_when_asked_for(tmp_path):
    paths = []
    for number in range(4):
        paths.append(str(tmp_path / f"{number}.png"))
        Path(paths[-1]).write_bytes(encoded(smooth(16, 16) + np.uint8(number)))
    source = fit(paths)
    items = source.features([paths[0], None, *paths[1:]], training=True)
    assert [item.record for item in items] == [0, 2, 3, 4] and {item.length for item in items} == {source.max_tokens}
    first = items[0].features["patches"]
    Path(paths[0]).unlink()
    np.testing.assert_array_equal(items[0].features["patches"], first)  # kept since it was read
    Path(paths[1]).unlink()
    with pytest.raises(UserError, match=r"column 'photo' '1\.png': expected an image, got no file"):
        _ = items[1].features


def test_memory_has_a_limit(monkeypatch):
    monkeypatch.setattr(store, "LIMIT_MB", 3 * 81 / 1e6)
    values = noise(9, 9, 9)
    items = fit(values).features(values)
    before = [item.features["patches"] for item in items]
    assert items[0].store.pixels.nbytes == 3 * 81 and len(items[0].store.place) == 3
    for item, patches in zip(items, before, strict=True):
        np.testing.assert_array_equal(item.features["patches"], patches)


@pytest.mark.parametrize("shape", [(28, 28), (64, 96, 3)])
def test_augmentation_hangs_on_its_number_alone(shape):
    source = fit(noise(3, *shape), flip="yes")
    features = source.features(noise(3, *shape))[1].features
    before = features["patches"].copy()
    one, again, other = (source.augment(features, chance)["patches"] for chance in (5, 5, 2**64 - 1))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(features["patches"], before)
    assert one.shape == before.shape and one.dtype == np.uint8
    assert (one != other).any() and (one != before).any()


def test_what_augmentation_does():
    picture = np.zeros((28, 28, 1), np.uint8)
    picture[10:18, 4:9] = 200
    made = np.stack([augment(picture, chance, flip=False, fill=np.array([99], np.uint8)) for chance in range(400)])
    bright = made[..., 0] > 150
    columns = bright.any(1).argmax(1)
    assert set(columns[bright.any((1, 2))].tolist()) <= set(range(0, 18)) and len(set(columns.tolist())) > 5
    hidden = (made == 99).sum((1, 2, 3)) >= 100
    assert 0.35 < hidden.mean() < 0.65
    turned = np.stack([augment(picture, chance, flip=True, fill=np.array([99], np.uint8)) for chance in range(400)])
    right = (turned[:, 10:18, 14:, 0] > 150).any((1, 2))
    assert 0.3 < right.mean() < 0.7
    assert made[~hidden].max() > 205 and made[~hidden].max(axis=(1, 2, 3)).min() < 195, "light changes"


def test_a_batch_is_made_far_below_the_time_of_a_step():
    import time

    values = noise(64, 28, 28)
    items = fit(values).features(values)
    for item in items:
        _ = item.features
    source, start = items[0].store.source, time.process_time()
    for item in items:
        source.augment(item.features, 7)
    assert time.process_time() - start < 0.1  # 0.008 s where nothing else runs; a step takes 0.2 s


@pytest.mark.parametrize("stem", ["conv", "patch"])
def test_a_vector_hangs_on_its_own_image_alone_in_training_too(stem):
    values = noise(4, 16, 16)
    source = fit(values, stem=stem)
    embedder = source.embedder(12).train()
    rows = [item.features for item in source.features(values)]
    alone = embedder(**collate([{"image": row} for row in rows[:1]], {"image": source.specs}).inputs["image"])
    together = embedder(**collate([{"image": row} for row in rows], {"image": source.specs}).inputs["image"])
    assert together.shape == (4, source.max_tokens, 12)
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_patch_stem_is_a_convolution():
    values = noise(3, 16, 16, 3)
    source = fit(values, stem="patch", size="16")
    embedder = source.embedder(8)
    embedder.initialise(torch.Generator().manual_seed(0))
    got = embedder(torch.from_numpy(source.features(values)[0].features["patches"])[None])
    pixels = torch.from_numpy(source.image(values[0]).copy()).permute(2, 0, 1).float() / 255
    pixels = (pixels - torch.tensor(source.mean)[:, None, None]) / torch.tensor(source.std)[:, None, None]
    expected = embedder.projection(pixels[None]).flatten(2).transpose(1, 2) + sinusoids(source.grid, 8)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_conv_stem_sees_the_picture_as_it_is():
    """A picture moved by one patch gives its vectors one place further, but at the edges."""
    picture = np.zeros((32, 32), np.uint8)
    picture[12:16, 12:16] = smooth(4, 4) + 100
    moved = np.roll(picture, 4, axis=1)
    source = fit([npy(picture), npy(moved)])
    states = vectors(source, [npy(picture), npy(moved)]) - sinusoids(source.grid, 12)
    grid = states.unflatten(1, source.grid)
    torch.testing.assert_close(grid[0, 2:-2, 2:-3], grid[1, 2:-2, 3:-2], rtol=1e-3, atol=1e-3)
    assert (grid[0] - grid[1]).abs().max() > 0.1


def test_fixed_places_all_differ_and_near_ones_are_alike():
    for dim in (8, 10, 64):
        table = sinusoids((5, 7), dim)[0]
        assert table.shape == (35, dim)
        distance = torch.cdist(table, table) + torch.eye(35) * 9
        assert distance.min() > 0.05
    assert distance[0, 1] < distance[0, 3] and distance[0, 7] < distance[0, 21]


def test_convolutions_in_low_precision_stay_close():
    stem = ConvStem(1, halvings=2).eval()
    stem.initialise(torch.Generator().manual_seed(0))
    x = torch.randn(2, 1, 28, 28)
    expected = stem(x)
    precision.use(torch.nn.ModuleList([stem]), torch.bfloat16)
    low = stem(x)
    assert expected.shape == (2, 128, 7, 7) and low.dtype == torch.float32
    assert 0 < (low - expected).abs().max() < 0.1
    precision.use(torch.nn.ModuleList([stem]), torch.float32)
    assert torch.equal(stem(x), expected)


def test_a_base_has_its_own_patches_and_a_first_token():
    values = noise(2, 30, 30)
    source = fit(values).for_base(size=(32, 16), patch=8, channels=3, mean=[0.5] * 3, std=[0.5] * 3)
    item = source.features(values)[0]
    assert item.length == source.max_tokens == 9 and item.features["patches"].shape == (9, 192)
    assert (item.features["patches"][0] == 0).all()
    assert source.augment(item.features, 3)["patches"].shape == (9, 192)
    embedder = source.embedder(12)
    embedder.initialise(torch.Generator().manual_seed(1))
    x = torch.from_numpy(item.features["patches"])[None].repeat(2, 1, 1)
    x[1, 0] = 255
    states = embedder(x)
    assert states.shape == (2, 9, 12) and torch.equal(states[0], states[1]), "the blank is not looked at"


@pytest.mark.parametrize("settings", [{}, {"stem": "patch", "flip": "yes"}])
def test_what_was_learned_survives_json(settings, tmp_path):
    deep = [npy(np.random.default_rng(i).integers(500, 900, (20, 20)).astype(np.uint16)) for i in range(4)]
    for source in (fit(deep, **settings), fit(deep).for_base(size=(8, 8), patch=4, channels=1, mean=[0.5], std=[0.2])):
        again = image.Input.from_state(
            json.loads(json.dumps(source.state(), allow_nan=False)), tmp_path, where="z.json"
        )
        assert again.state() == source.state()
        for one, other in zip(source.features(deep), again.features(deep), strict=True):
            np.testing.assert_array_equal(one.features["patches"], other.features["patches"])


WRONG = {
    "columns": [[], ["a", "b"], [1], "photo"],
    "size": [[28], [28, 29], [10**9, 28], [0, 0], [28.0, 28], [-4, 28]],
    "patch": [0, 2.0, True, 10**6, 3],
    "channels": [2, True, 3],
    "mean": [[2.0], [0.1, 0.1], [float("nan")], ["x"], None],
    "std": [[0.0], [-1.0], None],
    "levels": [[1.0, 1.0], [3, 2], [0], -1, [0, float("inf")]],
    "stem": ["../x", None, 1],
    "flip": [1, "yes"],
    "cls": [0, None, True],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_made_up_state_is_refused_by_name(name, tmp_path):
    state = fit(noise(2, 28, 28)).state()
    for value in WRONG[name]:
        with pytest.raises(UserError, match=r"zaowu\.json, '"):
            image.Input.from_state({**state, name: value}, tmp_path, where="zaowu.json")


def test_a_value_is_shown_as_a_small_picture(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(encoded(smooth(400, 800, colour=True)))
    source = fit([str(path)])
    shown = source.shown(str(path))
    assert shown.words == "big.png" and shown.picture.startswith("data:image/png;base64,") and not shown.sound
    from zaowu.inputs.image.pixels import decode

    assert decode(base64.b64decode(shown.picture.partition(",")[2])).shape == (80, 160, 3)
    assert source.shown(None) == image.Shown("")
    assert source.shown(path.read_bytes()).picture == shown.picture
