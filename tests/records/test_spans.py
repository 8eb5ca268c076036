"""Answers that stand in a text: how cells say them, where they stand, which column is searched."""

import json

import pytest

from zaowu.records import spans


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", []),
        ("  上海 ", [("上海", -1)]),
        ("[]", []),
        ('[{"text": "上海", "start": 3}]', [("上海", 3)]),
        ('[{"text": "上海", "answer_start": 3}, {"text": " "}]', [("上海", 3)]),
        ('["上海", "沪"]', [("上海", -1), ("沪", -1)]),
        ('{"text": "a", "start": 0}', [("a", 0)]),
        ("[1947]", None),
        ("[sic] an answer", [("[sic] an answer", -1)]),
        ('[{"start": 0}]', None),
    ],
)
def test_answers_are_read(cell, found):
    assert spans.answers(cell) == found


def test_an_answer_stands_where_it_is_told_or_at_the_nearest_place_with_its_words():
    context = "abc xyz abc"
    assert spans.places(context, [("abc", 8), ("abc", 7), ("abc", 1), ("abc", -1), ("none", 0)]) == [(8, 11), (0, 3)]
    assert spans.places(context, [("xyz ", 4)]) == [(4, 7)]
    assert spans.places(context, [("abc", 500)]) == [(8, 11)]


@pytest.mark.parametrize(
    "cell",
    [
        '[{"start": 0, "end": 2, "label": "PER"}, {"start": 5, "end": 6, "label": "LOC"}]',
        '[[5, 6, "LOC"], [0, 2, "PER"]]',
        '[{"begin": 0, "stop": 2, "type": "PER"}, {"start_offset": 5, "end_offset": 6, "tag": "LOC"}]',
    ],
)
def test_entities_are_read_in_their_order(cell):
    assert spans.entities(cell) == [(0, 2, "PER"), (5, 6, "LOC")]


@pytest.mark.parametrize(
    "cell", ["", "PER", "{}", "[[2, 2, 'x']]", '[[3, 2, "x"]]', '[[0, 2, " "]]', '[[true, 2, "x"]]']
)
def test_what_is_no_list_of_entities_is_none(cell):
    assert spans.entities(cell) is None


def test_of_entities_that_overlap_the_longest_stays():
    assert spans.apart([(0, 2, "a"), (1, 5, "b"), (5, 6, "c"), (4, 6, "d")]) == [(1, 5, "b"), (5, 6, "c")]


@pytest.mark.parametrize(
    ("kind", "cell", "words"),
    [
        ("span", "在上海", None),
        ("span", "[]", None),
        ("span", "北京", "stand in the context, got '北京'"),
        ("span", "[3]", "another list"),
        ("entities", '[[1, 3, "LOC"]]', None),
        ("entities", '[[3, 9, "LOC"]]', "within the 7 characters of the text, got 3 to 9"),
        ("entities", "上海", "expected a list such as"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(kind, cell, words):
    found = spans.problem(kind, cell, "他在上海工作。")
    assert found is None if words is None else words in found


def test_the_kind_is_known_by_the_cells():
    answers = [json.dumps([{"text": "a", "start": 0}])] * 3 + ["[]"]
    assert spans.kind_of_cells(answers) == "span"
    assert spans.kind_of_cells(['[[0, 1, "x"]]', "[]"]) == "entities"
    assert spans.kind_of_cells(['[{"start": 0, "end": 1, "label": "x", "text": "a"}]']) == "entities"
    for others in (["[]"], ['["a", "b"]'], ["a"], [], ['[{"name": "x"}]']):
        assert spans.kind_of_cells(others) is None


def test_the_searched_column_is_the_one_with_the_answers():
    texts = {
        "question": ["谁？", "哪里？"],
        "context": ["姚明在上海。", "他在北京。"],
        "note": ["很长很长很长很长的注", "另一个很长的注"],
    }
    assert spans.searched("span", texts, ["姚明", '[{"text": "北京", "start": 2}]']) == "context"
    assert spans.searched("entities", {"a": ["x"], "b": ["a long text"]}, ['[[2, 6, "x"]]']) == "b"
    assert spans.searched("span", texts, [None, None]) == "note"  # nothing tells: the longest
