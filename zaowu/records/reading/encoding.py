"""Bytes of a text file -> blocks of UTF-8, a few megabytes at a time, with the undecodable lines marked."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from zaowu.errors import UserError

BLOCK_BYTES = 2 << 20
HEAD_BYTES = 8192  # what is looked at to tell one kind of file from another
NUM_JUDGED = 20_000  # lines outside ASCII that decide between two encodings
NAMES = {"utf-8": "UTF-8", "gb18030": "GB18030"}
EXPECTED = {"utf-8": "UTF-8", "gb18030": "UTF-8 or GB18030"}  # of a line that cannot be decoded
# Ends a line that could not be decoded. Noncharacters: no text in any encoding holds this pair.
MARK = "\ufdd0\ufdef"
_BINARY = {
    b"PK\x03\x04": "a zip archive or an Office document (such as .xlsx)",
    b"\xd0\xcf\x11\xe0": "an old Office document (such as .xls)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"Rar!": "a rar archive",
    b"SQLite format 3": "an SQLite database",
    b"\x80\x04\x95": "a Python pickle, which is never opened because it can run code",
    b"\x93NUMPY": "a numpy array",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def refuse_binary(head: bytes, path: Path) -> None:
    """UserError when `head`, the first bytes of the file at `path`, say that it is not text."""
    what = next((name for magic, name in _BINARY.items() if head.startswith(magic)), None)
    if what is None and b"\0" in head:
        what = "a binary file"
    if what:
        raise UserError(
            f"{path}: expected a text file (CSV, TSV, JSON lines) or Parquet, got {what}. "
            "Save it as CSV in UTF-8 first."
        )


def decoded(data: bytes) -> str | None:
    """The whole of `data` as text, without a BOM; None when it is in no encoding that is known here."""
    if b"\0" not in data:
        for encoding in NAMES:
            if _decodes(data, encoding):
                return data.decode(encoding).removeprefix("\ufeff")
    return None


def detect(path: Path) -> str:
    """`utf-8` or `gb18030`: strict UTF-8 if the whole file is, else what most lines outside ASCII can be.

    A few broken bytes in a UTF-8 file do not turn it into GB18030, which gives a meaning to nearly all bytes.
    """
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
        file.seek(0)
        judged = valid = 0
        for line in file:
            if not line.isascii():
                judged += 1
                valid += _decodes(line, "utf-8")
                if judged == NUM_JUDGED:
                    break
    return "utf-8" if valid * 2 > judged else "gb18030"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8 without a BOM, in blocks that end with a line's end (the last one is given one).

    Lines end with \\n or \\r\\n, or with \\r alone where the file has no \\n. A line that cannot be decoded,
    or that holds a NUL byte, has `MARK` before its end.
    """
    with path.open("rb") as file:
        block = file.read(BLOCK_BYTES)
        old_mac = b"\n" not in block and b"\r" in block
        bom = codecs.BOM_UTF8
        while block:
            if not block.endswith(b"\n"):
                block += file.readline()  # no byte of a GB18030 character is \n, so a cut there is safe
            block = _utf8(block, encoding).removeprefix(bom)
            bom = b""
            if old_mac:
                block = block.replace(b"\r", b"\n")
            yield block if block.endswith(b"\n") else block + b"\n"
            block = file.read(BLOCK_BYTES)


def _utf8(block: bytes, encoding: str) -> bytes:
    if b"\0" not in block:
        try:
            text = block.decode(encoding)
            return block if encoding == "utf-8" else text.encode()
        except UnicodeDecodeError:
            pass
    return b"".join(_marked(line, encoding) for line in block.splitlines(keepends=True))


def _marked(line: bytes, encoding: str) -> bytes:
    if b"\0" not in line and _decodes(line, encoding):
        return line.decode(encoding).encode()
    body = line.rstrip(b"\r\n")
    end = line[len(body) :]
    return (body.replace(b"\0", b"").decode(encoding, "replace") + MARK).encode() + end
