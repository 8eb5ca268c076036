"""The page: whole, safe, small, readable by people and machines, and written at once or not at all."""

import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import report_answers
import report_samples as samples
from report_html import Page

from zaowu.errors import UserError
from zaowu.report import pictures
from zaowu.report.content import AnswerContent, ReportContent
from zaowu.report.figure import INK, ON_ACCENT
from zaowu.report.pictures import shade
from zaowu.report.verdict import verdicts
from zaowu.report.write import TEMPLATES, render, write

SAMPLES = {name: getattr(samples, name) for name in ("topics", "binary", "many_classes", "missing_class", "empty")}
SAMPLES |= {name: getattr(report_answers, name) for name in ("number", "tags", "several")}
CHINESE = ("topics", "missing_class", "number", "tags", "several")
LANGUAGES = [*((name, "en") for name in SAMPLES), *((name, "zh") for name in CHINESE)]


@pytest.fixture(scope="module")
def pages():
    return {(name, lang): render(SAMPLES[name](), lang=lang) for name, lang in LANGUAGES}


@pytest.fixture(params=LANGUAGES, ids="-".join)
def page(request, pages):
    return pages[request.param]


# ---- alone


def test_opening_it_asks_the_network_for_nothing(page):
    assert not re.search(
        r"https?:|//[a-z]|@import|src\s*=|srcset|url\(|<script|<iframe|<object|<embed|<form", page, re.I
    )
    found = Page(page)
    assert {attributes["href"] for attributes in found.all("link")} == {"data:,"}
    assert all(attributes["href"].startswith("#") for attributes in found.all("a", "use"))
    policies = [attributes["content"] for attributes in found.all("meta") if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"]


def test_it_is_small(page):
    assert len(page.encode()) < 200_000


def test_large_data_do_not_make_a_large_page():
    names = [f"类别{i}" for i in range(50)]
    content = samples.sample(names, rows=10_000, right=0.8, base_right=0.7)
    text = "很长的文字 " * 20_000
    [answer] = content.answers
    answer.mistakes = [
        {"row": i, "text": text, "truth": "a", "predicted": "b", "confidence": 0.5} for i in range(2_000)
    ]
    content.findings["conflicts"] = [{"text": text, "rows": list(range(5000)), "labels": names}] * 500
    content.findings["skipped"] = {f"reason {i}": i for i in range(5_000)}
    content.columns = [{"name": f"column {i}", "role": "input", "kind": "text", "reason": text} for i in range(2_000)]
    answer.slices = [
        {"slice": "城市", "value": f"{i}", "rows": 5, "score": 0.8, "low": 0.3, "high": 0.9} for i in range(5_000)
    ]
    content.history = [{"epoch": i, "train_loss": 1 / i, "valid": {"log_loss": 1 / i}} for i in range(1, 5_000)]
    content.notes = [text] * 1_000
    assert len(render(content).encode()) < 600_000
    assert "Shown: 20 of 2,000." in render(content)


def test_thousands_of_classes_fit_on_the_page():
    names = [f"名字很长的类别 {i} " + "长" * 200 for i in range(2_000)]
    table = [
        {"label": name, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 5, "predicted": 5} for name in names
    ]
    cells = [{"truth": a, "predicted": b, "rows": 3} for a, b in itertools.pairwise(names)]
    evaluation = {"rows": 10_000, "accuracy": 0.5, "classes": names, "per_class": table, "confusion": cells}
    content = ReportContent(title="x", answers=[AnswerContent(target="topic", evaluation=evaluation)])
    content.findings["class_counts"] = {"train": dict.fromkeys(names, 5)}
    assert len(render(content).encode()) < 150_000


# ---- what it says


def test_the_verdict_is_the_first_line(pages):
    for (name, lang), page in pages.items():
        body = page[page.index("<body>") :]
        heading = re.search(r"<h1>(.*?)</h1>", body, re.S)
        assert heading.start() < 40
        words = Page(heading[0]).text().replace("\u00a0", " ")
        assert words and verdicts(SAMPLES[name](), lang)[0].startswith(words)


def test_chinese_is_text_also_inside_pictures(pages):
    page = Page(pages["topics", "zh"])
    assert set(samples.TOPICS) <= set(page.text("text").split("\n"))
    assert {"验证", "宏平均 F1", "模型回答 →"} <= set(page.text("text").split("\n"))
    assert samples.HEADLINES[0] in page.text("bdi")
    assert "&#" not in pages["topics", "zh"].replace("&#34;", "").replace("&#39;", "")


def test_an_english_page_has_english_words_and_a_chinese_one_chinese(pages):
    english, chinese = Page(pages["many_classes", "en"]), Page(pages["topics", "zh"])
    assert not re.search(r"[\u4e00-\u9fff]", english.text("h1", "h2", "h3", "p", "dt", "figcaption", "text"))
    for words in chinese.text("h2", "h3", "figcaption").split("\n"):
        assert re.search(r"[\u4e00-\u9fff]", words), words


def test_numbers_of_the_content_are_on_the_page(pages):
    words = Page(pages["topics", "en"]).text().replace("\u00a0", " ")
    [made] = samples.topics().answers
    for share in (made.evaluation["accuracy"], made.evaluation["macro_f1"], made.baselines["tfidf_linear"]["accuracy"]):
        assert f"{100 * share:.1f} %" in words
    for said in (
        "zaowu fit news.csv --target topic --seed 7 --out runs/news",
        "33.1 million",
        "6 min 42 s",
        "1,310 MB",
    ):
        assert said in words
    assert (
        "rows 17, 4120" in words
        and "科技␣" in words
        and "expected a text, got nothing" in words
        and "max_tokens" not in words
    )


EVERYTHING = [field.name for field in dataclasses.fields(ReportContent) if field.name != "title"]
EMPTY = ReportContent(title=""), AnswerContent(target="x")
OF_AN_ANSWER = [name for name in samples.ANSWER if name not in ("target", "kind")]


def nothing(name):
    return getattr(EMPTY[name in samples.ANSWER], name)


@pytest.mark.parametrize("name", [*EVERYTHING, *OF_AN_ANSWER])
def test_anything_may_be_missing(name, monkeypatch):
    for picture in ("intervals", "loss_curve", "score_curve", "lengths", "confusion", "reliability"):  # slow to draw
        monkeypatch.setattr(pictures, picture, lambda first, *rest, **more: "<svg></svg>" if first else None)
    Page(render(samples.binary(**{name: nothing(name)})))


@pytest.mark.parametrize("name", [*EVERYTHING, *OF_AN_ANSWER])
def test_anything_may_stand_alone(name):
    made = samples.topics()
    if name in OF_AN_ANSWER:
        alone = AnswerContent(target="topic", **{name: getattr(made.answers[0], name)})
        Page(render(ReportContent(title="x", answers=[alone])))
    else:
        Page(render(ReportContent(title="x", **{name: getattr(made, name)})))


def test_a_section_without_content_is_left_out():
    titles = Page(render(samples.topics())).text("h2").split("\n")
    assert len(titles) == 9
    assert Page(render(samples.empty())).text("h2") == ""
    without = samples.topics(slices=[], history=[], settings={}, best_epoch=None, stopped="")
    assert set(titles) - set(Page(render(without)).text("h2").split("\n")) == {
        "How it learned",
        "Better here, worse there",
    }


def test_numbers_that_could_not_be_computed_are_dashes():
    made = samples.topics()
    nan = float("nan")
    [answer] = made.answers
    answer.evaluation.update(log_loss=nan, intervals={"accuracy": [None, None], "macro_f1": [nan, nan]})
    answer.mistakes[0]["confidence"] = None
    made.timing["train"] = nan
    page = "\n".join(words for tag, words in Page(render(made)).texts if tag != "style")
    assert not re.search(r"\b(nan|None|inf)\b", page, re.I)


# ---- for everyone


def test_the_structure_is_what_readers_aloud_rely_on(page):
    found = Page(page)
    assert found.all("html")[0]["lang"] in ("en", "zh-CN")
    assert len(found.all("h1")) == len(found.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for attributes in found.all("svg"):
        assert attributes["role"] == "img" and len(attributes["aria-label"]) > 3
    assert all("scope" in attributes for attributes in found.all("th"))
    boxes = [attributes for attributes in found.all("div", "pre") if attributes.get("role") == "region"]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in boxes)
    assert len(boxes) >= len(found.all("table"))


def test_names_on_the_page_are_unique_and_links_lead_somewhere(page):
    found = Page(page)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for attributes in found.all("a", "use")}
    labels = {attributes["aria-labelledby"] for attributes in found.all("section")}
    assert targets | labels <= set(ids)


