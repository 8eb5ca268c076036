"""Equal content has an equal number: what duplicates, splits and every random draw hang on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

BETWEEN_COLUMNS = "\x1f"  # the unit separator of ASCII stands in no text


def normalised(text: str) -> str:
    """Unicode NFKC (full-width forms, ligatures) with white space folded; case is kept, for it carries meaning."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def content_ids(columns: Sequence[Iterable[str]]) -> np.ndarray:
    """(N,) uint64, the 64-bit BLAKE2b of each record's normalised columns. Equal on every machine and version.

    columns: one sequence of N strings per column. Two different contents among a million have equal numbers with
    probability 3e-8.
    """
    digests = bytearray()
    for record in zip(*columns, strict=True):
        content = BETWEEN_COLUMNS.join(map(normalised, record)).encode("utf-8", "surrogatepass")
        digests += blake2b(content, digest_size=8).digest()
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """(N,) uint64 with every bit depending on every bit of `numbers`: the finaliser of splitmix64.

    Makes a threshold fair whatever the numbers were. Source: Steele, Lea, Flood 2014, section 5.
    """
    with np.errstate(over="ignore"):
        mix = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mix = (mix ^ (mix >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mix = (mix ^ (mix >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mix ^ (mix >> np.uint64(31))
