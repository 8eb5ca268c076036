"""A corpus tokenised once: memory-mapped shards with checksums, and the folder that holds them."""

from __future__ import annotations

from zaowu.batching.shards.folder import (
    MANIFEST,
    Entry,
    Shards,
    begin_shards,
    leave_nothing,
    open_shards,
    remove_shards,
    writing,
)
from zaowu.batching.shards.make import build
from zaowu.batching.shards.shard import Shard

__all__ = [
    "MANIFEST",
    "Entry",
    "Shard",
    "Shards",
    "begin_shards",
    "build",
    "leave_nothing",
    "open_shards",
    "remove_shards",
    "writing",
]
