"""Any source as a table, and one clear sentence for what cannot be one."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.records.read import read
from zaowu.records.reading import encoding

ROWS = [("好球，进了", "体育"), ("芯片发布", "科技"), ("两队\n战平", "体育")]
CSV = 'text,label\n"好球，进了",体育\n芯片发布,科技\n"两队\n战平",体育\n'


@pytest.fixture
def write(tmp_path):
    """write(name, content) -> the path of a new file under `tmp_path`."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def refused(source, **options) -> str:
    with pytest.raises(UserError) as error:
        read(source, **options)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


FORMS = {
    "plain.csv": CSV.encode(),
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "gb.csv": CSV.encode("gb18030"),
    "windows.csv": CSV.replace("label\n", "label\r\n").replace("育\n", "育\r\n").replace("技\n", "技\r\n").encode(),
    "semicolons.csv": CSV.replace(",", ";").encode(),
    "tabs.tsv": CSV.replace(",", "\t").encode(),
    "tabs.csv": CSV.replace(",", "\t").encode("gb18030"),
    "no_last_end.csv": CSV[:-1].encode(),
    "no_header.csv": CSV.removeprefix("text,label\n").encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_one_table_reads_the_same(write, name):
    table = read(write(name, FORMS[name]))
    assert table.frame.rows() == ROWS
    first = 1 if name == "no_header.csv" else 2
    assert table.rows.tolist() == [first, first + 1, first + 2]
    assert table.frame.columns == (["column_1", "column_2"] if first == 1 else ["text", "label"])
    assert set(table.frame.dtypes) == {pl.String}


def test_what_was_decided_is_said(write):
    assert read(write("a.csv", FORMS["plain.csv"])).notes == ()
    said = " ".join(read(write("b.csv", FORMS["tabs.csv"])).notes)
    assert "GB18030" in said
    assert "tabs" in said
    said = " ".join(read(write("c.csv", FORMS["no_header.csv"])).notes)
    assert "'体育' stands again" in said
    assert "column_1, column_2" in said


def test_old_mac_line_ends(write):
    table = read(write("mac.csv", "text,label\r好球,体育\r芯片,科技\r"))
    assert table.frame.rows() == [("好球", "体育"), ("芯片", "科技")]


def test_json_lines_keep_their_types_and_their_row_numbers(write):
    lines = '{"text": "好球", "label": 1}\n\n{"label": 0, "text": "芯片", "more": true}\n'
    table = read(write("a.jsonl", lines))
    assert table.frame.rows() == [("好球", 1, None), ("芯片", 0, True)]
    assert table.rows.tolist() == [1, 3]
    assert read(write("a.txt", lines)).frame.equals(table.frame)  # by its content


def test_json_lines_of_mixed_types_become_strings(write, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK_BYTES", 8)  # so that the types differ between blocks
    table = read(write("a.jsonl", '{"a": 1, "b": 1}\n{"a": "x", "b": 2.5}\n{"a": [1, "中"]}\n'))
    assert table.frame["a"].to_list() == ["1", "x", '[1, "中"]']
    assert table.frame["b"].to_list() == [1.0, 2.5, None]


def test_json_documents(write):
    items = [{"text": "好球", "label": "体育"}, {"text": "芯片", "label": "科技"}]
    expected = [("好球", "体育"), ("芯片", "科技")]
    assert read(write("a.json", json.dumps(items, indent=1))).frame.rows() == expected
    assert (
        read(write("b.json", json.dumps({"text": ["好球", "芯片"], "label": ["体育", "科技"]}))).frame.rows()
        == expected
    )
    assert read(write("c.json", "\n".join(map(json.dumps, items)))).frame.rows() == expected
    assert "list of objects" in refused(write("d.json", "[1, 2]"))
    assert "JSON" in refused(write("e.json", '[{"text":'))


def test_parquet(tmp_path):
    frame = pl.DataFrame({"text": ["好球", "芯片"], "n": [1, 2]}).with_columns(kind=pl.col("text").cast(pl.Categorical))
    frame.write_parquet(tmp_path / "a.parquet")
    table = read(str(tmp_path / "a.parquet"))
    assert table.frame.schema == {"text": pl.String, "n": pl.Int64, "kind": pl.String}
    assert table.rows.tolist() == [1, 2]


def test_a_folder_of_texts(write, tmp_path):
    write("set/体育/b.txt", "两队\n战平")
    write("set/体育/a.txt", "好球".encode("gb18030"))
    write("set/科技/c.txt", "\ufeff芯片")
    write("set/.hidden/d.txt", "x")
    write("set/科技/notes.md", "x")
    write("set/stray.txt", "x")
    table = read(tmp_path / "set")
    assert table.frame.columns == ["text", "label", "file"]
    assert sorted(table.frame.rows()) == [
        ("两队\n战平", "体育", "体育/b.txt"),
        ("好球", "体育", "体育/a.txt"),
        ("芯片", "科技", "科技/c.txt"),
    ]
    assert "1 .txt file" in table.notes[0]


def test_folders_that_are_something_else(write, tmp_path):
    (tmp_path / "void").mkdir()
    assert "empty" in refused(tmp_path / "void")
    write("tables/train.csv", CSV)
    assert f"Did you mean {tmp_path / 'tables' / 'train.csv'}?" in refused(tmp_path / "tables")
    write("nested/train/体育/a.txt", "x")
    assert f"Did you mean {tmp_path / 'nested' / 'train'}?" in refused(tmp_path / "nested")
    write("other/a/b.md", "x")
    assert "sub-folder of .txt files per class" in refused(tmp_path / "other")


def test_python_data():
    rows = [("好球", "体育"), ("芯片", None)]
    items = [{"text": "好球", "label": "体育"}, {"text": "芯片"}]
    for source in (
        items,
        {"text": ["好球", "芯片"], "label": ["体育", None]},
        pl.DataFrame(items),
        pl.LazyFrame(items),
    ):
        table = read(source)
        assert table.frame.rows() == rows
        assert table.rows.tolist() == [1, 2]
    mixed = read({"text": ["a", "b", "c"], "label": ["x", float("nan"), 1]})
    assert mixed.frame["label"].to_list() == ["x", None, "1"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (7, "int"),
        (["a", "b"], "item 1: expected a dict"),
        ({"text": "abc"}, "column 'text': expected a list"),
        ({"text": ["a"], "label": ["x", "y"]}, "one length"),
        ([], "expected records, got none"),
        (pl.DataFrame({"text": []}), "expected records, got none"),
        ({1: ["a"], "1": ["b"]}, "two columns are called '1'"),
    ],
)
def test_python_data_that_is_no_table(source, said):
    assert said in refused(source)


def test_a_pandas_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["好球", None], 5: [1.5, float("nan")], "n": [1, 2]}, index=[7, 9])
    table = read(frame)
    assert table.frame.rows() == [("好球", 1.5, 1), (None, None, 2)]
    assert table.frame.columns == ["text", "5", "n"]
    assert table.rows.tolist() == [1, 2]


