"""CSV and TSV: against Python's csv module, and the fast way against the slow one."""

from __future__ import annotations

import csv
import io
import random

import numpy as np
import pytest

from zaowu.records.reading import delimited
from zaowu.records.reading.delimited import Dialect, is_clean, parse, scan, split_record

PIECES = ["a", "b", '"', '""', ",", "\n", "\r\n", "é", "中", '"x"', ',"', " ", '"\n', "\r", "，"]


def dialect(width: int = 2, *, separator: str = ",", has_header: bool = False, quoted: bool = True) -> Dialect:
    return Dialect(separator, tuple(f"c{k}" for k in range(width)), has_header, quoted)


def written(rows: list[list[str]], *, separator: str = ",", end: str = "\n") -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end).writerows(rows)
    return file.getvalue().encode()


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """`data` in blocks of one to three lines."""
    lines = list(io.BytesIO(data))
    blocks = []
    while lines:
        size = rng.randrange(1, 4)
        blocks.append(b"".join(lines[:size]))
        lines = lines[size:]
    return blocks


def random_rows(rng: random.Random, width: int, pieces: list[str] = PIECES) -> list[list[str]]:
    return [
        ["".join(rng.choice(pieces) for _ in range(rng.randrange(4))) for _ in range(width)]
        for _ in range(rng.randrange(1, 8))
    ]


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_pythons_csv_module_writes_is_read_back(separator, end):
    rng = random.Random(1)
    pieces = [piece for piece in PIECES if piece != "\r"]  # which csv.writer leaves without quotes
    for _ in range(100):
        rows = random_rows(rng, 2, pieces)
        data = written(rows, separator=separator, end=end)
        found = parse(cut(data, rng), dialect(separator=separator), source="x")
        assert found.bad_rows == []
        assert [[cell or "" for cell in row] for row in found.frame.rows()] == rows
        assert found.rows.tolist() == list(range(1, len(rows) + 1))


def test_the_fast_way_and_the_slow_way_read_the_same(monkeypatch):
    rng = random.Random(2)
    num_fast = 0
    for _ in range(500):
        form = dialect(rng.choice([1, 2, 2, 3]), has_header=rng.random() < 0.5, quoted=rng.random() < 0.8)
        data = written(random_rows(rng, len(form.names)), end=rng.choice(["\n", "\r\n"]))
        data += rng.choice(["", "", "\n", "\r\n", '"', ",", "a,b,c\n", '"open,b\nc,d\n']).encode()
        if not form.quoted:
            data = data.replace(b'"', b"")
        num_fast += scan(data + b"\n", form) is not None
        monkeypatch.setattr(delimited, "SMALL_BYTES", rng.choice([1, 16, 1 << 14]))
        fast = parse(cut(data, rng), form, source="x")
        with monkeypatch.context() as patch:
            patch.setattr(delimited, "scan", lambda block, dialect: None)
            slow = parse(cut(data, rng), form, source="x")
        assert fast.frame.equals(slow.frame), data
        assert fast.rows.tolist() == slow.rows.tolist(), data
        assert fast.bad_rows == slow.bad_rows, data
        assert fast.num_multiline == slow.num_multiline, data
    assert num_fast > 100  # else nothing was compared


def test_rows_are_counted_as_in_a_spreadsheet():
    data = b'text,label\n\n"two\nlines",x\n\r\nlast,y'
    found = parse([data], dialect(has_header=True), source="x")
    assert found.frame.rows() == [("two\nlines", "x"), ("last", "y")]
    assert found.rows.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a", "expected 2 fields, got 1"),
        ("a,b,c", "expected 2 fields, got 3"),
        ('"a,b', "expected a closing quotation mark, got none"),
        ('a,"b', "expected a closing quotation mark, got none"),
        ('"a" b,c', "expected a separator after a closing quotation mark, got 'b,c'"),
    ],
)
def test_a_broken_row_is_named_and_the_next_ones_are_read(line, problem):
    data = f'good,1\n{line}\n"next, one",2\nlast,3\n'.encode()
    found = parse([data], dialect(), source="x.csv")
    assert [str(bad) for bad in found.bad_rows] == [f"x.csv, row 2: {problem}"]
    assert found.frame.rows() == [("good", "1"), ("next, one", "2"), ("last", "3")]
    assert found.rows.tolist() == [1, 3, 4]


def test_an_unclosed_quote_costs_one_row_only_also_over_many_blocks():
    lines = [f"text {k},label" for k in range(1000)]
    lines[17] = '"' + lines[17]
    blocks = [f"{line}\n".encode() for line in lines]
    found = parse(blocks, dialect(), source="x")
    assert [bad.row for bad in found.bad_rows] == [18]
    assert found.rows.tolist() == [k for k in range(1, 1001) if k != 18]


def test_a_quote_inside_a_field_is_a_character():
    found = parse([b'5" screen,x\na"b"c,y\n'], dialect(), source="x")
    assert found.frame.rows() == [('5" screen', "x"), ('a"b"c', "y")]
    assert found.num_quoted == 0


def test_a_cell_of_many_megabytes():
    big = "很长的一段，\n" * 300_000
    data = written([[big, "x"], ["short", "y"]])
    lines = data.splitlines(keepends=True)
    blocks = [b"".join(lines[start : start + 1000]) for start in range(0, len(lines), 1000)]
    found = parse(blocks, dialect(), source="x")
    assert found.frame["c0"].str.len_chars().to_list() == [len(big), 5]
    assert found.rows.tolist() == [1, 2]


def test_empty_cells_are_null_whether_quoted_or_not():
    found = parse([b'"",x\n,"y"\n"","z"\n'], dialect(), source="x")
    assert found.frame.rows() == [(None, "x"), (None, "y"), (None, "z")]


def test_nothing_but_a_header():
    found = parse([b"text,label\n"], dialect(has_header=True), source="x")
    assert found.frame.height == 0
    assert found.frame.width == 2
    assert found.rows.dtype == np.int64


def test_mere_characters():
    literal = dialect(separator="\t", quoted=False)
    data = '"神舟"飞船\t科技\n"开头\t体育\n'.encode()
    assert is_clean([data], literal)
    assert parse([data], literal, source="x").frame.rows() == [('"神舟"飞船', "科技"), ('"开头', "体育")]
    assert not is_clean([data + "一\t二\t三\n".encode()], literal)


def test_split_record_goes_on_below_the_broken_field():
    text = 'a,"b\nc","d" e\nnext,1,2\n'
    record = split_record(text, 0, dialect(3))
    assert record.fields is None
    assert text[record.end :] == "next,1,2\n"
