"""A corpus tokenised once, into a folder of shards: in parallel, resumable, by as many jobs as there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.bases.cache import sha256
from zaowu.batching.shards import file
from zaowu.batching.shards.encode import Encoder
from zaowu.batching.shards.folder import MANIFEST, SIDES, Entry, Made, Manifest, Shards, verify, writing
from zaowu.batching.shards.shard import Shard
from zaowu.errors import UserError
from zaowu.inputs.text.codec import Codec
from zaowu.progress import Bar, note
from zaowu.records.corpus import Corpus, Document

BATCH_DOCUMENTS = 256
BATCH_CHARS = 1 << 18
MAX_NAMED = 20  # skipped files that the manifest names
MAX_PARTS = 99_999


def build(corpus: Corpus, codec: Codec, folder: Path, *, part: tuple[int, int] = (0, 1)) -> Shards | None:
    """Tokenises every document of `corpus` whose number modulo n is i, for part (i, n), into shards in `folder`.

    Shards that are there already are kept: after a kill the same call reads the corpus again, passes the documents
    that are in them, and goes on. Memory holds one shard (`shard_tokens`) of each side and some hundred documents.
    Returns the whole folder when all n parts are done, None before. Raises UserError for a folder that was made from
    another corpus, tokenizer or setting, or whose text has changed since; for a damaged shard; and as `corpus` does.
    """
    number, parts = part
    if not 0 <= number < parts <= MAX_PARTS:
        raise UserError(f"--part: expected i/n with i from 0 to n - 1, got {number}/{parts}.")
    made = Made.of(corpus, codec, parts)
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if (folder / MANIFEST).is_file():
        manifest = Manifest.read(folder / MANIFEST)
        manifest.made.refuse_other(replace(made, parts=manifest.made.parts), folder)  # all parts are in it
        note(f"{folder}: tokenised before, {sum(entry.tokens for entry in manifest.shards):,} tokens.")
        return Shards(folder, manifest, weights=[source.weight for source in corpus.sources])
    own = folder / _part_name(number, parts)
    manifest = Manifest(made=made)
    for path in sorted(folder.glob("part-*-of-*.json")):
        found = Manifest.read(path)
        found.made.refuse_other(made, folder)
        manifest = found if path == own else manifest
    if not manifest.complete:
        manifest = _Building(corpus, codec, folder, manifest, part).run(own)
    return _finished(folder, made, corpus)


def _part_name(number: int, parts: int) -> str:
    return f"part-{number:05d}-of-{parts:05d}.json"


def _finished(folder: Path, made: Made, corpus: Corpus) -> Shards | None:
    """Writes the list of all shards when every part has written its own; whichever part comes last does it."""
    paths = [folder / _part_name(number, made.parts) for number in range(made.parts)]
    done = [Manifest.read(path) for path in paths if path.is_file()]
    done = [manifest for manifest in done if manifest.complete]
    if len(done) < made.parts:
        note(f"{folder}: {len(done)} of {made.parts} parts are done.")
        return None
    every = sorted(chain.from_iterable(manifest.shards for manifest in done), key=lambda entry: entry.file)
    for side in SIDES:
        if not any(entry.side == side for entry in every) and (side == "train" or corpus.config.held_out):
            raise UserError(f"{folder}: the tokenizer finds no token in the documents for {side}. Is it for this text?")
    whole = Manifest(made=made, shards=every, counts=done[0].counts, complete=True)
    with writing(folder):
        whole.write(folder / MANIFEST)
    return Shards(folder, whole, weights=[source.weight for source in corpus.sources])


class _Building:
    """One part under way: what waits to become a shard on each side, and what is on disk from a call before."""

    def __init__(self, corpus: Corpus, codec: Codec, folder: Path, manifest: Manifest, part: tuple[int, int]) -> None:
        self.corpus, self.folder, self.manifest = corpus, folder, manifest
        self.number, self.parts = part
        self.most = corpus.config.shard_tokens
        if self.most < 1:
            raise UserError(f"--set shard_tokens: expected at least 1, got {self.most}.")
        self.encoder = Encoder(codec, words=corpus.config.whole_word)
        self.waiting: dict[str, list[Shard]] = {side: [] for side in SIDES}
        self.entries = list(manifest.shards)
        self.known = {side: self._known(side) for side in SIDES}
        self.num_tokens = sum(entry.tokens for entry in self.entries)

    def run(self, path: Path) -> Manifest:
        """Reads and tokenises all that is not there yet. path: the file of this part."""
        if self.entries:
            note(f"{self.folder}: going on after {len(self.entries)} shards of {self.num_tokens:,} tokens.")
        with Bar("tokenising", self.corpus.bytes) as bar:
            self.corpus.advance = lambda size: bar.advance(size, f"{self.num_tokens / 1e6:,.1f} million tokens")
            for side, shard in _ahead(self._batches(), self.encoder):
                self.waiting[side].append(shard)
                self.num_tokens += shard.num_tokens
                self._write_full(side, path)
        for side in SIDES:
            if next(self.known[side], None) is not None:
                raise self._changed()
            if self.waiting[side]:
                self._write(side, file.joined(self.waiting[side]), path)
        counts = replace(self.corpus.counts, skipped=self.corpus.counts.skipped[:MAX_NAMED])
        self.manifest = replace(self.manifest, shards=self.entries, counts=counts, complete=True)
        with writing(self.folder):
            self.manifest.write(path)
        return self.manifest

    def _known(self, side: str) -> Iterator[int]:
        """Numbers of the documents that are in shards already, in order; each shard is verified before."""
        for entry in self.entries:
            if entry.side == side:
                verify(self.folder / entry.file, entry)
                yield from file.read(self.folder / entry.file).ids.tolist()

    def _batches(self) -> Iterator[tuple[str, list[Document]]]:
        """Documents of this part that are not tokenised yet, some hundred of one side at a time."""
        groups: dict[str, list[Document]] = {side: [] for side in SIDES}
        sizes = dict.fromkeys(SIDES, 0)
        expected = {side: next(self.known[side], None) for side in SIDES}
        for document in self.corpus:
            if document.id % self.parts != self.number:
                continue
            side = "valid" if document.is_held_out else "train"
            if expected[side] is not None:
                if document.id == expected[side]:
                    expected[side] = next(self.known[side], None)
                elif self.encoder.shard([document], self.encoder.encodings([document])) is not None:
                    raise self._changed()
                continue
            groups[side].append(document)
            sizes[side] += document.characters
            if len(groups[side]) >= BATCH_DOCUMENTS or sizes[side] >= BATCH_CHARS:
                yield side, groups[side]
                groups[side], sizes[side] = [], 0
        if any(number is not None for number in expected.values()):
            raise self._changed()
        yield from ((side, group) for side, group in groups.items() if group)

    def _changed(self) -> UserError:
        return UserError(
            f"{self.folder}: the text of the corpus has changed since its first {len(self.entries)} shards were made. "
            "Give the text they were made from, or choose another folder."
        )

    def _write_full(self, side: str, path: Path) -> None:
        while sum(shard.num_tokens for shard in self.waiting[side]) >= self.most:
            whole = file.joined(self.waiting[side])
            num = int(np.searchsorted(whole.documents, self.most))  # a shard ends with a document
            first, rest = file.split(whole, num)
            self._write(side, first, path)
            self.waiting[side] = [rest] if rest.num_documents else []

    def _write(self, side: str, shard: Shard, path: Path) -> None:
        """A shard to its file, and its name to the file of this part: from then on it is not made again."""
        number = sum(entry.side == side for entry in self.entries)
        name = f"{side}-{number:05d}" if self.parts == 1 else f"{side}-{self.number:05d}-{number:05d}"
        target = self.folder / f"{name}.safetensors"
        with writing(self.folder):
            file.write(target, shard)
            sizes = np.diff(shard.documents)
            entry = Entry(
                file=target.name,
                sha256=sha256(target),
                tokens=shard.num_tokens,
                by_source=[int(sizes[shard.sources == place].sum()) for place in range(len(self.corpus.sources))],
                documents=shard.num_documents,
                sentences=len(shard.sentences) - 1,
                side=side,  # type: ignore[arg-type]
            )
            self.entries.append(entry)
            replace(self.manifest, shards=self.entries).write(path)


def _ahead(batches: Iterator[tuple[str, list[Document]]], encoder: Encoder) -> Iterator[tuple[str, Shard]]:
    """Each batch tokenised on all cores while the next one is read."""
    with ThreadPoolExecutor(1) as pool:
        before: tuple[str, list[Document], Any] | None = None
        for side, documents in batches:
            task = pool.submit(encoder.encodings, documents)
            if before is not None:
                yield from _made(encoder, *before)
            before = side, documents, task
        if before is not None:
            yield from _made(encoder, *before)


def _made(encoder: Encoder, side: str, documents: Sequence[Document], task: Any) -> Iterator[tuple[str, Shard]]:
    shard = encoder.shard(documents, task.result())
    if shard is not None:
        yield side, shard
