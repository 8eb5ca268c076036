"""Which rows can be used, and what becomes of the others."""

from __future__ import annotations

import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.records.check import clean
from zaowu.records.read import read
from zaowu.records.records import Column, Schema

SCHEMA = Schema((Column("text", "input", "text", ""), Column("label", "target", "category", "")))


def refused(source, schema=SCHEMA, **options) -> str:
    with pytest.raises(UserError) as error:
        clean(read(source), schema, **options)
    return str(error.value)


def test_rows_without_text_or_label_are_skipped_and_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfirst one,x\n  ,x\nsecond one,\n\u200b,y\n,\nthird one, y \n", "utf-8")
    records = clean(read(path), SCHEMA)
    assert records.frame.rows() == [("first one", "x"), ("third one", "y")]
    assert records.rows.tolist() == [2, 7]
    assert [(bad.row, bad.column, bad.problem) for bad in records.skipped] == [
        (3, "text", "expected a text, got nothing"),
        (4, "label", "expected a label, got nothing"),
        (5, "text", "expected a text, got nothing"),
        (6, "text", "expected a text, got nothing"),
    ]
    sentence = refused(path, on_bad_row="stop")
    assert "row 3, column 'text': expected a text, got nothing" in sentence
    assert "2 other rows have the same problem (5, 6)" in sentence
    assert "1 row has another problem (4: expected a label, got nothing)" in sentence


def test_rows_that_could_not_be_read_are_carried_along(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfirst one,x\na,b,c\n,y\nthird one,y\n", "utf-8")
    records = clean(read(path, on_bad_row="skip"), SCHEMA, on_bad_row="skip")
    assert [bad.row for bad in records.skipped] == [3, 4]


def test_several_texts_need_one_that_is_not_empty():
    schema = Schema((Column("title", "input", "text", ""), Column("body", "input", "text", ""), SCHEMA.columns[1]))
    source = {"title": ["a", None, " "], "body": [None, "b", ""], "label": ["x", "y", "x"]}
    records = clean(read(source), schema)
    assert records.frame.rows() == [("a", "", "x"), ("", "b", "y")]


def test_labels_are_stripped_and_composed_but_not_folded():
    source = {"text": list("abcdef"), "label": [" 体育", "体育\u3000", "体育", "cafe\u0301", "café", "ＩＴ"]}
    records = clean(read(source), SCHEMA)
    assert records.values("label") == ["体育", "体育", "体育", "café", "café", "ＩＴ"]
    assert "3 labels differed" in records.notes[0]
    assert clean(read({"text": ["a", "b"], "label": ["x", " y"]}), SCHEMA).notes == ()  # nothing was joined


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 0, 1], ["1", "0", "1"]),
        ([1.0, 0.0, None], ["1", "0"]),
        ([0.5, 1.0, 2.0], ["0.5", "1.0", "2.0"]),
        ([float("inf"), 1.0, 2.0], ["inf", "1.0", "2.0"]),
        ([True, False, True], ["true", "false", "true"]),
    ],
)
def test_labels_that_are_no_strings(labels, expected):
    assert clean(read({"text": ["a", "b", "c"], "label": labels}), SCHEMA).values("label") == expected


def test_missing_numbers_in_a_frame_are_missing_labels():
    frame = pl.DataFrame({"text": ["a", "b", "c"], "label": [1.0, float("nan"), 0.0]})
    assert clean(read(frame), SCHEMA).values("label") == ["1", "0"]


def test_one_class_is_nothing_to_tell_apart():
    source = {"text": ["a", "b"], "label": ["x", "x "]}
    assert "every label is 'x'" in refused(source)
    assert len(clean(read(source), SCHEMA, min_classes=1)) == 2


def test_no_usable_row():
    sentence = refused({"text": ["a", None, " "], "label": [None, "x", "y"]})
    assert "none of the 3 rows can be used: 2 have no text in 'text', 1 no label in 'label'" in sentence


def test_a_text_as_target_is_refused_with_another():
    columns = (*SCHEMA.columns, Column("topic", "ignored", "category", ""))
    source = {
        "text": [f"text {k}" for k in range(10_000)],
        "label": [f"label {k % 5000}" for k in range(10_000)],
        "topic": [f"topic {k % 5}" for k in range(10_000)],
    }
    sentence = refused(source, Schema(columns))
    assert "5,000 different labels in 10,000 rows" in sentence
    assert "--target topic" in sentence


def test_a_column_that_is_not_there():
    sentence = refused({"texts": ["a"], "label": ["x"]})
    assert "no column 'text', the input. Did you mean 'texts'?" in sentence
    assert "no column 'label', the target" in refused({"text": ["a"]})


