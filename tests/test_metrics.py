"""Scores against scikit-learn, scipy and hand computation; intervals against the bootstrap done the slow way."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from zaowu import metrics


def sample(rows, classes, *, right=0.7, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    return truth, np.where(rng.random(rows) < right, truth, rng.integers(0, classes, rows))


def slow_bootstrap(statistic, rows, *, resamples=2000, seed=1):
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, rows, rows)) for _ in range(resamples)]
    return np.percentile(values, [2.5, 97.5])


def test_scores_are_those_of_scikit_learn():
    truth, predicted = sample(500, 6)
    truth[truth == 4], predicted[predicted == 5] = 3, 2  # 4 is never the truth, 5 never predicted
    assert metrics.accuracy(truth, predicted) == sk.accuracy_score(truth, predicted)
    assert np.array_equal(metrics.confusion(truth, predicted, 6), sk.confusion_matrix(truth, predicted))
    table = metrics.class_scores(truth, predicted, 6)
    expected = sk.precision_recall_fscore_support(truth, predicted, labels=range(6), zero_division=0)
    for got, want in zip((table.precision, table.recall, table.f1, table.support), expected, strict=True):
        np.testing.assert_allclose(got, want)
    assert table.predicted.tolist() == [int((predicted == c).sum()) for c in range(6)]


@pytest.mark.parametrize("hole", [None, 0, 2, 5])
def test_macro_f1_is_that_of_scikit_learn_also_with_classes_missing(hole):
    truth, predicted = sample(300, 6, seed=3)
    if hole is not None:
        keep = (truth != hole) & (predicted != hole)
        truth, predicted = truth[keep], predicted[keep]
    expected = sk.f1_score(truth, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(truth, predicted) == pytest.approx(expected)


def test_log_loss_is_that_of_scikit_learn_and_clipped():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 200)
    truth = rng.integers(0, 4, 200)
    expected = sk.log_loss(truth, probabilities, labels=range(4))
    assert metrics.log_losses(probabilities, truth).mean() == pytest.approx(expected)
    impossible = metrics.log_losses(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1, 2]))  # 2: never seen
    np.testing.assert_allclose(impossible, -np.log(1e-7))


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0])
    correct = np.array([True, True, True, False, False, True, True])
    bins = metrics.calibration_bins(confidence, correct)
    assert bins.count.tolist() == [0] * 8 + [2] + [0] * 5 + [5]  # 0.55 x 15 = 8.25; 0.95 x 15 = 14.25
    assert bins.confidence[8] == pytest.approx(0.55) and bins.accuracy[8] == pytest.approx(0.5)
    assert bins.confidence[14] == pytest.approx(0.96) and bins.accuracy[14] == pytest.approx(0.8)
    assert metrics.calibration_error(bins) == pytest.approx((2 * 0.05 + 5 * 0.16) / 7)


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (5, 5), (7, 10), (480, 500)])
def test_wilson_interval_is_that_of_scipy(hits, rows):
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert metrics.wilson_interval(hits, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_accuracy_interval_is_the_binomial_one():
    correct = np.arange(400) < 320
    expected = stats.binom.ppf([0.025, 0.975], 400, 0.8) / 400
    got = metrics.accuracy_interval(correct, resamples=20_000)
    np.testing.assert_allclose(got, expected, atol=0.004)


def test_all_right_is_not_certain():
    truth = np.arange(60) % 3
    assert metrics.accuracy_interval(np.ones(60, bool)) == metrics.wilson_interval(60, 60)
    assert metrics.accuracy_interval(np.zeros(60, bool)) == metrics.wilson_interval(0, 60)
    assert metrics.macro_f1_interval(truth, truth) == metrics.wilson_interval(60, 60)
    assert metrics.wilson_interval(60, 60)[0] < 0.95


def test_macro_f1_interval_is_that_of_resampled_rows():
    truth, predicted = sample(150, 4)
    truth[:3] = 9  # a rare class that is never predicted: often absent from a resample
    expected = slow_bootstrap(
        lambda rows: sk.f1_score(truth[rows], predicted[rows], average="macro", zero_division=0), 150, resamples=600
    )
    np.testing.assert_allclose(metrics.macro_f1_interval(truth, predicted, resamples=5000), expected, atol=0.015)


def test_macro_f1_difference_is_resampled_in_pairs():
    truth, first = sample(300, 3, right=0.8)
    second = np.where(np.random.default_rng(5).random(300) < 0.1, (first + 1) % 3, first)
    expected = slow_bootstrap(
        lambda rows: metrics.macro_f1(truth[rows], first[rows]) - metrics.macro_f1(truth[rows], second[rows]), 300
    )
    got = metrics.macro_f1_difference_interval(truth, first, second, resamples=5000)
    np.testing.assert_allclose(got, expected, atol=0.006)
    alone = metrics.macro_f1_interval(truth, first)
    assert got[1] - got[0] < alone[1] - alone[0]  # what both have in common has gone


@pytest.mark.parametrize("rows", [500, 5000])
def test_mean_interval_is_that_of_resampled_rows(rows):
    values = np.random.default_rng(2).exponential(1.0, rows)
    expected = slow_bootstrap(lambda picked: values[picked].mean(), rows)
    np.testing.assert_allclose(metrics.mean_interval(values, resamples=4000), expected, atol=0.15 / np.sqrt(rows))


def test_paired_interval():
    rng = np.random.default_rng(4)
    first = rng.random(1000) < 0.8
    second = first & (rng.random(1000) < 0.95)
    low, high = metrics.paired_interval(first, second, resamples=4000)
    discordant = (first & ~second).mean()
    half = 1.96 * np.sqrt(discordant * (1 - discordant) / 1000)
    np.testing.assert_allclose([low, high], [discordant - half, discordant + half], atol=0.003)
    assert metrics.paired_interval(first, first) == (0.0, 0.0)
    many = rng.normal(size=1000)
    np.testing.assert_allclose(metrics.paired_interval(many + 0.25, many), (0.25, 0.25))


def test_calibration_interval_holds_the_value_and_reaches_zero_when_calibrated():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1.0, 2000)
    calibrated = rng.random(2000) < confidence
    value = metrics.calibration_error(metrics.calibration_bins(confidence, calibrated))
    low, high = metrics.calibration_error_interval(confidence, calibrated)
    assert low <= value <= high and low < 0.005
    sure = rng.random(2000) < confidence - 0.2
    low, high = metrics.calibration_error_interval(confidence, sure)
    assert 0.15 < low < 0.2 < high < 0.25


def test_intervals_repeat_with_the_seed_and_move_without():
    truth, predicted = sample(200, 3)
    first, again, other = (metrics.macro_f1_interval(truth, predicted, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_million_rows_and_thousands_of_classes_stay_small():
    truth, predicted = sample(1_000_000, 2000, right=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = metrics.macro_f1_interval(truth, predicted)
    assert low < metrics.macro_f1(truth, predicted) < high and high - low < 0.01


@pytest.mark.parametrize(("wins", "losses", "proved"), [(4, 0, False), (3, 0, False), (12, 0, True), (30, 10, True)])
def test_few_rows_that_differ_prove_nothing(wins, losses, proved):
    from scipy.stats import binomtest

    assert (binomtest(wins, wins + losses).pvalue < 0.05) == proved
    first, second = np.zeros(200), np.zeros(200)
    first[:wins], second[wins : wins + losses] = 1, 1
    low, high = metrics.paired_interval(first, second)
    assert (low > 0) == proved and low < (wins - losses) / 200 < high
