"""Files as people have them: nearly all are read right without a word said, the others refused in one sentence."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import messy_files as make
import polars as pl
import pytest
from messy_files import CSV, LATIN, ROWS, TRADITIONAL, Maker, content, document

from zaowu.errors import UserError
from zaowu.records.numbers import parse
from zaowu.records.read import read

TITLES = [title for title, _ in ROWS]
TOPICS = [topic for _, topic in ROWS]
NEWS = {"title": TITLES, "topic": TOPICS}
OBJECTS = [{"title": title, "topic": topic} for title, topic in ROWS]


@dataclass(frozen=True)
class Right:
    """A file that is read without a flag. columns: every column with its values. note: part of what is said."""

    name: str
    make: Maker
    columns: dict[str, list[Any]]
    note: str = ""
    numbers: dict[str, list[float]] = field(default_factory=dict)  # of columns, by `numbers.parse`


@dataclass(frozen=True)
class Refused:
    """A file that is refused. said: part of the sentence. remedy: what the sentence tells to do or to write."""

    name: str
    make: Maker
    said: str
    remedy: str


def text(name: str, data: str, columns: dict[str, list[Any]], note: str = "", encoding: str = "utf-8", **more) -> Right:
    return Right(name, content(f"table{more.pop('suffix', '.csv')}", data, encoding), columns, note, **more)


def table(lines: str) -> dict[str, list[str | None]]:
    """Columns of a plain CSV without quotes, by hand."""
    header, *rows = [line.split(",") for line in lines.strip().split("\n")]
    return {name: [row[place] or None for row in rows] for place, name in enumerate(header)}


MONEY = 'name,price,share,views\n甲,"1,200",12%,1.2万\n乙,"￥3,400.5元",５％,3亿\n丙,(300),0.5%,９８\n'
AGREED = "text,agreed,answer,flag\nfirst text,是,yes,0\nsecond text,否,no,1\nthird text,是,yes,1\n"
HOT = "text,体育,科技,娱乐\n好球进了球门,1,0,0\n芯片发布了,0,1,0\n新电影上映,0,0,1\n"
TOXIC = "id,comment_text,toxic,obscene,insult\n1,you are nice,0,0,0\n2,you are bad,1,0,1\n3,so very bad,1,1,1\n"
FEATURES = "age,smokes,drinks,sports,outcome\n31,1,0,1,good\n42,0,1,0,bad\n53,1,1,0,bad\n64,0,0,1,good\n"
LONE = '\ufeff"神舟"飞船上天,科技\n"开头没有结尾,体育\n普通的一行,体育\n又是普通的一行,科技\n'
LONE_CELLS = {
    "column_1": ['"神舟"飞船上天', '"开头没有结尾', "普通的一行", "又是普通的一行"],
    "column_2": ["科技", "体育", "体育", "科技"],
}
TABS = 'title\ttopic\n"one\ttwo"\tx\nthree\ty\n"four ""five"""\tx\n'
NESTED = [
    {"title": "好球", "author": {"name": "王芳", "place": {"city": "北京"}}, "tags": ["女排", "决赛"]},
    {"title": "芯片", "author": None, "tags": []},
]
MISSING = '{"title": "好球", "topic": "体育"}\n{"topic": "科技", "title": "芯片", "n": 3}\n\n{"title": "又一条"}\n'
FASTTEXT = "__label__体育 好球 进了\n__label__科技 芯片 发布 了\n"
MONTHS = {"title": TITLES, "topic": TOPICS}
FILES = {"体育-1.txt": "好球", "体育-2.txt": "进了", "科技-1.txt": "芯片", "科技-2.txt": "手机"}