def test_without_a_target():
    records = clean(read({"text": ["a", None]}), SCHEMA, need_target=False)
    assert records.frame.columns == ["text"]
    records = clean(read({"text": ["a", "b"], "label": ["x", None]}), SCHEMA, need_target=False)
    assert records.values("label") == ["x", None]


def test_only_the_schemas_columns_in_its_order():
    records = clean(read({"more": [1, 2], "label": ["x", "y"], "text": ["a", "b"]}), SCHEMA)
    assert records.frame.columns == ["text", "label"]


def test_ids_and_groups():
    schema = Schema((*SCHEMA.columns, Column("user", "group", "id", "")))
    source = {"text": ["a b", "ａ  ｂ", "c", "d"], "label": list("xyxy"), "user": [7, 8, 7, None]}
    records = clean(read(source), schema)
    assert records.ids[0] == records.ids[1]
    assert len(set(records.ids.tolist())) == 3
    assert records.groups[0] == records.groups[2] != records.groups[1]
    assert records.groups[3] == records.ids[3]  # a record without a group is its own
    alone = clean(read(source), SCHEMA)
    assert (alone.groups == alone.ids).all()


def test_typed_inputs_become_strings():
    frame = pl.DataFrame({"text": [1.0, 2.0], "label": ["x", "y"]})
    assert clean(read(frame), SCHEMA).values("text") == ["1", "2"]


SCHEMA_OF_TOPIC = Schema((SCHEMA.columns[0], Column("topic", "target", "category", "")))


def several(*kinds):
    names = ("topic", "size", "tags")
    chosen = [Column(name, "target", kind, "") for name, kind in zip(names, kinds, strict=False)]
    return Schema((SCHEMA.columns[0], *chosen, Column("w", "weight", "number", "")))


def test_a_record_needs_one_label_of_several():
    source = {
        "text": ["a", "b", "c", "d", ""],
        "topic": ["x", None, None, " y ", "x"],
        "size": ["1,200", "1.5万", "n/a", None, "7"],
        "w": ["1", "0.5", "2", "0", "1"],
    }
    records = clean(read(source), several("category", "number"))
    assert records.values("topic") == ["x", None, "y"]
    assert records.values("size") == [1200.0, 15000.0, None]
    assert records.weights.tolist() == [1.0, 0.5, 0.0]
    assert [(bad.row, bad.column, bad.problem) for bad in records.skipped] == [
        (3, "topic, size", "expected a label, got nothing"),
        (5, "text", "expected a text, got nothing"),
    ]
    taken = records.take(records.rows == 2)
    assert taken.weights.tolist() == [0.5] and taken.values("size") == [15000.0]


def test_a_weight_is_a_number_from_zero():
    source = {"text": list("abcd"), "topic": list("xyxy"), "w": ["1", "-1", "much", None]}
    schema = several("category")
    records = clean(read(source), schema, min_classes=1)
    assert records.weights.tolist() == [1.0]
    assert {bad.problem for bad in records.skipped} == {"expected a weight from 0, got none"}
    assert [bad.row for bad in records.skipped] == [2, 3, 4]
    assert "column 'w': expected a weight from 0" in refused(source, schema, on_bad_row="stop")
    assert clean(read({"text": list("ab"), "topic": list("xy")}), SCHEMA_OF_TOPIC).weights is None


def test_numbers_that_are_missing_are_named_as_numbers():
    schema = Schema((SCHEMA.columns[0], Column("size", "target", "number", "")))
    records = clean(read({"text": list("abc"), "size": ["1", "many", None]}), schema)
    assert records.values("size") == [1.0]
    assert {bad.problem for bad in records.skipped} == {"expected a number, got none"}
    assert "1 no number in 'size'" in refused({"text": ["a"], "size": ["many"]}, schema)


@pytest.mark.parametrize(("kind", "what"), [("category", "labels"), ("tags", "labels"), ("number", "numbers")])
def test_a_target_that_nothing_is_known_of_is_named(kind, what):
    schema = several("category", kind)
    source = {"text": list("ab"), "topic": list("xy"), "size": [None, None], "w": [1, 1]}
    assert f"column 'size': expected {what}, got none" in refused(source, schema)


def test_tags_are_kept_as_they_were_written():
    schema = Schema((SCHEMA.columns[0], Column("tags", "target", "tags", "")))
    records = clean(read({"text": list("abcd"), "tags": ["a;b", "[]", " ", '["a"]']}), schema)
    assert records.values("tags") == ["a;b", "[]", '["a"]']
    frame = pl.DataFrame({"text": list("abc"), "tags": [["a", "b"], [], None]})
    assert clean(read(frame), schema).values("tags") == ['["a", "b"]', "[]"]
