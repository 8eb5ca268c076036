"""The cheap language model: n-grams with interpolated modified Kneser-Ney smoothing.

Source: Chen and Goodman 1999, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3. N-grams
that begin a sequence keep their counts in all orders, since nothing stands before them (Heafield et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zaowu.errors import UserError

ORDER = 5
FALLBACK = (0.5, 1.0, 1.5)  # discounts where there are too few n-grams to estimate them by
PORTION = 1_000_000  # symbols that are scored at a time
MISSING = -1  # no such n-gram


@dataclass(frozen=True)
class KneserNey:
    """Symbols are integers 0..vocabulary-1; one more, `end`, ends a sequence, and another one begins it.

    An n-gram's id is its place among the sorted keys of its order; its key is the id of all but its last symbol times
    the number of symbols, plus the last. Of order n stand at n - 1: keys (G,) int64, empty where the id is the symbol
    itself; shares (G,) float32, the discounted share of the last symbol among those that follow the others; rest
    (G of order n - 1,) float32, what is left for the next lower order. About 16 bytes an n-gram; fitting needs about
    150 bytes a symbol.
    """

    vocabulary: int
    keys: tuple[np.ndarray, ...]
    shares: tuple[np.ndarray, ...]
    rest: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, sequences: Sequence[np.ndarray], vocabulary: int, *, order: int = ORDER) -> KneserNey:
        """sequences: (T,) integers each. Raises UserError for none, and for symbols outside the vocabulary."""
        stream, num_symbols = _stream(sequences, vocabulary), vocabulary + 2
        keys, prefixes = np.empty(0, np.int64), np.zeros(num_symbols, np.int64)
        ids, counts = stream, np.bincount(stream, minlength=num_symbols)
        counts[-1] = 0  # what begins a sequence is never predicted
        starts = np.zeros(num_symbols, bool)
        kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for n in range(1, order + 1):
            num_prefixes = 1 if n == 1 else len(kept[-1][1])
            if n == order:
                kept.append((keys, *_discounted(counts, prefixes, num_prefixes)))
                break
            places = np.flatnonzero((ids[:-1] != MISSING) & (stream[1:] != vocabulary + 1)) + 1
            longer, first, number, times = np.unique(
                ids[places - 1] * num_symbols + stream[places],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            ends = places[first]  # where each longer n-gram stands first
            before = np.bincount(ids[ends], minlength=len(counts))  # how many different symbols stand before
            kept.append((keys, *_discounted(np.where(starts, counts, before), prefixes, num_prefixes)))
            keys, prefixes, counts = longer, longer // num_symbols, times
            starts = stream[ends - n] == vocabulary + 1
            ids = np.full(len(stream), MISSING, np.int64)
            ids[places] = number
        return cls(vocabulary, *map(tuple, zip(*kept, strict=True)))

    @property
    def order(self) -> int:
        return len(self.keys)

    @property
    def end(self) -> int:
        return self.vocabulary

    def log_probabilities(self, sequence: np.ndarray) -> np.ndarray:
        """(T + 1,) natural logarithms for each of the (T,) symbols and the end, given all that stand before."""
        return self._scored(_stream([sequence], self.vocabulary))

    def perplexity(self, sequences: Sequence[np.ndarray], *, units: int | None = None) -> float:
        """exp of minus the mean log-probability. units: what the mean is over, such as characters where symbols are
        pieces; None: the symbols and the ends."""
        total, portion, size, num = 0.0, list[np.ndarray](), 0, 0
        for place, sequence in enumerate(sequences):
            portion.append(sequence)
            size += len(sequence) + 1
            if size >= PORTION or place == len(sequences) - 1:
                total += float(self._scored(_stream(portion, self.vocabulary)).sum())
                num += size
                portion, size = [], 0
        return math.exp(-total / (num if units is None else units))

    def distribution(self, context: np.ndarray) -> np.ndarray:
        """(vocabulary + 1,) the probability of each next symbol, the end behind them. context: all symbols so far."""
        begun = _stream([context], self.vocabulary)[:-1]
        found = np.full(self.vocabulary + 1, 1 / (self.vocabulary + 1))
        for n in range(1, self.order + 1):
            place = self._id(begun[len(begun) - n + 1 :]) if n <= len(begun) + 1 else MISSING
            if place == MISSING:
                break
            first, last = 0, len(found)
            symbols = np.arange(len(found))
            if n > 1:
                ends = place * (self.vocabulary + 2), (place + 1) * (self.vocabulary + 2)
                first, last = np.searchsorted(self.keys[n - 1], ends).tolist()
                symbols = self.keys[n - 1][first:last] - ends[0]
            found *= self.rest[n - 1][place]
            found[symbols] += self.shares[n - 1][first:last]
        return found

    def _id(self, symbols: np.ndarray) -> int:
        """Of an n-gram; that of no symbol is 0."""
        place = 0
        for n, symbol in enumerate(symbols.tolist(), 1):
            place = symbol if n == 1 else self._find(n, np.array([place * (self.vocabulary + 2) + symbol]))[0]
            if place == MISSING:
                break
        return int(place)

    def _find(self, n: int, keys: np.ndarray) -> np.ndarray:
        """The ids of n-grams."""
        own = self.keys[n - 1]
        if not len(own):
            return np.full(len(keys), MISSING, np.int64)
        places = np.minimum(np.searchsorted(own, keys), len(own) - 1)
        return np.where(own[places] == keys, places, MISSING)

    def _scored(self, stream: np.ndarray) -> np.ndarray:
        """The logarithms for all of a stream but what begins sequences."""
        ids, contexts = stream, np.zeros(len(stream), np.int64)
        found = np.full(len(stream), 1 / (self.vocabulary + 1))
        for n in range(1, self.order + 1):
            if n > 1:
                contexts = np.r_[MISSING, ids[:-1]]
                longer = self._find(n, contexts * (self.vocabulary + 2) + stream)
                ids = np.where(contexts == MISSING, MISSING, longer)
            share = np.where(ids == MISSING, 0.0, self.shares[n - 1][ids] if len(self.shares[n - 1]) else 0.0)
            found = np.where(contexts == MISSING, found, share + self.rest[n - 1][contexts] * found)
        return np.log(found[stream != self.vocabulary + 1])


def _stream(sequences: Sequence[np.ndarray], vocabulary: int) -> np.ndarray:
    """(S,) int64: all sequences behind one another, each with its begin and its end."""
    if not len(sequences):
        raise UserError("n-grams: expected at least one sequence, got none.")
    ends = [np.array([vocabulary + 1]), np.array([vocabulary])]
    parts = [part for own in sequences for part in (ends[0], np.asarray(own, np.int64), ends[1])]
    stream = np.concatenate(parts).astype(np.int64)
    num_odd = int(((stream < 0) | (stream >= vocabulary)).sum()) - 2 * len(sequences)
    if num_odd:
        raise UserError(f"n-grams: expected symbols from 0 to {vocabulary - 1:,}, but {num_odd:,} are others.")
    return stream


def _discounted(counts: np.ndarray, prefixes: np.ndarray, num_prefixes: int) -> tuple[np.ndarray, np.ndarray]:
    """(G,) each n-gram's share among those of its prefix, and (num_prefixes,) what the discounts leave there."""
    n1, n2, n3, n4 = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    discounts = FALLBACK
    if min(n1, n2, n3, n4) > 0:
        common = n1 / (n1 + 2 * n2)
        own = 1 - 2 * common * n2 / n1, 2 - 3 * common * n3 / n2, 3 - 4 * common * n4 / n3
        if all(0 < discount <= number for number, discount in enumerate(own, 1)):
            discounts = own
    cut = np.array([0.0, *discounts])[np.minimum(counts, 3)]
    total = np.bincount(prefixes, weights=counts, minlength=num_prefixes)
    left = np.bincount(prefixes, weights=cut, minlength=num_prefixes)
    shares = (counts - cut) / np.maximum(total, 1)[prefixes]
    return shares.astype(np.float32), np.where(total > 0, left / np.maximum(total, 1), 1.0).astype(np.float32)