RIGHT = [
    text("gb18030", CSV, NEWS, "GB18030", encoding="gb18030"),
    text("big5", TRADITIONAL, table(TRADITIONAL), "Big5", encoding="cp950"),
    text("utf16 le bom", "\ufeff" + CSV, NEWS, "UTF-16", encoding="utf-16-le"),
    text("utf16 be bom", "\ufeff" + CSV, NEWS, "UTF-16", encoding="utf-16-be"),
    text("utf16 le", CSV, NEWS, "UTF-16", encoding="utf-16-le"),
    text("utf16 be", CSV, NEWS, "UTF-16", encoding="utf-16-be"),
    text("latin1", LATIN, table(LATIN), "Latin-1", encoding="cp1252"),
    text("bom, no header, lone quotes", LONE, LONE_CELLS, "mere characters"),
    text("semicolons", CSV.replace(",", ";"), NEWS, "semicolons"),
    text("pipes", CSV.replace(",", "|"), NEWS, "pipes", suffix=".txt"),
    text("tabs within quotes", TABS, {"title": ["one\ttwo", "three", 'four "five"'], "topic": list("xyx")}, "tabs"),
    text("excel's unicode text", CSV.replace(",", "\t"), NEWS, "tabs", encoding="utf-16", suffix=".txt"),
    text("windows line ends", CSV.replace("\n", "\r\n"), NEWS),
    text("old mac line ends", CSV.replace("\n", "\r"), NEWS),
    text("a title", "2021年新闻汇总\n\n" + CSV, NEWS, "'2021年新闻汇总' is passed over"),
    text("two titles, padded", "2021年新闻汇总,\n制表人：小王,\n" + CSV, NEWS, "2 lines are passed over"),
    text(
        "a title above numbers", "Quarterly results\nyear,sales\n2020,1\n2021,2\n", table("year,sales\n2020,1\n2021,2")
    ),
    text(
        "a total",
        "城市,销量\n北京,100\n上海,250\n合计,350\n",
        table("城市,销量\n北京,100\n上海,250"),
        "Row 4 is a total",
    ),
    text(
        "totals",
        'a,b,n\nx,y,"1,000"\nz,w,20\nSubtotal,,"1,020"\nTotal,,"1,020"\n',
        table("a,b,n\nx,y,1;000\nz,w,20") | {"n": ["1,000", "20"]},
        "Rows 4, 5 are totals",
    ),
    text(
        "a text that is a total",
        "text,label\nTotal war,1\nSum,0\nTotal,1\n",
        table("text,label\nTotal war,1\nSum,0\nTotal,1"),
    ),
    text(
        "names twice and none",
        "a,,a\nx,y,z\nu,v,w\n",
        {"a": ["x", "u"], "column_2": ["y", "v"], "a_2": ["z", "w"]},
        "a_2",
    ),
    text("separators at the ends", "a,b,\nx,y,\nu,v,\n", {"a": ["x", "u"], "b": ["y", "v"]}),
    Right("sheets, one a table", make.book(make.with_readme), NEWS, "'数据'"),
    Right("sheets alike", make.book(make.by_month), MONTHS, "2月"),
    Right("a chosen sheet", make.book(make.by_month, sheet="2月"), {"title": TITLES[:2], "topic": TOPICS[:2]}),
    Right(
        "merged cells",
        make.book(make.merged),
        {"栏目": [sorted(ROWS)[k][1] for k in (0, 0, 2)], "标题": sorted(TITLES)},
        "1 cells below the first of a merged cell",
    ),
    Right(
        "dates in excel",
        make.book(make.dates),
        {
            "标题": ["好球", "芯片"],
            "日期": [date(2021, 1, 5), date(2021, 2, 6)],
            "时间": [datetime(2021, 1, 5, 8, 30), datetime(2021, 2, 6, 9)],
            "阅读": [12, 7],
            "类别": ["体育", "科技"],
        },
        "Row 4 is a total",
    ),
    Right(
        "a header of two rows",
        make.book(make.two_headers),
        {"地区": ["北京", "上海"], "人口.男": [1, 3], "人口.女": [2, 4], "备注": ["甲", "乙"]},
        "two rows",
    ),
    Right("opendocument", make.ods, NEWS),
    Right("excel in name only", content("table.xls", CSV.replace(",", "\t"), "gb18030"), NEWS, "GB18030"),
    Right("json array", document("a.json", OBJECTS), NEWS),
    Right(
        "json array in gb18030", content("a.json", json.dumps(OBJECTS, ensure_ascii=False), "gb18030"), NEWS, "GB18030"
    ),
    Right(
        "nested json",
        document("a.json", NESTED),
        {
            "title": ["好球", "芯片"],
            "author.name": ["王芳", None],
            "author.place.city": ["北京", None],
            "tags": ['["女排", "决赛"]', "[]"],
        },
    ),
    Right(
        "json under a key",
        document("a.json", {"code": 0, "result": {"total": 3, "data": OBJECTS}}),
        NEWS,
        "'result.data'",
    ),
    Right("json of pandas", document("a.json", {key: dict(enumerate(values)) for key, values in NEWS.items()}), NEWS),
    Right("json of pandas, split", document("a.json", {"columns": [*NEWS], "index": [0, 1, 2], "data": ROWS}), NEWS),
    Right("json rows", document("a.json", [[*NEWS], *ROWS]), NEWS),
    Right(
        "json lines, missing keys",
        content("a.jsonl", MISSING),
        {"title": ["好球", "芯片", "又一条"], "topic": ["体育", "科技", None], "n": [None, 3, None]},
    ),
    Right(
        "parquet",
        make.parquet,
        NEWS
        | {
            "tags": ['["女排", "决赛"]', "[]", None],
            "author.name": ["王芳", "李雷", None],
            "author.age": [31, None, None],
        },
    ),
    Right(
        "zip", make.archive("a.zip", {"__MACOSX/._a.csv": b"x", "data/a.csv": CSV.encode("gb18030")}), NEWS, "GB18030"
    ),
    Right("zip, one table", make.archive("a.zip", {"README.txt": b"Some words", "a.csv": CSV.encode()}), NEWS, "a.csv"),
    Right(
        "zip, a chosen one", make.archive("a.zip", {"a.csv": b"x,y\n1,2\n", "b.csv": CSV.encode()}, part="b.csv"), NEWS
    ),
    Right(
        "zip of folders, gbk names",
        make.gbk_names,
        {
            "text": ["第0条", "第1条"] * 2,
            "label": ["体育", "体育", "科技", "科技"],
            "file": ["体育/0.txt", "体育/1.txt", "科技/0.txt", "科技/1.txt"],
        },
    ),
    Right("gzip", content("a.csv.gz", make.gz(CSV.encode())), NEWS),
    Right("bzip2", content("a.jsonl.bz2", make.bz("\n".join(map(json.dumps, OBJECTS)).encode())), NEWS),
    Right(
        "labels in file names",
        make.tree("set", FILES),
        {"text": [*FILES.values()], "label": ["体育", "体育", "科技", "科技"], "file": [*FILES]},
        "体育, 科技",
    ),
    Right(
        "labels in folder names",
        make.tree("set", {"体育/a.txt": "好球", "科技/b.txt": "芯片"}),
        {"text": ["好球", "芯片"], "label": ["体育", "科技"], "file": ["体育/a.txt", "科技/b.txt"]},
    ),
    text(
        "one-hot",
        HOT,
        {"text": ["好球进了球门", "芯片发布了", "新电影上映"], "label": ["体育", "科技", "娱乐"]},
        "'label'",
    ),
    text(
        "several-hot",
        TOXIC,
        {
            "id": list("123"),
            "comment_text": ["you are nice", "you are bad", "so very bad"],
            "tags": ["[]", '["toxic", "insult"]', '["toxic", "obscene", "insult"]'],
        },
        "'tags'",
    ),
    text("features of 0 and 1", FEATURES, table(FEATURES)),
    text(
        "fasttext",
        FASTTEXT,
        {"text": ["好球 进了", "芯片 发布 了"], "label": ["体育", "科技"]},
        "__label__",
        suffix=".txt",
    ),
    text(
        "fasttext, several",
        FASTTEXT + "__label__体育 __label__科技 智能 球鞋\n",
        {"text": ["好球 进了", "芯片 发布 了", "智能 球鞋"], "tags": ['["体育"]', '["科技"]', '["体育", "科技"]']},
        suffix=".txt",
    ),
    text(
        "fasttext's labels in a table",
        "label,text\n__label__a,hello there\n__label__b,other text\n",
        {"label": ["a", "b"], "text": ["hello there", "other text"]},
        "taken off the values of label",
    ),
    text(
        "ids that look like labels",
        "id,text,type\nA1,good day,x\nA2,bad day,y\n",
        table("id,text,type\nA1,good day,x\nA2,bad day,y"),
    ),
    text(
        "numbers",
        MONEY,
        {"name": list("甲乙丙"), "price": ["1,200", "￥3,400.5元", "(300)"], "share": ["12%", "５％", "0.5%"]}
        | {"views": ["1.2万", "3亿", "９８"]},
        numbers={"price": [1200, 3400.5, -300], "share": [0.12, 0.05, 0.005], "views": [12000, 3e8, 98]},
    ),
    text("yes and no", AGREED, table(AGREED)),
]
REFUSED = [
    Refused("sheets unlike", make.book(make.unlike), "2 sheets hold different tables (新闻, 用户)", "book.xlsx#新闻'"),
    Refused("no such sheet", make.book(make.by_month, sheet="2 月"), "no sheet '2 月'", "Did you mean '2月'?"),
    Refused(
        "several in a zip",
        make.archive("a.zip", {"a.csv": b"x", "b.csv": b"y"}),
        "2 tables (a.csv, b.csv)",
        "a.zip#a.csv'",
    ),
    Refused("a zip bomb", make.bomb(lambda data: make.zipped({"a.csv": data}), "a.zip"), "200 times", "unpack it"),
    Refused("a gzip bomb", make.bomb(make.gz, "a.csv.gz"), "200 times", "unpack it"),
    Refused("several lists", document("a.json", {"train": OBJECTS, "test": OBJECTS}), "train, test", "a.json#train'"),
    Refused(
        "russian",
        content("a.csv", "Привет,как дела\n" * 60, "cp1251"),
        "encoding that is not known",
        "Save it as UTF-8",
    ),
    Refused("broken rows", content("a.csv", CSV + "a,b,c\n"), "row 5: expected 2 fields, got 3", "--on-bad-row skip"),
]


