"""What is hidden of images and sounds, what the trunk sees, and what is to be painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_files import npy

from zaowu.config import AttentionConfig, ModelConfig, PositionConfig, TrunkConfig
from zaowu.inputs import image
from zaowu.model import Model
from zaowu.objectives.masked_patches import SHARE, MaskedPatches
from zaowu.train.patches import PatchFeed

PICTURES = [npy(one) for one in np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8)]
IDS = np.arange(12, dtype=np.uint64) * np.uint64(7919)


def feed(*, batch_size: int = 4, seed: int = 0, cls: bool = True, moves: bool = False) -> PatchFeed:
    source = image.Input.fit(["photo"], [PICTURES])
    assert source.grid == (8, 8)
    if cls:
        source = source.for_base(size=(16, 16), patch=2, channels=1, mean=[0.5], std=[0.3])
    return PatchFeed(source, source.features(PICTURES), IDS, MaskedPatches(), batch_size=batch_size, seed=seed,
                     moves=moves)  # fmt: skip


def model_of(own: PatchFeed) -> Model:
    trunk = TrunkConfig(
        dim=32, num_layers=2, ffn_dim=64, norm_place="before", num_segments=0, entry_norm=False, dropout=0.0,
        positions=PositionConfig(kind="none"), attention=AttentionConfig(num_heads=2),
    )  # fmt: skip
    model = Model({"image": own.source}, {}, ModelConfig(trunk=trunk), objectives={"masked_patches": own.objective})
    model.initialise(0)
    return model


@pytest.mark.parametrize(("length", "run"), [(64, 1), (49, 1), (25, 5), (23, 5), (3, 5), (1, 1), (2, 1), (500, 5)])
def test_so_many_are_hidden_and_each_as_often_as_any_other(length, run):
    objective, patches = MaskedPatches(run=run), np.random.default_rng(0).normal(size=(length, 6)) + 5
    counts, draws = np.zeros(length), 400
    for chance in range(draws):
        seen, answers = objective.hide(patches, chance * 2**40 + 1)
        hidden = answers[:, 0] == 1
        assert len(seen) == objective.num_seen(length) == length - hidden.sum() >= 1
        assert np.array_equal(np.flatnonzero(~hidden), seen) and set(np.unique(answers[:, 0])) <= {0.0, 1.0}
        counts += hidden
    expected = objective.num_hidden(length) * run / length
    if length >= 25:
        assert 0.6 <= expected <= 0.75 and abs(expected - SHARE) < 0.12
    inner = counts[run : length - run] if run > 1 and length % run else counts  # runs that move reach the ends less
    if len(inner):
        assert abs(inner / draws - inner.mean() / draws).max() < 5 * (0.25 / draws) ** 0.5


def test_what_is_hidden_hangs_on_seed_epoch_and_record_alone():
    def hidden(epoch: int, **how) -> dict[int, list[int]]:
        own, found = feed(**how), {}
        for number in range(own.num_batches(epoch)):
            batch = own.batch(epoch, number)
            found |= dict(zip(batch.index.tolist(), batch.targets["masked_patches"][..., 0].tolist(), strict=True))
        return found

    assert hidden(3) == hidden(3, batch_size=7)
    assert all(hidden(3)[record] != own for record, own in hidden(4).items())
    assert all(hidden(3)[record] != own for record, own in hidden(3, seed=1).items())


def test_the_trunk_sees_the_other_patches_at_their_places_and_the_answers_are_the_pixels():
    own = feed()
    batch = own.batch(0, 0)
    shown, places = batch.inputs["image"]["patches"], batch.inputs["image"]["places"]
    answers = batch.targets["masked_patches"]
    assert shown.shape == (4, 1 + 64 - 44, 4) == (*places.shape, 4) and answers.shape == (4, 64, 5)
    assert own.num_tokens(0, 0) == batch.mask.sum() == shown.shape[0] * shown.shape[1]
    for row, record in enumerate(batch.index):
        whole = own.items[record].features["patches"]
        assert places[row, 0] == 0 and np.array_equal(whole[places[row]], shown[row])  # the first token has no patch
        hidden = answers[row, :, 0].numpy() == 1
        assert not set(np.flatnonzero(hidden) + 1) & set(places[row].tolist())
        pixels = whole[1:].astype(np.float64) / 255
        expected = (pixels - pixels.mean(1, keepdims=True)) / np.sqrt(pixels.var(1, keepdims=True) + 1e-6)
        np.testing.assert_allclose(answers[row, :, 1:], expected, atol=1e-3)


def test_what_is_hidden_has_no_way_into_the_states():
    own = feed()
    model, batch = model_of(own), own.batch(0, 0)
    before = model.loss(batch)["masked_patches"].sum
    answers = batch.targets["masked_patches"]
    states = model.states(batch)
    painted = model.painter(states, answers)
    changed = torch.cat((answers[..., :1], torch.randn_like(answers[..., 1:])), -1)
    torch.testing.assert_close(model.painter(states, changed), painted)
    hidden = answers[..., 0] == 1
    expected = (painted - answers[..., 1:][hidden]).square().mean(1).sum()
    torch.testing.assert_close(before, expected)
    assert float(model.loss(batch)["masked_patches"].count) == model.counts(batch)["masked_patches"] == hidden.sum()


def test_losses_of_parts_add_up_and_every_weight_learns():
    own = feed()
    model, batch = model_of(own), own.batch(0, 0)
    whole = model.loss(batch)["masked_patches"]
    parts = [model.loss(batch.part(rows))["masked_patches"] for rows in (slice(0, 1), slice(1, None))]
    torch.testing.assert_close(whole.sum, sum(part.sum for part in parts), rtol=1e-4, atol=1e-4)
    whole.sum.backward()
    lacking = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert lacking == []
    tally = model.judge(batch)["masked_patches"]
    assert tally.loss == pytest.approx(float(whole.sum.detach()), rel=1e-5)
    assert own.objective.score(tally) == {"loss": pytest.approx(tally.loss / tally.count)}
    batch.weights[0] = 0
    torch.testing.assert_close(model.loss(batch)["masked_patches"].sum, parts[1].sum, rtol=1e-4, atol=1e-4)


def test_images_are_moved_by_the_same_chance_and_stay_whole():
    first, again = feed(moves=True).batch(2, 1), feed(moves=True, batch_size=4).batch(2, 1)
    assert torch.equal(first.targets["masked_patches"], again.targets["masked_patches"])
    assert not torch.equal(first.targets["masked_patches"], feed().batch(2, 1).targets["masked_patches"])
