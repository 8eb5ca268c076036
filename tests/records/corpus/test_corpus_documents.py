"""Raw files to documents: encodings, packings, paragraphs, rows, what is removed and what is held out."""

import gzip
import json
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from zaowu.config import CorpusConfig
from zaowu.errors import UserError
from zaowu.records.corpus import documents, sample
from zaowu.records.corpus.text import MAX_DOCUMENT, MAX_PARAGRAPH

CHINESE = "今天的天气很好，我们一起到公园里去看花。他说这是一个新的开始。"
KEEP = CorpusConfig(held_out=0)


def read(path: Path | str, config: CorpusConfig = KEEP) -> list[tuple[str, ...]]:
    return [document.paragraphs for document in documents([(str(path), 1.0)], config)]


def write(path: Path, content: str, codec: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(codec))
    return path


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "big5"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_packed_or_not(tmp_path, codec: str, packed: bool) -> None:
    text = CHINESE if codec != "big5" else "今天的天氣很好，我們一起到公園裡去看花。他說這是一個新的開始。"
    data = f"{text}\r\n\r\n第二段\r\n".encode(codec)
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert read(path) == [(text, "第二段")]


def test_blank_lines_part_paragraphs_and_lines_do_where_there_are_none(tmp_path) -> None:
    assert read(write(tmp_path / "a.md", "# 标题\n一行\n二行\n \n下一段\n")) == [("# 标题\n一行\n二行", "下一段")]
    assert read(write(tmp_path / "b.txt", "  一行\n二行  \n")) == [("一行", "二行")]


def test_a_page_without_its_scripts(tmp_path) -> None:
    page = (
        "<!doctype html><html><head><title>题目</title><script>if (a < b) {}</script><style>p {}</style></head>"
        "<body><p>一段 <b>粗体</b>\n字</p><ul><li>甲<li>乙&amp;丙</ul><svg><text>no</text></svg>尾<br>巴</body>"
    )
    assert read(write(tmp_path / "a.html", page)) == [("题目", "一段 粗体 字", "甲", "乙&丙", "尾\n巴")]


def test_of_an_endless_page_the_beginning_is_read(tmp_path, monkeypatch) -> None:
    from zaowu.records.corpus import page

    monkeypatch.setattr(page, "MAX_CHARS", 1000)
    path = write(tmp_path / "a.html", "<p>头</p>" + "<p>字</p>" * 500)
    corpus = documents([(str(path), 1.0)], CorpusConfig(held_out=0, duplicates="keep"))
    assert sum(len(own.paragraphs) for own in corpus) == 125
    assert corpus.counts.cut == 1


def test_rows_are_documents_or_belong_to_one(tmp_path) -> None:
    rows = [("一", 1), ("二\n\n三", 1), ("四", 2), ("五", None), ("六", None)]
    lines = [json.dumps({"content": text, "document": key}, ensure_ascii=False) for text, key in rows]
    path = write(tmp_path / "a.jsonl", "\n".join(["[1]", *lines, '{"content": ""}', "{broken"]))
    corpus = documents([(str(path), 1.0)], KEEP)
    assert [own.paragraphs for own in corpus] == [("一", "二", "三"), ("四",), ("五",), ("六",)]
    assert corpus.counts.bad_rows == 3
    named = write(tmp_path / "b.jsonl", '{"x": "甲", "y": "乙", "z": 1}\n')
    assert read(named, CorpusConfig(held_out=0, text_column="y")) == [("乙",)]


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz"])
def test_parquet(tmp_path, name: str) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"n": range(5), "text": [f"第{i}篇" for i in range(4)] + [None]}).write_parquet(path)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / name) == [(f"第{i}篇",) for i in range(4)]


