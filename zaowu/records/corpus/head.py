"""The first megabytes of a corpus, and how many times as much the whole is."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from zaowu.records.corpus import files, text
from zaowu.records.corpus.corpus import Corpus, Document

PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": zlib.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


class Head(Corpus):
    """The beginning of every source of `corpus`, as large a share of each, `megabytes` on disk in all.

    Reading stops at the end of a block, so that what was read has become documents. A URL tells no size before it is
    fetched, and is read whole. Raises UserError as the corpus does.
    """

    def __init__(self, corpus: Corpus, *, megabytes: float) -> None:
        super().__init__([(source.path, source.weight) for source in corpus.sources], corpus.config, work=corpus.work)
        share = min(1.0, megabytes * 1e6 / max(1, self.bytes))
        left = [source.bytes * share for source in self.sources]
        self._room, taken = dict[files.File, float](), []
        for file in self._files:
            if left[file.source] > 0 or not self.sources[file.source].bytes:
                taken.append(file)
                self._room[file] = max(1.0, left[file.source])
                left[file.source] -= file.size
        self._files = tuple(taken)
        self._read: dict[files.File, float] = {}

    def __iter__(self) -> Iterator[Document]:
        self._read = dict.fromkeys(self._room, 0.0)
        return super().__iter__()

    @property
    def times(self) -> tuple[float, ...]:
        """For each source, how many times as many bytes the whole has as were read in the last pass."""
        read = [0.0] * len(self.sources)
        for file in self._files:
            read[file.source] += self._read.get(file, 0.0)
        return tuple(
            max(1.0, source.bytes / own) if own else 1.0 for source, own in zip(self.sources, read, strict=True)
        )

    def _tell(self, file: files.File, size: int) -> None:
        self._read[file] += size
        super()._tell(file, size)

    def _is_full(self, file: files.File) -> bool:
        return file.size > 0 and self._room[file] <= self._read[file] < file.size

    def _documents_of(self, file: files.File, path: Path) -> Iterator[Document]:
        for document in super()._documents_of(file, path):
            yield document
            if file.kind == "parquet" and self._is_full(file):
                return

    def _followed(self, blocks: Iterator[str], file: files.File) -> Iterator[str]:
        """The same blocks as far as there is room. What they take on disk where they are packed is found by packing
        one of them again."""
        pack = PACKERS.get(Path(file.name).suffix.lower())
        for num, block in enumerate(super()._followed(blocks, file), 1):
            yield block
            if pack is not None:
                plain = block.encode("utf-8", "surrogatepass")
                on_disk = num * text.BLOCK_BYTES * len(pack(plain)) / max(1, len(plain))
                if self._room[file] <= on_disk < file.size:
                    self._read[file] = on_disk
                    return
            elif self._is_full(file):
                return
