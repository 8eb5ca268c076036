"""Keys and values of what was read and written so far, so that each further token costs one token's work.

    A(q, K, V) of the newest token needs the keys and values of all before it, and nothing else of them:
    K_t = [K_(t-1); k_t],  V_t = [V_(t-1); v_t]                                        (Shazeer 2019, section 2.3)

They lie in blocks of `BLOCK` places, which are added as texts grow and never moved. Every row of the batch has a lane
of its own in each block, and a table says in which lane the key of each of its places lies: rows that share a
beginning (beams, several answers to one prompt) share its keys, and a change of places among beams moves only the
table's numbers. A lane's place is written once, by the row that owns the lane, at its own length: no other row's
beginning can be overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zaowu.config import TrunkConfig
from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.layout import FORBIDDEN, Layout, wide

BLOCK = 64  # places


class Cache:
    """Of R rows, none of which has a token yet.

    blocks: (L, 2, R, G, BLOCK, K) each; keys, then values. lengths: (R,) tokens so far. table: (R, places) int32,
    the lane of each place. own: (R,) int32, the lane that each row writes to. sources: (R,) int32, which source each
    row looks back to; memory: for each block of a decoder, keys and values of the B sources, (B, G, S, K) each, and
    their lengths (B,).
    """

    def __init__(self, config: TrunkConfig, *, num_rows: int, dtype: torch.dtype, device: torch.device) -> None:
        groups = config.attention.num_groups or config.attention.num_heads
        self._shape = (config.num_layers, 2, num_rows, groups, BLOCK, config.dim // config.attention.num_heads)
        self._dtype, self._device = dtype, device
        self.blocks: list[Tensor] = []
        self.lengths = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.own = torch.arange(num_rows, dtype=torch.int32, device=device)
        self.table = torch.empty(num_rows, 0, dtype=torch.int32, device=device)
        self.sources = torch.arange(num_rows, dtype=torch.int32, device=device)
        self.memory: list[tuple[Tensor, Tensor]] = []
        self.memory_lengths: Tensor | None = None
        self.longest = 0  # tokens of the longest row

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    @property
    def block(self) -> int:
        """Places of a block."""
        return self._shape[4]

    @property
    def num_lanes(self) -> int:
        return self._shape[2]

    def layer(self, index: int) -> Layer:
        """The part of one block of the stack."""
        return Layer(self, index)

    def begin(self, layout: Layout, *, source: Layout | None = None) -> None:
        """Before the first tokens are read: B rows of the layout, each in its lane; padding stands behind."""
        lanes = self._shape[2]
        assert not self.longest and lanes % layout.batch == 0
        self.lengths = layout.mask.sum(1)
        each = lanes // layout.batch  # lanes of a row, for the rows that it will become
        self.own = torch.arange(0, lanes, each, dtype=torch.int32, device=self._device)
        self.sources = torch.arange(layout.batch, dtype=torch.int32, device=self._device)
        self.memory_lengths = None if source is None else source.mask.sum(1)
        self.longest = layout.length
        self.table = self.own[:, None].expand(-1, 0).contiguous()
        self._grow(self.longest)

    def repeat(self, each: int) -> None:
        """Every row becomes `each` rows that share what there is so far; they were asked for as lanes."""
        if each == 1:
            return
        self.own = (self.own[:, None] + torch.arange(each, dtype=torch.int32, device=self._device)).flatten()
        for name in ("lengths", "table", "sources"):
            setattr(self, name, getattr(self, name).repeat_interleave(each, dim=0))
        assert len(self.own) <= self._shape[2]

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has, (R,); both must be of one length and of one source."""
        self.table = self.table[rows].contiguous()

    def select(self, rows: Tensor) -> None:
        """Only these rows, each at most once, stay, in this order."""
        for name in ("lengths", "table", "sources", "own"):
            setattr(self, name, getattr(self, name)[rows])
        self.longest = int(self.lengths.max()) if len(rows) else 0

    def open(self) -> Tensor:
        """Makes room for one more token of each row; (R,) their places."""
        self._grow(self.longest + 1)
        self.table[torch.arange(self.num_rows, device=self._device), self.lengths] = self.own
        return self.lengths

    def close(self) -> None:
        """All blocks of the stack have put the new tokens in."""
        self.lengths = self.lengths + 1
        self.longest += 1

    def _grow(self, places: int) -> None:
        while len(self.blocks) * BLOCK < places:
            self.blocks.append(torch.zeros(self._shape, dtype=self._dtype, device=self._device))
        more = len(self.blocks) * BLOCK - self.table.shape[1]
        if more:  # whoever reads a prompt writes it to its own lane
            self.table = torch.cat((self.table, self.own[:, None].expand(-1, more)), dim=1)


