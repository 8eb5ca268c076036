"""A long text beside short ones, in windows of tokens that know which characters they stand for."""

from __future__ import annotations

import numpy as np

OVERLAP = 4  # one part in so many of a window stands in the next one too
OTHERS = 3  # the texts beside it take at most one part in so many of a row
NOWHERE = -1  # the place of a token that is no part of the searched text


def laid_out(
    before: np.ndarray,
    beside: np.ndarray,
    after: np.ndarray,
    ids: np.ndarray,
    places: np.ndarray,
    *,
    max_tokens: int,
    most: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of at most `max_tokens`: before, beside, a window of the text, after; with the places of their tokens.

    ids: (T,) of the searched text. places: (T, 2), the first character of each token and the one behind its last.
    beside: the other texts and the pieces between. Windows overlap by a quarter, so that what one cuts stands whole in
    the next; the last ends with the text. At most `most`, evenly spread.
    """
    room = max_tokens - len(before) - len(beside) - len(after)
    step = max(1, room - room // OVERLAP)
    num = 1 if len(ids) <= room else 1 + -(-(len(ids) - room) // step)
    starts = np.minimum(np.arange(num) * step, max(0, len(ids) - room))
    if num > most:
        starts = starts[np.linspace(0, num - 1, most).round().astype(int)]
    rows = []
    head, tail = len(before) + len(beside), len(after)
    for start in starts.tolist():
        part = slice(start, start + room)
        own = np.full((head + len(ids[part]) + tail, 2), NOWHERE, np.int32)
        own[head : head + len(ids[part])] = places[part]
        rows.append((np.concatenate([before, beside, ids[part], after]), own))
    return rows


def without_space(text: str, places: np.ndarray) -> np.ndarray:
    """(T, 2) places without the white space that tokens have at their ends; of nothing but space, an empty place."""
    space = np.fromiter(map(str.isspace, text), bool, len(text))
    solid = np.flatnonzero(~space)
    if len(solid) == len(text):
        return places
    ahead = np.r_[solid, len(text)][np.searchsorted(solid, np.arange(len(text) + 1))]  # the next that is no space
    behind = np.r_[0, solid + 1][np.searchsorted(solid, np.arange(len(text) + 1))]  # behind the last that is none
    starts = np.minimum(ahead[places[:, 0]], places[:, 1])
    ends = np.maximum(behind[places[:, 1]], starts)
    return np.stack([starts, ends], axis=1).astype(np.int32)
