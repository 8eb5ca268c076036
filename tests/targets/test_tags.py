"""The tags target against scikit-learn and brute force; made-up saved states are refused."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn import metrics as sk
from torch.nn import functional

from zaowu import targets
from zaowu.errors import UserError
from zaowu.targets.tags import MAX_TAGS, MIN_OWN, MIN_TUNING, Tags
from zaowu.targets.tags.details import TagsDetails, TagsPrediction
from zaowu.targets.tags.labels import SEPARATORS, find_separator, parse

LABELS = ['["体育", "电竞"]', "[]", '["科技"]', '["电竞", "科技", "体育"]'] * 5


def simulated(rows, *, tags="abcd", seed=0, sure=1.5):
    """Labels, their truth (N, C) and logits that know something of it. The first tag is common, the last is rare."""
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, len(tags))) < np.linspace(0.6, 0.05, len(tags))
    logits = (truth * 2 - 1) * sure + rng.normal(0, 1.5, truth.shape) - 1
    labels = [json.dumps([tag for tag, has in zip(tags, row, strict=True) if has]) for row in truth]
    return labels, truth, logits.astype(np.float32)


# ---- labels


@pytest.mark.parametrize("sign", SEPARATORS)
def test_every_separator_is_found_and_understood(sign):
    labels = [f"体育{sign}电竞", "科技", f" 电竞 {sign}{sign}科技{sign}", None]
    assert find_separator(labels) == sign
    target = Tags.fit(labels)
    assert target.separator == sign and target.tags == ("体育", "电竞", "科技")
    assert target.sets(labels) == [["体育", "电竞"], ["科技"], ["电竞", "科技"], None]


def test_the_separator_is_that_of_most_labels_and_the_rest_are_letters():
    labels = ["New York, NY; Boston, MA", "Boston, MA", "New York, NY;Boston, MA;Austin, TX", "Austin, TX; Boston, MA"]
    assert Tags.fit(labels).tags == ("Austin, TX", "Boston, MA", "New York, NY")


@pytest.mark.parametrize(
    ("label", "tags"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('  ["b", "a", "b"]', ["b", "a"]),
        ("[]", []),
        ('["a,b", " c "]', ["a,b", "c"]),
        ("[1, 2.5]", ["1", "2.5"]),
        ("['a', 'b;c']", ["a", "b;c"]),  # as Python writes it
        ("['']", []),
        ("[" * 50_000, []),
        ("[WIP] draft,bug", ["[WIP] draft", "bug"]),
        ("a,b", ["a", "b"]),
        (",", []),
    ],
)
def test_a_label_is_read(label, tags):
    assert parse(label, ",") == tags


def test_lists_and_single_tags_need_no_separator():
    target = Tags.fit(['["a", "b"]', "a", "b"])
    assert (target.separator, target.tags) == ("", ("a", "b"))
    assert target.sets(["a;b"]) == [["a;b"]]


def test_an_empty_list_is_an_answer_and_a_missing_label_is_none():
    target = Tags.fit(LABELS)
    answers = target.features(["[]", None, '["娱乐"]', '["娱乐", "科技"]'])
    assert target.tags == ("体育", "电竞", "科技") and target.counts == (10, 10, 10) and target.rows == 20
    np.testing.assert_array_equal(answers, np.array([[0, 0, 0], [np.nan] * 3, [0, 0, 0], [0, 0, 1]], np.float32))
    assert targets.answered(answers).tolist() == [True, False, True, True]


def test_tags_that_may_be_asked_for_later_are_known_too():
    target = Tags.fit(["a;b", "a"], also=["c;b", None])
    assert target.tags == ("a", "b", "c") and target.counts == (2, 1, 1)


@pytest.mark.parametrize("labels", [[], [None], ["[]", "[]"], ["a", "a"], ["a;b", "b;a"]])
def test_labels_that_tell_nothing_apart_are_refused(labels):
    with pytest.raises(UserError, match="some rows have and others lack"):
        Tags.fit(labels)


def test_too_many_tags_are_refused():
    with pytest.raises(UserError, match="at most 2,000 different tags, got 2,001"):
        Tags.fit([f"t{number}" for number in range(MAX_TAGS + 1)])


# ---- training


def test_the_loss_is_binary_cross_entropy_of_what_is_known():
    target, outputs = Tags.fit(LABELS), torch.randn(3, 3)
    answers = torch.from_numpy(target.features(['["科技"]', None, "[]"]))
    found = target.loss(outputs, answers, torch.tensor([2.0, 9.0, 0.5]))
    first, last = (functional.binary_cross_entropy_with_logits(outputs[k], answers[k], reduction="sum") for k in (0, 2))
    torch.testing.assert_close(found.sum, 2 * first + 0.5 * last)
    assert float(found.count) == 2.5


def test_smoothing_moves_both_sides_towards_the_middle():
    target, outputs = Tags.fit(LABELS, label_smoothing=0.2), torch.randn(1, 3)
    answers = torch.tensor([[1.0, 0.0, 1.0]])
    expected = functional.binary_cross_entropy_with_logits(outputs, torch.tensor([[0.9, 0.1, 0.9]]), reduction="sum")
    torch.testing.assert_close(target.loss(outputs, answers, torch.ones(1)).sum, expected)


def test_balanced_weights_let_rows_with_a_tag_weigh_as_much_as_those_without():
    labels = ['["a"]'] * 2 + ['["b", "a"]'] * 2 + ['["b"]'] * 4 + ["[]"] * 2 + ['["c"]'] + ["[]"] * 89
    target = Tags.fit(labels, class_weights="balanced")
    outputs, answers = torch.zeros(100, 3, requires_grad=True), torch.from_numpy(target.features(labels))
    target.loss(outputs, answers, torch.ones(100)).sum.backward()
    has = answers > 0
    sides = [[float(outputs.grad[has[:, c] == side, c].abs().sum()) for side in (True, False)] for c in range(3)]
    assert target.counts == (4, 6, 1)
    assert sides[1][0] == pytest.approx(6 * 0.5 * 10) and sides[1][1] == pytest.approx(94 * 0.5)  # at most tenfold
    even = Tags.fit(['["a"]'] * 20 + ["[]"] * 80, class_weights="balanced")
    outputs, answers = (
        torch.zeros(100, 1, requires_grad=True),
        torch.from_numpy(even.features(['["a"]'] * 20 + ["[]"] * 80)),
    )
    even.loss(outputs, answers, torch.ones(100)).sum.backward()
    assert float(outputs.grad[:20].sum()) == pytest.approx(-float(outputs.grad[20:].sum()))


# ---- thresholds


def f1_at(truth, scores, threshold):
    given = scores >= threshold
    return 2 * (truth & given).sum() / (truth.sum() + given.sum())  # scikit-learn's takes a thousand times as long


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_those_of_brute_force(seed):
    labels, truth, logits = simulated(400, seed=seed)
    target = Tags.fit(labels)
    tuned = target.tuned(logits, target.features(labels))
    scores = target.decode(logits).probabilities
    for c, threshold in enumerate(tuned.thresholds):
        if truth[:, c].sum() >= MIN_OWN:
            best = max(f1_at(truth[:, c], scores[:, c], value) for value in np.unique(scores[:, c]))
            assert f1_at(truth[:, c], scores[:, c], threshold) == pytest.approx(best)
            assert threshold not in scores[:, c]  # between two rows, not on one of them


def test_rare_tags_share_the_threshold_of_all():
    labels, truth, logits = simulated(MIN_TUNING, tags="abcdef", seed=2)
    truth[:, 5] = False
    truth[: MIN_OWN - 1, 5] = True
    labels = [json.dumps([tag for tag, has in zip("abcdef", row, strict=True) if has]) for row in truth]
    target = Tags.fit(labels)
    tuned, scores = target.tuned(logits, target.features(labels)), target.decode(logits).probabilities
    best = max(f1_at(truth, scores, value) for value in np.unique(scores))
    assert f1_at(truth, scores, tuned.thresholds[5]) == pytest.approx(best)


def test_too_few_rows_leave_the_thresholds_at_one_half():
    labels, _, logits = simulated(MIN_TUNING)
    target = Tags.fit(labels)
    answers = target.features(labels)
    answers[0] = np.nan
    assert target.tuned(logits, answers) is target and set(target.thresholds) == {0.5}
    assert target.tuned(logits, target.features(labels)) is not target
    assert target.decode(logits).chosen.tolist() == (logits >= 0).tolist()


def test_nothing_true_gives_the_middle():
    target = Tags.fit(LABELS)
    tuned = target.tuned(np.zeros((MIN_TUNING, 3), np.float32), np.zeros((MIN_TUNING, 3), np.float32))
    assert tuned.thresholds == (0.5,) * 3


# ---- answering


def test_decode_is_the_logistic_function_of_tensors_and_arrays():
    target, logits = Tags.fit(LABELS), np.random.default_rng(0).normal(0, 4, (7, 3)).astype(np.float32)
    found = target.decode(logits)
    np.testing.assert_allclose(found.probabilities, expit(logits), atol=1e-6)
    assert np.array_equal(target.decode(torch.from_numpy(logits)).probabilities, found.probabilities)
    assert np.isfinite(target.decode(np.array([[1e4, -1e4, 0.0]])).probabilities).all()
    assert target.decode(np.zeros((0, 3), np.float32)).labels == []


def test_what_is_shown_of_a_record():
    given = TagsPrediction(np.array([[0.9, 0.2, 0.95], [0.1, 0.2, 0.3]]), ("a", "b", "丙"), np.full((2, 3), 0.5))
    assert given.labels == [["丙", "a"], []]  # the surest first
    assert given.columns("x", top=1) == {"predicted_x": ['["丙", "a"]', "[]"]}
    assert given.columns("x", top=2)["probabilities_x"] == ['{"丙": 0.95, "a": 0.9}', '{"丙": 0.3, "b": 0.2}']
    assert given.plain(top=1) == [{"labels": ["丙", "a"]}, {"labels": []}]
    assert given.plain(top=2)[1] == {
        "labels": [],
        "top": [{"label": "丙", "confidence": 0.3}, {"label": "b", "confidence": 0.2}],
    }
    assert given.shown(top=1) == [[("丙, a", None)], [("(none)", None)]]
    assert given.shown(top=2)[0] == [("丙", 0.95), ("a", 0.9)]
    assert given.take(np.array([1])).labels == [[]]


def test_the_prior_gives_each_tags_share():
    target = Tags.fit(['["a"]'] * 3 + ["[]"], also=['["z"]'])
    prior = target.prior(target.features(['["a"]', '["a"]', '["a"]', "[]", None]))
    np.testing.assert_allclose(expit(prior), [0.75, 0], atol=1e-5)


def test_the_linear_model_tells_tags_by_their_words():
    from scipy import sparse

    labels, truth, _ = simulated(300)
    target = Tags.fit(labels)
    matrix = sparse.csr_matrix(truth.astype(np.float32))
    weight, bias = target.fit_linear(matrix, target.features(labels), strength=10.0, seed=0)
    assert target.score(target.decode(matrix @ weight.T + bias), labels)["exact_match"] == 1
    nothing = sparse.csr_matrix((300, 0), dtype=np.float32)
    weight, bias = target.fit_linear(nothing, target.features(labels), strength=1.0, seed=0)
    np.testing.assert_allclose(expit(bias), truth.mean(axis=0), atol=1e-5)


# ---- scores


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    labels, truth, logits = simulated(300, seed=seed)
    target = Tags.fit(labels)
    prediction = target.decode(logits)
    found, chosen, shares = target.score(prediction, labels), prediction.chosen, prediction.probabilities
    assert found["micro_f1"] == pytest.approx(sk.f1_score(truth, chosen, average="micro"))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, chosen, average="macro"))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(truth, chosen))
    assert found["ranking"] == pytest.approx(sk.label_ranking_average_precision_score(truth, shares))
    each = [sk.log_loss(truth[:, c], shares[:, c], labels=[False, True]) for c in range(4)]
    assert found["log_loss"] == pytest.approx(np.mean(each), rel=1e-4)
    assert set(found) == set(Tags.metrics)


def test_equal_scores_rank_as_scikit_learn_ranks_them():
    rng = np.random.default_rng(0)
    truth, shares = rng.random((50, 6)) < 0.4, rng.integers(1, 4, (50, 6)) / 4
    truth[0], truth[1] = False, True
    target = Tags(tags=tuple("abcdef"), counts=(1,) * 6, rows=9, thresholds=(0.5,) * 6)
    labels = [json.dumps([tag for tag, has in zip("abcdef", row, strict=True) if has]) for row in truth]
    found = target.score(TagsPrediction(shares, target.tags, np.full(shares.shape, 0.5)), labels)["ranking"]
    assert found == pytest.approx(sk.label_ranking_average_precision_score(truth, shares))


def test_a_tag_that_never_was_seen_is_missed_and_named():
    target = Tags.fit(['["a"]', '["b"]'] * 3)
    labels = ['["a", "x"]', '["x"]', '["b"]', '["a"]']
    prediction = target.decode(np.array([[9, -9], [-9, -9], [-9, 9], [9, 9]], np.float32))
    truth = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    chosen = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]])
    found = target.score(prediction, labels)
    assert found["micro_f1"] == pytest.approx(sk.f1_score(truth, chosen, average="micro"))
    assert found["exact_match"] == sk.accuracy_score(truth, chosen) == 0.25
    details = target.details(prediction, labels)
    assert details.unseen == {"x": 2} and "'x' (2 rows)" in details.caveats()[0]
    assert details.mean_true == 1.25 and details.mean_predicted == 1.0
    each = [sk.f1_score(*row, zero_division=0) for row in zip(truth, chosen, strict=True)]
    np.testing.assert_allclose(target.per_record(prediction, labels), each)


def test_tags_that_nobody_has_or_gives_do_not_count_in_macro_f1():
    target = Tags.fit(["a;b", "b", "c"])
    prediction = target.decode(np.array([[9, -9, -9], [-9, 9, -9]], np.float32))
    assert target.score(prediction, ["a", "a;b"])["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)  # c: neither
    nothing = target.decode(np.full((2, 3), -9, np.float32))
    assert {target.score(nothing, ["[]", "[]"])[name] for name in ("micro_f1", "macro_f1", "exact_match")} == {1.0}


def test_intervals_hold_the_score_of_the_whole_95_times_in_100():
    labels, _, logits = simulated(5_000, seed=5)
    target = Tags.fit(labels)
    whole, rng = target.decode(logits), np.random.default_rng(0)
    real = target.score(whole, labels)
    held = dict.fromkeys(real, 0)
    for _ in range(40):
        rows = rng.integers(len(labels), size=200)
        found = target.intervals(whole.take(rows), [labels[row] for row in rows], seed=0, resamples=150)
        for name, (low, high) in found.items():
            held[name] += low <= real[name] <= high
    assert all(33 <= count <= 40 for count in held.values()), held


def test_where_every_row_is_right_there_still_is_an_interval():
    target = Tags.fit(LABELS)
    prediction = target.decode((target.features(LABELS) * 2 - 1) * 9)
    for name in ("micro_f1", "macro_f1", "exact_match"):
        low, high = target.intervals(prediction, LABELS, seed=0, resamples=50)[name]
        assert low < 0.9 and high == 1


def test_differences_are_paired():
    labels, _, logits = simulated(400)
    target = Tags.fit(labels)
    first, second = target.decode(logits), target.decode(logits * 0.5 - 0.5)
    found = target.differences(first, second, labels, seed=0, resamples=300)["micro_f1"]
    one, other = (target.score(own, labels)["micro_f1"] for own in (first, second))
    assert found.value == pytest.approx(one - other) and found.low <= found.value <= found.high
    same = target.differences(first, first, labels, seed=0, resamples=100)["micro_f1"]
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_the_worst_rows_are_those_of_the_highest_loss_among_the_wrong():
    target = Tags.fit(["a;b", "b", "a"])
    logits = np.array([[9, 9], [12, -9], [0.1, -0.1], [-9, -9]], np.float32)
    found = target.mistakes(target.decode(logits), ["a;b", "b", "b", "a;b"], limit=9)
    assert [wrong.index for wrong in found] == [1, 3, 2]
    assert (found[0].truth, found[0].predicted) == ("b", "a") and found[1].predicted == "(none)"


# ---- saving


def test_details_are_those_of_scikit_learn_and_come_back():
    labels, truth, logits = simulated(200)
    target = Tags.fit(labels)
    details = target.details(target.decode(logits), labels)
    report = sk.classification_report(truth, target.decode(logits).chosen, output_dict=True, zero_division=0)
    for c, row in enumerate(details.per_class):
        expected = report[str(c)]
        assert (row.precision, row.recall, row.f1) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"])
        )
        assert row.support == expected["support"] and row.predicted == target.decode(logits).chosen[:, c].sum()
    plain = json.loads(json.dumps(details.to_plain(), allow_nan=False))
    assert TagsDetails.from_plain(plain, where="m") == details
    for damage in ({"tags": "ab"}, {"per_class": [3]}, {"unseen": {"x": "many"}}, {"mean_true": None}, {"more": 1}):
        with pytest.raises(UserError, match=r"metrics\.json"):
            TagsDetails.from_plain(plain | damage, where="metrics.json")


@pytest.mark.parametrize(
    "damage",
    [
        {"tags": []},
        {"tags": ["a", "a", "b"]},
        {"tags": "abc"},
        {"tags": ["a", "b", 3]},
        {"counts": [1]},
        {"counts": [1, 0, 1]},
        {"counts": [1, 1, 9999]},
        {"rows": 0},
        {"rows": "all"},
        {"thresholds": [0.5]},
        {"thresholds": [0.5, 0.5, 0.0]},
        {"thresholds": [0.5, 0.5, 1.5]},
        {"thresholds": [0.5, 0.5, float("nan")]},
        {"separator": "os"},
        {"separator": None},
        {"label_smoothing": 1.0},
        {"class_weights": "os.system"},
        {"more": 1},
    ],
)
def test_a_made_up_state_is_refused(damage):
    labels, _, logits = simulated(300, tags="abc")
    target = Tags.fit(labels)
    target = target.tuned(logits, target.features(labels))
    state = json.loads(json.dumps(target.state()))
    assert targets.load("tags", state, where="zaowu.json") == target
    with pytest.raises(UserError, match=r"zaowu\.json"):
        Tags.from_state(state | damage, where="zaowu.json")
