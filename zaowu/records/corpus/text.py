"""Bytes -> characters -> lines -> paragraphs, a bounded number of characters at a time."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from zaowu.records.reading import encoding, legacy

BLOCK_BYTES = 1 << 20
JUDGED_BYTES = 1 << 20  # from the first block outside ASCII on, that decide between encodings
MAX_PARAGRAPH = 1 << 16  # characters; a longer one is cut
MAX_DOCUMENT = 1 << 18  # characters; a longer one goes on as another document
LOOK_CHARS = 1 << 16  # at the start of a text, that show whether blank lines stand between its paragraphs
PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
REPLACED = "\ufffd"  # what a byte becomes that no character has
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_BLANK = re.compile(r"\n[^\S\n]*\n")
_CUT = re.compile(r".*[。！？!?…；;\n](?=.)|.*\s(?=\S)", re.DOTALL)


def opened(path: Path) -> IO[bytes]:
    """The file, unpacked on the way where it is packed by gzip, bzip2 or xz."""
    with path.open("rb") as file:
        head = file.read(8)
    opener = next((opener for magic, opener in PACKED.items() if head.startswith(magic)), None)
    return opener(path, "rb") if opener else path.open("rb")


def detect(path: Path) -> str | None:
    """A codec of `encoding.NAMES` for the file, packed or not; None for text in none of them.

    As `encoding.detect`, in bounded memory: what is judged are the first megabytes from where the file is no longer
    ASCII, so that neither 1 GB in one line nor a packed file is read twice.
    """
    with opened(path) as file:
        block = file.read(BLOCK_BYTES)
        if codec := legacy.utf16(block[: encoding.HEAD_BYTES]):
            return codec
        while block and block.isascii():
            block = file.read(BLOCK_BYTES)
        sample = block + file.read(JUDGED_BYTES)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)  # not final: the sample may end within a character
        return "utf-8"
    except UnicodeDecodeError:
        pass
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    if len(lines) > 1 and len(sample) > JUDGED_BYTES:
        lines.pop()  # cut short
    if len(lines) == 1:  # one long line: the cut at its end is no fault of its encoding
        lines = [_whole(lines[0])]
    valid = sum(legacy.decodes(line, "utf-8") for line in lines)
    return "utf-8" if valid * 2 > len(lines) else legacy.guess(lines[: encoding.NUM_JUDGED])


def _whole(line: bytes) -> bytes:
    for cut in range(4):
        shorter = line[: len(line) - cut]
        if any(legacy.decodes(shorter, codec) for codec in legacy.CHINESE):
            return shorter
    return line


def characters(path: Path, codec: str) -> Iterator[str]:
    """The text of the file in blocks: lines end with \\n, undecodable bytes are `REPLACED`, controls are gone."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    held = ""  # a \r at the end of a block, whose \n may follow
    with opened(path) as file:
        while block := file.read(BLOCK_BYTES):
            text = held + decoder.decode(block)
            held = "\r" if text.endswith("\r") else ""
            yield tidy(text.removesuffix("\r"))
        yield tidy(held + decoder.decode(b"", final=True))


def tidy(text: str) -> str:
    """Line ends as \\n, without characters that are none (controls, byte order marks). Nothing else is changed."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    for mark in ("\u2028", "\u2029", "\x85"):
        if mark in text:
            text = text.replace(mark, "\n")
    return _NO_TEXT.sub("", text)


def lines(blocks: Iterable[str], *, most: int) -> Iterator[tuple[str, bool]]:
    """Lines without their ends, and whether each is whole; one longer than `most` comes in pieces, the last whole."""
    rest: list[str] = []
    size = 0
    for block in blocks:
        first, *others = block.split("\n")
        rest.append(first)
        size += len(first)
        for line in others:
            yield from _pieces("".join(rest), most)
            rest, size = [line], len(line)
        if size > most:
            *long, (last, _) = _pieces("".join(rest), most)
            yield from long
            rest, size = [last], len(last)
    if size:
        yield from _pieces("".join(rest), most)


def _pieces(line: str, most: int) -> Iterator[tuple[str, bool]]:
    while len(line) > most:
        found = _CUT.match(line, most - min(most // 2, 2000), most)  # after a sentence, or between words
        end = found.end() if found else most
        yield line[:end], False
        line = line[end:]
    yield line, True


def paragraphs(blocks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Paragraphs, and whether each is whole. Blank lines part them; in a text that has none, every line is one.

    What is decided at the start of a text holds for all of it. One longer than `MAX_PARAGRAPH` is cut, in the end
    of a line or a sentence where there is one.
    """
    blocks = iter(blocks)
    begin = ""
    while len(begin) < LOOK_CHARS and (block := next(blocks, None)) is not None:
        begin += block
    has_blanks = _BLANK.search(begin.strip()[:LOOK_CHARS]) is not None
    kept: list[str] = []
    size = 0
    for line, whole in lines(_chained(begin, blocks), most=MAX_PARAGRAPH):
        line = line.strip() if whole else line.lstrip()
        if not has_blanks or not whole:
            if kept:
                yield "\n".join(kept), True
                kept, size = [], 0
            if line:
                yield line, whole
            continue
        if kept and (not line or size + len(line) > MAX_PARAGRAPH):
            yield "\n".join(kept), not line
            kept, size = [], 0
        if line:
            kept.append(line)
            size += len(line) + 1
    if kept:
        yield "\n".join(kept), True


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
