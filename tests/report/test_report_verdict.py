"""The first line: who won, and whether beyond noise."""

import pytest
import report_answers
import report_samples as samples

from zaowu.report.content import AnswerContent, ReportContent
from zaowu.report.say import Say
from zaowu.report.verdict import by_strength, caveats as caveats_of, sentences as sentences_of, verdicts


def scored(accuracy, rows=1000, low=None, high=None, **more):
    return {"rows": rows, "accuracy": accuracy, "intervals": {"accuracy": [low, high]}, **more}


def content(lead=None, **changes):
    answer = AnswerContent(
        target="topic",
        evaluation=scored(0.941, low=0.926, high=0.9551),
        baselines={"majority": scored(0.12), "tfidf_linear": scored(0.92)},
        comparison={"tfidf_linear": lead} if lead else {},
    )
    made = ReportContent(title="news.csv: topic", answers=[answer], scored_on="test split")
    return samples.change(made, changes)


def verdict(made, lang="en"):
    """That on the only target."""
    [paragraph] = verdicts(made, lang)
    return paragraph


def sentences(made, say):
    return sentences_of(made, made.answers[0], say)


def caveats(made, say):
    return caveats_of(made, made.answers[0], say)


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
    made.answers[0].comparison["majority"] = TIE
    assert by_strength(made.answers[0]) == ["majority", "tfidf_linear"]
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


def test_gradient_boosting_wins_in_words():
    boosted = {"linear": scored(0.93), "boosting": scored(0.971)}
    made = content(baselines=boosted, comparison={"boosting": LOSS, "linear": WIN})
    assert verdict(made) == (
        "The cheap baseline wins: gradient boosting names the right class for 97.1 % of 1,000 unseen rows, the "
        "Transformer for 94.1 %: 3.0 points less, beyond noise. Use the baseline."
    )
    assert "梯度提升的准确率为 97.1%" in verdict(made, "zh")
    made = content(baselines={"linear": scored(0.93)}, comparison={"linear": WIN})
    assert "(linear model)" in verdict(made) and "（线性模型）" in verdict(made, "zh")


@pytest.mark.parametrize("is_number", [False, True])
def test_a_likely_leak_is_a_caveat_of_its_own_target(is_number):
    leak = {"column": "Closed", "alone": 0.998, "others": 0.712, "usual": 0.5, "rows": 900, "is_number": is_number}
    made = content(WIN, findings={"leaks": [leak | {"target": "topic"}, leak | {"target": "another"}]})
    [english], [chinese] = caveats(made, Say("en")), caveats(made, Say("zh"))
    for sentence in (english, chinese):
        assert all(word in sentence for word in ("Closed", "topic", "99.8", "71.2", "--ignore"))
    assert "likely leak" in english and "泄露" in chinese


# ---- numbers, tags, and several answers


def priced(mae, low=None, high=None, rows=400):
    return {"rows": rows, "mae": mae, "rmse": 2 * mae, "r2": 0.5, "intervals": {"mae": [low, high]}}


def prices(lead=None, **changes):
    answer = AnswerContent(
        target="price",
        kind="number",
        evaluation=priced(12_345.6, 11_000.0, 13_500.0),
        baselines={"mean": priced(40_000.0), "tfidf_linear": priced(14_000.0)},
        comparison={"tfidf_linear": lead} if lead else {},
    )
    made = ReportContent(title="houses.csv: price", answers=[answer], scored_on="test split")
    return samples.change(made, changes)


LESS = {"value": -1654.4, "low": -2600.0, "high": -700.0}  # a smaller error is better
MORE = {"value": 1654.4, "low": 700.0, "high": 2600.0}
EVEN = {"value": -100.0, "low": -900.0, "high": 700.0}


def test_of_errors_less_is_better():
    assert verdict(prices(LESS)) == (
        "The Transformer reaches a mean absolute error of 12,346 on 400 unseen rows (95 % interval 11,000 to 13,500); "
        "the cheap baseline (TF-IDF + linear) reaches 14,000: 1,654 worse, beyond noise."
    )
    assert verdict(prices(MORE, baselines={"tfidf_linear": priced(10_691.0)})) == (
        "The cheap baseline wins: TF-IDF + linear has a mean absolute error of 10,691 on 400 unseen rows, "
        "the Transformer of 12,346: 1,654 worse, beyond noise. Use the baseline."
    )
    tie = verdict(prices(EVEN))
    assert tie.startswith("The Transformer does not beat the cheap baseline here: its mean absolute error is 12,346")
    assert "(95 % interval -700 to +900)" in tie  # turned round: above zero is better


def test_the_strongest_baseline_has_the_smallest_error():
    assert by_strength(prices(LESS).answers[0]) == ["tfidf_linear", "mean"]


def test_tags_are_told_by_their_micro_f1():
    [answer] = report_answers.tags().answers
    told = verdict(report_answers.tags())
    assert f"micro-F1 is {100 * answer.evaluation['micro_f1']:.1f} %" in told
    assert "does not beat" in told and "(95 % interval -1.0 to +2.0)" in told
    assert "most common tags" not in told


def test_several_answers_are_told_one_by_one_by_their_names():
    made = report_answers.several()
    for lang, colon in (("en", ": "), ("zh", "：")):
        told = verdicts(made, lang)
        assert [paragraph.split(colon)[0] for paragraph in told] == ["topic", "价格", "标签"]
    alone = samples.change(report_answers.number(), {})
    assert not verdicts(alone)[0].startswith("价格")


def test_an_answer_that_nothing_was_scored_of_says_so():
    made = report_answers.several()
    made.answers[1] = AnswerContent(target="价格", kind="number")
    assert verdicts(made)[1] == "价格: Nothing was scored: there were no rows with known answers to score on."


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_other_kinds_can_be_told_in_every_case(lang):
    deleaked = priced(13_000.0, 12_000.0, 14_000.0, rows=390)
    for lead in (LESS, MORE, EVEN, None):
        made = prices(lead, deleaked=deleaked, scored_on="test file")
        told = verdict(made, lang)
        assert "12,346" in told and "13,000" in told and "{" not in told
        told.encode("gbk")
    assert "12,346" in verdict(prices(baselines={}), lang)
