"""Files of raw text -> documents of paragraphs: cleaned, without duplicates, some of them held out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

import numpy as np

from zaowu.config import CorpusConfig
from zaowu.errors import UserError, shorten
from zaowu.records.corpus import files, page, rows, text
from zaowu.records.corpus.counts import Counts
from zaowu.records.corpus.seen import NearSeen, Seen, digest
from zaowu.records.identity import mixed, normalised
from zaowu.records.reading import encoding

GROUP_CHARS = 1 << 18  # documents whose paragraphs are looked up together
GROUP_DOCUMENTS = 2000
BETWEEN = "\x1e"  # of paragraphs, in what a document's number is made from


@dataclass(frozen=True)
class Document:
    """paragraphs: none is empty, and a \\n in one ends a line of it. source: its place in the list of sources.

    id: 64-bit hash of the whole content, duplicates included. is_held_out: for measuring, never for training.
    """

    paragraphs: tuple[str, ...]
    source: int
    id: int
    is_held_out: bool = False

    @property
    def characters(self) -> int:
        return sum(map(len, self.paragraphs))


class Corpus:
    """All documents of several sources, in the order of their files' names; each pass over it reads anew.

    sources: what was named, with weights and sizes. counts: of the last pass, or the one under way. work: a folder for
    the hashes of paragraphs, None for a temporary one. Memory does not grow with the corpus.
    """

    def __init__(
        self, sources: Sequence[tuple[str, float]], config: CorpusConfig | None = None, *, work: Path | None = None
    ) -> None:
        self.config = config or CorpusConfig()
        if not 0 <= self.config.held_out < 1:
            raise UserError(f"--set held_out: expected a share from 0 to below 1, got {self.config.held_out:g}.")
        self.sources, self._files = files.sources_of(sources)
        self.work, self.counts = work, Counts()
        self.advance: Callable[[int], None] = _nothing  # told of the bytes on disk that were read

    @property
    def bytes(self) -> int:
        return sum(source.bytes for source in self.sources)

    def num_text_bytes(self, ratio: int) -> int:
        """How much text there is, about; what is packed counts `ratio` times its size."""
        packed = (*files.PACKINGS, ".parquet")
        return sum(file.size * (ratio if file.name.lower().endswith(packed) else 1) for file in self._files)

    def __iter__(self) -> Iterator[Document]:
        """Raises UserError for a corpus that holds nothing readable, or one document only."""
        self.counts = counts = Counts(files=len(self._files), bytes=self.bytes)
        with tempfile.TemporaryDirectory(prefix="zaowu-", dir=self.work) as folder:
            seen = Seen(Path(folder)) if self.config.duplicates == "remove" else None
            near = NearSeen(self.config.memory_mb) if self.config.near_duplicates else None
            for document in _held_out(self._cleaned(seen, near), self.config.held_out):
                counts.documents += 1
                counts.held_out += document.is_held_out
                counts.paragraphs += len(document.paragraphs)
                counts.characters += document.characters
                yield document
        _check(counts, self.sources, one_is_enough=not self.config.held_out)

    def _cleaned(self, seen: Seen | None, near: NearSeen | None) -> Iterator[Document]:
        """Documents without the paragraphs that were there before, and without those that are then empty."""
        for group in _grouped(self._raw()):
            contents = [[normalised(paragraph) for paragraph in document.paragraphs] for document in group]
            keep = None
            if seen is not None:
                keep = iter(seen.fresh([digest(content) for own in contents for content in own]))
            for document, own in zip(group, contents, strict=True):
                number = blake2b(BETWEEN.join(own).encode("utf-8", "surrogatepass"), digest_size=8).digest()
                kept = []
                for paragraph, content in zip(document.paragraphs, own, strict=True):
                    if keep is not None and not next(keep):
                        self.counts.duplicates += 1
                    elif near is not None and not near.is_fresh(content):
                        self.counts.near_duplicates += 1
                    else:
                        kept.append(paragraph)
                if kept:
                    yield replace(document, paragraphs=tuple(kept), id=int.from_bytes(number, "little"))

    def _raw(self) -> Iterator[Document]:
        """Documents as they stand in the files, without numbers."""
        for file in self._files:
            is_empty = True
            try:
                with files.local(file) as path:
                    if why := files.refusal(path, file.kind):
                        self.counts.skip(file.name, why)
                        self._tell(file, file.size)
                        continue
                    for document in self._documents_of(file, path):
                        is_empty = False
                        yield document
                if is_empty:
                    self.counts.skip(file.name, "there is no text in it")
            except rows.NoText as error:
                self.counts.skip(file.name, str(error))
            except UserError as error:
                self.counts.skip(file.name, shorten(str(error).removeprefix(f"{file.name}: "), 200))
            except (OSError, EOFError, ValueError) as error:
                self.counts.skip(file.name, f"cannot be read to its end ({shorten(error, 80)})")

    def _documents_of(self, file: files.File, path: Path) -> Iterator[Document]:
        if file.kind == "parquet":
            found = rows.parquet_rows(path, self.config, self.counts, lambda size: self._tell(file, size))
            yield from self._of_rows(found, file.source)
            return
        codec = text.detect(path)
        if codec is None:
            raise UserError(f"the text is in {encoding.UNKNOWN}")
        blocks = self._followed(text.characters(path, codec), file)
        if file.kind == "rows":
            yield from self._of_rows(rows.json_rows(blocks, self.config, self.counts), file.source)
            return
        if file.kind == "page":
            blocks = page.blocks(blocks, self.counts)
        yield from self._of_text(text.paragraphs(blocks), file.source)

    def _followed(self, blocks: Iterator[str], file: files.File) -> Iterator[str]:
        """The same blocks; counts what could not be decoded, and tells how far the reading is.

        What a block takes on disk is not known where files are packed: the file's size is spread over its blocks.
        """
        told = 0
        for block in blocks:
            self.counts.replaced += block.count(text.REPLACED)
            size = min(file.size - told, text.BLOCK_BYTES)
            told += size
            self._tell(file, size)
            yield block
        self._tell(file, file.size - told)

    def _tell(self, file: files.File, size: int) -> None:
        """So many bytes of `file` more were read."""
        self.advance(size)

    def _of_rows(self, found: Iterator[rows.Row], source: int) -> Iterator[Document]:
        """A document for each row, or for each run of rows that share the value of the document column."""
        alone = iter(range(1 << 62))  # never equal to another: a row of its own
        keyed = (((0, next(alone)) if key is None else (1, key), content) for content, key in found)
        for _, group in groupby(keyed, key=lambda pair: pair[0]):
            parts = (part for _, content in group for part in text.paragraphs([text.tidy(content)]))
            yield from self._of_text(parts, source)

    def _of_text(self, parts: Iterator[tuple[str, bool]], source: int) -> Iterator[Document]:
        """One document of all parts; what is longer than `MAX_DOCUMENT` goes on as another."""
        own: list[str] = []
        size = 0
        for part, whole in parts:
            self.counts.cut += not whole
            if own and size + len(part) > text.MAX_DOCUMENT:
                self.counts.cut += 1
                yield Document(tuple(own), source, 0)
                own, size = [], 0
            own.append(part)
            size += len(part)
        if own:
            yield Document(tuple(own), source, 0)


def documents(
    sources: Sequence[tuple[str, float]], config: CorpusConfig | None = None, *, work: Path | None = None
) -> Corpus:
    """The documents of files and folders of text, each source a path or a URL with its mixing weight.

    Returns an iterable of `Document` that also holds `counts`. Raises UserError for a source that is not there.
    """
    return Corpus(sources, config, work=work)


def _nothing(_: int) -> None:
    pass


def _grouped(given: Iterator[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    size = 0
    for document in given:
        group.append(document)
        size += document.characters
        if size >= GROUP_CHARS or len(group) >= GROUP_DOCUMENTS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _held_out(given: Iterator[Document], share: float) -> Iterator[Document]:
    """Marks the documents that are held out: by their content alone, so that none changes sides when others come.

    Where chance leaves none, the one that was nearest to it is taken: it waits until all others are read.
    """
    if not share:
        yield from given
        return
    bound, nearest_draw, waiting, is_any = int(share * 2**64), 1 << 64, None, False
    for document in given:
        draw = int(mixed(np.array([document.id], np.uint64))[0])
        if draw < bound:
            is_any = True
            yield replace(document, is_held_out=True)
        elif draw < nearest_draw and not is_any:
            if waiting is not None:
                yield waiting
            waiting, nearest_draw = document, draw
        else:
            yield document
        if is_any and waiting is not None:
            yield waiting
            waiting = None
    if waiting is not None:
        yield replace(waiting, is_held_out=True)


def _check(counts: Counts, sources: Sequence[files.Source], *, one_is_enough: bool) -> None:
    """Raises UserError where nothing, or too little, was read."""
    names = ", ".join(source.path for source in sources[:3]) + (" and others" if len(sources) > 3 else "")
    if not counts.documents:
        why = f" {counts.skipped[0]}." if counts.skipped else ""
        more = f" {counts.num_skipped:,} files are skipped." if counts.num_skipped > 1 else ""
        raise UserError(f"{names}: expected text ({files.EXPECTED}), found none.{why}{more}")
    if counts.documents == 1 and not one_is_enough:
        found = "a single line" if counts.paragraphs == 1 else "a single document"
        raise UserError(
            f"{names}: expected at least two documents, one of them to be held out, got {found} of "
            f"{counts.characters:,} characters. Give more files, rows of .jsonl, or --set held_out=0."
        )
