"""What HOUSE asks of every kind of answer that is a place in a text. A new one needs a line of EXAMPLES."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from zaowu import targets
from zaowu.errors import UserError
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.evaluate.finder import Finder
from zaowu.records import answers, spans

TEXT = "Li Na lives in Oslo ."


@dataclass(frozen=True)
class Example:
    labels: list[str]


def entity(start, end, label):
    return {"start": start, "end": end, "label": label}


EXAMPLES = {
    "span": Example([json.dumps([{"text": words, "start": TEXT.find(words)}]) for words in ("Li Na", "Oslo")] + ["[]"]),
    "entities": Example(
        [json.dumps([entity(0, 5, "PER"), entity(15, 19, "LOC")]), "[]", json.dumps([entity(0, 2, "X")])]
    ),
}
TOKENS = [kind for kind in targets.kinds() if targets.find(kind, where="test").reads == "tokens"]
STARTS = [place for place, sign in enumerate(TEXT) if place == 0 or TEXT[place - 1] == " "]
PLACES = np.array([[-1, -1], *([s, (TEXT + " ").find(" ", s)] for s in STARTS), [-1, -1]], np.int32)
DIM, COPIES = 8, 8


@pytest.fixture(params=TOKENS)
def example(request):
    assert request.param in EXAMPLES, "give the new kind of answer a line of EXAMPLES"
    labels = EXAMPLES[request.param].labels * COPIES
    texts = {"text": [TEXT] * len(labels), "other": [f"{k}" for k in range(len(labels))]}
    return targets.find(request.param, where="test").fit(labels).located(texts, labels), labels, texts


def answers_of(target, labels):
    return torch.from_numpy(np.stack([target.token_answers(one, TEXT, PLACES) for one in target.features(labels)]))


def outputs_of(target, rows, *, seed=0):
    torch.manual_seed(seed)
    return target.head(DIM)(torch.randn(rows, len(PLACES), DIM)).detach()


def said_by(target, rows, *, seed=0):
    found = np.empty(rows, object)
    for row, own in enumerate(outputs_of(target, rows, seed=seed).numpy()):
        found[row] = target.merge([target.reduce(own, TEXT, PLACES)])
    return found


def test_the_records_know_its_kind(example):
    target, labels, _ = example
    assert target.name in answers.KINDS and target.name in spans.KINDS and target.column == "text"
    assert spans.kind_of_cells(labels) == target.name
    assert target.headline in target.metrics and set(target.primary) <= set(target.metrics)


def test_its_state_survives_json_and_a_made_up_one_is_refused(example):
    target, _, _ = example
    state = json.loads(json.dumps(target.state(), allow_nan=False))
    assert targets.load(target.name, state, where="zaowu.json") == target
    for wrong in (None, [], {}, state | {"unheard_of": 1}, *({**state, name: object} for name in state)):
        with pytest.raises(UserError, match=r"zaowu\.json"):
            targets.load(target.name, wrong, where="zaowu.json")


def test_its_loss_adds_up_counts_by_weight_and_looks_at_no_padding(example):
    target, labels, _ = example
    truth, outputs = answers_of(target, labels), outputs_of(target, len(labels)).requires_grad_()
    weights = torch.linspace(0.5, 2.0, len(labels))
    whole = target.loss(outputs, truth, weights)
    half = len(labels) // 2
    parts = [target.loss(outputs[part], truth[part], weights[part]) for part in (slice(half), slice(half, None))]
    torch.testing.assert_close(whole.sum, sum(part.sum for part in parts))
    assert float(whole.count) == pytest.approx(sum(float(part.count) for part in parts))
    assert target.count(truth, weights) == pytest.approx(float(whole.count))
    (gradient,) = torch.autograd.grad(whole.sum, outputs)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    pad = torch.full((len(labels), 3, *truth.shape[2:]), -1, dtype=truth.dtype)
    wide = torch.cat([outputs, torch.full((len(labels), 3, target.num_outputs), 9.0)], 1)
    torch.testing.assert_close(target.loss(wide, torch.cat([truth, pad], 1), weights).sum, whole.sum)


def test_records_without_a_label_teach_nothing(example):
    target, labels, _ = example
    assert targets.answered(target.features([*labels[:2], None])).tolist() == [True, True, False]
    truth = answers_of(target, [None, None])
    assert (truth < 0).all()
    nothing = target.loss(outputs_of(target, 2), truth, torch.ones(2))
    assert float(nothing.sum) == float(nothing.count) == 0


def test_what_it_keeps_survives_a_file(example):
    target, _, _ = example
    said = said_by(target, 5)
    assert targets.unpacked(targets.packed(said), target).tolist() == said.tolist()
    tensor = targets.as_tensor(said)
    assert tensor.dtype == np.uint8 and targets.from_tensor(tensor, target).tolist() == said.tolist()
    assert isinstance(target.merge([]), list)
    assert len(target.decode(targets.from_tensor(targets.as_tensor(said[:0]), target))) == 0


def test_it_decodes_scores_and_shows_what_it_names(example):
    target, labels, _ = example
    said = said_by(target, len(labels))
    prediction = target.tuned(said, target.features(labels)).decode(said)
    found = evaluate(target, prediction, labels)
    assert set(found.scores) == set(target.metrics)
    assert Evaluation.from_plain(json.loads(json.dumps(found.to_plain(), allow_nan=False)), where="m") == found
    for name, score in found.scores.items():
        assert np.isfinite(score.value), name
        assert score.low is None or score.low <= score.value <= score.high, name
    other = target.decode(said_by(target, len(labels), seed=1))
    differences = compare(target, prediction, other, labels)
    assert target.headline in differences and all(one.low <= one.value <= one.high for one in differences.values())
    assert target.per_record(prediction, labels).shape == (len(labels),)
    wrong = target.mistakes(prediction, labels, limit=3)
    assert 0 < len(wrong) <= 3 and all(one.truth and one.predicted for one in wrong)
    for top in (1, 3):
        columns, plain, shown = prediction.columns("x", top=top), prediction.plain(top=top), prediction.shown(top=top)
        assert "predicted_x" in columns and {len(values) for values in columns.values()} == {len(labels)}
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain and len(plain) == len(labels)
        assert all(isinstance(words, str) and words for row in shown for words, _ in row)
    first, second = prediction.take(np.arange(5)), prediction.take(np.arange(len(labels)) >= 5)
    whole = targets.joined([first, second])
    assert whole.plain(top=1) == prediction.plain(top=1) and whole.agrees(prediction).all()


def test_perfect_outputs_give_perfect_scores(example):
    target, labels, _ = example
    truth = answers_of(target, labels).numpy()
    said = np.empty(len(labels), object)
    for row, own in enumerate(truth):
        flat = own if own.ndim == 2 else np.eye(target.num_outputs, dtype=np.int64)[np.maximum(own, 0)]
        said[row] = target.merge([target.reduce(np.where(flat > 0, 9.0, -9.0).astype(np.float32), TEXT, PLACES)])
    assert target.score(target.decode(said), labels)[target.headline] == 1.0


def test_its_cheap_method_answers_and_is_saved(example):
    target, labels, texts = example
    finder = Finder.fit(texts, target, [*labels[:-1], None])
    ((name, prediction),) = finder.decode(finder.outputs(texts)).items()
    assert name == target.cheap_name and len(prediction) == len(labels)
    assert np.isfinite(target.score(prediction, labels)[target.headline])
    state = json.loads(json.dumps(finder.state(), allow_nan=False))
    assert Finder.from_state(state, where="baseline.json") == finder
    wrong = [
        None,
        {},
        state | {"x": 1},
        state | {"kind": "number"},
        state | {"columns": ["other"]},
        state | {"cheap": {}},
    ]
    for one in [*wrong, state | {"columns": 3}, state | {"target": []}]:
        with pytest.raises(UserError, match=r"baseline\.json"):
            Finder.from_state(one, where="baseline.json")
