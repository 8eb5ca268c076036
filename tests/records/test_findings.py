"""Duplicates, contradictions and odd labels, counted by hand."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict

import numpy as np
import polars as pl

from zaowu.records.check import clean, clean_cells
from zaowu.records.findings import find
from zaowu.records.identity import normalised
from zaowu.records.read import read
from zaowu.records.records import Column, Records, Schema

SCHEMA = Schema((Column("text", "input", "text", ""), Column("label", "target", "category", "")))


def records(*rows: tuple[str | None, str | None]) -> Records:
    texts, labels = zip(*rows, strict=True)
    return clean(read({"text": list(texts), "label": list(labels)}), SCHEMA, min_classes=1)


def test_counts_by_hand():
    found = find(
        {
            "train": records(("a b", "x"), ("a  b", "x"), ("ａ b", "y"), ("c", "y"), ("d", "z"), ("", "x"), ("e", "")),
            "test": records(("c", "y"), ("c", "x"), ("new", "w"), ("new", "w")),
        }
    )
    assert found.rows == {"train": 5, "test": 4}
    assert found.skipped == {"train": {"text: expected a text": 1, "label: expected a label": 1}, "test": {}}
    assert found.within == {"train": 2, "test": 2}  # three of "a b" are two too many; so are one "c" and one "new"
    assert found.across == {"train": 0, "test": 2}  # both "c"
    assert found.conflicting == {"train": 4, "test": 2}  # all of "a b", all of "c"
    assert found.classes == {"train": {"x": 2, "y": 2, "z": 1}, "test": {"w": 2, "x": 1, "y": 1}}
    assert found.one_member == ("z",)
    assert found.unseen == {"test": {"w": 2}}
    assert (found.lengths["train"].shortest, found.lengths["train"].longest) == (1, 4)
    first = found.examples["conflicting_labels"][0]
    assert (first.text, first.labels, first.count) == ("a b", ("x", "y"), 3)
    assert first.rows == (("train", 1), ("train", 2), ("train", 3))
    assert found.problems


def test_against_a_plain_count():
    rng = random.Random(0)
    for _ in range(30):
        rows = {
            part: [
                (f"{rng.choice('abＡdef')} {rng.randrange(4)}", rng.choice("xyz")) for _ in range(rng.randrange(1, 30))
            ]
            for part in ("train", "valid", "test")
        }
        found = find({part: records(*own) for part, own in rows.items()})
        contents = {part: [normalised(text) for text, _ in own] for part, own in rows.items()}
        labels = defaultdict(set)
        for own in rows.values():
            for text, label in own:
                labels[normalised(text)].add(label)
        for part, own in contents.items():
            assert found.within[part] == len(own) - len(set(own))
            assert found.across[part] == (0 if part == "train" else sum(text in contents["train"] for text in own))
            assert found.conflicting[part] == sum(len(labels[text]) > 1 for text in own)
            assert found.classes[part] == Counter(label for _, label in rows[part])


def test_nothing_to_look_at():
    found = find({"train": records(("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))})
    assert not found.problems
    assert found.lines() == []


def test_labels_that_hardly_differ():
    found = find(
        {
            "train": records(
                *[
                    ("text " + str(k), label)
                    for k, label in enumerate(["IT", "ＩＴ", "i t", "体育", "体 育", "科技"] * 2)
                ]
            )
        }
    )
    assert found.near_equal == (("IT", "i t", "ＩＴ"), ("体 育", "体育"))
    assert found.problems


def test_parts_of_one_source_count_its_skipped_rows_once():
    whole = records(("a", "x"), ("b", "y"), ("", "x"))
    found = find({"train": whole.take(whole.rows == 1), "test": whole.take(whole.rows == 2)})
    assert found.skipped == {"train": {"text: expected a text": 1}, "test": {}}
    assert found.to_plain()["skipped"] == {"text: expected a text": 1}


def test_examples_are_the_most_repeated_and_at_most_twenty():
    rows = [(f"text {k}", "xy"[k % 2]) for k in range(40)] * 2 + [("often", "x")] * 15
    found = find({"train": records(*rows)}).examples["duplicates_within"]
    assert len(found) == 20
    assert (found[0].text, found[0].count, len(found[0].rows)) == ("often", 15, 10)
    assert found[1].text == "text 0"
    assert str(found[0]).endswith("train 90, …")


def test_plain():
    plain = find({"train": records(("a", "x"), ("a", "y")), "test": records(("a", "x"))}).to_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["rows"], plain["duplicates_within"]) == (3, 1)
    assert (plain["duplicates_across"], plain["conflicting_labels"]) == (1, 3)
    assert plain["conflicts"] == [{"text": "a", "labels": ["x", "y"], "rows": [1, 2, 1], "count": 3}]
    assert plain["examples"]["duplicates_within"][0]["rows"] == [["train", 1], ["train", 2]]


def test_without_labels():
    own = clean(read({"text": ["a", "a", "b"]}), SCHEMA, need_target=False)
    found = find({"train": own})
    assert (found.duplicates_within, found.conflicting_labels, found.classes) == (1, 0, {})


def test_with_several_answers_only_classes_are_counted_and_any_difference_is_a_conflict():
    schema = Schema((SCHEMA.columns[0], SCHEMA.columns[1], Column("size", "target", "number", "")))
    source = {"text": ["a", "a", "b", "b", "c"], "label": ["x", "x", "y", "y", None], "size": [1, 2, 3, 3, 4]}
    found = find({"train": clean(read(source), schema)})
    assert found.conflicting_labels == 2  # the sizes of "a"
    assert found.classes == {"train": {"x": 2, "y": 2}}
    alone = Schema((SCHEMA.columns[0], Column("size", "target", "number", "")))
    found = find({"train": clean(read(source), alone)})
    assert (found.classes, found.one_member, found.duplicates_within) == ({}, (), 2)


def test_a_column_of_train_that_knows_the_answer_must_be_looked_at():
    rng = random.Random(0)
    rows = [(str(rng.random()), f"c{rng.random():.2f}", rng.choice("ab")) for _ in range(80)]
    frame = {
        "x": [row[0] for row in rows],
        "code": [{"a": "1", "b": "0"}[row[2]] for row in rows],
        "label": [row[2] for row in rows],
    }
    kinds = {"x": "number", "code": "category"}
    inputs = tuple(Column(name, "input", kind, "") for name, kind in kinds.items())
    schema = Schema((*inputs, Column("label", "target", "category", "")))
    found = find({"train": clean(read(frame), schema)})
    assert [leak.column for leak in found.leaks] == ["code"] and found.problems
    assert any(line.startswith("train: column 'code' alone tells 'label' right in 100.0%") for line in found.lines())
    plain = json.loads(json.dumps(found.to_plain()))["leaks"]
    assert [(leak["column"], leak["target"], leak["rows"]) for leak in plain] == [("code", "label", 80)]
    honest = clean(read({**frame, "code": [row[1] for row in rows]}), schema)
    assert find({"train": honest}).leaks == ()
    assert find({"test": clean(read(frame), schema)}).leaks == ()


def test_cells_that_are_missing_do_not_stop_an_example():
    schema = Schema((Column("x", "input", "number", ""), Column("y", "input", "number", ""), SCHEMA.columns[1]))
    frame = pl.DataFrame({"x": ["1", "1"], "y": pl.Series([None, None], dtype=pl.String), "label": ["a", "b"]})
    found = find({"train": clean(read(frame), schema, cleaners={"number": clean_cells})})
    assert found.conflicting == {"train": 2} and found.examples["conflicting_labels"][0].text == "1 |"


def test_bytes_have_no_length_in_characters():
    """Images and sounds may stand in a table as the bytes of their files."""
    columns = (Column("photo", "input", "image", ""), Column("title", "input", "text", ""))
    frame = pl.DataFrame({"photo": [b"\xff\xd8" * 50] * 2, "title": ["four", "seven!!"]})
    for schema, longest in ((Schema(columns), 7), (Schema(columns[:1]), 0)):
        ids = np.zeros(2, np.uint64)
        found = find({"train": Records(frame, np.arange(2), ids, ids, "t.parquet", schema)})
        assert found.lengths["train"].longest == longest
        assert found.examples["duplicates_within"][0].text.startswith("100 bytes")
