"""Before the first step a base's heads are fitted to its states: better than fresh ones, and repeatable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from test_loop import CONFIG, make_model, make_part, same, weights

from zaowu.model import Model
from zaowu.targets.category import Category
from zaowu.targets.number import Number
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.head_start import fit_heads, linear_heads
from zaowu.train.labelled import train


def started(part, *, seed=0, weighed=None):
    model, source = make_model()
    answers = {"kind": model.targets["kind"].features(part.labels["kind"])}
    fit_heads(model, source, part.items, answers, ids=part.ids, weights=weighed, seed=seed)
    return model, source


def test_a_fitted_head_knows_more_than_a_fresh_one_and_touches_nothing_else():
    part, valid = make_part(256, seed=0), make_part(128, seed=1)
    fresh, source = make_model()
    model, _ = started(part)
    kept = {name: tensor for name, tensor in weights(fresh).items() if not name.startswith("heads.")}
    assert same(kept, weights(model))
    found = train(model, source, part, valid, replace(CONFIG, epochs=1, lr=1e-9))
    assert found.best.valid["accuracy"] > 0.75  # of random vectors a linear layer alone knows most words


def test_equal_seeds_give_equal_heads():
    part = make_part(64, seed=0)
    one, other = (weights(started(part, seed=3)[0]) for _ in range(2))
    assert same(one, other) and one["heads.0.weight"].abs().sum() > 0


def test_it_is_judged_before_the_first_step():
    part, valid = make_part(64, seed=0), make_part(32, seed=1)
    for head_start, first in ((True, 0), (False, 1)):
        model, source = make_model()
        found = train(model, source, part, valid, replace(CONFIG, epochs=2), head_start=head_start)
        assert found.history[0].epoch == first
    model, source = make_model()
    found = train(model, source, part, valid, replace(CONFIG, epochs=2), head_start=True)
    assert found.history[0].train_loss is None and found.history[0].step == 0


def test_a_resumed_run_does_not_begin_again(tmp_path):
    part, valid = make_part(64, seed=0), make_part(32, seed=1)
    config = replace(CONFIG, epochs=3, checkpoint_steps=5)
    whole, source = make_model()
    train(whole, source, part, valid, config, head_start=True)
    model, source = make_model()
    train(model, source, part, valid, config, checkpoint=Checkpoint(tmp_path), head_start=True)
    model, source = make_model()
    model.heads[0].weight.data.fill_(7.0)  # what stands there is not looked at: the checkpoint has it
    train(model, source, part, valid, config, checkpoint=Checkpoint(tmp_path), head_start=True)
    assert same(weights(whole), weights(model))


def test_a_record_without_an_answer_or_without_weight_teaches_nothing():
    part = make_part(64, seed=0)
    labels = list(part.labels["kind"])
    turned = ["sport" if label == "tech" else "tech" for label in labels[:16]] + labels[16:]
    weighed = np.ones(64, np.float32)
    weighed[:16] = 0.0
    one, _ = started(replace(part, labels={"kind": turned}), weighed=weighed)
    other, _ = started(part, weighed=weighed)
    assert torch.allclose(one.heads[0].weight, other.heads[0].weight)
    plain, _ = started(replace(part, labels={"kind": turned}))
    assert not torch.allclose(plain.heads[0].weight, other.heads[0].weight)


def test_which_heads_begin_fitted():
    model, source = make_model()
    targets = {"kind": Category.fit(["sport", "tech"]), "price": Number.fit([1.0, 2.0, 5.0])}
    both = Model(source.groups, targets, model.config)
    assert list(linear_heads(both)) == ["kind", "price"]
    assert not linear_heads(Model(source.groups, targets, replace(model.config, head="first")))
