"""Which texts a report shows, and what it says of them."""

import json

import numpy as np
import pytest

from zaowu.config import checked, to_plain
from zaowu.report.content import ANSWER_SHAPES, AnswerContent, check_shown
from zaowu.targets.text import scores
from zaowu.targets.text.shown import chosen, shown

SOURCES = [f"sentence number {row}" for row in range(100)]


def test_the_best_the_worst_and_others_by_chance_are_shown_and_none_twice():
    figures = np.random.default_rng(0).permutation(100) / 100
    found = chosen(figures, SOURCES, seed=0)
    assert sorted(figures[found["bad"]]) == [k / 100 for k in range(10)]
    assert figures[found["bad"]].tolist() == sorted(figures[found["bad"]])
    assert figures[found["good"]].tolist() == [k / 100 for k in range(99, 89, -1)]
    every = [row for rows in found.values() for row in rows]
    assert len(set(every)) == len(every) == 30
    drawn = figures[found["random"]]
    assert drawn.min() < 0.4 and drawn.max() > 0.6  # not those next to the best or the worst
    assert found != chosen(figures, SOURCES, seed=1) and found == chosen(figures, SOURCES, seed=0)


def test_the_chance_does_not_hang_on_the_order_of_the_rows():
    figures = np.linspace(0, 1, 100)
    order = np.random.default_rng(1).permutation(100)
    moved = chosen(figures[order], [SOURCES[row] for row in order], seed=0)["random"]
    assert order[moved].tolist() == chosen(figures, SOURCES, seed=0)["random"]


def test_a_source_is_shown_once():
    found = chosen(np.zeros(60), ["a", "b", "c", "d", "e", "f"] * 10, seed=0)
    assert sorted(map(len, found.values())) == [2, 2, 2]
    assert len({row % 6 for rows in found.values() for row in rows}) == 6


@pytest.mark.parametrize("num", [1, 2, 3, 7, 29, 31])
def test_few_texts_are_shared_out(num):
    found = chosen(np.arange(num) / num, SOURCES[:num], seed=0)
    every = [row for rows in found.values() for row in rows]
    assert len(set(every)) == len(every) and found["bad"] and len(every) >= min(num, 30) - 2


def test_what_is_shown_is_what_a_report_takes():
    long = "训练里的一个很长的句子它一共有二十多个汉字在里面"
    predicted, truth = ["你好。", long, "不", "嗨。"], ["嗨。", "另一句", "是的", "你好。"]
    sources = ["Hi.", "A sentence.", "Yes.", "Hi."]
    found = shown(predicted, truth, sources, rows=[5, 6, 7, 8], training=([long, "x"], [1, 2]))
    assert found["tokenize"] == "zh" and found["characters"]
    assert found["lengths"] == [[3, 3], [3, 24], [2, 1], [2, 2]]
    by_row = {row["row"]: row for row in found["examples"]}
    assert len(by_row) == 3  # three sources
    assert by_row[6]["score"] == pytest.approx(scores.per_row([long], ["另一句"])[0])
    hello = by_row.get(5) or by_row[8]
    assert hello["references"] == ["嗨。", "你好。"] and hello["score"] == 1
    assert found["memory"]["passages"][0] == {"row": 6, "train_row": 1, "units": 24, "passage": long}
    plain = json.loads(json.dumps(to_plain(AnswerContent(target="zh", kind="text", written=found))))
    assert checked(ANSWER_SHAPES["written"], plain["written"], where="x") == found
    check_shown([AnswerContent(target="zh", kind="text", written=plain["written"])], where="x")
