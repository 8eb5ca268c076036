"""Memorised passages against a search through the texts themselves."""

import numpy as np
import pytest

from zaowu.targets.text import memory
from zaowu.targets.text.memory import CHARACTERS, WORDS, Memory

LONG = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少床前明月光疑是地上霜举头望明月低头思故乡"
ENGLISH = "it was the best of times it was the worst of times it was the age of wisdom"


def test_a_passage_is_found_with_its_training_answer():
    known = Memory.fit(["不相干的一句话", LONG, "又一句"])
    assert known.characters and known.size == CHARACTERS
    [one] = known.judge([f"他说{LONG[5:30]}吧"], ["别的"])
    assert (one.passage, one.units, one.row) == (LONG[5:30], 25, 1)
    assert one.share == pytest.approx(6 / (28 - 20 + 1)) and not one.whole


def test_what_stands_in_the_source_is_no_memory():
    known = Memory.fit([LONG])
    assert known.judge([LONG], [f"原文：{LONG}"])[0] == memory.Copied(0.0, "", 0, -1, True)
    [half] = known.judge([LONG], [LONG[:30]])  # runs that begin at 0 to 10 are in the source, 11 to 20 are not
    assert half.passage == LONG[11:] and half.share == pytest.approx(10 / 21)
    assert not known.judge([LONG], [LONG])[0].whole


def test_a_passage_ends_where_an_answer_ends():
    known = Memory.fit([LONG[:25], LONG[25:]])
    [one] = known.judge([LONG], [""])
    assert (one.passage, one.row) == (LONG[:25], 0) and one.share == pytest.approx(6 / 21)


def test_words_are_compared_as_they_are_written():
    known = Memory.fit(["I see.", ENGLISH])
    assert not known.characters and known.size == WORDS
    text = "so " + " ".join(ENGLISH.split()[2:12]) + "  and I"
    [one, two] = known.judge([text, text.upper()], ["", ""])
    assert (one.passage, one.units, one.row) == (" ".join(ENGLISH.split()[2:12]), 10, 1)
    assert two.units == 0 and two.share == 0
    one_letter = Memory.fit(["a b c d e f g h i words"])
    assert one_letter.judge(["a b c d e f g h"], [""])[0].units == 8  # units of one sign are words all the same


def test_short_texts_can_be_training_answers_as_a_whole():
    known = Memory.fit(["你好。", "再见。"])
    found = known.judge(["你好。", " 你好。\n", "你好", "", "再见。"], ["Hi.", "Hi.", "Hi.", "", "再见。"])
    assert [one.whole for one in found] == [True, True, False, False, False]
    assert all(one.share == 0 and one.passage == "" for one in found)


def test_the_longest_passage_is_that_of_a_plain_search():
    rng = np.random.default_rng(0)
    answers = ["".join(rng.choice(list("春夏秋"), rng.integers(10, 60))) for _ in range(30)]
    texts = [
        "".join(answers[row][start : start + 28] for row, start in rng.integers(0, (30, 20), (3, 2))) for _ in range(40)
    ]
    known = Memory.fit(answers)
    for text, one in zip(texts, known.judge(texts, [""] * 40), strict=True):
        runs = [text[k : k + 20] for k in range(len(text) - 19)]
        hits = [any(run in answer for answer in answers) for run in runs]
        assert one.share == pytest.approx(np.mean(hits) if runs else 0)
        longest = max(
            (end - start for start in range(len(text)) for end in range(start + 20, len(text) + 1)
             if any(text[start:end] in answer for answer in answers)),
            default=0,
        )  # fmt: skip
        assert one.units == longest == len(one.passage)
        assert one.passage in answers[one.row]


def test_a_sentence_that_stands_everywhere_is_looked_for_in_few_places(monkeypatch):
    monkeypatch.setattr(memory, "MAX_PLACES", 2)
    known = Memory.fit([LONG[:25]] * 50 + [LONG])
    [one] = known.judge([LONG], [""])
    assert one.share == 1 and one.units == 25  # the longer one is the 51st place


def test_what_a_report_shows():
    known = Memory.fit([LONG, LONG[::-1], "短"])
    texts = [LONG[:22], LONG[:30], "短", "新的句子" * 6]
    found = known.plain(texts, ["x"] * 4, rows=[11, 12, 13, 14], train_rows=[2, 3, 4])
    assert found == {
        "size": 20,
        "characters": True,
        "texts": 4,
        "long": 3,
        "copied": 2,
        "share": pytest.approx(2 / 3),
        "whole": 1,
        "passages": [{"row": 12, "train_row": 2, "units": 30, "passage": LONG[:30]}],
    }


def test_nothing_is_no_fault():
    assert Memory.fit([]).judge(["a"], ["b"])[0].row == -1
    assert Memory.fit([""]).judge([""], [""])[0] == memory.Copied(0.0, "", 0, -1, False)
