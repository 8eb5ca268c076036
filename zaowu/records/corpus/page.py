"""A web page -> its paragraphs, with the parser of the standard library: what a reader would see, no scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

from zaowu.records.corpus.counts import Counts

MAX_CHARS = 8 << 20  # of one page; what comes after them is left out
HIDDEN = frozenset(["script", "style", "noscript", "template", "svg", "math", "iframe", "object", "select", "button"])
_BLOCK_NAMES = """
address article aside blockquote body caption dd details dialog div dl dt fieldset figcaption figure footer form
h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav ol option p pre section summary table tbody td tfoot
th thead title tr ul
"""
BLOCKS = frozenset(_BLOCK_NAMES.split())
NO_END = frozenset(["br", "hr", "img", "input", "meta", "link", "wbr", "source", "col", "area", "base", "embed"])


class Page(HTMLParser):
    """Collects paragraphs: text between tags that begin a block; white space as a browser shows it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._text: list[str] = []
        self._hidden: list[str] = []  # open tags from the first hidden one on
        self._as_it_is = 0  # depth of <pre>

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden:
            if tag == self._hidden[0]:
                self._hidden.append(tag)
        elif tag in HIDDEN:
            self._hidden.append(tag)
        elif tag == "br":
            self._text.append("\n")
        elif tag in BLOCKS:
            self._end()
            self._as_it_is += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in NO_END or tag in BLOCKS:  # <svg/> opens nothing
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.pop()
        elif tag in BLOCKS:
            self._end()
            self._as_it_is -= tag == "pre" and self._as_it_is > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data if self._as_it_is else data.replace("\n", " "))

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        lines = "".join(self._text).split("\n")
        self._text.clear()
        if not self._as_it_is:
            lines = [" ".join(line.split(" ")) if "  " not in line else " ".join(line.split()) for line in lines]
        if text := "\n".join(kept for line in lines if (kept := line.strip())):
            self.found.append(text)


def blocks(characters: Iterable[str], counts: Counts) -> Iterator[str]:
    """The text of a page with blank lines between its paragraphs, for `text.paragraphs`."""
    page, size = Page(), 0
    for block in characters:
        page.feed(block[: max(0, MAX_CHARS - size)])
        size += len(block)
    counts.cut += size > MAX_CHARS
    page.close()
    for paragraph in page.found:
        yield f"{paragraph}\n\n"
    yield "\n\n"
