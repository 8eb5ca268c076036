"""The first line: who won, and whether beyond noise."""

import pytest
import report_samples as samples

from zaowu.report.content import ReportContent
from zaowu.report.say import Say
from zaowu.report.verdict import caveats, sentences, strongest, verdict


def scored(accuracy, rows=1000, low=None, high=None, **more):
    return {"rows": rows, "accuracy": accuracy, "intervals": {"accuracy": [low, high]}, **more}


def content(lead=None, **changes):
    made = ReportContent(
        title="news.csv: topic",
        evaluation=scored(0.941, low=0.926, high=0.9551),
        baselines={"majority": scored(0.12), "tfidf_linear": scored(0.92)},
        comparison={"tfidf_linear": lead} if lead else {},
        scored_on="test split",
    )
    return samples.change(made, changes)


WIN = {"value": 0.021, "low": 0.006, "high": 0.036}
TIE = {"value": 0.004, "low": -0.011, "high": 0.019}
LOSS = {"value": -0.03, "low": -0.045, "high": -0.015}


def test_a_win_beyond_noise():
    assert verdict(content(WIN)) == (
        "The Transformer names the right class for 94.1 % of 1,000 unseen rows (95 % interval 92.6 to 95.5); "
        "the cheap baseline (TF-IDF + linear) reaches 92.0 %: 2.1 points more, beyond noise."
    )


def test_no_win_beyond_noise_says_so_first():
    first, advice = sentences(content(TIE), Say("en"))
    assert first.startswith("The Transformer does not beat the cheap baseline here")
    assert "0.4 points (95 % interval -1.1 to +1.9) may be noise: use the baseline" in advice


@pytest.mark.parametrize("bound", [{"low": 0.0}, {"high": 0.0}])
def test_an_interval_that_touches_zero_is_no_win_and_no_loss(bound):
    for lead in (WIN, LOSS):
        touching = {**lead, **bound, "value": 0.0}
        touching["low"], touching["high"] = min(touching["low"], 0.0), max(touching["high"], 0.0)
        assert "does not beat" in verdict(content(touching))


def test_a_loss_names_the_baseline_as_winner():
    assert verdict(content(LOSS, baselines={"tfidf_linear": scored(0.971)})) == (
        "The cheap baseline wins: TF-IDF + linear names the right class for 97.1 % of 1,000 unseen rows, "
        "the Transformer for 94.1 %: 3.0 points less, beyond noise. Use the baseline."
    )


def test_the_strongest_baseline_decides():
    made = content(WIN, baselines={"tfidf_linear": scored(0.5), "majority": scored(0.9)})
    made.comparison["majority"] = TIE
    assert strongest(made) == "majority"
    assert "most common class" in verdict(made)
    assert "does not beat" in verdict(made)


def test_without_a_baseline_a_pairing_or_a_score():
    assert "there is no baseline" in verdict(content(baselines={}))
    assert "whether the difference is beyond noise was not measured" in verdict(content())
    assert "beyond noise." not in verdict(content())
    assert verdict(samples.empty()).startswith("Nothing was scored")


def test_rows_are_called_unseen_only_where_they_are():
    assert "1,000 rows, each scored by a model that had not seen it" in verdict(
        content(WIN, scored_on="5-fold cross-validation")
    )
    leaked = content(WIN, scored_on="test file", deleaked=scored(0.9, rows=963, low=0.88, high=0.92))
    assert "unseen" not in verdict(leaked)
    assert (
        "Without the rows that also stand in the training data (37) it names the right class for 90.0 % of 963 rows "
        "(95 % interval 88.0 to 92.0)." in verdict(leaked)
    )


def test_chinese():
    assert verdict(content(WIN), "zh") == (
        "在 1,000 条没有见过的数据上，Transformer 的准确率为 94.1%（95% 置信区间 92.6%～95.5%）；"
        "简单基线（TF-IDF + 线性模型）为 92.0%。Transformer 高出 2.1 个百分点，超出随机波动。"
    )
    assert verdict(content(TIE), "zh").startswith("Transformer 在这份数据上没有胜过简单基线")
    assert verdict(content(LOSS), "zh").startswith("简单基线胜出")


def test_a_terminal_in_gbk_can_print_every_verdict():
    for lead in (WIN, TIE, LOSS, None):
        for lang in ("en", "zh"):
            verdict(content(lead, deleaked=scored(0.9, rows=9, low=0.8, high=0.92)), lang).encode("gbk")


def test_caveats_name_what_the_scores_do_not_cover():
    rows = [{"label": "体育", "support": 0}, {"label": "科技", "support": 9}, {"label": "财经", "support": 10}]
    made = content(WIN, evaluation=scored(0.9, per_class=rows, unseen={"星座": 3}), unknown_share=0.051)
    made.findings["conflicting_labels"] = 12
    missing, unseen, few, conflicts, unknown = caveats(made, Say("en"))
    assert "体育" in missing and "科技" not in missing
    assert "星座 (3)" in unseen
    assert "科技" in few and "财经" not in few and "体育" not in few
    assert "12" in conflicts
    assert "5.1 %" in unknown
    assert not caveats(content(WIN, unknown_share=0.05), Say("en"))
