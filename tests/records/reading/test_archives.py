"""What an archive may hold and how far it may grow."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from zaowu.errors import UserError
from zaowu.records.read import read
from zaowu.records.reading import archives

CSV = b"text,label\n" + b"some words,x\nother words,y\n" * 500


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(UserError) as error:
        read(path)
    return str(error.value)


def test_growth_counts_only_when_it_is_large(tmp_path, monkeypatch):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    assert read(path).frame.height == 1000
    monkeypatch.setattr(archives, "FREE_BYTES", len(CSV) - 1)
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    assert "grows to more than 2 times" in refused(path, path.read_bytes())
    assert "grows to more than 2 times" in refused(tmp_path / "b.zip", zipped({"a.csv": CSV}))
    many = {f"{'ab'[k % 2]}/{k}.txt": CSV[: len(CSV) // 4] for k in range(20)}  # each small, together large
    assert "grows to more than 2 times" in refused(tmp_path / "c.zip", zipped(many))


def test_a_book_is_measured_before_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    files = {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b" " * 1_000_000}
    assert "200 times" in refused(tmp_path / "a.xlsx", zipped(files))


def test_a_member_that_lies_about_its_size_fails_its_checksum(tmp_path):
    data = zipped({"a.csv": CSV})
    size = len(CSV).to_bytes(4, "little")
    assert data.count(size) == 2  # before the member and in the directory
    assert "damaged" in refused(tmp_path / "a.zip", data.replace(size, (50).to_bytes(4, "little")))


def test_locked_and_empty_archives(tmp_path):
    data = bytearray(zipped({"a.csv": CSV}))
    for magic, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + place] |= 1
    assert "locked with a password" in refused(tmp_path / "a.zip", bytes(data))
    assert "holds no file" in refused(tmp_path / "b.zip", zipped({"__MACOSX/._a.csv": b"x", ".DS_Store": b"x"}))


def test_archives_within_archives_have_an_end(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(gzip.compress(CSV)))
    assert read(path).frame.height == 1000
    assert "archives within archives" in refused(path, gzip.compress(gzip.compress(gzip.compress(CSV))))


def test_a_part_of_what_has_none(tmp_path):
    (tmp_path / "a.csv").write_bytes(CSV)
    with pytest.raises(UserError, match="names a sheet of an Excel file or a file in a zip archive"):
        read(f"{tmp_path / 'a.csv'}#b")
    (tmp_path / "a#b.csv").write_bytes(CSV)
    assert read(tmp_path / "a#b.csv").frame.height == 1000
