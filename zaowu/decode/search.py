"""The loops of writing: one text for each row, or the best of several beams.

beams:  of all texts that go on from the B kept ones, the B likeliest are kept;           (Graves 2012, section 3)
        an ended text's score is log p(text) / tokens ** length_penalty                  (as in Wu et al. 2016)

Only texts among the B likeliest count as ended, and a search is over when no kept text can beat the worst of B ended
ones at its present length: the rule that users of published models know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zaowu.config import WriteConfig
from zaowu.decode import Reason, Step, Written
from zaowu.decode.penalty import History, bent
from zaowu.decode.sample import pick


class Token(NamedTuple):
    """One more token of a row. reason: why it is the last one; None: it is not. An end piece is no text."""

    row: int
    token: int
    reason: Reason | None


def one_by_one(
    step: Step,
    state: Any,
    logits: Tensor,
    *,
    beginnings: Sequence[Sequence[int]],
    rooms: Sequence[int],
    ends: Collection[int],
    config: WriteConfig,
    stops: Callable[[int, int], bool] | None = None,
    numbers: Sequence[int] | None = None,
) -> Iterator[list[Token]]:
    """The rows' next tokens, step after step, until every row has ended.

    logits: (R, V) behind the beginnings. rooms: (R,) how many tokens a row may get, one at least. ends: pieces that
    end a text. stops: (row, token) -> whether the text ends with it. numbers: of the rows, for chance; their places.
    """
    rows = np.arange(len(beginnings))  # those that go on
    own = rows if numbers is None else np.asarray(numbers)
    bends = config.repeat_penalty != 1.0 or config.no_repeat > 0
    history = History(beginnings) if bends else None
    taken = 0
    while True:
        if history is not None:
            logits = bent(logits, history, config)
        chosen = pick(logits, config, rows=own[rows], step=taken)
        tokens = chosen.tolist()
        taken += 1
        told = []
        for row, token in zip(rows.tolist(), tokens, strict=True):
            reason: Reason | None = None
            if token in ends:
                reason = "end"
            elif stops is not None and stops(row, token):
                reason = "stop"
            elif taken >= rooms[row]:
                reason = "length"
            told.append(Token(row, token, reason))
        yield told
        going = [place for place, one in enumerate(told) if one.reason is None]
        if not going:
            return
        if len(going) < len(told):
            kept = torch.tensor(going, device=chosen.device)
            state.select(kept)
            rows, chosen, tokens = rows[going], chosen[kept], [tokens[place] for place in going]
            if history is not None:
                history.select(going)
        if history is not None:
            history.add(tokens)
        logits, state = step(state, chosen)


@dataclass
class _Search:
    """Of one beginning. ended: the best that have, best first."""

    room: int
    ended: list[Written] = field(default_factory=list)
    over: bool = False

    def end(self, tokens: tuple[int, ...], reason: Reason, score: float, *, beams: int) -> None:
        self.ended.append(Written(tokens, reason, score))
        self.ended.sort(key=lambda one: -float(one.score or 0.0))  # stable: the earlier one stands first
        del self.ended[beams:]


def beam_search(
    step: Step,
    state: Any,
    logits: Tensor,
    *,
    beginnings: Sequence[Sequence[int]],
    rooms: Sequence[int],
    ends: Collection[int],
    config: WriteConfig,
    stops: Callable[[tuple[int, ...]], bool] | None = None,
) -> list[list[Written]]:
    """For each of B beginnings its best texts, at most `beams`, best first.

    state: of B * beams rows, `beams` for each beginning. logits: (B, V) behind the beginnings. stops: a text so far
    -> whether it ends there.
    """
    beams, num = config.beams, len(beginnings)
    searches = [_Search(room) for room in rooms]
    alive = list(range(num))  # beginnings whose search goes on
    history = History([beginning for beginning in beginnings for _ in range(beams)])
    first = history.size
    num_candidates = beams * max(2, 1 + len(ends))  # so that `beams` stay, however many of them end
    scores = torch.zeros(num, 1, device=logits.device)  # (B, 1), then (B, beams)
    width, taken, bends = 1, 0, config.repeat_penalty != 1.0 or config.no_repeat > 0
    if bends:
        logits = logits.repeat_interleave(beams, dim=0)
        scores, width = torch.cat([scores, scores.new_full((num, beams - 1), -1e9)], dim=1), beams
    while alive:
        found, sums = logits.float(), logits.float().logsumexp(1)
        if bends:
            found, sums = bent(found - sums[:, None], history, config), torch.zeros_like(sums)
        best, places = _best(found.view(len(alive), width, -1), scores - sums.view(len(alive), width), num_candidates)
        size = found.shape[1]
        taken += 1
        rows, tokens, kept_scores, going = [], [], [], []
        for place, search in enumerate(searches[number] for number in alive):
            kept = _advance(search, best[place], places[place], size, place, history, first, taken, ends, stops, config)
            if not search.over:
                going.append(place)
                rows += [row for row, _, _ in kept]
                tokens += [token for _, token, _ in kept]
                kept_scores.append([score for _, _, score in kept])
        if not going:
            break
        if len(going) < len(alive):  # first who goes on, then from whom
            stay = [place * beams + beam for place in going for beam in range(beams)]
            state.select(torch.tensor(stay, device=logits.device))
            history.select(stay)
            where = {old: new for new, old in enumerate(stay)}
            rows = [where[row] for row in rows]
            alive = [alive[place] for place in going]
        state.reorder(torch.tensor(rows, device=logits.device))
        history.select(rows)
        history.add(tokens)
        scores, width = torch.tensor(kept_scores, device=logits.device), beams
        logits, state = step(state, torch.tensor(tokens, device=logits.device))
    return [search.ended for search in searches]


def _best(found: Tensor, scores: Tensor, count: int) -> tuple[list[list[float]], list[list[int]]]:
    """(B, beams, V) logits, (B, beams) scores without the logarithm of the logits' sum -> the `count` best, and where.

    The best of each beam first: the best of all are among them.
    """
    each = min(count, found.shape[2])
    values, tokens = found.topk(each, dim=2)
    sums = (values + scores[:, :, None]).flatten(1)
    best, places = sums.topk(min(count, sums.shape[1]), dim=1)
    beam = places // each
    return best.tolist(), (beam * found.shape[2] + tokens.flatten(1).gather(1, places)).tolist()


def _advance(
    search: _Search,
    best: list[float],
    places: list[int],
    size: int,
    place: int,
    history: History,
    first: int,
    taken: int,
    ends: Collection[int],
    stops: Callable[[tuple[int, ...]], bool] | None,
    config: WriteConfig,
) -> list[tuple[int, int, float]]:
    """One step of one search: what ends is put away. Returns (row to go on from, token, score) of what goes on."""
    beams = config.beams
    kept: list[tuple[int, int, float]] = []
    just_ended: list[tuple[tuple[int, ...], Reason, float]] = []
    for rank, (score, where) in enumerate(zip(best, places, strict=True)):
        row, token = place * beams + where // size, where % size
        so_far = tuple(history.tokens[row, first : history.size].tolist())
        reason: Reason | None = None
        if token in ends:
            reason = "end"
        elif stops is not None and rank < 2 * beams and stops((*so_far, token)):
            reason = "stop"
        elif taken >= search.room:
            reason = "length"
        if reason is None:
            if len(kept) < beams:
                kept.append((row, token, score))
        elif rank < beams:
            just_ended.append((so_far if reason == "end" else (*so_far, token), reason, score))
    for text, why, score in just_ended:
        search.end(text, why, score / taken**config.length_penalty, beams=beams)
    if taken >= search.room or not kept:
        search.over = True
    elif len(search.ended) == beams:
        worst = float(search.ended[-1].score or 0.0)
        search.over = kept[0][2] / taken**config.length_penalty <= worst
    while kept and len(kept) < beams:  # fewer tokens than beams: a row that nothing is kept of
        kept.append((kept[0][0], kept[0][1], -1e9))
    return kept
