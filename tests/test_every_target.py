"""What HOUSE asks of every kind of answer about a whole record; those in a text have `test_every_token_target.py`.

A new file in `zaowu/targets` needs a line of EXAMPLES, nothing else.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from zaowu import targets
from zaowu.errors import UserError
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.records import answers


@dataclass(frozen=True)
class Example:
    """labels: what it is fitted on. unknown: a label that it cannot learn from, if there is such a thing."""

    labels: list[Any]
    unknown: Any = None


EXAMPLES = {
    "category": Example(["体育", "科技", "财经", "体育"] * 6, "娱乐"),
    "number": Example([3.0, 3.5, 7.0, 12.0] * 6),
    "tags": Example(['["体育", "电竞"]', "[]", '["科技"]', '["电竞", "科技", "体育"]'] * 6),
}
DIM = 8


POOLED = [kind for kind in targets.kinds() if targets.find(kind, where="test").reads == "pooled"]


@pytest.fixture(params=POOLED)
def example(request):
    assert request.param in EXAMPLES, "give the new kind of answer a line of EXAMPLES"
    given = EXAMPLES[request.param]
    return targets.find(request.param, where="test").fit(given.labels), given


def loss_of(target, outputs, labels):
    """As the model calls it: the answers, and no weight for a record that has none."""
    truth = target.features(labels)
    real = torch.from_numpy(targets.answered(truth))
    return target.loss(outputs, torch.from_numpy(truth), torch.ones(len(labels)) * real)


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
    whole = loss_of(target, outputs, given.labels)
    half = len(given.labels) // 2
    parts = [loss_of(target, outputs[part], given.labels[part]) for part in (slice(half), slice(half, None))]
    torch.testing.assert_close(whole.sum, sum(part.sum for part in parts))
    assert float(whole.count) == pytest.approx(sum(float(part.count) for part in parts))
    assert float(whole.count) > 0 and torch.isfinite(whole.sum)
    truth = target.features(given.labels)
    weights = torch.ones(len(truth)) * torch.from_numpy(targets.answered(truth))
    assert target.count(torch.from_numpy(truth), weights) == pytest.approx(float(whole.count))
    assert target.reads == "pooled"
    (gradient,) = torch.autograd.grad(whole.sum, outputs)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_records_without_an_answer_teach_nothing(example):
    target, given = example
    for unknown in {given.unknown, None}:
        labels = [*given.labels[:3], unknown]
        assert targets.answered(target.features(labels)).tolist() == [True, True, True, False]
        outputs = outputs_of(target, 4).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(target, outputs, labels).sum, outputs)
        assert (gradient[3] == 0).all() and (gradient[:3] != 0).any()
        nothing = loss_of(target, outputs, [unknown] * 4)
        assert float(nothing.sum.detach()) == float(nothing.count) == 0


def test_a_record_counts_by_its_weight(example):
    target, given = example
    outputs, truth = outputs_of(target, 2).detach(), torch.from_numpy(target.features(given.labels[:2]))
    one, other = (target.loss(outputs[[k]], truth[[k]], torch.ones(1)) for k in (0, 1))
    both = target.loss(outputs, truth, torch.tensor([3.0, 0.5]))
    torch.testing.assert_close(both.sum, 3 * one.sum + 0.5 * other.sum)
    assert float(both.count) == pytest.approx(3 * float(one.count) + 0.5 * float(other.count))


def test_it_decodes_and_scores_what_it_names(example):
    target, given = example
    rows = len(given.labels)
    prediction = target.decode(outputs_of(target, rows))
    assert len(prediction) == rows
    found = evaluate(target, prediction, given.labels)
    assert set(found.scores) == set(target.metrics) and {*target.primary, target.headline} <= set(target.metrics)
    assert target.primary
    for score in found.scores.values():
        assert np.isfinite(score.value) and score.low <= score.value <= score.high
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert Evaluation.from_plain(plain, where="metrics.json") == found
    other = target.decode(outputs_of(target, rows, seed=1))
    differences = compare(target, prediction, other, given.labels)
    assert target.headline in differences and set(differences) <= set(target.metrics)
    assert all(score.low <= score.value <= score.high for score in differences.values())


def test_a_column_of_it_is_an_answer(example):
    target, _ = example
    assert target.name in answers.KINDS  # which is all that the records know of it


def test_its_predictions_can_be_picked_put_together_and_shown(example):
    target, given = example
    rows = len(given.labels)
    prediction = target.tuned(outputs_of(target, rows).detach().numpy(), target.features(given.labels)).decode(
        outputs_of(target, rows)
    )
    first, second = prediction.take(np.arange(5)), prediction.take(np.arange(rows) >= 5)
    whole = targets.joined([first, second])
    assert (len(first), len(second), len(whole)) == (5, rows - 5, rows)
    for name in prediction.rowwise:
        assert np.array_equal(getattr(whole, name), getattr(prediction, name))
    for top in (1, 3):
        columns, plain, shown = prediction.columns("x", top=top), prediction.plain(top=top), prediction.shown(top=top)
        assert "predicted_x" in columns and {len(values) for values in columns.values()} == {rows}
        assert len(plain) == len(shown) == rows and json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert all(isinstance(words, str) and words for row in shown for words, _ in row)
        assert first.plain(top=top) == plain[:5]


def test_its_worst_answers_are_told_and_each_record_has_a_figure(example):
    target, given = example
    prediction = target.decode(outputs_of(target, len(given.labels)))
    figures = target.per_record(prediction, given.labels)
    assert figures.shape == (len(given.labels),) and np.isfinite(figures).all()
    found = target.mistakes(prediction, given.labels, limit=3)
    assert 0 < len(found) <= 3 and all(mistake.truth and mistake.predicted for mistake in found)
    assert target.mistakes(prediction, given.labels, limit=0) == []


def test_its_prior_is_better_than_any_guess_at_random(example):
    target, given = example
    truth = target.features(given.labels)
    prior = np.tile(target.prior(truth), (len(truth), 1))
    assert prior.shape == (len(truth), target.num_outputs) and np.isfinite(prior).all()
    for seed in range(5):
        assert (
            target.row_losses(prior, truth).mean()
            < target.row_losses(3 * outputs_of(target, len(truth), seed=seed).detach().numpy(), truth).mean()
        )


def test_its_linear_baseline_learns(example):
    target, given = example
    truth = target.features(given.labels)
    each_by_itself = sparse.csr_matrix(np.eye(len(truth), dtype=np.float32))
    weight, bias = target.fit_linear(each_by_itself, truth, strength=100.0, seed=0)
    assert weight.shape == (target.num_outputs, len(truth)) and bias.shape == (target.num_outputs,)
    outputs = np.asarray(each_by_itself @ weight.T + bias, np.float32)
    prior = np.tile(target.prior(truth), (len(truth), 1))
    sign = 1 if target.metrics[target.headline].higher_is_better else -1
    ours, dull = (target.score(target.decode(raw), given.labels)[target.headline] for raw in (outputs, prior))
    assert sign * ours > sign * dull
    assert abs(ours - float(sign > 0)) < 0.1  # all but perfect: each row has a feature of its own