def test_every_picture_has_a_sentence_that_says_how_to_read_it(pages):
    for name in ("topics", "several"):
        for lang in ("en", "zh"):
            for section in re.findall(r"<section.*?</section>", pages[name, lang], re.S):
                if "<svg" in section:
                    assert 'class="how"' in section


THEMES = dict(
    zip(
        ("light", "dark", "print"),
        re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(encoding="utf-8"), re.S),
        strict=True,
    )
)


def colours(theme):
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6})", THEMES[theme])
    return {name: [int(code[i : i + 2], 16) for i in (0, 2, 4)] for name, code in found}


def contrast(one, other):
    """WCAG 2.1's contrast ratio of two colours, (3,) in 0..255."""

    def luminance(colour):
        shares = [part / 255 for part in colour]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_contrast_is_enough_to_read(theme):
    found = colours(theme)
    assert contrast(found["ink"], found["paper"]) > 12
    for name in ("muted", "accent", "second"):
        assert contrast(found[name], found["paper"]) > 4.5, name
        assert contrast(found["muted"], found["wash"]) > 4.5
    for percent in range(101):  # numbers in the squares of the confusion matrix
        fill, words = shade(percent / 100)
        square = [fill * a + (1 - fill) * p for a, p in zip(found["accent"], found["paper"], strict=True)]
        assert contrast(found[{INK: "ink", ON_ACCENT: "on-accent"}[words]], square) > 4.5, percent


