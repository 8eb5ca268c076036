"""What columns are taken for. The guesser of texts here is a stand-in: records know no input."""

from __future__ import annotations

import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.records.read import read
from zaowu.records.records import Table
from zaowu.records.schema import column_choices, describe, from_plain, guess, parse_column, to_plain


def wordy(values: pl.Series) -> str | None:
    texts = values.cast(pl.String).drop_nulls()
    return "many characters" if len(texts) and (texts.str.len_chars().mean() or 0) >= 4 else None


GUESSERS = {"text": wordy}
NUM_ROWS = 200
TEXTS = [f"这是第{k}条新闻的标题" for k in range(NUM_ROWS)]


def cycle(*values):
    return [values[k % len(values)] for k in range(NUM_ROWS)]


def table(**columns) -> Table:
    return read(dict(columns))


def target_of(schema):
    """The only target."""
    [target] = schema.targets
    return target


def roles(schema) -> dict[str, tuple[str, str]]:
    return {column.name: (column.role, column.kind) for column in schema.columns}


def test_every_kind_of_column():
    found = guess(
        table(
            编号=list(range(1, NUM_ROWS + 1)),
            user_id=[f"u{k:04d}" for k in range(NUM_ROWS)],
            link=[f"https://example.org/{k}" for k in range(NUM_ROWS)],
            title=TEXTS,
            price=[f"{k * 7 % 31}.5" for k in range(NUM_ROWS)],
            day=[f"2024-{k % 12 + 1:02d}-{k % 28 + 1:02d}" for k in range(NUM_ROWS)],
            source=cycle("新浪", "网易", "搜狐"),
            nothing=[None] * NUM_ROWS,
            nested=pl.Series([[k] for k in range(NUM_ROWS)]),
            topic=cycle("体育", "科技"),
        ),
        guessers=GUESSERS,
    )
    assert roles(found) == {
        "编号": ("ignored", "id"),
        "user_id": ("ignored", "id"),
        "link": ("ignored", "id"),
        "title": ("input", "text"),
        "price": ("ignored", "number"),
        "day": ("ignored", "date"),
        "source": ("ignored", "category"),
        "nothing": ("ignored", "empty"),
        "nested": ("ignored", "other"),
        "topic": ("target", "category"),
    }
    assert target_of(found).reason == "2 different values, label-like name"
    assert all(column.reason for column in found.columns)


@pytest.mark.parametrize(
    "name",
    [
        "label",
        "Label",
        "category",
        "topic",
        "news_type",
        "labelName",
        "sentiment",
        "intent",
        "标签",
        "标签名",
        "新闻类别",
        "y",
    ],
)
def test_label_like_names_win_wherever_they_stand(name):
    found = guess(read({name: cycle("甲", "乙", "丙"), "title": TEXTS, "where": cycle("北", "南")}), guessers=GUESSERS)
    assert target_of(found).name == name


def test_the_last_place_is_enough_without_such_a_name():
    found = guess(table(title=TEXTS, what=cycle("甲", "乙")), guessers=GUESSERS)
    assert target_of(found).name == "what"
    assert target_of(found).reason == "2 different values, in the last place"


def test_two_equal_candidates_are_refused_by_name():
    source = table(title=TEXTS, category=cycle("甲", "乙"), topic=cycle("子", "丑", "寅"))
    with pytest.raises(UserError, match=r"both 'category' and 'topic' could be the target.*--target category"):
        guess(source, guessers=GUESSERS)
    assert target_of(guess(source, guessers=GUESSERS, target=["topic"])).name == "topic"
    assert target_of(guess(source, guessers=GUESSERS, ignore=["topic"])).name == "category"


def test_a_code_of_the_label_is_no_second_candidate():
    found = guess(table(title=TEXTS, label=cycle(3, 5), label_name=cycle("体育", "科技")), guessers=GUESSERS)
    assert target_of(found).name == "label"  # the exact name; its twin is a weaker candidate
    found = guess(table(title=TEXTS, label_id=cycle(3, 5), label_name=cycle("体育", "科技")), guessers=GUESSERS)
    assert target_of(found).name == "label_name"
    assert roles(found)["label_id"] == ("ignored", "number")


def test_how_many_classes_a_guessed_target_may_have():
    few = [f"c{k % 50}" for k in range(NUM_ROWS)]
    assert target_of(guess(table(title=TEXTS, label=few), guessers=GUESSERS)).name == "label"
    many = [f"c{k % 51}" for k in range(NUM_ROWS)]
    with pytest.raises(UserError, match=r"2 to 50 different values.*title \(200\), label \(51\)"):
        guess(table(title=TEXTS, label=many), guessers=GUESSERS)
    with pytest.raises(UserError, match="column 'label': every label is 'one'"):
        guess(table(title=TEXTS, label=cycle("one")), guessers=GUESSERS)
    long = {"title": TEXTS * 10, "label": [f"c{k % 100}" for k in range(10 * NUM_ROWS)]}
    assert target_of(guess(read(long), guessers=GUESSERS)).name == "label"  # one in 20 rows


