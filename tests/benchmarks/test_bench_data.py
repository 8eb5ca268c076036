"""The pure parts of `benchmarks/bench_data.py`; nothing is fetched."""

import csv
import sys
from pathlib import Path

import pytest

from zaowu.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench_data
from sets import headlines, help_pages, manuals, packages
from sets.rows import Source, TextSet, clean, sample, split, unique

ROWS = [(f"text number {i}", "ab"[i % 2]) for i in range(300)]


def test_clean_gives_one_line():
    assert clean("  一\u3000二\n\tthree\x00four\ufeff ") == "一 二 three four"


def test_unique_keeps_the_first_and_drops_what_has_two_labels():
    rows = [("Ａbc 1", "x"), ("abc1", "x"), ("两 可", "x"), ("两可", "y"), (" ", "x"), ("other", "y")]
    assert unique(rows) == [("Ａbc 1", "x"), ("other", "y")]


def test_splits_depend_on_the_content_only():
    train, test = split(ROWS, train=150, test=100)
    assert len(train) == 150 and len(test) == 100 and not set(train) & set(test)
    assert split(ROWS[::-1], train=150, test=100) == (train, test)
    smaller, same_test = split(ROWS, train=20, test=100)
    assert same_test == test and set(smaller) < set(train)


def test_a_sampled_class_lies_on_both_sides_of_the_split():
    """Sampling and splitting by one order would put all of the class that was cut hardest into one side."""
    rows = ROWS + [(f"many {i}", "c") for i in range(5000)]
    drawn = sample(rows, 100, per_label=True)
    assert sorted(label for _, label in drawn) == ["a"] * 100 + ["b"] * 100 + ["c"] * 100
    _, test = split(drawn, train=200, test=100)
    assert 15 < sum(label == "c" for _, label in test) < 55


def test_help_page_without_its_frame():
    html = """<html><title>Frame</title><body><header>Frame</header><div id="DisplayArea">
    <meta content="Frame"><h1>Print <b>Range</b></h1><p>中<span>文</span>&amp;c<br>next</p>
    <div class="howtoget"><p>Choose Frame</p></div><pre>Frame code</pre>
    <span hidden="true" class="MAC" id="MACx">Frame</span><span hidden="true" id="defaultx">Ctrl</span>
    <p>next</p><div class="relatedtopics"><p>Frame</div></div><div>Frame</div></body></html>"""
    assert help_pages.paragraphs(html) == ["Print Range", "中文&c", "next", "Ctrl"]


def test_packages_one_row_for_each_source():
    dump = (
        "Package: foo-data\nSource: foo (1.2)\nSection: games\nDescription: a game: the data\n more: text\n\n"
        "Package: foo\nSection: universe/games\nDescription: a game: the best\n\n"
        "Package: bar\nSection: net\nDescription: transitional package\n\n"
        "Package: baz\nSection: net\nDescription-en: a tool\n"
    )
    assert packages.parse(dump) == [("a tool", "net"), ("a game: the best", "games")]


def test_the_line_about_a_manual_page():
    names = "open,\n.BR openat ,\ncreat \\- open and\n.I possibly\ncreate a \\fBfile\\fR\n"
    page = f".TH x 2\n.SH NAME\n{names}.SH LIBRARY\nno \\- no\n"
    assert manuals.description(page) == "open and possibly create a file"
    assert manuals.description(".SH 名字\ntar \\- 档案文件管理程序\n.SH 总览\n") == "档案文件管理程序"
    assert manuals.description(".so man2/open.2\n") == ""


def test_headline_sets_share_their_test_rows(tmp_path):
    path = tmp_path / "news.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("title", "topic"), *((f"标题 {i}", "ab"[i % 2]) for i in range(7000))])
    small, middle, large = headlines.build(path)
    assert [len(s.train) for s in (small, middle, large)] == [200, 2000, 5000]
    assert small.test == middle.test == large.test and len(large.test) == 2000
    path.write_text("name,topic\n", encoding="utf-8")
    with pytest.raises(UserError, match="title and topic"):
        headlines.build(path)


def test_only_an_undamaged_set_is_kept(tmp_path):
    made = TextSet("tiny", "tuning", "", Source("p", "1", "MIT"), [('say "hi", 你好', "a")], [("b", "b")])
    files = {"tiny.train.csv": bench_data.csv_bytes(made.train), "tiny.test.csv": bench_data.csv_bytes(made.test)}
    about = bench_data.entry(made, files, given="")
    assert not bench_data.kept(tmp_path, about, given="")
    for name, data in files.items():
        bench_data.store(tmp_path, name, data)
    assert bench_data.kept(tmp_path, about, given="")
    assert not bench_data.kept(tmp_path, about, given="another headlines file")
    with (tmp_path / "tiny.train.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [{"text": 'say "hi", 你好', "label": "a"}]
    (tmp_path / "tiny.train.csv").write_text("text,label\n", encoding="utf-8")
    assert not bench_data.kept(tmp_path, about, given="")
