"""Rows of `text, label`: cleaning, duplicates, and choices that depend on nothing but the content."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[str, str]  # text, label


@dataclass(frozen=True)
class Source:
    """Where a set comes from, for `sets.json`."""

    package: str
    version: str
    licence: str


@dataclass(frozen=True)
class TextSet:
    """One set: rows to train on, rows to score on, and whether tuning may see it."""

    name: str
    use: str  # "tuning" or "left out"
    task: str  # what is read and what is answered
    source: Source
    train: list[Row]
    test: list[Row]


def clean(text: str) -> str:
    """Canonical Unicode, without control characters, with single spaces: one line."""
    text = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def same(text: str) -> str:
    """Equal for texts that a reader would call the same: width, case and white space do not count."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def unique(rows: Iterable[Row]) -> list[Row]:
    """The first of each text; a text that stands under two labels is left out altogether."""
    first: dict[str, Row] = {}
    labels: dict[str, set[str]] = {}
    for text, label in rows:
        key = same(text)
        first.setdefault(key, (text, label))
        labels.setdefault(key, set()).add(label)
    return [row for key, row in first.items() if key and len(labels[key]) == 1]


def rank(text: str, purpose: str) -> str:
    """A fixed pseudo-random place for `text`.

    Each purpose has its own order: rows that were sampled for their low place in one order would otherwise
    all lie at the low end when they are split.
    """
    return hashlib.sha256(f"{purpose}\0{same(text)}".encode()).hexdigest()


def share(text: str, purpose: str) -> float:
    """`rank` as a number in [0, 1)."""
    return int(rank(text, purpose)[:13], 16) / 16**13


def sample(rows: Iterable[Row], size: int, *, per_label: bool = False) -> list[Row]:
    """At most `size` rows (of each label), by content: adding rows elsewhere changes little."""
    taken: Counter[str] = Counter()
    kept = []
    for row in sorted(rows, key=lambda row: rank(row[0], "sample")):
        group = row[1] if per_label else ""
        if taken[group] < size:
            taken[group] += 1
            kept.append(row)
    return kept


def split(rows: Iterable[Row], *, train: int, test: int) -> tuple[list[Row], list[Row]]:
    """The rows of lowest place become the test rows; at most `train` of the following ones are learned from.

    The test rows are the same whatever `train` is, and smaller train sets are parts of larger ones.
    """
    ordered = sorted(rows, key=lambda row: rank(row[0], "split"))
    return ordered[test : test + train], ordered[:test]