def test_there_are_forty_and_more():
    names = [case.name for case in (*RIGHT, *REFUSED)]
    assert len(set(names)) == len(names) >= 40
    assert len(RIGHT) >= 38


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_read_right_without_a_flag(case, tmp_path):
    found = read(case.make(tmp_path))
    assert found.frame.to_dict(as_series=False) == case.columns
    assert len(found.rows) == found.frame.height
    assert not found.bad_rows
    assert case.note in " ".join(found.notes)
    for name, values in case.numbers.items():
        assert parse(found.frame[name]).to_list() == values
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 1, left


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused_in_one_sentence(case, tmp_path):
    with pytest.raises(UserError) as error:
        read(case.make(tmp_path))
    sentence = str(error.value)
    assert case.said in sentence
    assert case.remedy in sentence
    assert "\n" not in sentence
    assert sentence.startswith(str(tmp_path))


def test_rows_are_numbered_as_the_file_shows_them(tmp_path):
    assert read(content("a.csv", "汇总\n\n" + CSV)(tmp_path)).rows.tolist() == [4, 5, 6]
    assert read(make.book(make.merged)(tmp_path)).rows.tolist() == [5, 6, 7]
    assert read(make.book(make.with_readme)(tmp_path)).rows.tolist() == [2, 3, 4]


