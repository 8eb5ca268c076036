"""The category target against torch, scipy and scikit-learn; made-up saved states are refused."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn import metrics as sk
from torch.nn import functional

from zaowu import targets
from zaowu.errors import UserError
from zaowu.targets.category import Category, CategoryPrediction
from zaowu.targets.category.details import CategoryDetails

LABELS = ["科技", "体育", "财经", "体育", "体育", "科技"]


def loss_of(target, outputs, answers, *, weights=None):
    """As the model calls it: a record without an answer weighs nothing."""
    answers = torch.tensor(answers)
    weights = torch.ones(len(answers)) if weights is None else torch.tensor(weights)
    return target.loss(outputs, answers, weights * (answers >= 0))


def predictions(rows, classes, *, seed=0):
    rng = np.random.default_rng(seed)
    return CategoryPrediction(rng.dirichlet(np.ones(len(classes)), rows).astype(np.float32), tuple(classes))


def test_classes_are_in_unicode_order_with_their_counts():
    target = Category.fit(LABELS)
    assert target.classes == ("体育", "科技", "财经") and target.counts == (3, 2, 1)
    assert target.encode(["财经", "娱乐", None, "体育"]).tolist() == [2, -1, -1, 0]
    assert target.features(["财经", "娱乐"]).tolist() == [2, -1]


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_classes_are_refused(labels):
    with pytest.raises(UserError, match="at least two"):
        Category.fit(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_cross_entropy_over_answered_records(smoothing):
    target = Category.fit(LABELS, label_smoothing=smoothing)
    logits = torch.randn(5, 3)
    found = loss_of(target, logits, [0, 2, -1, 1, 0], weights=[1.0, 2.0, 5.0, 0.5, 1.0])
    kept = torch.tensor([0, 1, 3, 4])
    each = functional.cross_entropy(
        logits[kept], torch.tensor([0, 2, 1, 0]), reduction="none", label_smoothing=smoothing
    )
    torch.testing.assert_close(found.sum, (each * torch.tensor([1.0, 2.0, 0.5, 1.0])).sum())
    assert float(found.count) == 4.5 and found.weight == 1.0


def test_balanced_weights_are_those_of_torch_and_give_classes_equal_say():
    target = Category.fit(LABELS, class_weights="balanced")
    np.testing.assert_allclose(target.weights() * np.array(target.counts), 2.0)
    logits, answers = torch.randn(6, 3), [1, 0, 2, 0, 0, 1]
    found = loss_of(target, logits, answers)
    expected = functional.cross_entropy(logits, torch.tensor(answers), weight=torch.from_numpy(target.weights()))
    torch.testing.assert_close(found.sum / found.count, expected)


def test_loss_adds_up_over_micro_batches_and_nothing_answered_is_zero():
    target = Category.fit(LABELS, class_weights="balanced")
    logits, answers = torch.randn(4, 3), [1, 0, -1, 2]
    whole = loss_of(target, logits, answers)
    parts = [loss_of(target, logits[i : i + 2], answers[i : i + 2]) for i in (0, 2)]
    torch.testing.assert_close(whole.sum, parts[0].sum + parts[1].sum)
    torch.testing.assert_close(whole.count, parts[0].count + parts[1].count)
    nothing = loss_of(target, logits, [-1] * 4)
    assert float(nothing.sum) == float(nothing.count) == 0


def test_decode_is_the_softmax_of_tensors_and_arrays():
    target = Category.fit(LABELS)
    logits = np.random.default_rng(0).normal(0, 5, (7, 3)).astype(np.float32)
    found = target.decode(logits)
    np.testing.assert_allclose(found.probabilities, softmax(logits, axis=1), atol=1e-6)
    assert np.array_equal(target.decode(torch.from_numpy(logits)).probabilities, found.probabilities)
    assert found.labels == [target.classes[i] for i in logits.argmax(axis=1)]
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(axis=1))
    assert np.isfinite(target.decode(np.array([[1e4, -1e4, 0.0]])).probabilities).all()
    assert len(target.decode(np.zeros((0, 3), np.float32)).labels) == 0


def test_top_and_take():
    given = CategoryPrediction(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]), ("a", "b", "c"))
    assert given.top(2) == [[("b", 0.5), ("c", 0.3)], [("a", 0.6), ("c", 0.3)]]
    assert [len(row) for row in given.top(9)] == [3, 3]
    assert given.take(np.array([1, 0])).labels == ["a", "b"]
    assert given.take(np.array([False, True])).labels == ["a"]


def test_scores_on_labels_never_seen_are_those_of_scikit_learn_on_the_words():
    target = Category.fit(["a", "b", "c"])
    prediction = predictions(200, target.classes)
    labels = np.random.default_rng(1).choice(["a", "b", "c", "x", "y"], 200).tolist()
    scores = target.score(prediction, labels)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(labels, prediction.labels))
    expected = sk.f1_score(labels, prediction.labels, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(expected)
    known = np.isin(labels, target.classes)
    seen = sk.log_loss(np.array(labels)[known], prediction.probabilities[known], labels=["a", "b", "c"])
    expected = (seen * known.sum() - np.log(1e-7) * (~known).sum()) / 200
    assert scores["log_loss"] == pytest.approx(expected, rel=1e-5)
    assert set(scores) == set(target.metrics)


def test_details_name_what_was_never_seen():
    target = Category.fit(["a", "b", "c"])
    prediction = predictions(100, target.classes)
    labels = np.random.default_rng(1).choice(["a", "b", "c", "x"], 100).tolist()
    details = target.details(prediction, labels)
    expected = sk.confusion_matrix(labels, prediction.labels, labels=["a", "b", "c"])
    assert np.array_equal(details.matrix, expected)
    assert details.unseen == {"x": labels.count("x")}
    assert sum(cell.rows for cell in details.confusion) == 100
    report = sk.classification_report(labels, prediction.labels, output_dict=True, zero_division=0)
    for row in details.per_class:
        assert row.precision == pytest.approx(report[row.label]["precision"])
        assert row.f1 == pytest.approx(report[row.label]["f1-score"])
        assert row.support == report[row.label]["support"]
        assert row.predicted == prediction.labels.count(row.label)
    assert sum(bin.rows for bin in details.calibration_bins) == 100


def test_differences_are_paired():
    target = Category.fit(["a", "b"])
    labels = ["a", "b"] * 200
    first = CategoryPrediction(np.where(np.array(labels) == "a", 0.9, 0.1)[:, None] * [1, -1] + [0, 1], ("a", "b"))
    flipped = first.probabilities.copy()
    flipped[:40] = flipped[:40, ::-1]
    found = target.differences(first, CategoryPrediction(flipped, ("a", "b")), labels, seed=0, resamples=500)
    assert found["accuracy"].value == pytest.approx(0.1) and 0.06 < found["accuracy"].low < 0.1
    assert found["macro_f1"].value == pytest.approx(0.1) and 0.1 < found["macro_f1"].high < 0.14


def test_state_survives_json():
    target = Category.fit(LABELS, label_smoothing=0.1, class_weights="balanced")
    assert targets.load("category", json.loads(json.dumps(target.state())), where="zaowu.json") == target


@pytest.mark.parametrize(
    "damage",
    [
        {"classes": ["a"]},
        {"classes": ["a", "a"]},
        {"classes": "ab"},
        {"classes": ["a", 3]},
        {"counts": [1]},
        {"counts": [1, 0]},
        {"counts": [1, True]},
        {"counts": [1, 2.5]},
        {"counts": None},
        {"label_smoothing": 1.0},
        {"label_smoothing": float("nan")},
        {"label_smoothing": "0"},
        {"class_weights": "os.system"},
        {"class_weights": ["none"]},
        {"more": 1},
    ],
)
def test_a_made_up_state_is_refused(damage):
    state = json.loads(json.dumps(Category.fit(["a", "b"]).state()))
    with pytest.raises(UserError, match=r"zaowu\.json"):
        Category.from_state(state | damage, where="zaowu.json")


@pytest.mark.parametrize("missing", ["classes", "counts"])
def test_a_state_with_a_hole_is_refused(missing):
    state = Category.fit(["a", "b"]).state()
    del state[missing]
    with pytest.raises(UserError, match=missing):
        Category.from_state(state, where="zaowu.json")


@pytest.mark.parametrize("state", [None, [], "category", 3])
def test_a_state_of_another_kind_is_refused(state):
    with pytest.raises(UserError):
        Category.from_state(state, where="zaowu.json")


@pytest.mark.parametrize("name", ["os", "os.path", "../category", "category.Category", "__init__", "", None, 3, ["a"]])
def test_only_files_of_the_folder_are_imported(name):
    with pytest.raises(UserError, match="category"):
        targets.load(name, {}, where="zaowu.json")


def test_made_up_details_are_refused():
    target = Category.fit(["a", "b"])
    plain = json.loads(json.dumps(target.details(predictions(20, "ab"), ["a", "b"] * 10).to_plain()))
    assert CategoryDetails.from_plain(plain, where="m") == target.details(predictions(20, "ab"), ["a", "b"] * 10)
    for damage in (
        {"classes": ["a"]},
        {"confusion": [{"truth": "a", "predicted": "z", "rows": 1}]},
        {"confusion": [{"truth": "a", "predicted": "b", "rows": "1"}]},
        {"confusion": [{"truth": "a"}]},
        {"confusion": {"a": 1}},
        {"unseen": {"x": "many"}},
        {"unseen": ["x"]},
        {"per_class": [3]},
    ):
        with pytest.raises(UserError):
            CategoryDetails.from_plain(plain | damage, where="metrics.json")


def test_worst_mistakes_are_the_surest_first():
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95], [0.8, 0.2]])
    target, prediction = Category.fit(["a", "b"]), CategoryPrediction(given, ("a", "b"))
    found = target.mistakes(prediction, ["b", "b", "a", "x", "b"], limit=20)
    assert [mistake.index for mistake in found] == [3, 0, 4, 2]
    first, second = found[:2]
    assert (first.truth, first.predicted, first.confidence) == ("x", "b", 0.95)
    assert (second.truth, second.predicted, second.confidence) == ("b", "a", 0.9)
    assert len(target.mistakes(prediction, ["b"] * 5, limit=1)) == 1
    assert target.mistakes(prediction, ["a", "b", "b", "b", "a"], limit=20) == []


def test_a_classs_prior_is_its_share():
    target = Category.fit(["a", "b", "b", "b"], also=["c"])
    found = target.decode(target.prior(target.features(["a", "b", "b", "b", None]))[None])
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.75, 0]], atol=1e-5)
    assert target.classes == ("a", "b", "c")
