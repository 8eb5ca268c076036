"""A corpus tokenised once: memory-mapped shards with checksums, and the folder that holds them."""

from __future__ import annotations

from zaowu.batching.shards.folder import MANIFEST, Entry, Shards, open_shards, remove_shards
from zaowu.batching.shards.make import build
from zaowu.batching.shards.shard import Shard

__all__ = ["MANIFEST", "Entry", "Shard", "Shards", "build", "open_shards", "remove_shards"]