BROKEN = 'text,label\ngood one,x\na,b,c\nfoo,y\nq\n"open,z\nlast one,x\n"x" y,z\n'


def test_bad_rows_stop_with_their_numbers(write):
    path = write("train.csv", BROKEN)
    assert refused(path) == (
        f"{path}, row 3: expected 2 fields, got 3. Mend the row, or pass --on-bad-row skip. "
        "1 other row has the same problem (5). 2 rows have another problem (such as 6: expected a closing "
        "quotation mark, got none)."
    )
    assert refused(path) == refused(path, on_bad_row="stop")


def test_bad_rows_are_set_aside_when_asked(write):
    table = read(write("train.csv", BROKEN), on_bad_row="skip")
    assert table.frame.rows() == [("good one", "x"), ("foo", "y"), ("last one", "x")]
    assert table.rows.tolist() == [2, 4, 7]
    assert [bad.row for bad in table.bad_rows] == [3, 5, 6, 8]


def test_many_bad_rows_are_counted_and_a_cause_is_suggested(write):
    sentence = refused(write("a.csv", "text,label\n" + "a b,c,d\n" * 500))
    assert "499 other rows have the same problem (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, …)" in sentence
    assert "look at the first row too" in sentence


def test_on_bad_row_is_one_of_two(write):
    assert "Did you mean 'skip'?" in refused(write("a.csv", CSV), on_bad_row="skp")


def test_undecodable_bytes_are_one_row_and_not_another_encoding(write):
    lines = CSV.encode() * 50 + b"\xff\xfe,x\n" + CSV.encode()
    assert ", row 201: expected UTF-8 text, got other bytes." in refused(write("a.csv", lines))
    lines = '{"a": "好"}\n{"a": "球"}\n'.encode() + b'{"a": "\xff"}\n'
    assert ", row 3: expected UTF-8 text" in refused(write("a.jsonl", lines))
    lines = CSV.encode("gb18030") * 50 + b"\xff\xff,x\n"
    assert ", row 201: expected UTF-8 or GB18030 text" in refused(write("b.csv", lines))


