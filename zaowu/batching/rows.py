"""From the documents of a shard to rows of tokens: which spans make a row, and the row itself, before padding.

A row is a few spans of a shard's tokens with special pieces around them. A `Plan` says for a whole shard and epoch
which; making the rows of one batch is then a few numpy calls over all its tokens at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zaowu.batching.order import chance
from zaowu.batching.shards import Shard
from zaowu.records.identity import mixed

STEPS = 64  # pieces that a longer one is cut into at most, one after another
ORDER, CORRUPTION, COPY = (np.uint64(salt) for salt in (0x0FDE5, 0xC0442, 0xC0B1E))  # each use its own chance


@dataclass(frozen=True)
class Plan:
    """The rows that one shard gives in one epoch.

    lengths: (R,) tokens of each, special pieces included. ids: (R,) uint64, from which every draw on a row comes.
    first: (R + 1,) place of each row's first span. starts, stops: (S,) of the spans, in the shard's tokens.
    closed: (S,) bool, whether a special piece follows the span. labels: (R,) int8, the answer that the layout itself
    gives (whether a sentence follows another), -1 where there is none.
    """

    lengths: np.ndarray
    ids: np.ndarray
    first: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    closed: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass
class Rows:
    """B rows before padding, their N tokens one after another.

    lengths: (B,), their sum is N. chances: (B,) uint64, each row's own in this epoch. labels: (B,) as in `Plan`.
    ids: (N,) int32. segments, positions, documents: (N,) int64; documents are numbered from 0 in each row.
    starts_word: (N,) bool, or None where the shard does not tell words apart.
    """

    lengths: np.ndarray
    chances: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    documents: np.ndarray
    starts_word: np.ndarray | None = None

    @property
    def row(self) -> np.ndarray:
        """(N,) the row of each token."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def place(self) -> np.ndarray:
        """(N,) the place of each token in its row."""
        return ranges(np.zeros_like(self.lengths), self.lengths)


def ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(sum of sizes,) int64: starts[0], starts[0] + 1, ... for `sizes[0]` numbers, then those of the next."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))


def draw(chances: np.ndarray, number: int, below: np.ndarray | int) -> np.ndarray:
    """(N,) int64, each from 0 to below - 1: the draw of that number from each chance. below: at most 2^31."""
    high = mixed(chances + mixed(np.array([number], np.uint64))) >> np.uint64(33)
    return ((high * np.asarray(below, np.uint64)) >> np.uint64(31)).astype(np.int64)


