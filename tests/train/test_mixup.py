"""Mix-up of images and recordings: what is mixed, by which chance, and what the loss makes of two answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_files import encoded, npy
from made_sounds import sound

import zaowu
from zaowu.config import AttentionConfig, ModelConfig, PositionConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs import Inputs, audio, image
from zaowu.model import Model
from zaowu.targets.category import Category
from zaowu.train.labelled import LabelledFeed, Part

LABELS = ["a", "b", "c"] * 4
PICTURES = [npy(np.full((8, 8), 20 * index, np.uint8)) for index in range(12)]
IDS = np.arange(12, dtype=np.uint64) * np.uint64(977)
TINY = {"threads": 1, "precision": "fp32", "quiet": True, "lang": "en", "base": "none", "size": "mini"}


def feed(labels=LABELS, *, batch_size: int = 12, mixup: str = "yes") -> LabelledFeed:
    source = Inputs({"image": image.Input.fit(["image"], [PICTURES], settings={"image": {"mixup": mixup}})})
    source.alone.augment = lambda features, chance: features  # to see what is mixed
    part = Part(source.items({"image": PICTURES}), {"kind": labels}, IDS)
    target = Category.fit(["a", "b", "c"])
    return LabelledFeed(source, part, {"kind": target}, batch_size=batch_size, seed=0)


def test_each_image_is_a_mixture_by_the_shares_of_its_two_answers():
    own = feed()
    batch = own.batch(0, 0)
    assert batch.shares.min() >= 0.5 and batch.shares.max() <= 1 and len(set(batch.shares.tolist())) > 6
    seen = 0
    for row, record in enumerate(batch.index):
        values = batch.inputs["image"]["patches"][row].unique().tolist()
        share = float(batch.shares[row])
        partners = [other for other in range(12) if LABELS[other] == "abc"[int(batch.others["kind"][row])]]
        expected = [share * 20 * record + (1 - share) * 20 * other for other in partners]
        assert len(values) == 1 and min(abs(values[0] - one) for one in expected) <= 0.51
        seen += share < 0.99
    assert seen >= 3


def test_the_mixture_hangs_on_seed_epoch_and_record_alone():
    def mixtures(epoch: int, **how) -> dict[int, float]:
        own = feed(**how)
        batches = [own.batch(epoch, number) for number in range(own.num_batches(epoch))]
        return {
            record: share
            for one in batches
            for record, share in zip(one.index.tolist(), one.shares.tolist(), strict=True)
        }

    assert mixtures(1) == mixtures(1, batch_size=5) != mixtures(2)


def test_the_loss_is_that_of_both_answers_by_their_shares():
    own = feed()
    trunk = TrunkConfig(dim=16, num_layers=1, ffn_dim=32, num_segments=0, dropout=0.0,
                        positions=PositionConfig(kind="none"), attention=AttentionConfig(num_heads=2))  # fmt: skip
    model = Model(own.source.groups, {"kind": Category.fit(["a", "b", "c"])}, ModelConfig(trunk=trunk))
    model.initialise(0)
    batch = own.batch(0, 0)
    logits, found = model(batch)["kind"], model.loss(batch)["kind"]
    soft = torch.zeros(12, 3)
    for row in range(12):
        soft[row, batch.targets["kind"][row]] += batch.shares[row]
        soft[row, batch.others["kind"][row]] += 1 - batch.shares[row]
    expected = torch.nn.functional.cross_entropy(logits, soft, reduction="sum")  # torch's own soft labels
    torch.testing.assert_close(found.sum, expected)
    assert float(found.count) == pytest.approx(12) and model.counts(batch)["kind"] == pytest.approx(12)
    parts = [model.loss(batch.part(rows))["kind"].sum for rows in (slice(0, 5), slice(5, None))]
    torch.testing.assert_close(sum(parts), expected)


def test_a_record_without_an_answer_is_mixed_into_none():
    own = feed([*LABELS[:-1], None])
    for epoch in range(5):
        batch = own.batch(epoch, 0)
        lacking = batch.others["kind"] < 0
        assert (batch.shares[lacking] == 1).all()


def test_nothing_is_mixed_unasked():
    batch = feed(mixup="no").batch(0, 0)
    assert batch.shares is None and batch.others == {}


def test_recordings_keep_their_length():
    sounds = [sound(0.5), sound(1.0, hertz=900)]
    source = audio.Input.fit(["audio"], [sounds], settings={"audio": {"mixup": "yes"}})
    short, long = (item.features for item in source.features(sounds))
    mixed = source.mix(short, long, 0.75)["frames"]
    np.testing.assert_allclose(mixed, 0.75 * short["frames"] + 0.25 * long["frames"][: len(mixed)], atol=1e-6)
    mixed, alone = source.mix(long, short, 0.75)["frames"], len(short["frames"])
    assert len(mixed) == len(long["frames"]) and np.allclose(mixed[alone:], 0.75 * long["frames"][alone:])


def test_a_fit_mixes_only_where_one_column_is_all(tmp_path):
    rows = []
    for index in range(24):
        path = tmp_path / f"{index}.png"
        path.write_bytes(encoded(np.full((8, 8), 10 * index, np.uint8)))
        rows.append({"photo": str(path), "kind": "ab"[index % 2], "size": index * 1.5})
    choices = {"target": "kind", "columns": ["photo:mixup=yes"], "epochs": 1, **TINY}
    run = zaowu.fit(rows, ignore=["size"], out=tmp_path / "run", **choices)
    assert run.source.alone.mixes and not zaowu.load(tmp_path / "run").source.alone.mixes
    with pytest.raises(UserError, match="--column photo:mixup: mixes whole records"):
        zaowu.fit(rows, out=tmp_path / "two", **choices)