def test_what_a_model_expects_decides_over_a_few_rows(tmp_path):
    """One row of a file with several tags has one, or none, by chance."""
    path = content("a.csv", "comment_text,toxic,obscene,insult\nyou are bad,1,0,0\n")(tmp_path)
    assert read(path).frame.columns == ["comment_text", "label"]
    assert read(path, expect=["comment_text", "tags"]).frame.rows() == [("you are bad", '["toxic"]')]
    assert read(path, expect=["comment_text", "toxic"]).frame.width == 4
    path = content("b.csv", HOT + "都不是的一条,0,0,0\n")(tmp_path)
    assert read(path).frame.columns == ["text", "tags"]
    assert read(path, expect=["text", "label"]).frame["label"].to_list() == ["体育", "科技", "娱乐", None]
    path = content("c.txt", FASTTEXT)(tmp_path)
    assert read(path, expect=["text", "tags"]).frame["tags"].to_list() == ['["体育"]', '["科技"]']


@pytest.mark.parametrize("name", ["label", "topic", "outcome"])
def test_binary_columns_beside_an_answer_are_features(tmp_path, name):
    lines = f"text,a,b,c,{name}\nsome words here,1,0,0,x\nmore words here,0,1,0,y\nthe last words,0,0,1,x\n"
    assert read(content("a.csv", lines)(tmp_path)).frame.columns == ["text", "a", "b", "c", name]


def test_frames_fold_as_files_do():
    frame = pl.DataFrame({"text": ["some words", "other words"], "a": [1, 0], "b": [0, 0], "c": [False, True]})
    assert read(frame).frame.rows() == [("some words", "a"), ("other words", "c")]
    assert read(frame.drop("c")).frame.columns == ["text", "a", "b"]


def test_nothing_is_unpacked_beside_the_archive_nor_outside(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = make.archive("evil.zip", {"../../outside.csv": CSV.encode()})(tmp_path)
    assert read(path).frame.to_dict(as_series=False) == NEWS
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip", "scratch"]


def test_an_excel_column_of_dates_words_and_durations_is_words(tmp_path):
    frame = read(make.book(make.of_every_type)(tmp_path)).frame
    assert frame["d"].to_list()[:2] == ["2020-01-01 00:00:00", "unknown"]
    assert frame.height == 3


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_damage_ends_in_a_table_or_in_one_sentence(case, tmp_path):
    rng = random.Random(case.name)
    path = case.make(tmp_path)
    file = Path(str(path).partition("#")[0])
    file = min(file.rglob("*.txt")) if file.is_dir() else file
    whole = file.read_bytes()
    for _ in range(4):
        start, end = sorted(rng.randrange(len(whole)) for _ in range(2))
        noise = bytes(rng.choice(b'"\n\r,;\t|\0{}[]\xff\xe9') for _ in range(rng.randrange(4)))
        file.write_bytes(whole[:start] + noise + whole[end:])
        try:
            assert read(path).frame.height
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("size", [3, 30, 300])
def test_damaged_archives_and_books(tmp_path, size):
    for maker in (make.book(make.by_month), make.ods, content("a.csv.gz", make.gz(CSV.encode() * 50))):
        path: Path = maker(tmp_path)
        path.write_bytes(path.read_bytes()[:-size])
        with pytest.raises(UserError, match=r"damaged|Excel"):
            read(path)
