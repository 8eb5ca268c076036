"""The number target against scikit-learn and simulated values; made-up saved states are refused."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional

from zaowu import targets
from zaowu.errors import UserError
from zaowu.targets.number import MAX_POINTS, MIN_TUNING, Number, NumberDetails, NumberPrediction, figure

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(50, 10, 2000).clip(1).tolist()  # above zero, as lognormal values are
LOGNORMAL = RNG.lognormal(10, 1, 2000).tolist()


def through(target, values):
    """What comes out when the model says exactly what it should."""
    return target.decode(target.features(values)[:, None]).value


# ---- the scale


def test_skewed_values_get_a_log_scale_and_symmetric_ones_do_not():
    assert Number.fit(LOGNORMAL).scale == "log"
    assert Number.fit(NORMAL).scale == "plain"
    assert Number.fit(RNG.uniform(0, 9, 500).tolist()).scale == "plain"
    assert Number.fit([-1.0, *LOGNORMAL]).scale == "plain"  # one is below zero


@pytest.mark.parametrize("values", [NORMAL, LOGNORMAL, [0.0, *LOGNORMAL]])
def test_on_its_scale_training_values_have_mean_zero_and_deviation_one(values):
    answers = Number.fit(values).features(values)
    assert answers.dtype == np.float32
    assert answers.mean() == pytest.approx(0, abs=1e-4) and answers.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("values", [NORMAL, LOGNORMAL, [0.0, *LOGNORMAL], [-3.0, 8.0, 1e9], [0, 1]])
def test_decoding_undoes_the_scale(values):
    np.testing.assert_allclose(through(Number.fit(values), values), values, rtol=1e-4, atol=1e-4 * np.std(values))


def test_no_answer_runs_far_away():
    """Half a standard deviation beyond the training values, on the scale of the model, and never below zero."""
    target = Number.fit(LOGNORMAL)
    low, high = target.decode(np.array([[-1e6], [1e6]], np.float32)).value
    assert low == 0
    ends = np.log1p(np.array([max(LOGNORMAL), high]) / np.median(LOGNORMAL))
    assert ends[1] - ends[0] == pytest.approx(0.5 * np.log1p(np.array(LOGNORMAL) / np.median(LOGNORMAL)).std())
    plain = Number.fit([-10.0, 10.0])
    assert plain.decode(np.array([[-1e6], [1e6]], np.float32)).value.tolist() == [-15.0, 15.0]


def test_missing_numbers_are_no_answers():
    answers = Number.fit([1.0, 2.0, None]).features([1.5, None, float("nan")])
    assert np.isnan(answers).tolist() == [False, True, True]
    assert targets.answered(answers).tolist() == [True, False, False]


@pytest.mark.parametrize(("labels", "got"), [([], "none"), ([None], "none"), ([7.0, 7.0, None], "only 7")])
def test_fewer_than_two_numbers_are_refused(labels, got):
    with pytest.raises(UserError, match=f"at least two different numbers, got {got}"):
        Number.fit(labels)


@pytest.mark.parametrize("choice", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_what_is_for_classes_is_refused(choice):
    with pytest.raises(UserError, match="for classes"):
        Number.fit([1.0, 2.0], **choice)


def test_the_loss_is_the_weighted_squared_error_of_what_is_known():
    target, outputs = Number.fit(NORMAL), torch.randn(4, 1)
    answers = torch.tensor([0.5, float("nan"), -1.0, 2.0])
    found = target.loss(outputs, answers, torch.tensor([1.0, 9.0, 2.0, 0.5]))
    known = torch.tensor([0, 2, 3])
    each = functional.mse_loss(outputs[known, 0], answers[known], reduction="none")
    torch.testing.assert_close(found.sum, (each * torch.tensor([1.0, 2.0, 0.5])).sum())
    assert float(found.count) == 3.5


# ---- the interval


@pytest.mark.parametrize("values", [NORMAL, LOGNORMAL])
@pytest.mark.parametrize("rows", [40, 1000])
def test_nine_of_ten_new_rows_lie_in_the_interval(values, rows):
    """Split conformal: whatever the residuals look like, coverage on new rows is at least 90 % on average."""
    target, covered, rng = Number.fit(values), [], np.random.default_rng(1)
    for _ in range(40):
        truth = rng.choice(values, rows + 500)
        answers = target.features(truth.tolist())
        outputs = (answers + rng.standard_t(4, len(answers)) * 0.3)[:, None].astype(np.float32)
        found = target.tuned(outputs[:rows], answers[:rows]).decode(outputs[rows:])
        covered.append(((truth[rows:] >= found.low) & (truth[rows:] <= found.high)).mean())
    assert 0.89 < np.mean(covered) < 0.93


def test_the_width_is_the_quantile_with_one_row_more():
    """Of 19 + 1 residuals the 19th smallest: ceil(0.9 x 21) = 19."""
    target = Number.fit([0.0, 10.0])
    errors = np.arange(1, 21, dtype=np.float32) / 10
    found = target.tuned(errors[:, None], np.zeros(20, np.float32))
    assert found.width == pytest.approx(1.9)


def test_too_few_rows_say_nothing_of_the_width():
    target = Number.fit(NORMAL)
    outputs = np.zeros((30, 1), np.float32)
    few = np.r_[np.zeros(MIN_TUNING - 1), [np.nan] * 11].astype(np.float32)
    assert target.tuned(outputs, few) is target
    assert target.decode(outputs).low is target.decode(outputs).high is None
    enough = np.r_[np.zeros(MIN_TUNING), [np.nan] * 10].astype(np.float32)
    assert target.tuned(outputs, enough).width == 0


# ---- scores


def predictions(truth, seed=0):
    return NumberPrediction(np.asarray(truth) * np.random.default_rng(seed).normal(1, 0.3, len(truth)))


def test_scores_are_those_of_scikit_learn():
    truth = LOGNORMAL[:300]
    found = Number.fit(LOGNORMAL).score(predictions(truth), truth)
    value = predictions(truth).value
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, value))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, value))
    assert found["r2"] == pytest.approx(sk.r2_score(truth, value))
    assert set(found) == set(Number.metrics)


def test_one_row_and_equal_truths_have_finite_scores():
    target = Number.fit([1.0, 2.0])
    for truth, said, r2 in (([3.0], [3.0], 1), ([3.0, 3.0], [3.0, 4.0], 0)):
        found = target.score(NumberPrediction(np.array(said)), truth)
        assert found["r2"] == r2 == sk.r2_score([3.0, 3.0], [3.0, said[-1]]) and math.isfinite(found["mae"])
        for low, high in target.intervals(NumberPrediction(np.array(said)), truth, seed=0, resamples=50).values():
            assert math.isfinite(low) and low <= high


def test_intervals_hold_the_score_of_the_whole_95_times_in_100():
    target, rng = Number.fit(NORMAL), np.random.default_rng(3)
    whole = rng.normal(50, 10, 100_000)
    said = whole + rng.normal(0, 5, len(whole))
    real = target.score(NumberPrediction(said), whole)
    held = dict.fromkeys(real, 0)
    for _ in range(100):
        rows = rng.integers(len(whole), size=150)
        found = target.intervals(NumberPrediction(said[rows]), whole[rows], seed=0, resamples=200)
        for name, (low, high) in found.items():
            held[name] += low <= real[name] <= high
    assert all(85 <= count <= 100 for count in held.values()), held


def test_differences_are_paired_and_below_zero_where_the_first_is_better():
    target, truth = Number.fit(NORMAL), np.array(NORMAL[:300])
    noise = np.random.default_rng(0).normal(0, 20, 300)
    good, bad = NumberPrediction(truth + noise), NumberPrediction(truth + noise + 2 * np.sign(noise))
    found = target.differences(good, bad, truth, seed=0, resamples=300)["mae"]
    assert (found.value, found.low, found.high) == pytest.approx((-2, -2, -2))


def test_the_prior_is_the_mean_and_a_linear_model_finds_a_line():
    from scipy import sparse

    target = Number.fit(NORMAL)
    answers = target.features(NORMAL)
    assert target.decode(target.prior(np.r_[answers, np.nan])[None]).value[0] == pytest.approx(
        np.mean(NORMAL), rel=1e-5
    )
    matrix = sparse.csr_matrix(np.array(NORMAL)[:, None])
    weight, bias = target.fit_linear(matrix, answers, strength=100.0, seed=0)
    assert target.score(target.decode(matrix @ weight.T + bias), NORMAL)["r2"] > 0.999


def test_the_worst_are_ratios_on_a_log_scale():
    target = Number.fit(LOGNORMAL)
    truth, said = [100.0, 100_000.0, 1000.0], np.array([10_000.0, 80_000.0, 1000.0])
    found = target.mistakes(NumberPrediction(said), truth, limit=2)
    assert [(wrong.index, wrong.truth, wrong.predicted, wrong.confidence) for wrong in found] == [
        (0, "100", "10,000", None),
        (1, "100,000", "80,000", None),
    ]


# ---- saying and saving


def test_it_is_shown_with_its_interval_where_there_is_one():
    alone = NumberPrediction(np.array([1234.5, 1e7]))
    assert alone.columns("价格", top=5) == {"predicted_价格": [1234.5, 1e7]}
    assert alone.plain(top=1) == [{"value": 1234.5}, {"value": 1e7}]
    assert alone.shown(top=1) == [[("1234", None)], [("10,000,000", None)]]
    whole = NumberPrediction(np.array([1.5]), np.array([1.0]), np.array([2.25]))
    assert whole.columns("x", top=1) == {"predicted_x": [1.5], "predicted_x_low": [1.0], "predicted_x_high": [2.25]}
    assert whole.plain(top=1) == [{"value": 1.5, "low": 1.0, "high": 2.25}]
    assert whole.shown(top=1) == [[("1.5 (1 to 2.25)", None)]]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.012362, "0.01236"), (-9.5, "-9.5"), (12345.6, "12,346"), (1e12, "1,000,000,000,000")],
)
def test_figures_are_short_and_without_an_exponent(value, words):
    assert figure(value) == words


def test_details_count_every_row_and_draw_some():
    target = Number.fit(NORMAL)
    truth = NORMAL[:1500]
    said = predictions(truth).value
    details = target.details(NumberPrediction(said, said - 20, said + 20), truth)
    assert sum(details.counts) == 1500 and len(details.edges) == len(details.counts) + 1
    assert len(details.points) <= MAX_POINTS and set(details.points) <= set(zip(truth, said.tolist(), strict=True))
    assert details.coverage == pytest.approx(np.mean(np.abs(np.array(truth) - said) <= 20))
    plain = json.loads(json.dumps(details.to_plain(), allow_nan=False))
    assert NumberDetails.from_plain(plain, where="m") == details
    for damage in (
        {"edges": plain["edges"][:-1]},
        {"points": [[1.0]]},
        {"points": [["a", "b"]]},
        {"counts": None},
        {"coverage": "all"},
        {"more": 1},
    ):
        with pytest.raises(UserError, match=r"metrics\.json"):
            NumberDetails.from_plain(plain | damage, where="metrics.json")


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": "sqrt"},
        {"unit": 0.0},
        {"unit": float("nan")},
        {"spread": -1.0},
        {"spread": float("inf")},
        {"center": float("nan")},
        {"center": None},
        {"lowest": 5e9},
        {"highest": "much"},
        {"width": -0.1},
        {"width": float("nan")},
        {"width": True},
        {"more": 1},
    ],
)
def test_a_made_up_state_is_refused(damage):
    state = json.loads(json.dumps(Number.fit(LOGNORMAL).state()))
    assert Number.from_state(state, where="zaowu.json") == Number.fit(LOGNORMAL)
    with pytest.raises(UserError, match=r"zaowu\.json"):
        Number.from_state(state | damage, where="zaowu.json")


@pytest.mark.parametrize("name", ["scale", "unit", "center", "spread", "lowest", "highest", "width"])
def test_a_state_with_a_hole_is_refused(name):
    state = Number.fit(NORMAL).state()
    del state[name]
    with pytest.raises(UserError, match=r"zaowu\.json"):
        Number.from_state(state, where="zaowu.json")
