"""The page of a number, of tags, and of several answers at once."""

import dataclasses
import re

import numpy as np
import pytest
import report_answers as samples
from report_html import Page

from zaowu.evaluate.evaluate import compare, evaluate
from zaowu.report import pictures
from zaowu.report.content import AnswerContent, ReportContent
from zaowu.report.verdict import verdicts
from zaowu.report.write import render
from zaowu.targets.number import Number
from zaowu.targets.tags import Tags

FIELDS = [field.name for field in dataclasses.fields(AnswerContent) if field.name not in ("target", "kind")]


@pytest.fixture(scope="module")
def pages():
    return {
        (name, lang): render(getattr(samples, name)(), lang=lang)
        for name in ("number", "tags", "several")
        for lang in ("en", "zh")
    }


def test_what_the_other_kinds_say_is_what_the_report_reads():
    rng = np.random.default_rng(0)
    prices = rng.lognormal(10, 1, 60).tolist()
    labels = {"number": prices, "tags": ['["体育", "电竞"]', "[]", '["体育"]', '["星座"]'] * 15}
    goals = {"number": Number.fit(prices), "tags": Tags.fit(labels["tags"][:3] * 20)}
    answers = []
    for kind, target in goals.items():
        ours, theirs = (target.decode(rng.normal(size=(60, target.num_outputs)).astype(np.float32)) for _ in range(2))
        answers.append(
            AnswerContent(
                target=kind,
                kind=kind,
                evaluation=evaluate(target, ours, labels[kind]).to_plain(),
                baselines={"tfidf_linear": evaluate(target, theirs, labels[kind]).to_plain()},
                comparison={
                    "tfidf_linear": dataclasses.asdict(compare(target, ours, theirs, labels[kind])[target.headline])
                },
            )
        )
    page = Page(render(ReportContent(title="news.csv", answers=answers)))
    assert f"{answers[0].evaluation['mae']:,.0f}" in page.text("strong")
    assert f"{100 * answers[1].evaluation['micro_f1']:.1f} %" in page.text("strong").replace("\u00a0", " ")
    assert "星座 (15)" in page.text("li")


def test_a_number_has_its_own_figures_pictures_and_no_classes(pages):
    [answer] = samples.number().answers
    for lang, said in (("en", "in 91.3 % of the rows"), ("zh", "91.3%")):
        page = Page(pages["number", lang])
        words = page.text().replace("\u00a0", " ")
        assert f"{answer.evaluation['mae']:,.4g}" in words and f"{answer.evaluation['r2']:.3f}" in words
        assert said in words
        labels = " ".join(attributes["aria-label"] for attributes in page.all("svg"))
        assert ("Truth against answer" if lang == "en" else "真实值与模型的回答") in labels
        assert "Confusion matrix" not in labels and "混淆矩阵" not in labels
        assert len(page.all("svg")) == 6  # intervals, loss, score, lengths, scatter, residuals
        assert "88,000" in words and "None" not in words


def test_large_numbers_are_written_out(pages):
    made = samples.number()
    made.answers[0].evaluation.update(mae=1_234_567.8, rmse=23_456.7)
    words = Page(render(made)).text().replace("\u00a0", " ")
    assert "1,234,568" in words and "23,457" in words and not re.search(r"\de\+\d", words)


def test_tags_have_a_table_by_tag_and_the_unseen_are_named(pages):
    for lang, by_tag in (("en", "By tag"), ("zh", "标签")):
        page = Page(pages["tags", lang])
        assert by_tag in page.text("h3")
        assert set(samples.TAGS) <= set(page.text("bdi").split("\n"))
        assert "星座" in page.text("li")
        words = page.text("strong").replace("\u00a0", " ")
        share = 100 * samples.tags().answers[0].evaluation["micro_f1"]
        assert (f"{share:.1f} %" if lang == "en" else f"{share:.1f}%") in words


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_several_answers_have_a_section_each_and_one_verdict_each(pages, lang):
    page = Page(pages["several", lang])
    titles, made = page.text("h2").split("\n"), samples.several()
    for answer in made.answers:
        assert sum(title.startswith(answer.target) for title in titles) == 3, answer.target  # wrong, trust, slices
        assert answer.target in page.text("h3").split("\n")
    head = page.text("h1", "p").replace("\u00a0", " ")
    for paragraph in verdicts(made, lang):
        for sentence in re.split(r"(?<=\.) |(?<=。)", paragraph):
            assert sentence in head
    assert len(verdicts(made, lang)) == 3


def test_the_only_answer_is_not_named_in_the_titles(pages):
    assert not [title for title in Page(pages["number", "en"]).text("h2").split("\n") if "价格" in title]


@pytest.mark.parametrize("kind", ["number", "tags"])
@pytest.mark.parametrize("name", FIELDS)
def test_anything_may_be_missing_of_the_other_kinds(kind, name, monkeypatch):
    for picture in ("intervals", "loss_curve", "score_curve", "lengths", "scatter", "residuals"):
        monkeypatch.setattr(pictures, picture, lambda first, *rest, **more: "<svg></svg>" if first else None)
    made = samples.several()
    [answer] = [answer for answer in made.answers if answer.kind == kind]
    setattr(answer, name, getattr(AnswerContent(target="x"), name))
    Page(render(made))
