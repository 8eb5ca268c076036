"""What a model repeats of its training answers: passages that stand there word for word, and not in the source.

A passage is at least 20 characters in scripts without spaces, at least 8 words in others. Each run of so many units is
known by a 64-bit hash, so that a chance of one in a billion remains that one is counted which never stood there.
Source: Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", for what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np

from zaowu.inputs.text.tfidf import spaces_make_words
from zaowu.records.identity import mixed

CHARACTERS, WORDS = 20, 8  # units of the shortest passage
MAX_PLACES = 20  # of a run of units that stands in training more often, so many are looked at for the longest passage
NOWHERE = -1
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Copied:
    """Of one text. share: of its runs of units, those that stand in training and not in the source; 0 where it is
    shorter than one. passage: the longest such piece, of `units` units; row: the training answer it stands in, or -1.
    whole: the text as a whole is a training answer, and not its source."""

    share: float
    passage: str
    units: int
    row: int
    whole: bool


@dataclass(frozen=True)
class Memory:
    """N training answers, for looking up.

    characters: units are characters without white space, else words as they are written.
    codes: (S,) uint64, the units of all answers, 0 behind each answer. ends: (N,) the places of these. hashes: (R,)
    uint64, sorted, of all runs of units that lie in one answer; places: (R,) where each begins. 24 bytes a unit.
    """

    characters: bool
    codes: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    places: np.ndarray
    answers: frozenset[str]

    @classmethod
    def fit(cls, answers: Sequence[str]) -> Memory:
        characters = not spaces_make_words(answers)
        parts = [_codes(answer, characters=characters) for answer in answers]
        stop = np.zeros(1, np.uint64)
        codes = np.concatenate([stop[:0], *(part for own in parts for part in (own, stop))])
        ends = np.flatnonzero(codes == 0)
        hashes, places = _runs(codes, CHARACTERS if characters else WORDS)
        order = np.argsort(hashes, kind="stable")
        return cls(characters, codes, ends, hashes[order], places[order], frozenset(map(_plain, answers)))

    @property
    def size(self) -> int:
        """Units of the shortest passage."""
        return CHARACTERS if self.characters else WORDS

    def judge(self, texts: Sequence[str], sources: Sequence[str]) -> list[Copied]:
        """What each text repeats; `sources`: what it was written of."""
        return [self._one(text, source) for text, source in zip(texts, sources, strict=True)]

    def _one(self, text: str, source: str) -> Copied:
        own = units(text, characters=self.characters)
        codes = _codes(text, characters=self.characters)
        hashes, _ = _runs(codes, self.size)
        first = np.searchsorted(self.hashes, hashes, side="left")
        last = np.searchsorted(self.hashes, hashes, side="right")
        read, _ = _runs(_codes(source, characters=self.characters), self.size)
        known = (last > first) & ~np.isin(hashes, read)
        best, at, row = 0, 0, NOWHERE
        for place in np.flatnonzero(known).tolist():
            others = self.places[first[place] : min(last[place], first[place] + MAX_PLACES)]
            if place and known[place - 1]:  # where it goes on from the run before it, that one was longer
                others = others[(others == 0) | (self.codes[others - 1] != codes[place - 1])]
            most = place + int(np.argmin(np.r_[known[place:], False])) + self.size - 1
            for other in others.tolist():
                size = _common(codes[place:most], self.codes[other:])
                if size > best:
                    best, at, row = size, place, int(np.searchsorted(self.ends, other))
        passage = ("" if self.characters else " ").join(own[at : at + best])
        whole = bool(own) and _plain(text) in self.answers and _plain(text) != _plain(source)
        return Copied(float(known.mean()) if len(known) else 0.0, passage, best, row, whole)

    def plain(
        self,
        texts: Sequence[str],
        sources: Sequence[str],
        *,
        rows: Sequence[int],
        train_rows: Sequence[int],
        limit: int = 5,
    ) -> dict[str, Any]:
        """What a report shows, JSON-ready. rows, train_rows: the numbers that a person knows the records by.

        size, characters; texts: how many; long: those with at least one run of so many units; copied: those that repeat
        one; share: the mean over the long ones; whole; passages: the longest ones, each of another training answer.
        """
        found = self.judge(texts, sources)
        long = [len(units(text, characters=self.characters)) >= self.size for text in texts]
        order = sorted((place for place, one in enumerate(found) if one.units), key=lambda place: -found[place].units)
        first: dict[int, int] = {}
        for place in order:
            first.setdefault(found[place].row, place)
        return {
            "size": self.size,
            "characters": self.characters,
            "texts": len(texts),
            "long": sum(long),
            "copied": len(order),
            "share": sum(one.share for one in found) / max(1, sum(long)),
            "whole": sum(one.whole for one in found),
            "passages": [
                {
                    "row": int(rows[place]),
                    "train_row": int(train_rows[found[place].row]),
                    "units": found[place].units,
                    "passage": found[place].passage,
                }
                for place in list(first.values())[:limit]
            ],
        }


def units(text: str, *, characters: bool) -> list[str]:
    return list("".join(text.split())) if characters else text.split()


def _plain(text: str) -> str:
    return " ".join(text.split())


def _codes(text: str, *, characters: bool) -> np.ndarray:
    """(T,) uint64 of the units, never 0: characters by their number, words by a hash."""
    own = units(text, characters=characters)
    numbers = map(ord, own) if characters else (_hashed(unit) for unit in own)
    return mixed(np.fromiter(numbers, np.uint64, len(own))) | np.uint64(1)


@lru_cache(maxsize=100_000)
def _hashed(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _runs(codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash and first place of each run of `size` units that has no end of an answer in it."""
    num = max(0, len(codes) - size + 1)
    hashes, whole = np.zeros(num, np.uint64), np.ones(num, bool)
    for step in range(size):
        own = codes[step : step + num]
        hashes = hashes * _FACTOR + own
        whole &= own != 0
    return hashes[whole], np.flatnonzero(whole)


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How many units at their beginning are the same."""
    size = min(len(one), len(other))
    return int(np.argmin(np.r_[one[:size] == other[:size], False]))