def test_parquet_is_read_in_portions(tmp_path, monkeypatch) -> None:
    from zaowu.records.corpus import rows

    monkeypatch.setattr(rows, "MAX_PORTION", 7)
    pl.DataFrame({"text": [f"第{i}篇" for i in range(30)]}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [(f"第{i}篇",) for i in range(30)]


def test_folders_are_read_through_in_order(tmp_path) -> None:
    for name in ("b/2.txt", "a/9.txt", "c.txt", ".git/x.txt", "b/.hidden.txt"):
        write(tmp_path / name, f"in {name}")
    assert read(tmp_path) == [("in c.txt",), ("in a/9.txt",), ("in b/2.txt",)]


def test_a_url(tmp_path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://corpus/a.txt", "w", encoding="gb18030") as file:
        file.write(CHINESE)
    assert read("memory://corpus/a.txt") == [(CHINESE,)]


def test_what_cannot_be_read_is_named_and_skipped(tmp_path) -> None:
    write(tmp_path / "good.txt", "好")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "bytes.md").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "broken.txt.gz").write_bytes(gzip.compress(b"text " * 1000)[:40])
    (tmp_path / "false.parquet").write_bytes(b"text")
    write(tmp_path / "table.csv", "a,b\n")
    write(tmp_path / "empty.txt", "")
    write(tmp_path / "blank.txt", "\n \n")
    write(tmp_path / "which.jsonl", '{"a": "x", "b": "y"}\n')
    corpus = documents([(str(tmp_path), 1.0)], KEEP)
    texts = [own.paragraphs for own in corpus]
    assert ("好",) in texts and len(texts) <= 2  # the beginning of the broken archive may be text
    named = {Path(skipped.name).name: skipped.why for skipped in corpus.counts.skipped}
    assert named.keys() == {path.name for path in tmp_path.iterdir()} - {"good.txt"}
    assert corpus.counts.num_skipped == 8
    assert "PNG" in named["picture.txt"] and "text_column" in named["which.jsonl"]
    assert any("8 files are skipped" in sentence for sentence in corpus.counts.sentences())


def test_undecodable_bytes_are_marked_and_counted(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(("好" * 400 + "\n").encode() * 9 + b"x\xffy\0\n")
    corpus = documents([(str(tmp_path), 1.0)], CorpusConfig(held_out=0, duplicates="keep"))
    (found,) = corpus
    assert found.paragraphs[-1] == "x\ufffdy"
    assert corpus.counts.replaced == 1


def test_equal_paragraphs_are_removed_and_counted(tmp_path) -> None:
    write(tmp_path / "1.txt", "甲段\n乙段\n甲段")
    write(tmp_path / "2.txt", "乙 段\nＡ段\n乙段")
    write(tmp_path / "3.txt", "A段")
    corpus = documents([(str(tmp_path), 1.0)], KEEP)
    assert [own.paragraphs for own in corpus] == [("甲段", "乙段"), ("乙 段", "Ａ段")]  # full-width A equals A
    assert corpus.counts.duplicates == 3
    kept = documents([(str(tmp_path), 1.0)], CorpusConfig(held_out=0, duplicates="keep"))
    assert sum(len(own.paragraphs) for own in kept) == 7


def test_nearly_equal_paragraphs_are_removed_within_the_memory(tmp_path, capsys) -> None:
    pytest.importorskip("datasketch")
    long = "".join(chr(0x4E00 + 37 * i % 5000) for i in range(200))
    other = "".join(chr(0x4E00 + 41 * i % 5003) for i in range(200))
    write(tmp_path / "a.txt", "\n".join([long, long[:100] + "新" + long[101:], other, "短", "短的"]))
    config = CorpusConfig(held_out=0, near_duplicates=True, memory_mb=3)
    corpus = documents([(str(tmp_path), 1.0)], config)
    assert [own.paragraphs for own in corpus] == [(long, other, "短", "短的")]
    assert corpus.counts.near_duplicates == 1
    assert "1,000 paragraphs are remembered, in 3 MB" in capsys.readouterr().err
    with pytest.raises(UserError, match="--memory"):
        list(documents([(str(tmp_path), 1.0)], CorpusConfig(near_duplicates=True, memory_mb=1)))


def held_out(path: Path, share: float) -> set[int]:
    return {own.id for own in documents([(str(path), 1.0)], CorpusConfig(held_out=share)) if own.is_held_out}


def test_held_out_documents_stay_so_when_others_come(tmp_path) -> None:
    for number in range(400):
        write(tmp_path / f"{number:04d}.txt", f"第{number}篇")
    before = held_out(tmp_path, 0.1)
    assert 20 <= len(before) <= 65
    for number in range(400):
        write(tmp_path / f"0{number:03d}-new.txt", f"另外的第{number}篇")
    after = held_out(tmp_path, 0.1)
    every = {own.id: own.paragraphs[0] for own in documents([(str(tmp_path), 1.0)], KEEP)}
    assert before == {own for own in after if not every[own].startswith("另外")}


def test_one_is_held_out_where_chance_takes_none(tmp_path) -> None:
    write(tmp_path / "a.txt", "甲")
    write(tmp_path / "b.txt", "乙")
    found = list(documents([(str(tmp_path), 1.0)], CorpusConfig(held_out=1e-9)))
    assert sorted(own.is_held_out for own in found) == [False, True]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no file"),
        ({"a.txt": "一行"}, "a single line"),
        ({"a.txt": "一行\n二行"}, "a single document"),
        ({"a.txt": "\0\1\2"}, "found none.*binary"),
        ({"a.bin": "x"}, "found none"),
    ],
)
def test_what_is_no_corpus_is_one_sentence(tmp_path, files: dict[str, str], sentence: str) -> None:
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(UserError, match=sentence):
        list(documents([(str(tmp_path), 1.0)]))


