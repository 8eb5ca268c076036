"""A corpus tokenised once: memory-mapped shards with checksums, and the folder that holds them."""

from __future__ import annotations

from zaowu.batching.shards.shard import Shard

__all__ = ["Shard"]