def documents_of(
    shard: Shard, *, seed: int, epoch: int, weights: Sequence[float] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Which documents an epoch sees, (K,) places, and (K,) uint64 ids, different for copies of one document.

    weights: of the sources, 1 where there is none. A document of weight w appears floor(w) times, and once more with
    chance w - floor(w). Empty documents do not appear.
    """
    places = np.arange(len(shard.ids))
    if weights:
        weight = np.asarray(weights, np.float64)[shard.sources]
        share = (chance(shard.ids ^ COPY, seed=seed, epoch=epoch) >> np.uint64(11)) * 2.0**-53
        places = np.repeat(places, np.floor(weight).astype(np.int64) + (share < weight % 1))
    documents = np.asarray(shard.documents)
    places = places[documents[places] < documents[places + 1]]
    copy = np.arange(len(places)) - np.searchsorted(places, places)
    ids = np.asarray(shard.ids)[places]
    return places, np.where(copy == 0, ids, mixed(ids + copy.astype(np.uint64)))


def cut_at(sentences: np.ndarray, starts: np.ndarray, stops: np.ndarray, room: np.ndarray | int) -> np.ndarray:
    """(K,) the furthest end of a sentence within `room` tokens of each start; in the midst of one longer than that."""
    furthest = np.minimum(starts + room, stops)
    ends = sentences[np.searchsorted(sentences, furthest, side="right") - 1]
    return np.where(ends > starts, ends, furthest)


def cut(shard: Shard, places: np.ndarray, *, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents as pieces of at most `room` tokens, at sentence ends where there are such.

    places: (K,) of documents that are not empty. Returns owner (which of the K), starts and stops of the pieces,
    those of a document in its order. A book is cut into long pieces first, so that all of these are cut at once.
    """
    documents, sentences = np.asarray(shard.documents), np.asarray(shard.sentences)
    owner, starts, stops = np.arange(len(places)), documents[places], documents[places + 1]
    sizes = [room]
    while len(owner) and sizes[-1] * STEPS < int((stops - starts).max()):
        sizes.append(sizes[-1] * STEPS)
    for size in reversed(sizes):
        found = [(owner[:0], starts[:0], stops[:0])]
        while len(owner):
            until = cut_at(sentences, starts, stops, size)
            found.append((owner, starts, until))
            left = until < stops
            owner, starts, stops = owner[left], until[left], stops[left]
        owner, starts, stops = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((starts, owner))
    return owner[order], starts[order], stops[order]


def pack(sizes: np.ndarray, *, room: int) -> np.ndarray:
    """(K,) sizes from the largest to the smallest -> the row of each, where a row holds at most `room`.

    Each goes where it leaves the least over (best fit decreasing: Johnson 1973). Linear in K.
    """
    stacks: list[list[int]] = [[] for _ in range(room + 1)]  # rows by the room that is left in them
    occupied, count = 0, 0  # a bit for each stack that holds a row
    rows = np.empty(len(sizes), np.int64)
    for place, size in enumerate(sizes.tolist()):
        fitting = occupied >> size
        if fitting:
            left = size + (fitting & -fitting).bit_length() - 1
            row = stacks[left].pop()
            if not stacks[left]:
                occupied ^= 1 << left
        else:
            left, row = room, count
            count += 1
        rows[place] = row
        left -= size
        if left:
            stacks[left].append(row)
            occupied |= 1 << left
    return rows


def grouped(
    rows: np.ndarray, ids: np.ndarray, starts: np.ndarray, stops: np.ndarray, extra: np.ndarray, closed: np.ndarray
) -> Plan:
    """The plan of spans whose rows are known. rows: (S,) from 0 without a gap. ids: (S,) uint64 of the spans.

    extra: (S,) special pieces that a span brings. Spans of one row keep their order.
    """
    order = np.argsort(rows, kind="stable")
    num_rows = int(rows.max()) + 1 if len(rows) else 0
    first = np.searchsorted(rows[order], np.arange(num_rows + 1))
    sizes = (stops - starts + extra)[order]
    heads = first[:-1]
    return Plan(
        lengths=np.add.reduceat(sizes, heads) if num_rows else sizes,
        ids=np.add.reduceat(mixed(ids[order]), heads) if num_rows else ids,
        first=first,
        starts=starts[order],
        stops=stops[order],
        closed=closed[order],
        labels=np.full(num_rows, -1, np.int8),
    )


def lay_out(
    shard: Shard,
    plan: Plan,
    index: np.ndarray,
    *,
    seed: int,
    epoch: int,
    opening: int | None,
    closing: int,
    apart: bool,
) -> Rows:
    """The rows of `plan` at `index`, (B,).

    opening: the piece at the start, or None. closing: the piece behind a span. apart: every span is a document of its
    own, with its own opening piece and positions; else they are the segments of one.
    """
    num_spans = plan.first[index + 1] - plan.first[index]
    span, number = ranges(plan.first[index], num_spans), ranges(np.zeros_like(num_spans), num_spans)
    starts, closed = plan.starts[span], plan.closed[span]
    sizes = plan.stops[span] - starts
    opened = np.full(len(span), opening is not None) if apart else (number == 0) & (opening is not None)
    totals = sizes + opened + closed
    ends = np.cumsum(totals)
    begins = ends - totals
    num_tokens = int(totals.sum())
    body, source = ranges(begins + opened, sizes), ranges(starts, sizes)
    ids = np.empty(num_tokens, np.int32)
    ids[body] = shard.tokens[source]
    ids[ends[closed] - 1] = closing
    if opening is not None:
        ids[begins[opened]] = opening
    starts_word = None
    if shard.words is not None:
        starts_word = np.ones(num_tokens, bool)
        starts_word[body] = shard.words[source]
    numbers = np.repeat(number, totals)
    lengths = plan.lengths[index]
    place = ranges(np.zeros_like(lengths), lengths)
    return Rows(
        lengths=lengths,
        chances=chance(plan.ids[index], seed=seed, epoch=epoch),
        labels=plan.labels[index],
        ids=ids,
        segments=np.zeros_like(numbers) if apart else numbers,
        positions=ranges(np.zeros_like(totals), totals) if apart else place,
        documents=numbers if apart else np.zeros_like(numbers),
        starts_word=starts_word,
    )