def test_sources_that_cannot_be(tmp_path) -> None:
    path = write(tmp_path / "news.txt", "x")
    with pytest.raises(UserError, match=r"no such file.*news\.txt"):
        documents([(str(tmp_path / "new.txt"), 1.0)])
    with pytest.raises(UserError, match=r"--mix .*: expected a weight above 0"):
        documents([(str(path), 0.0)])
    with pytest.raises(UserError, match="at least one"):
        documents([])
    with pytest.raises(UserError, match="held_out"):
        documents([(str(path), 1.0)], CorpusConfig(held_out=1.5))


def test_a_document_knows_its_source(tmp_path) -> None:
    a, b = write(tmp_path / "a.txt", "甲"), write(tmp_path / "b.txt", "乙")
    corpus = documents([(str(a), 1.0), (str(b), 2.5)], KEEP)
    assert [own.source for own in corpus] == [0, 1]
    assert [source.weight for source in corpus.sources] == [1.0, 2.5]


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_one_endless_line_is_cut_and_nothing_is_lost(tmp_path, codec: str) -> None:
    line = CHINESE * 20_000
    path = write(tmp_path / "a.txt", line, codec)
    corpus = documents([(str(path), 1.0)], CorpusConfig(held_out=0, duplicates="keep"))
    joined = ""
    for own in corpus:
        assert sum(map(len, own.paragraphs)) <= MAX_DOCUMENT
        assert max(map(len, own.paragraphs)) <= MAX_PARAGRAPH
        assert all(part.endswith(("。", "，")) for part in own.paragraphs)  # cut behind a sentence
        joined += "".join(own.paragraphs)
    assert joined == line
    assert corpus.counts.cut > 5


def test_an_endless_row_is_a_bad_row(tmp_path, monkeypatch) -> None:
    from zaowu.records.corpus import rows

    monkeypatch.setattr(rows, "MAX_ROW", 1000)
    path = write(tmp_path / "a.jsonl", f'{{"text": "{"长" * 5000}"}}\n{{"text": "短"}}\n')
    corpus = documents([(str(path), 1.0)], KEEP)
    assert [own.paragraphs for own in corpus] == [("短",)]
    assert corpus.counts.bad_rows == 1


@pytest.mark.parametrize("shape", ["line", "rows", "paragraphs"])
def test_memory_does_not_grow_with_the_corpus(tmp_path, shape: str) -> None:
    path = tmp_path / ("a.jsonl" if shape == "rows" else "a.txt")
    words = "很长的一句话" * 40
    form = {"line": "{} {}。", "rows": '{{"text": "{} {}。"}}\n', "paragraphs": "{} {}。\n\n"}[shape]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(form.format(number, words) for number in range(30_000))
    assert path.stat().st_size > 20e6
    corpus = documents([(str(path), 1.0)], CorpusConfig(held_out=0, duplicates="keep"))
    tracemalloc.start()
    num = sum(1 for _ in corpus)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num > 20
    assert most < 18e6  # bounds: 1 MB of bytes, 262,144 characters of documents at two to four bytes, a few times


def test_a_sample_is_spread_and_bounded(tmp_path, capsys) -> None:
    for number in range(300):
        write(tmp_path / f"{number:03d}.txt", f"第{number}篇。" + "字" * 300)
    corpus = documents([(str(tmp_path), 1.0)], CorpusConfig(held_out=0.1))
    out = {own.paragraphs[0] for own in corpus if own.is_held_out}
    texts = list(sample(corpus, 0.1))
    assert 0.05e6 < sum(len(text.encode()) for text in texts) <= 0.1e6
    assert out and not out & set(texts)
    assert int(texts[-1][1 : texts[-1].index("篇")]) > 250
    assert "0.1 of about 0.3 MB" in capsys.readouterr().err


def test_a_sample_below_one_document_says_what_to_give(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"第{number}篇, 它有一句话。" * 20, "utf-8")
    with pytest.raises(UserError, match=r"--set sample_mb: 1e-07 MB .* Give more, 1 for instance"):
        list(sample(documents([(str(tmp_path), 1.0)], CorpusConfig()), 1e-7))
