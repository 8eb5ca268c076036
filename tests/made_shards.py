"""Small shards made by hand or by chance, for tests of objectives and of the feed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zaowu.batching.shards import Shard
from zaowu.objectives import Pieces

PAD, UNKNOWN, START, BETWEEN, MASK, END = range(6)
PIECES = Pieces(
    count=1000, pad=PAD, start=START, between=BETWEEN, mask=MASK, end=END,
    special=(PAD, UNKNOWN, START, BETWEEN, MASK, END),
)  # fmt: skip
ORDINARY = len(PIECES.special)


def shard_of(documents: list[list[list[int]]], *, sources: list[int] | None = None) -> Shard:
    """Documents of sentences of tokens."""
    sentences = [sentence for document in documents for sentence in document]
    tokens = [token for sentence in sentences for token in sentence]
    ends = np.cumsum([0, *(len(sentence) for sentence in sentences)])
    return Shard(
        tokens=np.array(tokens, np.uint16),
        documents=ends[np.cumsum([0, *map(len, documents)])],
        sentences=ends,
        ids=np.arange(len(documents), dtype=np.uint64) * np.uint64(7919) + np.uint64(1),
        sources=np.array(sources if sources is not None else [0] * len(documents), np.uint8),
    )


def made_shard(
    num_documents: int, *, seed: int = 0, sentences: int = 6, longest: int = 20, words: bool = False
) -> Shard:
    """Documents of 1 to about 2 `sentences` sentences of 1 to `longest` tokens, drawn from all ordinary pieces."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 2 * sentences, num_documents)
    ends = np.concatenate([[0], np.cumsum(rng.integers(1, longest + 1, counts.sum()))])
    starts_word = rng.random(ends[-1]) < 0.6
    starts_word[ends[:-1]] = True
    return Shard(
        tokens=rng.integers(ORDINARY, PIECES.count, ends[-1]).astype(np.uint16),
        documents=ends[np.concatenate([[0], np.cumsum(counts)])],
        sentences=ends,
        ids=rng.integers(0, 2**64, num_documents, dtype=np.uint64),
        sources=(np.arange(num_documents) % 2).astype(np.uint8),
        words=starts_word if words else None,
    )


@dataclass
class MadeFolder:
    """Shards in memory, as the feed sees a folder of them. opened: which were opened, in order."""

    shards: list[Shard]
    train: list[int]
    valid: list[int]
    opened: list[int] = field(default_factory=list)

    def open(self, entry: int) -> Shard:
        self.opened.append(entry)
        return self.shards[entry]

    def seen_tokens(self, entry: int, weights: tuple[float, ...] = ()) -> float:
        shard = self.shards[entry]
        each = np.diff(shard.documents)
        return float((each * np.array(weights)[shard.sources]).sum() if weights else each.sum())


def made_folder(*, num_documents: int = 120, **how: int) -> MadeFolder:
    """Three shards to train on, one held out."""
    return MadeFolder([made_shard(num_documents, seed=seed, **how) for seed in range(4)], [0, 1, 2], [3])
