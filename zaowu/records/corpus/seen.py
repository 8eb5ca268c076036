"""Which paragraphs were there before: exactly, by 16-byte hashes that go to disk, and nearly, by MinHash."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.errors import UserError
from zaowu.progress import note

RECENT = 50_000  # hashes in a set, some 5 MB
RUN = 1 << 20  # hashes sorted in memory, 16 MB; then they go to a file
NUM_PERM, SHINGLE, LEAST_CHARS, ALIKE = 64, 5, 40, 0.8
BYTES_EACH = 3000  # of one remembered paragraph: 2,500 measured, and room for the growth of tables


def digest(content: str) -> bytes:
    """16 bytes of BLAKE2b."""
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Seen:
    """A set of 16-byte hashes whose memory does not grow: what is beyond `RUN` lies in sorted files in `folder`.

    A lookup in a file maps it for that long only. 100 million paragraphs are 1.6 GB there.
    """

    def __init__(self, folder: Path, *, recent: int = RECENT, run: int = RUN) -> None:
        self.folder, self._most_recent, self._run = folder, recent, run
        self._recent: set[bytes] = set()
        self._young = np.empty((2, 0), np.uint64)  # sorted by the first half
        self._files: list[tuple[Path, int]] = []

    def fresh(self, digests: Sequence[bytes]) -> list[bool]:
        """Whether each was not there before, nor earlier among `digests`; afterwards all are."""
        if not digests:
            return []
        keys = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).T.astype(np.uint64)
        old = self._old(keys)
        found = []
        for key, is_old in zip(digests, old.tolist(), strict=True):
            new = not is_old and key not in self._recent
            found.append(new)
            if new:
                self._recent.add(key)
        if len(self._recent) >= self._most_recent:
            self._settle()
        return found

    def _old(self, keys: np.ndarray) -> np.ndarray:
        """keys: (2, N). Returns (N,) bool."""
        order = np.argsort(keys[0])  # neighbours in a file are looked up one after the other
        keys = keys[:, order]
        hits = _holds(self._young, keys)
        for path, size in self._files:
            hits |= _holds(np.memmap(path, np.uint64, "r", shape=(2, size)), keys)
        found = np.empty(len(hits), bool)
        found[order] = hits
        return found

    def _settle(self) -> None:
        """Recent hashes join the sorted ones; many of those become a file."""
        own = np.frombuffer(b"".join(self._recent), "<u8").reshape(-1, 2).T.astype(np.uint64)
        self._recent.clear()
        own = own[:, np.argsort(own[0])]
        self._young = np.insert(self._young, np.searchsorted(self._young[0], own[0]), own, axis=1)
        if self._young.shape[1] >= self._run:
            path = self.folder / f"seen-{len(self._files):05d}"
            self._young.tofile(path)
            self._files.append((path, self._young.shape[1]))
            self._young = np.empty((2, 0), np.uint64)


def _holds(run: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Whether the sorted run (2, M) holds each of keys (2, N).

    Two hashes that are equal in their first half only (less than once in 10^4 corpora of 100 million) may hide each
    other: such a paragraph is then kept, never lost.
    """
    if run.shape[1] == 0:
        return np.zeros(keys.shape[1], bool)
    place = np.minimum(np.searchsorted(run[0], keys[0]), run.shape[1] - 1)
    return (run[0][place] == keys[0]) & (run[1][place] == keys[1])


class NearSeen:
    """Paragraphs that share most of their runs of five characters with one before (MinHash, estimated Jaccard 0.8).

    The index of `datasketch` lies in memory: it remembers as many paragraphs as `memory_mb` holds and says so
    first; later ones are compared with those. Paragraphs under `LEAST_CHARS` are never near ones.
    Source: Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.
    """

    def __init__(self, memory_mb: float) -> None:
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError:
            raise UserError(
                "--near-duplicates needs the library datasketch: pip install 'zaowu[corpus]', or leave it out."
            ) from None
        self.most = int(memory_mb * 1e6 / BYTES_EACH)
        if self.most < 1000:
            raise UserError(
                f"--memory: expected at least {1000 * BYTES_EACH / 1e6:g} MB for --near-duplicates, got {memory_mb:g}."
            )
        note(
            f"Near duplicates: up to {self.most:,} paragraphs are remembered, in {memory_mb:,.0f} MB at most "
            f"({BYTES_EACH:,} bytes each); later ones are compared with those."
        )
        self.num_kept = 0
        self._index: Any = MinHashLSH(threshold=ALIKE, num_perm=NUM_PERM)
        self._empty: Any = MinHash(num_perm=NUM_PERM, seed=1, hashfunc=_itself)
        self._hashes: dict[int, np.ndarray] = {}

    def is_fresh(self, content: str) -> bool:
        """Whether no remembered paragraph is nearly `content`; if so, it is remembered where there is room."""
        if len(content) < LEAST_CHARS:
            return True
        own = self._empty.copy()
        own.update_batch(shingles(content).tolist())
        for key in self._index.query(own):
            if np.mean(self._hashes[key] == own.hashvalues) >= ALIKE:
                return False
        if self.num_kept < self.most:
            self._index.insert(self.num_kept, own, check_duplication=False)
            self._hashes[self.num_kept] = own.hashvalues.astype(np.uint32)
            self.num_kept += 1
            if self.num_kept == self.most:
                note(f"Near duplicates: the memory is full after {self.most:,} paragraphs.")
        return True


def _itself(value: int) -> int:
    return value


def shingles(content: str) -> np.ndarray:
    """(S,) uint64 below 2^32: a hash of every run of five characters, each once."""
    codes = np.frombuffer(content.encode(f"utf-32-{sys.byteorder[0]}e", "surrogatepass"), np.uint32).astype(np.uint64)
    width = min(SHINGLE, len(codes))
    total = np.zeros(len(codes) - width + 1, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(width):
            total = total * np.uint64(0x9E3779B97F4A7C15) + codes[place : len(codes) - width + 1 + place]
            total ^= total >> np.uint64(29)
        total *= np.uint64(0xBF58476D1CE4E5B9)
    return np.unique(total >> np.uint64(32))
