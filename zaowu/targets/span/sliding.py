"""The cheap method beside a reader: the piece of the context that shares most with the question, by TF-IDF."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from zaowu.config import from_plain, to_plain
from zaowu.errors import UserError
from zaowu.targets.span.details import Candidate

SIZES = (2, 4, 8, 12, 16, 24, 32, 48, 64, 96)  # units of a window
BETWEEN = {"clause": r"[^，。！？；：,.!?;:\n]+", "sentence": r"[^。！？!?.\n]+"}  # pieces instead of windows
MAX_GRAMS = 200_000
TUNING = 400  # questions that the window is chosen by
UNIT = re.compile(r"[\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u2e80-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """Chooses the window with the highest sum of weights of the units and pairs of units that the question has.

    column: the one that is searched; all others are the question. window: a number of units, "clause" or "sentence",
    of which the sum is divided by the root of their length. after: the window behind the best one is the answer, since
    an answer often stands beside the words of its question. weights: unit or pair -> its inverse document frequency.
    """

    column: str
    window: str
    after: bool
    weights: dict[str, float]
    unknown: float  # the weight of all others

    @classmethod
    def fit(
        cls,
        column: str,
        texts: Mapping[str, Sequence[str]],
        score: Callable[[np.ndarray, np.ndarray], float],
    ) -> Sliding:
        """The window with the highest score on training questions. texts: column -> N texts.

        score: places in `texts`, and what is said of them -> how good that is.
        """
        contexts = list(dict.fromkeys(texts[column]))
        count = Counter(gram for context in contexts for gram in set(_grams([one[0] for one in _units(context)])))
        weights = {gram: 1 + math.log((1 + len(contexts)) / (1 + n)) for gram, n in count.most_common(MAX_GRAMS)}
        unknown = 1 + math.log(1 + len(contexts))
        rows = np.arange(len(texts[column]))[:: 1 + len(texts[column]) // TUNING]
        some = {name: [own[row] for row in rows.tolist()] for name, own in texts.items()}
        best: tuple[float, Sliding] | None = None
        for window in (*map(str, SIZES), *BETWEEN):
            for after in (False, True):
                own = cls(column=column, window=window, after=after, weights=weights, unknown=unknown)
                reached = score(rows, own.outputs(some))
                if best is None or reached > best[0]:
                    best = reached, own
        assert best is not None
        return best[1]

    def outputs(self, texts: Mapping[str, Sequence[str]]) -> np.ndarray:
        """(N,) object: for each question the piece that was found, and "no answer" with a score of 0."""
        contexts = texts[self.column]
        others = [own for name, own in texts.items() if name != self.column]
        found = np.empty(len(contexts), object)
        for row, context in enumerate(contexts):
            found[row] = [*self._best(context, " ".join(own[row] for own in others)), Candidate(0.0, 0, 0, "")]
        return found

    def _best(self, context: str, question: str) -> list[Candidate]:
        units = _units(context)
        if not units:
            return []
        asked = set(_grams([one[0] for one in _units(question)]))
        names = [one[0] for one in units]
        pairs = [one + "\t" + other for one, other in zip(names, [*names[1:], ""], strict=True)]
        gains = np.zeros((2, len(units) + 1))
        for kind, grams in enumerate((names, pairs)):
            gains[kind, 1:] = [self.weights.get(gram, self.unknown) if gram in asked else 0.0 for gram in grams]
        single, double = gains.cumsum(axis=1)
        firsts, lasts = self._windows(context, units)
        sums = single[lasts] - single[firsts] + double[np.maximum(lasts - 1, firsts)] - double[firsts]
        if self.window in BETWEEN:
            sums = sums / np.sqrt(lasts - firsts)
        place = int(sums.argmax())
        score, first, last = float(sums[place]), int(firsts[place]), int(lasts[place])
        if self.after and last < len(units):
            ahead = int(np.searchsorted(firsts, last))
            if ahead < len(firsts):
                first, last = int(firsts[ahead]), int(lasts[ahead])
        start, end = units[first][1], units[last - 1][2]
        return [Candidate(score, start, end, context[start:end])]

    def _windows(self, context: str, units: list[tuple[str, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """First unit of each window, and the one behind its last."""
        if self.window not in BETWEEN:
            size = int(self.window)
            firsts = np.arange(max(1, len(units) - size + 1))
            return firsts, np.minimum(firsts + size, len(units))
        begins = np.array([one[1] for one in units])
        ends = [piece.span() for piece in re.finditer(BETWEEN[self.window], context)]
        places = np.array([np.searchsorted(begins, span) for span in ends]).reshape(-1, 2)
        places = places[places[:, 1] > places[:, 0]]
        if not len(places):
            return np.array([0]), np.array([len(units)])
        return places[:, 0], places[:, 1]

    def state(self) -> dict[str, Any]:
        return to_plain(self)

    @classmethod
    def from_state(cls, state: Any, *, where: str) -> Sliding:
        """The strict inverse of `state`. Raises UserError for a made-up one."""
        found = from_plain(cls, state, where=where)
        if found.window not in (*map(str, SIZES), *BETWEEN):
            raise UserError(f"{where}, 'window': expected one of {', '.join((*map(str, SIZES), *BETWEEN))}.")
        return found


def _units(text: str) -> list[tuple[str, int, int]]:
    """Words, and signs of scripts without spaces, in lower case, with their places."""
    return [(unit.group().lower(), *unit.span()) for unit in UNIT.finditer(text)]


def _grams(units: Sequence[str]) -> list[str]:
    return [*units, *(f"{one}\t{other}" for one, other in pairwise(units))]
