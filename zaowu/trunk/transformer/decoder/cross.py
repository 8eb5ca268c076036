"""Cross attention: the queries are the target's, keys and values the source's.

    head_h = Attention(x W_h^query, m W_h^key, m W_h^value)                    (Vaswani et al. 2017, 3.2.3)

x: states of the decoder. m: the encoder's last states, the same ones for every block of the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zaowu.trunk.transformer.attend import attend
from zaowu.trunk.transformer.attention import Heads
from zaowu.trunk.transformer.decoder.cache import Layer
from zaowu.trunk.transformer.dropout import Coins
from zaowu.trunk.transformer.layout import FORBIDDEN, Layout
from zaowu.trunk.transformer.linear import side_by_side


class Memory:
    """What a decoder looks back to.

    states: (B, S, D), the encoder's last ones. mask: (B, S), True = real. documents: (B, S) or None; a token of the
    target attends only to those of its own document.
    """

    def __init__(self, states: Tensor, mask: Tensor, *, documents: Tensor | None = None) -> None:
        self.layout = Layout(mask, documents=documents)
        self.rows = self.layout.pack(states)  # (M, D)
        self._bias: tuple[Layout, Tensor | None] | None = None

    def bias(self, layout: Layout) -> Tensor | None:
        """(B, 1 or T, S) to add to the scores of the tokens of `layout`, or None where every key is allowed."""
        if self._bias is None or self._bias[0] is not layout:
            self._bias = layout, self._made(layout)
        return self._bias[1]

    def _made(self, layout: Layout) -> Tensor | None:
        own = self.layout
        if own.full and (own.documents is None or layout.documents is None):
            return None
        allowed = own.mask[:, None, :]
        if own.documents is not None and layout.documents is not None:
            allowed = allowed & (layout.documents[:, :, None] == own.documents[:, None, :])  # (B, T, S)
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, FORBIDDEN)


class CrossAttention(Heads):
    """(N, D) -> (N, D): every token looks at all tokens of its source."""

    @torch.no_grad()
    def weights(self, x: Tensor, layout: Layout, memory: Memory) -> Tensor:
        """(N, D) -> (B, T, S): how much each token looks at each of its source, the mean over heads; for a person."""
        (q,) = layout.to_heads(self.query(x), (self.num_heads,))  # (B, H, T, K)
        (k,) = memory.layout.to_heads(self.key(memory.rows), (self.num_groups,))  # (B, G, S, K)
        k = k.repeat_interleave(self.num_heads // self.num_groups, dim=1)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        bias = memory.bias(layout)
        return (scores if bias is None else scores + bias[:, None]).softmax(-1).mean(1)

    def forward(
        self,
        x: Tensor,
        layout: Layout | None,
        memory: Memory | None,
        *,
        coins: Coins | None,
        site: int,
        stay_low: bool = False,
        cache: Layer | None = None,
    ) -> Tensor:
        """cache: keys and values of the source are kept there; without a layout, they are read there."""
        q = self.query(x, stay_low=True)  # (N, H K)
        if layout is None:
            assert cache is not None
            return self.output(cache.look_back(q, num_heads=self.num_heads), stay_low=stay_low)
        assert memory is not None, "a decoder needs a source"
        kv = side_by_side(memory.rows, (self.key, self.value), stay_low=True)  # (M, 2 G K)
        k, v = memory.layout.to_heads(kv, (self.num_groups, self.num_groups))  # (B, G, S, K) each
        if cache is not None:
            cache.keep(k, v)
        (q,) = layout.to_heads(q, (self.num_heads,))  # (B, H, T, K)
        toss = None
        if coins is not None and self.dropout:
            counts = {"num_heads": self.num_heads, "num_groups": self.num_groups}
            width = memory.layout.length
            toss = coins.for_weights(site, **counts, rate=self.dropout, dtype=q.dtype, width=width)
        seen = attend(q, k, v, bias=memory.bias(layout), toss=toss)
        return self.output(layout.from_heads(seen.to(self.output.dtype or seen.dtype)), stay_low=stay_low)