def test_what_the_person_says_goes():
    source = table(
        title=TEXTS, body=cycle("一段正文", "另一段正文"), user=cycle("a", "b"), size=cycle("s", "l"), kind=TEXTS
    )
    found = guess(
        source,
        guessers=GUESSERS,
        target=["size"],
        columns={"body": "text"},
        ignore=["kind"],
        group="user",
        slices=["title"],
    )
    assert roles(found) == {
        "title": ("slice", "category"),
        "body": ("input", "text"),
        "user": ("group", "id"),
        "size": ("target", "category"),
        "kind": ("ignored", "text"),
    }


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"target": ["labell"]}, "no column 'labell' as --target says. Did you mean 'label'?"),
        ({"columns": {"tilte": "text"}}, "--column says. Did you mean 'title'?"),
        ({"ignore": ["tite"]}, "--ignore says. Did you mean 'title'?"),
        ({"group": "xyz"}, "--group says. Its columns are title, label."),
        ({"target": ["label"], "ignore": ["label"]}, "column 'label' cannot be both --target and --ignore"),
        ({"columns": {"title": "txt"}}, "--column title: kind 'txt' is not one of text. Did you mean 'text'?"),
        (
            {"target": ["label"], "columns": {"label": "image"}},
            "--column label: kind 'image' is not one of category, tags, number",
        ),
        ({"ignore": ["title"]}, "no column looks like one to learn from: title"),
    ],
)
def test_names_that_do_not_fit(said, sentence):
    with pytest.raises(UserError) as error:
        guess(table(title=TEXTS, label=cycle("甲", "乙")), guessers=GUESSERS, **said)
    assert sentence in str(error.value)


def test_repeated_texts_of_a_small_table_are_still_texts():
    found = guess(read({"text": ["好看极了", "难看极了"] * 4, "label": ["正", "负"] * 4}), guessers=GUESSERS)
    assert roles(found)["text"] == ("input", "text")


def test_the_files_of_a_folder_are_no_input(tmp_path):
    """Their paths begin with the label."""
    for name in ("体育", "科技"):
        (tmp_path / name).mkdir()
        for k in range(10):
            (tmp_path / name / f"新闻 第{k}条.txt").write_text(f"这是{name}的第{k}条新闻", "utf-8")
    found = guess(read(tmp_path), guessers=GUESSERS)
    assert roles(found) == {"text": ("input", "text"), "label": ("target", "category"), "file": ("ignored", "id")}


def test_short_chinese_texts_are_no_ids():
    texts = [f"{a}{b}宣布退役" for a in "赵钱孙李周吴郑王" for b in "一二三四五六七八"]
    found = guess(read({"text": texts, "label": ["甲", "乙"] * 32}), guessers=GUESSERS)
    assert roles(found)["text"] == ("input", "text")


@pytest.mark.parametrize(
    ("option", "parsed"),
    [
        ("title:kind=text", ("title", {"kind": "text"})),
        ("a:b:kind=text, stem = patch", ("a:b", {"kind": "text", "stem": "patch"})),
        ("标题:kind=text", ("标题", {"kind": "text"})),
        ("photo:path=C:/x", ("photo", {"path": "C:/x"})),
    ],
)
def test_parse_column(option, parsed):
    assert parse_column(option) == parsed


@pytest.mark.parametrize(
    "option", ["title", "title:text", ":kind=text", "title:kind=", "title:=x", "title:kind=a,b", ""]
)
def test_parse_column_refuses(option):
    with pytest.raises(UserError, match="expected NAME:setting=value"):
        parse_column(option)


def test_what_is_said_of_columns():
    assert column_choices({"a": "text"}) == {"columns": {"a": "text"}, "column_settings": {}}
    found = column_choices(["a:kind=text", "b:kind=image,stem=patch", "c:size=28"])
    assert found == {
        "columns": {"a": "text", "b": "image"},
        "column_settings": {"b": {"stem": "patch"}, "c": {"size": "28"}},
    }
    assert column_choices({"b": {"kind": "image", "stem": "patch"}})["column_settings"] == {"b": {"stem": "patch"}}
    for options in (["a:kind=text", "a:kind=text"], ["a:stem=x", "a:kind=text"], ["a:kind=text,kind=text"], {"a": 1}):
        with pytest.raises(UserError, match="--column a"):
            column_choices(options)


def test_plain_and_back():
    schema = guess(table(title=TEXTS, label=cycle("甲", "乙")), guessers=GUESSERS)
    assert from_plain(to_plain(schema), "zaowu.json") == schema


GOOD = {"name": "a", "role": "input", "kind": "text", "reason": ""}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        [1],
        [{"name": "a"}],
        [GOOD | {"more": 1}],
        [GOOD | {"name": 3}],
        [GOOD | {"role": "../x"}],
        [GOOD, GOOD],
        [GOOD, GOOD | {"name": "b", "role": "target", "kind": "image"}],
        [GOOD, GOOD | {"name": "b", "role": "target", "kind": "os"}],
        [GOOD | {"role": "target", "kind": "category"}],
    ],
)
def test_from_plain_is_strict(data):
    with pytest.raises(UserError, match=r"zaowu\.json"):
        from_plain(data, "zaowu.json")


