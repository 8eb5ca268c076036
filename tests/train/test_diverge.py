"""A planted bad batch is seen before its step, left out, and named; three in a row end the run with advice."""

from __future__ import annotations

import pytest
import torch
from test_loop import CONFIG, make_model, make_part, weights

from zaowu.errors import UserError
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.diverge import WINDOW, Watch
from zaowu.train.labelled import train


def planted(monkeypatch, model, steps, value):
    """The loss of these calls is `value` times what it was: NaN for a gradient that is no number."""
    true, calls = model.loss, iter(range(10**9))

    def loss(batch, *, seed=None):
        found = true(batch, seed=seed)
        if next(calls) in steps:
            return {name: type(own)(own.sum * value, own.count, own.weight) for name, own in found.items()}
        return found

    monkeypatch.setattr(model, "loss", loss)


def test_a_loss_that_is_no_number_changes_nothing_and_is_named(monkeypatch, capsys):
    part = make_part(32, seed=0)
    model, source = make_model()
    planted(monkeypatch, model, {2, 5}, float("nan"))
    found = train(model, source, part, None, CONFIG)
    assert all(torch.isfinite(weight).all() for weight in weights(model).values())
    said = capsys.readouterr().err
    assert said.count("left out") == 2 and "batch 3" in said and "records" in said
    assert found.num_steps == 4 * 4 - 2


def test_a_gradient_that_is_no_number_is_seen_before_the_step(monkeypatch, capsys):
    model, source = make_model()
    hook = iter([1.0, float("inf"), *[1.0] * 100])
    model.heads[0].weight.register_hook(lambda gradient: gradient * next(hook))
    train(model, source, make_part(32, seed=0), None, CONFIG)
    assert all(torch.isfinite(weight).all() for weight in weights(model).values())
    assert "gradient is no number" in capsys.readouterr().err


def test_three_in_a_row_stop_with_advice(monkeypatch):
    model, source = make_model()
    planted(monkeypatch, model, {4, 5, 6}, float("nan"))
    with pytest.raises(UserError, match=r"diverged.*--lr"):
        train(model, source, make_part(32, seed=0), None, CONFIG)


def test_a_wild_loss_goes_back_to_the_last_checkpoint(monkeypatch, tmp_path, capsys):
    config = CONFIG.__class__(**{**vars(CONFIG), "epochs": 10, "checkpoint_steps": 20})
    part = make_part(64, seed=0)
    model, source = make_model()
    planted(monkeypatch, model, {71}, 1e4)
    found = train(model, source, part, None, config, checkpoint=Checkpoint(tmp_path))
    said = capsys.readouterr().err
    assert "left out" in said and "Back at step 60" in said
    assert found.num_steps == 10 * 8 - 1


def test_what_is_wild_and_what_is_not():
    watch = Watch()
    for step in range(WINDOW - 1):
        assert not watch.is_wild(2.0 + 0.01 * (step % 3))
        watch.applied(2.0 + 0.01 * (step % 3))
    assert not watch.is_wild(100.0)  # too early to tell
    assert watch.is_wild(float("nan")) and watch.is_wild(float("inf"))
    watch.applied(2.0)
    assert watch.is_wild(5.1) and not watch.is_wild(2.02)
    assert not watch.is_wild(4.9)  # early in a training from scratch, texts of a rare length are twice as hard
    for _ in range(WINDOW):
        watch.applied(0.01)
    assert watch.is_wild(3.1) and not watch.is_wild(2.9)  # a mislabelled row late in a fine-tuning is no divergence
    assert [watch.refused(), watch.refused(), watch.refused()] == [False, False, True]
    watch.applied(0.1)
    assert not watch.refused()
