"""What HOUSE asks of every kind of answer. A new file in `zaowu/targets` needs a line of EXAMPLES, nothing else."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from zaowu import targets
from zaowu.batching.batch import Batch
from zaowu.errors import UserError
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate


@dataclass(frozen=True)
class Example:
    """labels: what it is fitted on. unknown: a label that it cannot learn from, if there is such a thing."""

    labels: list[Any]
    unknown: Any = None


EXAMPLES = {"category": Example(["体育", "科技", "财经", "体育"] * 6, "娱乐")}
DIM = 8


@pytest.fixture(params=targets.kinds())
def example(request):
    assert request.param in EXAMPLES, "give the new kind of answer a line of EXAMPLES"
    given = EXAMPLES[request.param]
    return targets.find(request.param, where="test").fit(given.labels), given


def batch_of(target, labels):
    answers = torch.from_numpy(target.features(labels))
    nothing = torch.zeros(len(labels), 1, dtype=torch.long)
    real = torch.isfinite(answers) if answers.is_floating_point() else answers >= 0
    return Batch(
        inputs={},
        mask=nothing == 0,
        positions=nothing,
        segments=nothing,
        targets={target.name: answers},
        target_mask={target.name: real.reshape(len(labels), -1).all(dim=1)},
        weights=torch.ones(len(labels)),
    )


def outputs_of(target, rows, *, seed=0):
    torch.manual_seed(seed)
    return target.head(DIM)(torch.randn(rows, DIM))


def test_its_name_is_its_files(example):
    target, _ = example
    assert target.name in targets.kinds()
    assert type(target) is targets.find(target.name, where="test")


def test_its_state_survives_json_and_a_made_up_one_is_refused(example):
    target, _ = example
    state = json.loads(json.dumps(target.state(), allow_nan=False))
    assert targets.load(target.name, state, where="zaowu.json") == target
    for wrong in (None, [], {}, state | {"unheard_of": 1}, *({**state, name: object} for name in state)):
        with pytest.raises(UserError, match=r"zaowu\.json"):
            targets.load(target.name, wrong, where="zaowu.json")


def test_its_loss_adds_up_and_teaches_the_head(example):
    target, given = example
    outputs = outputs_of(target, len(given.labels)).detach().requires_grad_()
    whole = target.loss(outputs, batch_of(target, given.labels))
    half = len(given.labels) // 2
    parts = [
        target.loss(outputs[part], batch_of(target, given.labels[part])) for part in (slice(half), slice(half, None))
    ]
    for name, loss in whole.items():
        torch.testing.assert_close(loss.sum, sum(part[name].sum for part in parts))
        assert float(loss.count) == pytest.approx(sum(float(part[name].count) for part in parts))
        assert float(loss.count) > 0 and torch.isfinite(loss.sum)
        (gradient,) = torch.autograd.grad(loss.sum, outputs, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_records_without_an_answer_teach_nothing(example):
    target, given = example
    labels = [*given.labels[:3], given.unknown]
    outputs = outputs_of(target, 4).detach().requires_grad_()
    for loss in target.loss(outputs, batch_of(target, labels)).values():
        (gradient,) = torch.autograd.grad(loss.sum, outputs, retain_graph=True)
        assert (gradient[3] == 0).all() and (gradient[:3] != 0).any()
    for loss in target.loss(outputs, batch_of(target, [given.unknown] * 4)).values():
        assert float(loss.sum.detach()) == float(loss.count) == 0


def test_it_decodes_and_scores_what_it_names(example):
    target, given = example
    rows = len(given.labels)
    prediction = target.decode(outputs_of(target, rows))
    assert len(prediction) == rows
    found = evaluate(target, prediction, given.labels)
    assert set(found.scores) == set(target.metrics) and set(target.primary) <= set(target.metrics)
    for score in found.scores.values():
        assert np.isfinite(score.value) and score.low <= score.value <= score.high
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert Evaluation.from_plain(plain, where="metrics.json") == found
    other = target.decode(outputs_of(target, rows, seed=1))
    differences = compare(target, prediction, other, given.labels)
    assert differences and set(differences) <= set(target.metrics)


def test_its_baseline_learns(example):
    target, given = example
    answers = target.features(given.labels)
    each_by_itself = np.eye(len(answers))
    estimator = target.baseline_estimator(strength=100.0, seed=0).fit(each_by_itself, answers)
    assert (estimator.predict(each_by_itself) == answers).mean() > 0.9
