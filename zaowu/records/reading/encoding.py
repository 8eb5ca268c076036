"""Bytes of a text file -> blocks of UTF-8, a few megabytes at a time, with the undecodable lines marked."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from zaowu.errors import UserError
from zaowu.records.reading import legacy

BLOCK_BYTES = 2 << 20
HEAD_BYTES = 8192  # what is looked at to tell one kind of file from another
NUM_JUDGED = 20_000  # lines outside ASCII that decide between two encodings
MAX_JUDGED_BYTES = 4 << 20
NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16 (big-endian)",
    "gb18030": "GB18030",
    "cp950": "Big5",
    "big5hkscs": "Big5 (Hong Kong)",
    "cp1252": "Latin-1 (Windows-1252)",
}
EXPECTED = NAMES | {"gb18030": "UTF-8 or GB18030"}  # of a line that cannot be decoded
UNKNOWN = "an encoding that is not known here (UTF-8, UTF-16, GB18030, Big5 and Latin-1 are)"
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
    b"\xff\xfe\0\0": "UTF-32 text",
}
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|\?xml)", re.IGNORECASE)


def binary(head: bytes) -> str | None:
    """What the file that begins with `head` is when that is not text, in a few words; None for text."""
    what = next((name for magic, name in _BINARY.items() if head.startswith(magic)), None)
    if what is None and head[257:262] == b"ustar":
        what = "a tar archive"
    if what is None and b"\0" in head and not legacy.utf16(head):
        what = "a binary file"
    return what


def refuse_binary(head: bytes, name: str) -> None:
    """UserError when `head`, the first bytes of the file called `name`, say that it is not a table's text."""
    what = binary(head)
    if what is None and _PAGE.match(head.lstrip()):
        what = "a web page"
    if what:
        raise UserError(
            f"{name}: expected a table (CSV, TSV, JSON lines, JSON, Excel, Parquet), got {what}. "
            "Save it as CSV in UTF-8 first."
        )


def decoded(data: bytes, other: str | None = "gb18030") -> str | None:
    """The whole of `data` as text, without a BOM; None when it is neither Unicode nor in the codec `other`."""
    if codec := legacy.utf16(data[:HEAD_BYTES]):
        codecs_tried: tuple[str | None, ...] = (codec,)
    else:
        codecs_tried = ("utf-8", other) if b"\0" not in data else ()
    for codec in codecs_tried:
        if codec and legacy.decodes(data, codec):
            return data.decode(codec).removeprefix("\ufeff")
    return None


def detect(path: Path) -> str | None:
    """A codec among `NAMES`: strict UTF-8 if the whole file is, else what most lines outside ASCII can be.

    A few broken bytes in a UTF-8 file do not turn it into GB18030, which gives a meaning to nearly all bytes.
    None: text in no encoding that is known here.
    """
    with path.open("rb") as file:
        if codec := legacy.utf16(file.read(HEAD_BYTES)):
            return codec
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
        file.seek(0)
        judged: list[bytes] = []
        num_bytes = 0
        for line in file:
            if not line.isascii():
                judged.append(line)
                num_bytes += len(line)
                if len(judged) == NUM_JUDGED or num_bytes > MAX_JUDGED_BYTES:
                    break
    valid = sum(legacy.decodes(line, "utf-8") for line in judged)
    return "utf-8" if valid * 2 > len(judged) else legacy.guess(judged)


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8 without a BOM, in blocks that end with a line's end (the last one is given one).

    Lines end with \\n or \\r\\n, or with \\r alone where the file has no \\n. A line that cannot be decoded,
    or that holds a NUL byte, has `MARK` before its end.
    """
    if encoding.startswith("utf-16"):
        yield from _utf16_blocks(path, encoding)
        return
    with path.open("rb") as file:
        block = file.read(BLOCK_BYTES)
        old_mac = b"\n" not in block and b"\r" in block
        bom = codecs.BOM_UTF8
        while block:
            if not block.endswith(b"\n"):
                block += (
                    file.readline()
                )  # in none of these encodings is a character's second byte \n, so a cut there is safe
            block = _utf8(block, encoding).removeprefix(bom)
            bom = b""
            if old_mac:
                block = block.replace(b"\r", b"\n")
            yield block if block.endswith(b"\n") else block + b"\n"
            block = file.read(BLOCK_BYTES)


def _utf16_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    rest, old_mac, is_first = "", False, True
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            text = decoder.decode(block)
            if is_first:
                text = text.removeprefix("\ufeff")
                old_mac, is_first = "\n" not in text and "\r" in text, False
            lines, end, rest = (rest + (text.replace("\r", "\n") if old_mac else text)).rpartition("\n")
            if end:
                yield _encoded(lines + end)
    if rest:
        yield _encoded(rest + "\n")


def _encoded(text: str) -> bytes:
    """UTF-8 of what came as UTF-16. A lone surrogate is what bytes that are no text come as."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = b""
    if data and b"\0" not in data:
        return data
    return b"".join(_marked(line.encode("utf-8", "surrogatepass"), "utf-8") for line in text.splitlines(keepends=True))


def _utf8(block: bytes, encoding: str) -> bytes:
    if b"\0" not in block:
        try:
            text = block.decode(encoding)
            return block if encoding == "utf-8" else text.encode()
        except UnicodeDecodeError:
            pass
    return b"".join(_marked(line, encoding) for line in block.splitlines(keepends=True))


def _marked(line: bytes, encoding: str) -> bytes:
    if b"\0" not in line and legacy.decodes(line, encoding):
        return line.decode(encoding).encode()
    body = line.rstrip(b"\r\n")
    end = line[len(body) :]
    return (body.replace(b"\0", b"").decode(encoding, "replace") + MARK).encode() + end
