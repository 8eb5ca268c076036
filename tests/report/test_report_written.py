"""What a page shows of written texts: as they are, in both languages, with pictures that say what they should."""

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from report_html import Page

import zaowu.report.written
from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError
from zaowu.report import english as common
from zaowu.report.content import AnswerContent, ReportContent, check_shown
from zaowu.report.say import Say
from zaowu.report.write import render
from zaowu.report.written import chinese, english, pictures, views

ROOM = Path(zaowu.report.written.__file__).parent
ODD = '<script>alert("x")</script> & “引号”'


def written(**changes):
    examples = [
        {
            "group": group,
            "row": 10 * place + number,
            "text": f"Source {group} {number} {ODD}",
            "references": [f"参考{number}甲", f"参考{number}乙"],
            "predicted": f"写出{number}{ODD}" if number else "",
            "score": 0.25 * number,
        }
        for place, group in enumerate(("good", "bad", "random"))
        for number in range(4)
    ]
    memory = {
        "size": 20, "characters": True, "texts": 300, "long": 40, "copied": 4, "share": 0.012, "whole": 7,
        "passages": [{"row": 3, "train_row": 1234, "units": 25, "passage": f"床前明月光{ODD}"}],
    }  # fmt: skip
    attention = [
        {"row": 9, "source": ["the", ODD], "written": ["这", "狗", " "], "weights": [[1.0, 0], [0.25, 0.75], [0, 0.5]]}
    ]
    made = {
        "tokenize": "zh",
        "characters": True,
        "examples": examples,
        "lengths": [[3, 4], [3, 4], [10, 8], [0, 0]],
        "memory": memory,
        "attention": attention,
    }
    return {**made, **changes}


def page_of(lang, **changes):
    answer = AnswerContent(target="zh", kind="text", written=written(**changes))
    return render(ReportContent(title="pairs.tsv: zh", answers=[answer]), lang=lang)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_texts_stand_beside_their_references_and_are_no_html(lang):
    page = page_of(lang)
    words = Page(page).text().replace("\u00a0", " ")
    assert "<script" not in page and words.count("<script>") >= 12
    for number in range(4):
        assert f"参考{number}甲" in words and f"参考{number}乙" in words
    table = english.WORDS if lang == "en" else chinese.WORDS
    heads = Page(page).text("h3").split("\n")
    assert heads[:3] == [table[f"written.{group}"] for group in ("bad", "good", "random")]
    assert table["title.written"] in Page(page).text("h2", "a") or table["title.written"] in words
    assert table["written.nothing"] in words and "75.0" in words
    assert table["counted.zh"] in words


@pytest.mark.parametrize(("lang", "said"), [("en", "4 of the 40 texts"), ("zh", "够长的 40 条文本中有 4 条")])
def test_passages_are_counted_and_shown(lang, said):
    words = Page(page_of(lang)).text().replace("\u00a0", " ")
    assert said in words and "床前明月光" in words and "1234" in words and "1.2" in words
    without = {**written()["memory"], "copied": 0, "passages": [], "whole": 0}
    words = Page(page_of(lang, memory=without)).text()
    assert said not in words and "床前明月光" not in words
    assert (english if lang == "en" else chinese).WORDS["passages.longest"] not in words
    short = Page(page_of(lang, memory={**without, "long": 0})).text()
    assert (english if lang == "en" else chinese).WORDS["passages.short"] in short
    assert "20" not in Page(page_of(lang, memory=None)).text("p")


def test_other_kinds_have_no_such_section():
    page = render(ReportContent(title="x", answers=[AnswerContent(target="topic")]), lang="en")
    assert english.WORDS["title.written"] not in page


def dots(svg):
    found = []
    for element in ElementTree.fromstring(svg).iter("use"):
        found.append((float(element.attrib["x"]), float(element.attrib["y"])))
    return found


def test_lengths_lie_where_they_should():
    svg = pictures.lengths([[10, 10], [0, 0], [10, 5], [10, 5]], 0, Say("en", views.MORE))
    places = dict(
        zip([(0, 0), (10, 5), (10, 10)], [d for d in dots(svg) if d[1] < 270 and d[0] >= 56][-3:], strict=True)
    )
    (left, bottom), (right, half), (same, top) = places.values()
    assert right == same > left and bottom > half > top
    assert half - top == pytest.approx(bottom - half, abs=0.1) and right - left == pytest.approx(bottom - top, abs=0.1)


