"""LibreOffice's help, in English or in Chinese: the text of a page -> the application that it helps with."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from sets import fetch
from sets.rows import Row, Source, TextSet, clean, share, unique
from zaowu.errors import UserError

APPLICATIONS = {  # folder -> label
    "sbasic": "basic",
    "scalc": "calc",
    "schart": "chart",
    "sdatabase": "base",
    "sdraw": "draw",
    "shared": "shared",
    "simpress": "impress",
    "smath": "math",
    "swriter": "writer",
}
LANGUAGES = {"en": ("libreoffice-help-en-us", "en-US"), "zh": ("libreoffice-help-zh-cn", "zh-CN")}
MIN_CHARACTERS = {"en": 80, "zh": 40}
MAX_CHARACTERS = 1200
MIN_PAGES = 20  # of one application; nearly all of Base's pages are not translated into Chinese
TEST_SHARE = 0.3
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
BLOCK = {"br", "dd", "div", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "td", "th", "tr"}
# Menu paths and links to other pages tell where a page hangs, not what it says.
SKIPPED_CLASSES = {"howtoget", "relatedtopics"}
SKIPPED_TAGS = {"script", "style", "pre"}
BREAK = "\0"  # between paragraphs; HTML has none


class _Page(HTMLParser):
    """Collects the text of `<div id="DisplayArea">`; what surrounds it is the same on every page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []  # tag, whether its text is kept
        self.parts: list[str] = []

    def keeps(self) -> bool:
        return bool(self.open) and self.open[-1][1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCK:
            self.parts.append(BREAK)
        if tag in VOID:
            return
        given = dict(attrs)
        classes = set((given.get("class") or "").split())
        # Text for one operating system is hidden until a script shows it; the general wording is kept.
        other_system = "hidden" in given and not (given.get("id") or "").startswith("default")
        kept = self.keeps() or given.get("id") == "DisplayArea"
        kept = kept and tag not in SKIPPED_TAGS and not classes & SKIPPED_CLASSES and not other_system
        self.open.append((tag, kept))

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCK:
            self.parts.append(BREAK)
        if any(name == tag for name, _ in self.open):  # also closes what was left open inside
            while self.open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.keeps():
            self.parts.append(data)


def paragraphs(html: str) -> list[str]:
    """What a help page says, each paragraph once: no navigation, menu paths, listings or related links."""
    page = _Page()
    page.feed(html)
    page.close()
    return [text for text in dict.fromkeys(map(clean, "".join(page.parts).split(BREAK))) if text]


def han_share(text: str) -> float:
    """The share of Chinese characters among all letters; 0 for a text without letters."""
    letters = [c for c in text if c.isalpha()]
    return sum("\u4e00" <= c <= "\u9fff" for c in letters) / max(1, len(letters))


def build(language: str, work: Path) -> TextSet:
    """`help_en` or `help_zh`. A page lies on the same side of the split in both languages."""
    package, folder = LANGUAGES[language]
    root, version = fetch.debian(package, work)
    top = root / "usr/share/libreoffice/help" / folder / "text"
    pages: list[tuple[str, Row]] = []
    for path in sorted(top.rglob("*.html")):
        place = path.relative_to(top).as_posix()
        label = APPLICATIONS.get(place.split("/")[0])
        said = paragraphs(path.read_text(encoding="utf-8"))
        if language == "zh":  # a third of the pages are translated in part
            said = [paragraph for paragraph in said if han_share(paragraph) >= 0.4]
        text = " ".join(said)[:MAX_CHARACTERS].rstrip()
        if label and len(text) >= MIN_CHARACTERS[language]:
            pages.append((place, (text, label)))
    counts = Counter(label for _, (_, label) in pages)
    kept = {row for row in unique(row for _, row in pages) if counts[row[1]] >= MIN_PAGES}
    train: list[Row] = []
    test: list[Row] = []
    for place, row in pages:
        if row in kept:
            kept.remove(row)  # of equal pages the first one counts
            (test if share(place, "split") < TEST_SHARE else train).append(row)
    if len(train) < 1000:
        raise UserError(f"{package} {version}: only {len(train)} pages found; its layout must have changed.")
    source = Source(f"Debian {package}", version, "MPL-2.0")
    return TextSet(f"help_{language}", "tuning", "help page -> application", source, train, test)
