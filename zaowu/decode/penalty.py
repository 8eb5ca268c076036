"""What was written already bends what comes next.

repeat_penalty c:  z_v <- z_v / c where z_v > 0, else z_v c, for every token v that was there    (Keskar et al. 2019)
no_repeat n:       z_v <- -inf where the last n - 1 tokens and v were there in a row              (Paulus et al. 2018)

A beginning counts as written: a text does not repeat its prompt either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zaowu.config import WriteConfig

NOTHING = -1  # before the beginning of a row


class History:
    """The tokens of R rows, beginnings included, all ending at the same place: (R, `size`) of `tokens`."""

    def __init__(self, beginnings: Sequence[Sequence[int]]) -> None:
        self.size = max(map(len, beginnings))
        self.tokens = np.full((len(beginnings), self.size + 64), NOTHING, np.int64)
        for row, beginning in zip(self.tokens, beginnings, strict=True):
            row[self.size - len(beginning) : self.size] = beginning

    @property
    def known(self) -> np.ndarray:
        return self.tokens[:, : self.size]

    def add(self, tokens: Sequence[int] | np.ndarray) -> None:
        """(R,) one more of each row."""
        if self.size == self.tokens.shape[1]:
            more = np.full((len(self.tokens), max(64, self.size // 2)), NOTHING, np.int64)
            self.tokens = np.concatenate([self.tokens, more], axis=1)
        self.tokens[:, self.size] = tokens
        self.size += 1

    def select(self, rows: np.ndarray | Sequence[int]) -> None:
        """Row i becomes what row rows[i] was."""
        self.tokens = self.tokens[rows]


def bent(logits: Tensor, history: History, config: WriteConfig) -> Tensor:
    """(R, V) logits or log probabilities -> the same as the penalties leave them, maybe written over."""
    if config.repeat_penalty != 1.0:
        last = history.known[:, -1:]  # stands for the places before a beginning
        known = torch.from_numpy(np.where(history.known == NOTHING, last, history.known)).to(logits.device)
        found = logits.gather(1, known)
        c = config.repeat_penalty
        logits.scatter_(1, known, torch.where(found < 0, found * c, found / c))
    if config.no_repeat:
        rows, tokens = _would_repeat(history.known, config.no_repeat)
        logits[torch.from_numpy(rows), torch.from_numpy(tokens)] = -torch.inf
    return logits


def _would_repeat(known: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and tokens that would make n in a row stand there twice."""
    num_windows = known.shape[1] - n + 1
    if num_windows < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    same = np.ones((len(known), num_windows), bool)
    for offset in range(n - 1):
        last = known[:, known.shape[1] - n + 1 + offset, None]
        same &= (known[:, offset : offset + num_windows] == last) & (last != NOTHING)
    same &= known[:, n - 1 :] != NOTHING
    rows, windows = np.nonzero(same)
    return rows, known[rows, windows + n - 1]
