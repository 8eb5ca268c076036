"""The cheap method beside a tagger: entities that stood in the training texts, found again by their words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.records.spans import Entity
from zaowu.targets.entities.details import Found

MAX_PHRASES = 500_000
LEAST_RIGHT = 0.5  # of the places where a phrase stands in training, that it must be an entity in


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Takes the longest known phrase at each place, from left to right. phrases: words -> label."""

    column: str
    phrases: dict[str, str]

    @classmethod
    def fit(cls, column: str, texts: Sequence[str], entities: Sequence[Sequence[Entity]]) -> Dictionary:
        """Phrases with their most frequent label, without those that mostly stand for something else."""
        count: Counter[tuple[str, str]] = Counter()
        for text, own in zip(texts, entities, strict=True):
            count.update((text[start:end], label) for start, end, label in own)
        phrases: dict[str, str] = {}
        for (words, label), _ in count.most_common():
            if len(phrases) < MAX_PHRASES:
                phrases.setdefault(words, label)
        raw = cls(column=column, phrases=phrases)
        right, total = Counter[str](), Counter[str]()
        for text, own in zip(texts, entities, strict=True):
            true = set(own)
            for one in raw.find(text):
                total[one.words] += 1
                right[one.words] += (one.start, one.end, one.label) in true
        kept = {words: label for words, label in phrases.items() if right[words] >= LEAST_RIGHT * total[words]}
        return cls(column=column, phrases=kept)

    def outputs(self, texts: Mapping[str, Sequence[str]]) -> np.ndarray:
        """(N,) object: the entities of each text."""
        found = np.empty(len(texts[self.column]), object)
        for row, text in enumerate(texts[self.column]):
            found[row] = self.find(text)
        return found

    def find(self, text: str) -> list[Found]:
        found, place = [], 0
        while place < len(text):
            for size in self._sizes.get(text[place], ()):
                words = text[place : place + size]
                if words in self.phrases and not _cuts_a_word(text, place, place + size):
                    found.append(Found(place, place + size, self.phrases[words], 1.0, words))
                    place += size - 1
                    break
            place += 1
        return found

    @cached_property
    def _sizes(self) -> dict[str, list[int]]:
        """First character -> the lengths of the phrases that begin with it, the longest first."""
        sizes: dict[str, set[int]] = defaultdict(set)
        for words in self.phrases:
            if words:
                sizes[words[0]].add(len(words))
        return {first: sorted(own, reverse=True) for first, own in sizes.items()}

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Dictionary:
        """The strict inverse of `state`. Raises UserError for a made-up one."""
        return from_plain(cls, state, where=where)


def _cuts_a_word(text: str, start: int, end: int) -> bool:
    """Whether a letter of an alphabet stands on both sides of an end."""
    return any(
        0 < place < len(text) and _is_letter(text[place - 1]) and _is_letter(text[place]) for place in (start, end)
    )


def _is_letter(sign: str) -> bool:
    return sign.isalnum() and not "\u2e80" <= sign <= "\uffef"