def squares(svg):
    """(x, y, opacity) of each filled square, from the upper left."""
    found = []
    for element in ElementTree.fromstring(svg).iter("path"):
        style = element.attrib.get("style", "")
        if "fill: var(--accent)" in style:
            numbers = np.array(re.findall(r"[ML] (\S+) (\S+)", element.attrib["d"]), float)
            opacity = re.search(r"opacity: ([\d.]+)", style)
            found.append((*numbers.min(0).tolist(), float(opacity[1]) if opacity else 1.0))
    return sorted(found, key=lambda one: (round(one[1]), round(one[0])))


def test_attention_is_drawn_piece_by_piece():
    svg = pictures.attention(
        [[1.0, 0], [0.25, 0.75], [0, 0.5]], ["the", "dog"], ["这", "狗", " "], "a", Say("zh", views.MORE)
    )
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("text")]
    assert {"the", "dog", "这", "狗", "␣"} <= set(texts) and any("读入" in text for text in texts)
    found = squares(svg)
    assert [round(opacity, 2) for _, _, opacity in found] == [1.0, 0.25, 0.75, 0.5]
    (x0, y0, _), (x1, y1, _), (x2, y2, _), (x3, y3, _) = found
    assert x0 == x1 and x2 == x3 == pytest.approx(x0 + pictures.CELL) and y1 == y2
    assert y1 - y0 == pytest.approx(pictures.CELL) == pytest.approx(y3 - y2)


def test_of_long_texts_the_first_pieces_are_drawn():
    weights = np.full((70, 90), 0.5).tolist()
    svg = pictures.attention(weights, ["很长的一个词元" * 9] * 90, ["b"] * 70, "a", Say("en", views.MORE))
    assert len(squares(svg)) == 60 * 60
    one = {"row": 1, "source": ["a"] * 90, "written": ["b"] * 70, "weights": weights}
    words = Page(page_of("en", attention=[one])).text("p")
    assert "Of 70 and 90 pieces the first are drawn." in words


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": [[1]]},
        {"lengths": [[-1, 2]]},
        {"lengths": [[1, 2]] * 1000},
        {"examples": written()["examples"] * 10},
        {"attention": [{"row": 1, "source": ["a"], "written": ["b"], "weights": [[0.5, 0.5]]}]},
        {"attention": [{"row": 1, "source": ["a"], "written": ["b", "c"], "weights": [[0.5]]}]},
        {"attention": [{"row": 1, "source": ["a"], "written": ["b"], "weights": [[1.5]]}]},
        {"attention": [{"row": 1, "source": [], "written": ["b"], "weights": [[]]}]},
        {"attention": [{"row": 1, "source": ["a"] * 500, "written": ["b"], "weights": [[0.0] * 500]}]},
    ],
)
def test_what_cannot_be_drawn_is_refused(change):
    answer = AnswerContent(target="zh", kind="text", written=written(**change))
    with pytest.raises(UserError, match=r"metrics.json, 'written'"):
        check_shown([answer], where="metrics.json")
    check_shown([dataclasses.replace(answer, written=written())], where="metrics.json")


def test_a_saved_page_is_the_same():
    answer = AnswerContent(target="zh", kind="text", written=written())
    content = ReportContent(title="x", answers=[answer])
    again = from_plain(ReportContent, to_plain(content), where="x")
    assert render(again, lang="en") == render(content, lang="en")


# ---- words


@pytest.mark.parametrize("key", english.WORDS)
def test_a_sentence_has_the_same_gaps_in_both_languages(key):
    def gaps(words):
        return sorted(set(re.findall(r"{(\w+)}", words)))

    assert gaps(chinese.WORDS[key]) == gaps(english.WORDS[key])
    assert re.search("[\u4e00-\u9fff]|（", chinese.WORDS[key]) and not re.search("[\u4e00-\u9fff]", english.WORDS[key])


def test_both_languages_have_the_same_keys_and_no_common_one():
    assert list(english.WORDS) == list(chinese.WORDS) and not set(english.WORDS) & set(common.WORDS)


def test_no_sentence_is_left_over():
    sources = [path for path in ROOM.glob("*.py") if path.stem not in ("english", "chinese")]
    sources += [ROOM.parent / "templates" / "written.html.j2", ROOM.parent / "write.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"""['"]([\w.]+)['"]""", text))
    groups = {words.rstrip(".") for words in used} | set(re.findall(r"""f['"]([a-z_]+)\.{""", text))
    assert [key for key in english.WORDS if key not in used and key.split(".")[0] not in groups] == []
