"""The separator and the header of files in many shapes, with rows of the embedded headlines."""

from __future__ import annotations

import random

import pytest

from zaowu.records.reading.dialect import column_names, num_titles, sniff, why_no_header

TOPICS = ["体育", "科技", "财经", "娱乐", "教育"]
HEADERS = [
    ["text", "label"],
    ["title", "topic"],
    ["标题", "类别"],
    ["新闻标题", "频道"],
    ["内容", "结果"],
    ["Review Text", "Sentiment"],
    ["utterance", "intent"],
    ["x", "y"],
    ["v1", "v2"],
    ["TEXT", "LABEL"],
]


def separator(sample: str, suffix: str = ".csv") -> str:
    return sniff(sample, suffix=suffix, is_whole=True)[0].separator


@pytest.fixture
def headlines(news) -> list[str]:
    return [text for text, _ in news]


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
def test_the_separator(mark):
    rows = [["text", "label"], ['"one, two; three"', "x"], ["four five", "y"]]
    assert separator("".join(f"{mark.join(row)}\n" for row in rows)) == mark


def test_separators_inside_texts_do_not_win():
    assert separator("text\tlabel\nHello, world\tx\nGood, bye\ty\n") == "\t"
    assert separator("text;label\n1,5 Liter;x\n2,5 Liter;y\n") == ";"
    assert separator("text,label\nunquoted, commas, in it,x\nanother, one,y\nfine,z\n") == ","


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_one_column_of_running_text_stays_one(suffix):
    sample = "It rained, and we stayed.\nWe left, at last.\nNothing happened, really.\nGood.\n"
    dialect, why, _ = sniff(sample, suffix=suffix, is_whole=True)
    assert dialect.names == ("column_1",)
    assert why


def test_one_column_with_a_name():
    dialect, why, _ = sniff("text\n好球进了\n芯片发布了\n", suffix=".csv", is_whole=True)
    assert (dialect.names, dialect.has_header, why) == (("text",), True, "")


@pytest.mark.parametrize("names", HEADERS, ids=" ".join)
@pytest.mark.parametrize("num_rows", [2, 5, 30, 100])
def test_a_header_is_seen(headlines, names, num_rows):
    rng = random.Random(num_rows)
    for _ in range(10):
        rows = [[rng.choice(headlines), rng.choice(TOPICS)] for _ in range(num_rows)]
        assert why_no_header([names, *rows]) == "", rows
        assert why_no_header([names[::-1], *[row[::-1] for row in rows]]) == "", rows


@pytest.mark.parametrize("num_rows", [3, 10, 30, 100])
@pytest.mark.parametrize(
    "labels", [TOPICS, ["0", "1"], ["__label__a", "__label__b"], ["pos", "neg"]], ids=lambda v: v[0]
)
def test_its_absence_is_seen(headlines, labels, num_rows):
    rng = random.Random(num_rows)
    for _ in range(10):
        rows = [[text, rng.choice(labels)] for text in rng.sample(headlines, num_rows)]
        assert why_no_header(rows) != "", rows
        rows.sort(key=lambda row: row[1])
        assert why_no_header(rows) != "", rows


def test_the_label_that_recurs_decides_even_for_short_texts():
    assert "'好' stands again" in why_no_header([["赞", "好"], ["差评", "坏"], ["还行", "好"]])


@pytest.mark.parametrize(
    "rows",
    [
        [["name", "age"], ["Ann", "31"], ["Bob", "42"]],
        [["a", "b", "c"], ["1", "2", "3"], ["4", "5", "6"]],
        [["0", "1"], ["some words", "x"], ["more words", "y"]],  # as pandas numbers columns
        [["", "text"], ["0", "some words"], ["1", "more words"]],  # as pandas writes an index
        [["text", "label"], ["some words", "x"], ["text", "label"], ["more words", "y"]],  # files put together
        [["foo", "bar"], ["a", "b"], ["c", "d"]],  # no sign at all
    ],
)
def test_headers_of_other_tables(rows):
    assert why_no_header(rows) == ""


@pytest.mark.parametrize(
    "rows",
    [
        [["5.1", "3.5", "setosa"], ["4.9", "3.0", "setosa"], ["6.1", "2.8", "virginica"]],
        [["2021-01-05", "晴天出门"], ["2021-01-06", "下雨在家"]],
        [["1", "第一条新闻标题，比较长"], ["2", "第二条新闻标题，也长"]],
    ],
)
def test_tables_of_figures_without_a_header(rows):
    assert why_no_header(rows) != ""


def test_names_are_stripped_numbered_and_distinct():
    assert column_names([" text ", "", "label"]) == (("text", "column_2", "label"), ())
    found, notes = column_names(["a", " a ", "a_2", "a", "column_2", ""])
    assert found == ("a", "a_3", "a_2", "a_4", "column_2", "column_6")
    assert [note.partition(": ")[2] for note in notes] == ["column 2 becomes 'a_3'.", "column 4 becomes 'a_4'."]


def test_titles_above_the_header():
    rows = [["好球进了", "体育", "1"], ["芯片发布了", "科技", "2"]]
    header = ["title", "topic", "n"]
    assert num_titles([["2021年统计"], ["制表：小王", "", ""], header, *rows]) == 2
    assert num_titles([header, *rows]) == 0
    assert num_titles([["text"], ["1", "好球"], ["2", "芯片"]]) == 0  # a header that lacks a name
    assert num_titles([["2021年统计"], *rows]) == 0  # no header below
    dialect, why, notes = sniff("统计\n\n,,\na,b,c\nx,y,1\nz,w,2\n", suffix=".csv", is_whole=True)
    assert (dialect.names, why, dialect.skip_rows) == (("a", "b", "c"), "", 3)
    assert dialect.skip_bytes == len("统计\n\n,,\n".encode())
    assert "'统计'" in notes[0]
