"""Which writing systems a text uses: what a trimmed vocabulary must keep."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

COMMON = "COMMON"  # digits, punctuation, symbols, marks: every language needs them


@lru_cache(maxsize=200_000)
def script(character: str) -> str:
    """The writing system of one character, as the first word of its Unicode name.

    ASCII letters stand apart from the other Latin letters, so that Chinese text with English names in it
    does not keep the pieces of every European language.
    """
    if character.isascii() or not unicodedata.category(character).startswith("L"):
        return COMMON
    name = unicodedata.name(character, "").split(" ")[0]
    if name in ("FULLWIDTH", "HALFWIDTH", "MODIFIER", ""):
        return COMMON
    return name.split("-")[0]


def scripts_of(texts: Iterable[str], *, least_share: float = 0.0005) -> set[str]:
    """Scripts that make up at least `least_share` of the characters of `texts`; COMMON always."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    by_script: Counter[str] = Counter()
    for character, count in counts.items():
        by_script[script(character)] += count
    total = max(1, sum(by_script.values()))
    return {COMMON} | {name for name, count in by_script.items() if count / total >= least_share}


def is_written_in(piece: str, scripts: set[str]) -> bool:
    """Whether every character of `piece` belongs to one of `scripts`."""
    return all(script(character) in scripts for character in piece)
