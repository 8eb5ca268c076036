"""Which writing systems a text uses: what a trimmed vocabulary must keep."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

COMMON = "COMMON"  # digits, punctuation, symbols, marks: every language needs them
ASCII = "ASCII"  # apart from the other Latin letters: Chinese text with English names in it is not French


@lru_cache(maxsize=200_000)
def script(character: str) -> str:
    """The writing system of one character, as the first word of its Unicode name: CJK, LATIN, CYRILLIC ..."""
    if not unicodedata.category(character).startswith("L"):
        return COMMON
    if character.isascii():
        return ASCII
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return COMMON if name in ("FULLWIDTH", "HALFWIDTH", "MODIFIER", "") else name


def shares(texts: Iterable[str]) -> dict[str, float]:
    """The share that each script has of the letters of `texts`; COMMON is no letter and is left out."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    letters: Counter[str] = Counter()
    for character, count in counts.items():
        letters[script(character)] += count
    del letters[COMMON]
    total = max(1, letters.total())
    return {name: count / total for name, count in letters.items()}


def scripts_of(piece: str) -> set[str]:
    """The scripts of one piece, COMMON aside."""
    return {script(character) for character in piece} - {COMMON}
