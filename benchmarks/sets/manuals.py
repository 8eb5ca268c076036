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
FONTS = {".B", ".I", ".R", ".BI", ".BR", ".IB", ".IR", ".RB", ".RI", ".SM", ".SB"}
BREAKS = {".SH", ".SS", ".Sh", ".PP", ".P", ".LP", ".Pp", ".TP", ".IP", ".HP", ".RS", ".RE", ".br", ".sp"}
ENDS = {".nf": ".fi", ".TS": ".TE", ".EX": ".EE", ".de": "..", ".ig": ".."}
HAN = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
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


def plain(text: str) -> str:
    r"""Without roff's changes of font and size and its thin spaces; \- is a minus."""
    text = re.sub(r"\\f(?:\[\w*\]|\(..|[A-Z0-9])|\\[&/,|^%:c]|\\s[-+]?\d|\\[hvw]'[^']*'", "", text)
    return clean(re.sub(r"\\\((?:aq|cq|oq)|\\\*\((?:Aq|lq|rq)", "'", text).replace("\\-", "-").replace("\\ ", " "))


def paragraphs(page: str) -> list[str]:
    """What a page says, without its head, listings and tables; headings are paragraphs too."""
    found: list[str] = []
    own: list[str] = []
    skipped = None  # the request that ends what is left out
    for line in page.splitlines():
        name, _, rest = line.partition(" ")
        if skipped:
            skipped = None if name == skipped else skipped
        elif name in ENDS:
            skipped = ENDS[name]
        elif not line.startswith((".", "'")):
            own.append(line)
        elif name in FONTS:
            own.append(rest.replace('"', ""))
        elif name in BREAKS:
            found.append(plain(" ".join(own)))
            own = []
            if name in (".SH", ".SS", ".Sh"):
                found.append(plain(rest.replace('"', "")))
    found.append(plain(" ".join(own)))
    return [re.sub(f"(?<={HAN}) (?={HAN})", "", text) for text in found if text]


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
