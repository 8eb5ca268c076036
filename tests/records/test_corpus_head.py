"""The first megabytes of a corpus: what is read of each source, and how much more there is."""

from __future__ import annotations

import gzip
import random

import polars as pl
import pytest

from zaowu.config import CorpusConfig
from zaowu.records.corpus import Head, documents

CONFIG = CorpusConfig(held_out=0.0)


def texts(num: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(300)) for _ in range(num)]


def characters(corpus) -> int:
    return sum(document.characters for document in corpus)


def test_a_small_corpus_is_read_whole(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(texts(5, 0)), "utf-8")
    whole = documents([(str(tmp_path), 1.0)], CONFIG)
    head = Head(whole, megabytes=1)
    assert list(head) == list(whole)
    assert head.times == (1.0,)


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "parquet"])
def test_what_is_read_times_how_much_more_there_is_gives_the_whole(kind, tmp_path):
    found, path = texts(12_000, 1), tmp_path / f"large.{kind}"
    if kind == "parquet":
        pl.DataFrame({"text": found * 3}).with_row_index().with_columns(
            pl.col("text") + pl.col("index").cast(pl.String)
        ).write_parquet(path, compression="uncompressed")
    elif kind == "jsonl":
        path.write_text("\n".join(f'{{"text": "{text}"}}' for text in found), "utf-8")
    elif kind == "txt.gz":
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write("\n\n".join(found))
    else:
        path.write_text("\n\n".join(found), "utf-8")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "b.txt").write_text("\n\n".join(texts(20, 2)), "utf-8")
    whole = documents([(str(path), 2.0), (str(tmp_path / "small"), 1.0)], CONFIG)
    head = Head(whole, megabytes=whole.bytes / 4e6)
    read = {0: 0, 1: 0}
    for document in head:
        read[document.source] += document.characters
    every = characters(whole)
    assert read[0] < 0.6 * every and read[1] == 20 * 300  # the small source ends within its first block
    assert head.times[0] > 1.5 and head.times[1] == 1
    assert read[0] * head.times[0] + read[1] == pytest.approx(every, rel=0.1)
    assert [source.weight for source in head.sources] == [2.0, 1.0]
