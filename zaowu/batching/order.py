"""Which records make a batch, and in which order: functions of (seed, epoch, record id), never of a generator."""

from __future__ import annotations

import numpy as np

from zaowu.records.identity import mixed

BUCKET = 50  # batches that are sorted by length together: enough to waste little, few enough to stay random

STEPS = 4  # of lengths between one and twice as long that are told apart where answers have lengths too


def chance(ids: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """(N,) uint64 that look random and depend on nothing but the id, the seed and the epoch."""
    salts = mixed(np.array([seed, epoch], np.uint64))
    return mixed(mixed(ids ^ salts[0]) ^ salts[1])


def train_batches(
    lengths: np.ndarray, ids: np.ndarray, *, batch_size: int, seed: int, epoch: int, beside: np.ndarray | None = None
) -> list[np.ndarray]:
    """Batches of similar length in random order, each an index array of at most `batch_size` items.

    Every item appears exactly once. lengths, ids: (N,). beside: (N,) lengths of the answers, where they have such: of
    items about as long as one another, those with answers of similar length stand together.
    """
    about = lengths if beside is None else np.round(np.log2(np.maximum(lengths, 1)) * STEPS).astype(np.int64)
    order = np.argsort(chance(ids, seed=seed, epoch=epoch), kind="stable")
    batches = []
    for start in range(0, len(order), BUCKET * batch_size):
        bucket = order[start : start + BUCKET * batch_size]
        keys = (lengths[bucket],) if beside is None else (lengths[bucket], beside[bucket], about[bucket])
        bucket = bucket[np.lexsort(keys)]
        batches += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    places = chance(np.arange(len(batches), dtype=np.uint64), seed=seed, epoch=~epoch % 2**32)
    return [batches[i] for i in np.argsort(places, kind="stable")]


def predict_batches(lengths: np.ndarray, *, max_tokens: int = 4096, max_items: int = 64) -> list[np.ndarray]:
    """Batches for prediction: sorted by length, padded size at most `max_tokens` (a single longer item goes alone)."""
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        full = end - start == max_items
        if end == len(order) or full or (end - start + 1) * lengths[order[end]] > max_tokens:
            batches.append(order[start:end])
            start = end
    return batches
