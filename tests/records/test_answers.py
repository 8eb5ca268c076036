"""Which column is the answer, and of what kind it is."""

from __future__ import annotations

import json

import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.records.answers import kind_of_answer
from zaowu.records.facts import Facts, as_strings
from zaowu.records.read import read
from zaowu.records.schema import guess

NUM_ROWS = 200
TEXTS = [f"这是第{k}条新闻的标题" for k in range(NUM_ROWS)]
GUESSERS = {"text": lambda values: "long" if values.cast(pl.String).str.len_chars().mean() > 9 else None}


def cycle(*values):
    return [values[k % len(values)] for k in range(NUM_ROWS)]


def kind(values, name="label"):
    return kind_of_answer(Facts.of(pl.Series(name, values)))[0]


def target_of(columns):
    [target] = guess(read({"title": TEXTS, **columns}), guessers=GUESSERS).targets
    return target.name, target.kind


# ---- kinds


@pytest.mark.parametrize(
    "values",
    [
        [k / 7 for k in range(NUM_ROWS)],
        [f"{k}.5" for k in range(NUM_ROWS)],
        [f"￥{k},200.50元" for k in range(1, NUM_ROWS + 1)],
        [f"{k / 10}万" for k in range(NUM_ROWS)],
        list(range(100, 100 + NUM_ROWS)),
        cycle(*[k / 4 for k in range(15)]),  # few, but with decimals
        [*map(str, range(NUM_ROWS - 4)), "", "", None, "n/a"],  # a few are missing or wrong
    ],
)
def test_many_different_numbers_are_a_number(values):
    assert kind(values) == "number"


@pytest.mark.parametrize(
    "values",
    [
        cycle(1, 2, 3, 4, 5),  # stars
        cycle("1", "2", "3", "4", "5"),
        cycle(1.0, 2.0, 3.0, 4.0, 5.0),
        cycle(0.5, 1.0, 1.5),  # half stars
        cycle(0, 1),
        cycle("体育", "科技"),
        [f"c{k}" for k in range(NUM_ROWS)],
        cycle("67.45 kg", "heavy"),
    ],
)
def test_few_numbers_and_words_are_classes(values):
    assert kind(values) == "category"


@pytest.mark.parametrize(
    "values",
    [
        cycle('["a", "b"]', "[]", '["c"]'),
        cycle("['a', 'b']", "[]"),
        cycle(["a", "b"], [], None),
        cycle(["a"], ["a", "b"]),
    ],
)
def test_lists_are_tags_whatever_the_column_is_called(values):
    assert kind(values, "x") == "tags"


@pytest.mark.parametrize("sign", [";", "；", "|", "、", ",", "，"])
def test_the_same_words_joined_again_and_again_are_tags(sign):
    values = cycle(f"体育{sign}电竞", "科技", f"电竞 {sign} 科技", f"财经{sign}科技{sign}体育")
    assert kind(values, "标签") == kind(values, "keywords") == kind(values, "news_tags") == "tags"
    assert kind(values, "section") == "category"  # not a name of several things


def test_words_with_a_comma_that_are_not_repeated_are_no_tags():
    cities = cycle("New York, NY", "Boston, MA", "Austin, TX")
    assert kind([f"title {k}, part {k + 1}" for k in range(NUM_ROWS)], "tags") == "category"
    assert kind(cities, "city") == "category"


def test_a_separator_in_one_label_of_many_makes_no_tags():
    assert kind(["体育"] * 100 + ["科技"] * 95 + ["体育;科技"] * 5, "tags") == "category"


# ---- which column


@pytest.mark.parametrize("name", ["price", "score", "价格", "评分", "salary"])
def test_an_amount_in_the_last_place_is_the_answer(name):
    amounts = [k * 3.7 for k in range(NUM_ROWS)]
    assert target_of({"city": cycle("京", "沪"), name: amounts}) == (name, "number")
    with pytest.raises(UserError, match="no column looks like the target"):
        target_of({name: amounts, "note": [f"{k} 号备注，谁也不会当成标签" for k in range(NUM_ROWS)]})


def test_a_label_may_be_a_number_or_tags_wherever_it_stands():
    notes = [f"第 {k} 条备注，各不相同" for k in range(NUM_ROWS)]
    assert target_of({"label": [k / 3 for k in range(NUM_ROWS)], "note": notes}) == ("label", "number")
    joined = [";".join(f"t{(k * step) % 17}" for step in (1, 3, 5)) for k in range(NUM_ROWS)]
    assert target_of({"tags": joined, "note": notes}) == ("tags", "tags")
    lists = [[f"t{(k * step) % 17}" for step in (1, 3)] for k in range(NUM_ROWS)]
    assert target_of({"tags": lists, "note": notes}) == ("tags", "tags")
    assert target_of({"tags": [json.dumps(own) for own in lists], "note": notes}) == ("tags", "tags")


def test_a_price_is_not_taken_for_a_date():
    assert target_of({"price": [f"{67 + k % 30}.{10 + k % 88}" for k in range(NUM_ROWS)]}) == ("price", "number")


def test_stars_are_classes_and_an_id_is_no_answer():
    assert target_of({"stars": cycle(1, 2, 3, 4, 5)}) == ("stars", "category")
    with pytest.raises(UserError, match="no column looks like the target"):
        target_of({"score_id": list(range(1, NUM_ROWS + 1))})


# ---- facts


def test_facts_count_what_is_not_empty():
    fact = Facts.of(pl.Series("x", [" a ", "a", "", None, "\t", "b"]))
    assert (fact.name, fact.total, fact.different) == ("x", 3, 2)
    assert fact.sample.to_list() == ["a", "a", "b"] and fact.share("^a$") == pytest.approx(2 / 3)
    empty = Facts.of(pl.Series("x", [None, ""], pl.String))
    assert (empty.total, empty.share(".")) == (0, 0.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, None, float("nan")], ["1", None, None]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([["体育", "a"], None, []], ['["体育", "a"]', None, "[]"]),
        ([{"a": 1}, None], ['{"a": 1}', None]),
        ([True, None], ["true", None]),
        ([b"x", None], ["b'x'", None]),
    ],
)
def test_everything_can_be_a_string(values, expected):
    assert as_strings(pl.Series("x", values, strict=False)).to_list() == expected


def test_many_ids_of_classes_are_no_number_but_an_amount_is():
    ids = cycle(*range(1, 46))
    assert kind(ids) == "category"
    assert kind(ids, name="price") == kind(ids, name="价格") == "number"
    assert kind(cycle(*range(1, 61))) == "number"  # more than a guessed target may have


def test_words_in_a_row_that_are_too_many_for_classes_are_texts():
    lines = [f"sentence number {k} of a book" for k in range(NUM_ROWS)]
    assert kind(lines, "answer") == kind(lines, "target") == kind([f"这是第 {k} 句话" for k in range(NUM_ROWS)], "译文")
    assert kind(lines, "answer") == "text"
    assert kind(lines, "topic") == kind(lines, "关键词") == "category"  # which cleaning then refuses
    assert kind([f"code{k}" for k in range(NUM_ROWS)], "answer") == "category"
    assert kind([line for line in lines[:40] for _ in range(10)], "answer") == "category"
