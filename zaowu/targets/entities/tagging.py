"""Entities as a tag for each token, and back: B- begins one, I- goes on with it, O is outside.

Source: Ramshaw and Marcus 1995, "Text Chunking using Transformation-Based Learning"; Viterbi 1967.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zaowu.records.spans import Entity

OUTSIDE = 0
NEVER = -1  # the tag of a token that stands for no character


def num_tags(num_labels: int) -> int:
    """O, and B- and I- of each label: label k begins with 2 k + 1 and goes on with 2 k + 2."""
    return 2 * num_labels + 1


def encoded(entities: Sequence[Entity], labels: dict[str, int], places: np.ndarray) -> np.ndarray:
    """(T,) int16 tags. places: (T, 2), the characters of each token. An entity has all tokens that share one with it.

    entities: none overlaps another. Those of labels that are not known are outside.
    """
    tags = np.where(places[:, 1] > places[:, 0], OUTSIDE, NEVER).astype(np.int16)
    for start, end, label in entities:
        inside = np.flatnonzero((tags != NEVER) & (places[:, 1] > start) & (places[:, 0] < end))
        if label in labels and len(inside):
            tags[inside] = 2 * labels[label] + 2
            tags[inside[0]] = 2 * labels[label] + 1
    return tags


def best_path(logits: np.ndarray) -> np.ndarray:
    """(T,) int64, the tags of the highest sum of logits in which every I- follows a B- or I- of its label.

    logits: (T, C).
    """
    steps, size = logits.shape
    goes_on = np.arange(2, size, 2)
    allowed = np.zeros((size, size))  # from, to
    allowed[:, goes_on] = -np.inf
    allowed[goes_on - 1, goes_on] = allowed[goes_on, goes_on] = 0.0
    score = logits[0] + allowed[OUTSIDE]
    back = np.zeros((steps, size), np.int64)
    for step in range(1, steps):
        sums = score[:, None] + allowed
        back[step] = sums.argmax(axis=0)
        score = sums.max(axis=0) + logits[step]
    path = np.empty(steps, np.int64)
    path[-1] = int(score.argmax())
    for step in range(steps - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path


def runs(tags: np.ndarray) -> list[tuple[int, int, int]]:
    """First token, the one behind the last, and label of each entity that a valid path has."""
    found: list[tuple[int, int, int]] = []
    for place, tag in enumerate(tags.tolist()):
        if tag <= OUTSIDE:
            continue
        if tag % 2 == 0 and found and found[-1][1] == place and found[-1][2] == tag // 2 - 1:
            found[-1] = (found[-1][0], place + 1, found[-1][2])
        else:
            found.append((place, place + 1, (tag - 1) // 2))
    return found
