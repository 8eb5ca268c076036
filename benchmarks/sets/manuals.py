"""One-line descriptions of manual pages, English and Chinese -> the section of the manual that they stand in."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from sets import fetch
from sets.rows import Row, Source, TextSet, clean, split, unique

PACKAGES = ("manpages", "manpages-dev", "manpages-zh")
SECTIONS = {
    "1": "command",
    "2": "system call",
    "3": "library function",
    "5": "file format",
    "7": "overview",
    "8": "administration",
}
NAME = re.compile(r'^\.SH\s+"?(?:NAME|名[字称]|NAME \(名[字称]\))"?\s*$(.*?)(?=^\.S[Hs]|\Z)', re.MULTILINE | re.DOTALL)


def description(page: str) -> str:
    r"""What stands behind the dash of the page's first heading, without the signs of roff; empty when there is none."""
    found = NAME.search(page)
    if not found:
        return ""
    lines = [line for line in found[1].splitlines() if not line.startswith(('.\\"', "'\\\"", "..."))]
    text = re.sub(r"^\.[A-Z]+\s*", "", "\n".join(lines), flags=re.MULTILINE)
    _, dash, behind = text.partition("\\-") if "\\-" in text else text.partition(" - ")
    behind = re.sub(r"\\f(?:\[\w*\]|[A-Z])|\\[&/,|^]|\\s[-+]?\d", "", behind)
    return clean(behind.replace("\\-", "-").replace("\\ ", " ")) if dash else ""


def build(work: Path) -> TextSet:
    """`manuals`: six sections of unequal size, pages that are links to others left out."""
    rows: list[Row] = []
    versions = []
    for package in PACKAGES:
        root, version = fetch.debian(package, work)
        versions.append(f"{package} {version}")
        for path in sorted(root.glob("usr/share/man/**/*.gz")):
            if path.is_symlink() or "zh_TW" in path.parts:
                continue
            section = path.name.removesuffix(".gz").rpartition(".")[2][:1]
            text = description(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
            if section in SECTIONS and text:
                rows.append((text, SECTIONS[section]))
    train, test = split(unique(rows), train=1100, test=500)
    source = Source("Debian " + ", ".join(PACKAGES), ", ".join(versions), "that of each page")
    return TextSet("manuals", "left out", "one line about a manual page -> its section", source, train, test)