def test_a_nul_byte_far_down_is_a_bad_row(write):
    table = read(write("a.csv", (CSV * 500).encode() + b"a\0b,x\n"), on_bad_row="skip")
    assert [bad.row for bad in table.bad_rows] == [2001]


def test_encoding_is_found_wherever_the_first_chinese_character_stands(write):
    data = ("text,label\n" + "plain words,x\n" * 200_000 + "好球,体育\n").encode("gb18030")
    table = read(write("a.csv", data))
    assert table.frame.row(-1) == ("好球", "体育")


def test_characters_that_gb18030_writes_in_four_bytes(write):
    rare = "𠮷野家的鿬与€"
    table = read(write("a.csv", f"text,label\n{rare},x\n好球,y\n".encode("gb18030")))
    assert table.frame.rows() == [(rare, "x"), ("好球", "y")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b"\n\n  \r\n", "nothing but white space"),
        ("header.csv", b"text,label\n", "there is a header (text, label) and no row below it"),
        ("image.csv", b"\x89PNG\r\n\x1a\n....", "a PNG image"),
        ("book.xlsx", b"PK\x03\x04....", "the archive is damaged"),
        ("old.xls", b"\xd0\xcf\x11\xe0....", "cannot be read as an Excel file"),
        ("table.csv.gz", gzip.compress(b"text,label\n", mtime=0)[:-9], "damaged or cut short"),
        ("table.tar", b"a" * 257 + b"ustar", "a tar archive"),
        ("page.xls", b"<html><body><table>", "a web page"),
        ("russian.csv", ("Привет, как дела\n" * 50).encode("cp1251"), "an encoding that is not known here"),
        ("bytes.csv", b"abc\0\1\2", "a binary file"),
        ("wide.csv", "text,label\n好,x\n".encode("utf-32"), "UTF-32 text"),
        ("damaged.parquet", b"PAR1....", "cannot be read as Parquet"),
        ("lines.jsonl", b"not json\nat all\n", "expected a JSON object, got 'not json'"),
    ],
)
def test_files_that_cannot_be_read(write, name, content, said):
    path = write(name, content)
    sentence = refused(path)
    assert said in sentence
    assert str(path) in sentence


def test_paths_that_are_not_there(write, tmp_path):
    write("news.csv", CSV)
    assert "Did you mean 'news.csv'?" in refused(tmp_path / "nwes.csv")
    assert "Did you mean 'news.csv'?" in refused(str(tmp_path / "news"))
    assert "no folder" in refused(tmp_path / "nowhere" / "news.csv")
    assert "cannot be read" in refused("long text" * 100)


def test_a_file_that_may_not_be_read(write, monkeypatch):
    path = write("a.csv", CSV)

    def closed(self, *args, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", closed)
    assert f"{path}: not allowed to read it" in refused(path)


def test_mere_characters_in_a_tsv(write):
    """Many programs write tabs without quoting; read as quoting, the second row would swallow the third."""
    lines = 'text\tlabel\n"神舟"飞船上天\t科技\n"开头没有结尾\t体育\n结尾没有"\t体育\n普通的一行\t科技\n'
    table = read(write("a.tsv", lines))
    assert table.frame.rows() == [tuple(line.split("\t")) for line in lines.splitlines()[1:]]
    assert "mere characters" in table.notes[0]


def test_quoting_in_a_tsv_is_kept_when_most_of_it_is_in_order(write):
    lines = ["text\tlabel"] + [f'"text {k}"\tx' for k in range(20)] + ['"broken\ty']
    table = read(write("a.tsv", "\n".join(lines)), on_bad_row="skip")
    assert table.frame.height == 20
    assert table.frame.row(0) == ("text 0", "x")
    assert [bad.row for bad in table.bad_rows] == [22]


def test_a_cell_of_ten_megabytes(write):
    big = "很长的文字。" * 600_000
    assert len(big.encode()) > 10_000_000
    table = read(write("a.csv", f"text,label\n{big},x\nshort one,y\n"))
    assert table.frame["text"].str.len_chars().to_list() == [len(big), 9]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_python_objects_of_a_large_file_stay_small(write):
    """What Python itself holds while reading: a few blocks, not the file (polars' share is measured by hand)."""
    path = write("a.csv", "text,label\n" + "一条不长不短的新闻标题而已,体育\n" * 200_000)
    read(path)
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * path.stat().st_size
