"""One call for the loop, the command line and the tests."""

import json

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.targets.category import Category, CategoryPrediction

LABELS = ["体育", "科技", "科技", "体育", "娱乐"] * 20  # the model knows the first two
TARGET = Category.fit(["体育", "科技"])


def prediction(*, right=0.8, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.maximum(TARGET.encode(LABELS), 0)
    said = np.where(rng.random(len(truth)) < right, truth, 1 - truth)
    sure = rng.uniform(0.5, 1.0, len(truth))
    return CategoryPrediction(np.where(np.arange(2) == said[:, None], sure[:, None], 1 - sure[:, None]), TARGET.classes)


def test_every_score_lies_in_its_interval():
    found = evaluate(TARGET, prediction(), LABELS)
    assert found.rows == 100 and found.details.unseen == {"娱乐": 20}
    assert set(found.scores) == {"accuracy", "macro_f1", "log_loss", "calibration_error"}
    for score in found.scores.values():
        assert score.low is not None and score.low <= score.value <= score.high and score.low < score.high
    assert found.scores["accuracy"].value == np.mean(np.array(LABELS) == np.array(prediction().labels)) <= 0.8


def test_without_resamples_the_scores_are_the_same_without_intervals():
    quick, full = (evaluate(TARGET, prediction(), LABELS, resamples=number) for number in (0, 100))
    for name, score in quick.scores.items():
        assert score.value == full.scores[name].value and score.low is score.high is None
    assert quick.to_plain()["intervals"] == {}


@pytest.mark.parametrize("resamples", [0, 100])
def test_the_plain_form_is_json_and_comes_back(resamples):
    found = evaluate(TARGET, prediction(), LABELS, resamples=resamples)
    text = json.dumps(found.to_plain(), allow_nan=False)
    plain = json.loads(text)
    assert plain["rows"] == 100 and isinstance(plain["accuracy"], float) and isinstance(plain["macro_f1"], float)
    assert set(plain["intervals"]) == (set(found.scores) if resamples else set())
    assert Evaluation.from_plain(plain, where="metrics.json") == found


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "os"},
        {"kind": None},
        {"rows": "100"},
        {"accuracy": None},
        {"macro_f1": "high"},
        {"intervals": None},
        {"intervals": {"accuracy": [0.1]}},
        {"intervals": {"accuracy": "ab"}},
        {"unknown": 1},
    ],
)
def test_a_made_up_file_is_refused(damage):
    plain = evaluate(TARGET, prediction(), LABELS).to_plain()
    with pytest.raises(UserError, match=r"metrics\.json"):
        Evaluation.from_plain(plain | damage, where="metrics.json")
    with pytest.raises(UserError):
        Evaluation.from_plain([plain], where="metrics.json")


def test_no_rows_are_refused():
    with pytest.raises(UserError, match="at least one row"):
        evaluate(TARGET, prediction().take(np.zeros(100, bool)), [])


def test_one_row_is_enough():
    found = evaluate(TARGET, prediction().take(np.array([0])), LABELS[:1])
    assert found.scores["accuracy"].low < found.scores["accuracy"].high


def test_compare_has_the_sign_of_the_better_one():
    good, bad = prediction(right=0.95), prediction(right=0.6, seed=1)
    ahead, behind = (compare(TARGET, *pair, LABELS) for pair in ((good, bad), (bad, good)))
    for name in ("accuracy", "macro_f1"):
        assert ahead[name].low > 0 > behind[name].high
        assert ahead[name].value == pytest.approx(-behind[name].value)
        expected = evaluate(TARGET, good, LABELS).scores[name].value - evaluate(TARGET, bad, LABELS).scores[name].value
        assert ahead[name].value == pytest.approx(expected)
    same = compare(TARGET, good, good, LABELS)["accuracy"]
    assert (same.low, same.value, same.high) == (0, 0, 0)