@dataclass(frozen=True)
class Layer:
    """The keys and values of one block of the stack."""

    cache: Cache
    index: int

    def fill(self, kv: Tensor, layout: Layout) -> None:
        """(N, 2 G K) keys and values of the first tokens, those of `layout`."""
        cache = self.cache
        kv = kv.view(len(kv), 2, -1, cache.blocks[0].shape[-1]).to(cache.blocks[0].dtype)  # (N, 2, G, K)
        lanes = cache.own.long()[layout.places // layout.length]
        places = layout.places % layout.length
        for number, block in enumerate(cache.blocks):
            here = torch.nonzero(places // BLOCK == number).squeeze(1)
            block[self.index].transpose(0, 1)[lanes[here], :, :, places[here] % BLOCK] = kv[here]

    def attend(self, qkv: Tensor, *, num_heads: int) -> Tensor:
        """(R, (H + 2 G) K) of one more token of each row -> (R, H K)."""
        cache = self.cache
        head_dim = cache.blocks[0].shape[-1]
        q, kv = qkv.split((num_heads * head_dim, qkv.shape[1] - num_heads * head_dim), dim=1)
        kv = kv.view(len(kv), 2, -1, head_dim)
        own = cache.own.long()
        for number in torch.unique(cache.lengths // BLOCK).tolist():
            here = torch.nonzero(cache.lengths // BLOCK == number).squeeze(1)
            lanes = cache.blocks[number][self.index].transpose(0, 1)
            lanes[own[here], :, :, cache.lengths[here] % BLOCK] = kv[here].to(lanes.dtype)
        k, v = self.all().unbind(1)  # (R, G, places, K) each
        seen = torch.arange(k.shape[2], device=k.device) <= cache.lengths[:, None]
        return _attend_one(q, k, v, seen)

    def all(self) -> Tensor:
        """(R, 2, G, places, K): what the rows have, and behind their lengths whatever stands there."""
        return torch.cat([self._of(block, number) for number, block in enumerate(self.cache.blocks)], dim=3)

    def _of(self, block: Tensor, number: int) -> Tensor:
        """(R, 2, G, BLOCK, K): what the rows have in one block."""
        lanes = self.cache.table[:, number * BLOCK : (number + 1) * BLOCK].long()  # (R, BLOCK)
        places = torch.arange(BLOCK, device=lanes.device)
        found = block[self.index].permute(1, 3, 0, 2, 4)[lanes, places]  # (R, BLOCK, 2, G, K)
        return found.permute(0, 2, 3, 1, 4)

    def keep(self, keys: Tensor, values: Tensor) -> None:
        """Those of the sources, (B, G, S, K) each."""
        assert len(self.cache.memory) == self.index
        dtype = self.cache.blocks[0].dtype
        self.cache.memory.append((keys.to(dtype).contiguous(), values.to(dtype).contiguous()))

    def look_back(self, q: Tensor, *, num_heads: int) -> Tensor:
        """(R, H K) queries of one more token of each row -> (R, H K)."""
        cache = self.cache
        k, v = (kept[cache.sources.long()] for kept in cache.memory[self.index])
        assert cache.memory_lengths is not None
        lengths = cache.memory_lengths[cache.sources.long()]
        return _attend_one(q, k, v, torch.arange(k.shape[2], device=k.device) < lengths[:, None])


def _attend_one(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """q: (R, H K). k, v: (R, G, S, K). seen: (R, S), True = attended to. Returns (R, H K), at least float32."""
    bias = torch.zeros(seen.shape, device=q.device).masked_fill_(~seen, FORBIDDEN)[:, None]
    rows = wide(q).view(len(q), -1, 1, k.shape[-1])
    return attend(rows, wide(k), wide(v), bias=bias).reshape(len(q), -1)
