"""Whatever stands in the data is shown as text."""

import dataclasses
import re

import pytest
import report_answers
import report_samples as samples
from report_html import Page

from zaowu.report.content import AnswerContent, ReportContent
from zaowu.report.write import render, write

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;{{ 7 * 7 }}{% raw %}</style></svg>]]>-->"


def attacked(value):
    """Every text in plain data, the attack before it."""
    if isinstance(value, str):
        return ATTACK + value
    if isinstance(value, dict):
        return {key: attacked(inner) for key, inner in value.items()}
    return [attacked(inner) for inner in value] if isinstance(value, list) else value


def named(values):
    """The attack before every name of a dict that the data or the person names."""
    return {ATTACK + str(name): value for name, value in values.items()}


KINDS = {"one": samples.topics, "several": report_answers.several}


@pytest.fixture(scope="module", params=KINDS)
def hostile(request):
    """The attacked content, and the content that it was made from."""
    clean = KINDS[request.param]()
    plain = dataclasses.asdict(clean)
    answers = plain.pop("answers")
    made = ReportContent(**attacked(plain))
    for answer in answers:
        kind = answer.pop("kind")  # one of a few words, which loading a run has checked
        own = AnswerContent(kind=kind, **attacked(answer))
        if "unseen" in own.evaluation:
            own.evaluation["unseen"] = {ATTACK: 3}
        own.deleaked = own.evaluation
        for name in ("baselines", "comparison"):
            setattr(own, name, named(getattr(own, name)))
        made.answers.append(own)
    findings = made.findings
    findings["class_counts"] = named({side: named(counts) for side, counts in findings["class_counts"].items()})
    findings["skipped"] = named(findings["skipped"])
    for name in ("settings", "versions", "timing"):
        setattr(made, name, named(getattr(made, name)))
    return made, clean


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_in_the_data_is_taken_for_html(hostile, lang):
    made, untouched = hostile
    page = render(made, lang=lang)
    attacked, clean = Page(page), Page(render(untouched, lang=lang))
    known = {(tag, name) for tag, attributes in clean.elements for name in attributes}
    assert {(tag, name) for tag, attributes in attacked.elements for name in attributes} <= known
    assert {tag for tag, _ in attacked.elements} <= {tag for tag, _ in clean.elements}
    assert "<script>alert(1)</script>" in attacked.text("h1")
    assert "{{ 7 * 7 }}" in attacked.text("bdi") and "49" not in attacked.text("h1")
    assert page.count("<style>") == page.count("</style>") == 1


def test_hostile_names_of_many_classes():
    names = [f"{ATTACK}{i}" for i in range(30)]
    page = Page(render(samples.sample(names, rows=300, right=0.7, base_right=0.6)))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(render(samples.many_classes())).elements}


def test_characters_that_html_and_utf8_forbid_are_replaced(tmp_path):
    made = samples.topics(title="a\x00b\x1bc\ud800d\ufffe")
    evaluation = made.answers[0].evaluation
    evaluation["classes"][0] = evaluation["per_class"][0]["label"] = "体\x00育"
    write(tmp_path / "report.html", made)
    page = (tmp_path / "report.html").read_bytes().decode()
    assert "<title>a\ufffdb\ufffdc\ufffdd\ufffd</title>" in page
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page)
