"""The one loop: repeatable, resumable, and it keeps the best weights."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from zaowu.config import AttentionConfig, ModelConfig, ScheduleConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs import Inputs
from zaowu.inputs.text import Input
from zaowu.model import Model
from zaowu.targets import LossSum, sum_losses
from zaowu.targets.category import Category
from zaowu.targets.number import Number
from zaowu.train import loop
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.feed import Judge
from zaowu.train.labelled import LabelledFeed, Part, item_ids, train
from zaowu.train.optim.schedule import rate

WORDS = {"ball": "sport", "goal": "sport", "team": "sport", "chip": "tech", "code": "tech", "data": "tech"}
CONFIG = TrainConfig(epochs=4, batch_size=8, lr=3e-3, warmup=0.06, patience=9, seed=1)


def make_part(num: int, *, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    words, labels = [], []
    for _ in range(num):
        word = rng.choice(list(WORDS))
        words.append(" ".join([*rng.choice(list("abcdef"), rng.integers(1, 6)), word]))
        labels.append(WORDS[word])
    source = make_source()
    return Part(
        items=source.items({"text": words}), labels={"kind": labels}, ids=rng.integers(0, 2**64, num, dtype=np.uint64)
    )


def make_source() -> Inputs:
    texts = [f"{word} a b c d e f" for word in WORDS] * 3
    return Inputs({"text": Input.fit(["text"], [texts], base=None, num_pieces=200)[0]})


def make_model() -> tuple[Model, Inputs]:
    torch.manual_seed(0)
    source = make_source()
    trunk = TrunkConfig(dim=16, num_layers=2, ffn_dim=32, attention=AttentionConfig(num_heads=2))
    target = Category.fit(["sport", "tech"])
    model = Model(source.groups, {"kind": target}, ModelConfig(trunk=trunk))
    model.initialise(0)
    return model, source


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_learns_and_says_why_it_stopped() -> None:
    model, source = make_model()
    found = train(model, source, make_part(64, seed=0), make_part(32, seed=1), replace(CONFIG, epochs=15, patience=15))
    assert found.reason == "all 15 epochs done"
    assert found.num_steps == 15 * 8
    assert found.num_items == 15 * 64
    assert found.best.valid["accuracy"] > 0.9
    assert found.history[-1].train_loss < found.history[0].train_loss


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not() -> None:
    results = []
    for seed in (1, 1, 2):
        model, source = make_model()
        train(model, source, make_part(32, seed=0), None, replace(CONFIG, seed=seed))
        results.append(weights(model))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_the_order_of_the_rows_does_not_matter_to_what_is_drawn() -> None:
    """Dropout hangs on the record, not on its place in the batch: one batch, its rows turned round."""
    part = make_part(8, seed=0)
    turned = Part(
        items=[replace(item, record=7 - item.record) for item in reversed(part.items)],
        labels={"kind": part.labels["kind"][::-1]},
        ids=part.ids[::-1].copy(),
    )
    losses = []
    for given in (part, turned):
        model, source = make_model()
        losses.append(train(model, source, given, None, replace(CONFIG, epochs=1)).history[0].train_loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_the_best_weights_are_kept_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    model, source = make_model()
    seen = []
    scores = iter([0.5, 0.9, 0.6, 0.7])

    def scored(run: loop._Run, epoch: int, judge: Judge, seconds: float) -> loop.Point:
        seen.append(weights(run.model))
        score = next(scores)
        return loop.Point(epoch, run.step, 1.0, 0.1, seconds, {"macro_f1": score}, rank=(score, -1.0))

    monkeypatch.setattr(loop._Run, "evaluate", scored)
    found = train(model, source, make_part(32, seed=0), make_part(8, seed=1), replace(CONFIG, epochs=9, patience=2))
    assert found.reason == "no gain on validation in 2 evaluations"
    assert same(weights(model), seen[1])
    assert not same(seen[1], seen[3])


@pytest.mark.parametrize("after", [3, 5, 9])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    after: int, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, valid = make_part(32, seed=0), make_part(16, seed=1)
    model, source = make_model()
    whole = train(model, source, part, valid, CONFIG)
    expected = weights(model)

    class Presses(loop._Pressed):
        asked = 0

        @property
        def times(self) -> int:  # first asked after each step, and again when the step was the last
            self.asked += 1
            return int(self.asked >= after)

        @times.setter
        def times(self, value: int) -> None: ...

    @contextmanager
    def pressing():
        yield Presses()

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_interruptible", pressing)
        model, source = make_model()
        stopped = train(model, source, part, valid, CONFIG, checkpoint=Checkpoint(tmp_path))
    assert stopped.stopped
    assert Checkpoint(tmp_path).exists

    model, source = make_model()
    resumed = train(model, source, part, valid, CONFIG, checkpoint=Checkpoint(tmp_path))
    assert same(weights(model), expected)
    for name in ("valid", "rank", "noise"):
        assert [getattr(point, name) for point in resumed.history] == [getattr(point, name) for point in whole.history]
    assert resumed.num_items == whole.num_items


def test_a_damaged_checkpoint_is_one_sentence(tmp_path) -> None:
    checkpoint = Checkpoint(tmp_path)
    place = checkpoint.path / "000000001"
    place.mkdir(parents=True)
    (place / "state.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"no tensors")
    model, source = make_model()
    with pytest.raises(UserError, match="damaged"):
        train(model, source, make_part(8, seed=0), None, CONFIG, checkpoint=checkpoint)


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    model, _ = make_model()
    optimizer = loop.Optimizer(model, CONFIG)
    Checkpoint(tmp_path / "file").save(model, optimizer, None, {"step": 1})
    assert "could not be written" in capsys.readouterr().err


def test_a_time_limit_shortens_the_schedule_and_the_rate_still_falls_to_nothing() -> None:
    model, source = make_model()
    found = train(model, source, make_part(64, seed=0), None, replace(CONFIG, epochs=4000, time_limit=1.0))
    assert found.reason == "time limit reached"
    assert found.num_steps < 4000 * 8
    last = rate(found.num_steps - 1, num_steps=found.num_steps, warmup=CONFIG.warmup)
    assert found.history[-1].lr == pytest.approx(CONFIG.lr * last)
    assert last < 0.3


def test_the_loss_is_divided_once_and_nothing_counted_is_nothing() -> None:
    losses = {
        "one": LossSum(sum=torch.tensor(6.0), count=3.0, weight=2.0),
        "none": LossSum(sum=torch.tensor(float("nan")), count=0.0),
    }
    assert float(sum_losses(losses)) == 4.0


def test_windows_of_one_record_have_their_own_chance() -> None:
    ids = item_ids(np.array([5, 5, 5, 9], np.uint64), np.array([0, 0, 0, 1]))
    assert len(set(ids.tolist())) == 4
    assert ids[0] == 5
    assert ids[3] == 9


def test_several_answers_each_learn_from_the_records_that_have_them() -> None:
    """A record without a topic teaches the size, and one without a size the topic."""
    part, held = make_part(96, seed=0), make_part(64, seed=1)

    def both(given: Part) -> Part:
        kinds = given.labels["kind"]
        sizes = [{"sport": 10.0, "tech": 90.0}[kind] for kind in kinds]
        missing = [place % 3 for place in range(len(given))]
        return replace(
            given,
            labels={
                "kind": [None if gap == 1 else kind for gap, kind in zip(missing, kinds, strict=True)],
                "size": [None if gap == 2 else size for gap, size in zip(missing, sizes, strict=True)],
            },
        )

    part, held = both(part), both(held)
    _, source = make_model()
    targets = {"kind": Category.fit(part.labels["kind"]), "size": Number.fit(part.labels["size"])}
    trunk = TrunkConfig(dim=16, num_layers=2, ffn_dim=32, attention=AttentionConfig(num_heads=2))
    model = Model(source.groups, targets, ModelConfig(trunk=trunk))
    model.initialise(0)
    found = train(model, source, part, held, replace(CONFIG, epochs=12, patience=12))
    assert found.best.valid["kind: accuracy"] > 0.9 and found.best.valid["size: r2"] > 0.6
    assert set(found.best.valid) == {f"kind: {name}" for name in Category.metrics} | {
        f"size: {name}" for name in Number.metrics
    }


def test_a_record_of_weight_zero_teaches_nothing_and_one_of_weight_two_counts_twice() -> None:
    part = make_part(8, seed=0)
    results = []
    for weights_ in (np.array([2, 1, 1, 1, 0, 0, 0, 0], np.float32), None):
        model, source = make_model()
        given = replace(part, weights=weights_)
        if weights_ is None:  # the same, spelt out: the first record twice, the last four not at all
            places = [0, 0, 1, 2, 3]
            given = Part(
                items=[replace(part.items[place], record=at) for at, place in enumerate(places)],
                labels={"kind": [part.labels["kind"][place] for place in places]},
                ids=part.ids[places],
            )
        feed = LabelledFeed(source, given, model.targets, batch_size=len(given.items), seed=0)
        total = sum_losses(model.loss(feed.batch(0, 0)))
        total.backward()
        results.append((float(total.detach()), model.heads[0].weight.grad.clone()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-6, rtol=1e-4)


def test_a_batch_in_which_nothing_weighs_anything_is_no_step() -> None:
    part = make_part(32, seed=0)
    part = replace(part, weights=np.where(np.arange(32) < 3, 1.0, 0.0).astype(np.float32))
    model, source = make_model()
    found = train(model, source, part, None, CONFIG)
    assert all(torch.isfinite(weight).all() for weight in weights(model).values()) and found.num_steps == 16


def test_a_batch_that_is_passed_over_after_a_step_back_is_not_evaluated_again(tmp_path, monkeypatch) -> None:
    """The third batch is wild, just behind an evaluation: training goes back to it, and on behind that batch."""
    losses: list[float] = []

    def is_wild(watch: loop.Watch, loss: float) -> bool:
        losses.append(loss)
        return len(losses) == 3

    monkeypatch.setattr(loop.Watch, "is_wild", is_wild)
    config = replace(CONFIG, checkpoint_steps=1, schedule=ScheduleConfig(evaluate_steps=2))
    model, source = make_model()
    found = train(model, source, make_part(32, seed=0), make_part(16, seed=1), config, checkpoint=Checkpoint(tmp_path))
    assert len(losses) == 17 and found.num_steps == 16
    assert [point.step for point in found.history] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert all(point.train_loss > 0 for point in found.history)