# ---- writing


def test_it_replaces_an_older_page_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write(path, samples.empty(), lang="zh")
    assert path.read_text(encoding="utf-8") == render(samples.empty(), lang="zh")
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_sentence_and_the_old_page_stays(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(self, data):
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"report\.html: the report could not be written \(No space left"):
            write(path, samples.empty())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="could not be written"):
        write(tmp_path / "report.html" / "report.html", samples.empty())


def test_the_same_content_gives_the_same_page():
    assert render(samples.binary()) == render(samples.binary())


def test_another_language_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected en or zh"):
        write(tmp_path / "report.html", samples.empty(), lang="de")
    assert not list(tmp_path.iterdir())


def test_heavy_libraries_wait_until_they_are_needed():
    code = (
        "import sys; from zaowu.report import write, verdict; "
        "print([name for name in ('matplotlib', 'jinja2', 'torch', 'sklearn', 'polars') if name in sys.modules]); "
        "write.render(__import__('zaowu.report.content').report.content.ReportContent(title='x', "
        "history=[{'epoch': 1, 'train_loss': 1.0, 'valid': {}}])); "
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["[]", "True False"]


def test_what_evaluate_says_is_what_the_report_reads():
    import numpy as np

    from zaowu.evaluate.evaluate import compare, evaluate
    from zaowu.targets.category import Category

    labels = ["体育", "科技", "体育", "科技"] * 10 + ["星座"]
    target = Category.fit(["体育", "科技"] * 20)
    rng = np.random.default_rng(0)
    ours, theirs = (target.decode(rng.normal(size=(41, 2)).astype(np.float32)) for _ in range(2))
    answer = AnswerContent(
        target="label",
        evaluation=evaluate(target, ours, labels).to_plain(),
        baselines={"tfidf_linear": evaluate(target, theirs, labels).to_plain()},
        comparison={"tfidf_linear": dataclasses.asdict(compare(target, ours, theirs, labels)["accuracy"])},
    )
    page = Page(render(ReportContent(title="news.csv: label", answers=[answer])))
    right = sum(label == given for label, given in zip(labels, ours.labels, strict=True))
    assert f"{100 * right / 41:.1f} %" in page.text("strong").replace("\u00a0", " ")
    assert "星座 (1)" in page.text("li")
    assert len(page.all("svg")) == 3
