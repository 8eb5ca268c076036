"""Data that lies elsewhere: through fsspec's own file systems and a folder laid out as the hub's cache."""

from __future__ import annotations

import socket
from pathlib import Path

import fsspec
import pytest

from zaowu.errors import UserError
from zaowu.records import remote
from zaowu.records.read import read

CSV = "text,label\n一条新闻,体育\n另一条,科技\n"
REVISION = "a" * 40


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("a socket was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """The snapshot of somebody/news in the hub's cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "datasets--somebody--news"
    folder = place / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(REVISION)
    (folder / "train.csv").write_text(CSV, "utf-8")
    return folder


def test_a_url_of_fsspec_is_read_as_a_file_is():
    with fsspec.open("memory://news/data.csv", "w", encoding="gb18030") as file:
        file.write(CSV)
    table = read("memory://news/data.csv")
    assert table.source == "memory://news/data.csv"
    assert table.frame["text"].to_list() == ["一条新闻", "另一条"]


def test_a_part_of_a_remote_file(tmp_path):
    import polars as pl

    book = tmp_path / "book.xlsx"
    import openpyxl

    sheets = openpyxl.Workbook()
    for name in ("one", "two"):
        sheet = sheets.create_sheet(name)
        for row in (["text", "label"], [f"{name} 甲", "a"], [f"{name} 乙", "b"]):
            sheet.append(row)
    sheets.remove(sheets["Sheet"])
    sheets.save(book)
    table = read(f"file://{book}#two")
    assert isinstance(table.frame, pl.DataFrame) and table.frame["text"][0] == "two 甲"


def test_a_data_set_of_the_hub_by_its_name(hub_cache):
    assert read("somebody/news").frame["label"].to_list() == ["体育", "科技"]
    assert read(f"somebody/news@{REVISION}").frame.height == 2


def test_of_several_tables_the_training_one_or_a_question(hub_cache):
    (hub_cache / "test.csv").write_text(CSV, "utf-8")
    assert read("somebody/news").frame.height == 2
    (hub_cache / "train.csv").rename(hub_cache / "other.csv")
    with pytest.raises(UserError, match=r"hf://datasets/somebody/news/other\.csv"):
        read("somebody/news")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("somebody/absent", "hub cannot be reached"),
        ("memory://nowhere/data.csv", "no such file"),
        ("hff://datasets/a/b.csv", "Did you mean 'hf'"),
        ("https://example.invalid/data.csv", "https"),
        ("nowhere/data.csv", "no such file"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(source, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_without_the_libraries_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    for source in ("s3://bucket/data.csv", "somebody/news"):
        with pytest.raises(UserError, match=r"zaowu\[hub\]"):
            read(source)


@pytest.mark.parametrize("source", ["news.csv", "data/news.csv", "C:\\data\\news.csv", "a text: with a colon", ""])
def test_what_is_not_remote(source):
    assert not remote.is_remote(source)