def test_describe():
    source = table(title=TEXTS, label=cycle("甲", "乙"))
    lines = describe(guess(source, guessers=GUESSERS), source)
    assert lines[1] == ("label", "target", "category", "2", "甲", "2 different values, label-like name")
    assert lines[0][:5] == ("title", "input", "text", "200", "这是第0条新闻的标题")


def test_several_targets_and_a_weight():
    source = table(title=TEXTS, topic=cycle("甲", "乙"), size=[k / 7 for k in range(NUM_ROWS)], 可信度=cycle(0.5, 1.0))
    found = guess(source, guessers=GUESSERS, target=["size", "topic"], weight="可信度")
    assert roles(found) == {
        "title": ("input", "text"),
        "topic": ("target", "category"),
        "size": ("target", "number"),
        "可信度": ("weight", "number"),
    }
    assert [column.name for column in found.targets] == ["topic", "size"]  # in the order of the table
    assert found.classes.name == "topic"
    assert from_plain(to_plain(found), "zaowu.json") == found
    only = guess(source, guessers=GUESSERS, target=["size"], weight="可信度", ignore=["topic"])
    assert only.classes is None


def test_the_person_decides_what_kind_of_answer_it_is():
    source = table(title=TEXTS, stars=cycle(1, 2, 3, 4, 5))
    assert target_of(guess(source, guessers=GUESSERS, target=["stars"])).kind == "category"
    found = guess(source, guessers=GUESSERS, target=["stars"], columns={"stars": "number"})
    assert target_of(found).kind == "number"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"weight": "wight"}, "no column 'wight' as --weight says. Did you mean 'weight'?"),
        ({"target": ["label", "label"]}, "--target label is given twice."),
        ({"target": ["label"], "weight": "label"}, "column 'label' cannot be both --target and --weight"),
        ({"weight": "weight", "group": "weight"}, "column 'weight' cannot be both --group and --weight"),
    ],
)
def test_a_weight_or_a_second_target_that_does_not_fit(said, sentence):
    source = table(title=TEXTS, weight=cycle(1, 2), label=cycle("甲", "乙"))
    with pytest.raises(UserError) as error:
        guess(source, guessers=GUESSERS, **said)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["67.45", "68.20", "70.05"], "number"),  # a price is no day of a month
        (["12.5", "7.25", "1.1"], "number"),
        (["2024-05-01", "2024-5-2", "2024/05/03"], "date"),
        (["2024.05.01", "1.2.2024", "3.4.24"], "date"),
        (["2024年5月1日", "2024年5月2日", "2023年12月31日"], "date"),
        (["2024-05-01 12:30", "2024-05-01T08:00:00", "2024-05-02"], "date"),
    ],
)
def test_dates_and_numbers_with_a_point(values, kind):
    found = guess(table(title=TEXTS, column=cycle(*values), label=cycle("甲", "乙")), guessers=GUESSERS)
    assert roles(found)["column"] == ("ignored", kind)


def test_dates_as_people_write_them_are_dates_and_decimals_are_not():
    found = guess(
        table(
            mixed=cycle("2024年3月1日", "1.3.2024", "2024/3/1 10:20", "1 March 2024", "n/a"),
            month=cycle(*(f"2024年{month}月" for month in range(1, 13))),
            rate=[f"{1500 + k}.{k % 12 + 1}" for k in range(NUM_ROWS)],  # 1500.1 is no January
            text=TEXTS,
            label=cycle("x", "y"),
        ),
        guessers={**GUESSERS, "number": never, "date": never, "category": never},
    )
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds == {"mixed": "date", "month": "date", "rate": "number", "text": "text", "label": "category"}


def never(values: pl.Series) -> None:
    return None


@pytest.mark.parametrize("nothing", [("inf", "-inf"), ("n/a", "NaN"), ("无", "-"), ("", None)])
def test_words_for_nothing_do_not_decide_what_a_column_is(nothing):
    numbers = [f"{k / 7:.3f}" if k % 5 else nothing[k % 2] for k in range(NUM_ROWS)]
    prices = [f"￥{1000 + k:,}元" if k % 5 else nothing[k % 2] for k in range(NUM_ROWS)]
    found = guess(
        table(x=numbers, price=prices, label=cycle("a", "b")),
        guessers={**GUESSERS, "number": never, "date": never, "category": never},
    )
    assert [column.kind for column in found.inputs] == ["number", "number"]
    answered = guess(table(text=TEXTS, x=numbers), guessers=GUESSERS, target=["x"])
    assert target_of(answered).kind == "number"


def test_a_column_of_nothing_but_words_for_nothing_is_no_number():
    found = guess(table(x=cycle("n/a", "-"), text=TEXTS, label=cycle("a", "b")), guessers={**GUESSERS, "number": never})
    assert dict(roles(found))["x"] == ("ignored", "category")
