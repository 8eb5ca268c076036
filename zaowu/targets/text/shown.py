"""What a report shows of written texts beside their scores: examples, lengths, and what they repeat of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zaowu.inputs.text.tfidf import spaces_make_words
from zaowu.records.identity import content_ids, mixed
from zaowu.targets.text import scores
from zaowu.targets.text.memory import Memory

NUM_EXAMPLES = 10  # of each group
NUM_LENGTHS = 300
MAX_CHARACTERS = 400  # of each text that is shown


def shown(
    predicted: Sequence[str],
    truth: Sequence[str],
    sources: Sequence[str],
    *,
    rows: Sequence[int],
    training: tuple[Sequence[str], Sequence[int]],
    seed: int = 0,
) -> dict[str, Any]:
    """JSON-ready, as the report takes it. predicted, truth, sources: N texts. rows: N numbers that a person knows the
    records by. training: answers, and their rows."""
    references = scores.pooled(truth, sources)
    figures = scores.per_row(predicted, references)
    every = [text for own in references for text in own]
    memory = Memory.fit(training[0])
    picked = np.linspace(0, len(predicted) - 1, min(len(predicted), NUM_LENGTHS)).astype(np.int64)
    pairs = [scores.lengths_of(predicted[row], references[row]) for row in picked.tolist()]
    return {
        "tokenize": scores.tokenizer_of(every),
        "characters": not spaces_make_words(every),
        "examples": [
            {
                "group": group,
                "row": int(rows[place]),
                "text": sources[place][:MAX_CHARACTERS],
                "references": [text[:MAX_CHARACTERS] for text in references[place][:5]],
                "predicted": predicted[place][:MAX_CHARACTERS],
                "score": float(figures[place]),
            }
            for group, places in chosen(figures, sources, seed=seed).items()
            for place in places
        ],
        "lengths": [[given, written] for written, given in pairs],
        "memory": memory.plain(predicted, sources, rows=rows, train_rows=training[1]),
        "attention": [],
    }


def chosen(figures: np.ndarray, sources: Sequence[str], *, seed: int) -> dict[str, list[int]]:
    """Group -> places: the lowest figures, the highest, and others by chance, no source twice.

    The chance is a function of the seed and the source. Of fewer than 30 sources each group has a third.
    """
    ids = content_ids([sources])
    order = np.argsort(figures, kind="stable")
    order = order[np.sort(np.unique(ids[order], return_index=True)[1])]
    num = min(NUM_EXAMPLES, max(1, len(order) // 3))
    bad, good = order[:num], order[max(num, len(order) - num) :][::-1]
    rest = order[num : max(num, len(order) - num)]
    drawn = rest[np.argsort(mixed(ids[rest] ^ mixed(np.array([seed], np.uint64))), kind="stable")][:num]
    return {name: places.tolist() for name, places in (("bad", bad), ("good", good), ("random", drawn))}
