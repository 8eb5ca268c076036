"""The stack of blocks: token vectors in, one state for each token out.

    x_0 = dropout(norm(a vectors + P[positions] + S[segments])),  a = 1, or sqrt(D) with `entry_scale`
    x_l = Block_l(x_(l-1)),  l = 1 ... L                            (Vaswani et al. 2017, 3.1; Devlin et al. 2019)
    states = x_L, or norm(x_L) where blocks have their norm before

With `causal` a token sees itself and what comes before it, which makes this the decoder of decoder-only models
(Radford et al. 2019; Touvron et al. 2023): nothing else of it differs. `decoder/stack.py` adds the source.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zaowu.config import TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.kernels import encoder as kernel
from zaowu.trunk.transformer.block import OF_DECODER, Block
from zaowu.trunk.transformer.decoder.beginning import Beginning
from zaowu.trunk.transformer.decoder.cache import Cache
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.dropout import MAX_RATE, Coins
from zaowu.trunk.transformer.layout import Layout
from zaowu.trunk.transformer.linear import INIT_STD
from zaowu.trunk.transformer.norm import norm
from zaowu.trunk.transformer.positions import rotation, sinusoids


class Encoder(nn.Module):
    """(B, T, D) vectors -> (B, T, D) states. Raises UserError for a config whose sizes do not fit together.

    recompute: in training a block keeps only what goes into it, and its activations are made again for the gradient
    (Chen et al. 2016): memory for one block instead of all, for about a third more time. Same gradients: dropout's
    coins are a function of ids, so they fall as before.
    """

    recompute: bool = False
    _packed: kernel.Packed | None = None

    def __init__(self, config: TrunkConfig, *, cross: bool = False) -> None:
        super().__init__()
        check(config)
        self.entry_site = OF_DECODER if cross else 0
        self.config = config
        self.positions: nn.Embedding | None = None
        if config.positions.kind == "learned":
            self.positions = _table(config.positions.max_positions, config.dim)
        self.segments = _table(config.num_segments, config.dim) if config.num_segments else None
        self.entry_norm = norm(config) if config.entry_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, index=index, cross=cross) for index in range(config.num_layers))
        self.exit_norm = norm(config) if config.norm_place == "before" else nn.Identity()

    def forward(
        self,
        vectors: Tensor,
        *,
        mask: Tensor,
        positions: Tensor,
        segments: Tensor,
        documents: Tensor | None = None,
        seed: int | Tensor | None = None,
        memory: Memory | None = None,
        cache: Cache | None = None,
        beginning: Beginning | None = None,
    ) -> Tensor:
        """States of the real tokens; zeros at padding.

        vectors: (B, T, D). mask: (B, T), True = real. positions: (B, T), below `max_positions` if learned.
        segments: (B, T), below `num_segments` (with one segment they are not looked at: all tokens share it).
        documents: (B, T) or None; a token attends only within equal values.
        seed: all of dropout's chance in training: an integer that the caller changes at every step, or (B,)
        integers made from (seed, epoch, record id), which give a record the same coins in any batch. None, or
        a model in `eval` mode: no dropout.
        memory: the source, for a decoder. cache: an empty one to be filled with keys and values, for `step`.
        beginning: what was read before, and all rows go on from; their positions say so.
        """
        layout = Layout(mask, documents=documents, causal=self.config.causal)
        if not layout.num_tokens:
            return vectors.masked_fill(~mask[:, :, None], 0)
        if cache is not None:
            cache.begin(layout, source=None if memory is None else memory.layout)
        coins = self._coins(seed, layout)
        places = layout.pack(positions)
        x = self._enter(layout.pack(vectors), places, layout.pack(segments), coins)
        alone = memory is None and cache is None and beginning is None
        if alone and self._answers_at_once(x, layout):
            assert self._packed is not None
            return layout.unpack(self.exit_norm(self._packed(x, layout)))
        turn = self._turn(places)
        low = x
        for block in self.blocks:
            run = partial(block, rotation=turn, coins=coins, memory=memory, cache=cache, beginning=beginning)
            if self.recompute and torch.is_grad_enabled():
                x, low = checkpoint(run, x, low, layout, use_reentrant=False, preserve_rng_state=False)
            else:
                x, low = run(x, low, layout)
        return layout.unpack(self.exit_norm(x))

    @torch.no_grad()
    def step(self, vectors: Tensor, cache: Cache) -> Tensor:
        """One more token of each row of `cache`, which grows by it: (R, D) vectors -> (R, D) states."""
        x, turn = self.enter(vectors, cache)
        low = x
        for block in self.blocks:
            x, low = block(x, low, None, rotation=turn, cache=cache)
        cache.close()
        states: Tensor = self.exit_norm(x)
        return states

    def enter(self, vectors: Tensor, cache: Cache) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """The first part of `step`: (R, D) with their places, and the turn of queries and keys; the cache is open."""
        assert self.config.causal and not self.training
        places = cache.open()
        return self._enter(vectors, places, torch.zeros_like(places), None), self._turn(places)

    def _turn(self, places: Tensor) -> tuple[Tensor, Tensor] | None:
        """Of queries and keys, where positions are rotary."""
        positions = self.config.positions
        if positions.kind != "rotary":
            return None
        return rotation(places, head_dim=self.config.dim // self.config.attention.num_heads, base=positions.base)

    def _enter(self, x: Tensor, positions: Tensor, segments: Tensor, coins: Coins | None) -> Tensor:
        """(N, D) -> (N, D): adds place and segment, then norm and dropout."""
        if self.config.entry_scale:
            x = x * self.config.dim**0.5
        if self.positions is not None:
            x = x + self.positions(positions)
        elif self.config.positions.kind == "sinusoidal":
            base, halves = self.config.positions.base, self.config.positions.halves
            x = x + sinusoids(positions, dim=self.config.dim, base=base, halves=halves).to(x.dtype)
        if self.segments is not None:
            x = x + (self.segments.weight[0] if self.config.num_segments == 1 else self.segments(segments))
        x = self.entry_norm(x)
        if coins is not None and self.config.dropout:
            x = x * coins.for_tokens(self.entry_site, width=x.shape[1], rate=self.config.dropout, dtype=x.dtype)
        return x

    def _answers_at_once(self, x: Tensor, layout: Layout) -> bool:
        """Whether one kernel can do what all blocks do; if so, the weights are laid out for it, where they are not."""
        first: Block = self.blocks[0]  # type: ignore[assignment]
        if self.config.positions.kind == "rotary" or not kernel.fits(x, layout, first):
            return False
        if self._packed is None or not self._packed.is_fresh:
            able = all(map(kernel.computes, self.blocks))  # type: ignore[arg-type]
            self._packed = kernel.Packed(self.blocks) if able else None  # type: ignore[arg-type]
        return self._packed is not None

    def forget(self) -> None:
        """Lets the weights go that were laid out for answers."""
        self._packed = None

    def train(self, mode: bool = True) -> Encoder:
        self.forget()
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Encoder:
        self.forget()  # to another device or precision
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For copies: all but what can be made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_packed"}

    def _coins(self, seed: int | Tensor | None, layout: Layout) -> Coins | None:
        if not self.training or seed is None:
            return None
        return Coins(seed, batch=layout.batch, length=layout.length, places=layout.places)


def _table(num_rows: int, dim: int) -> nn.Embedding:
    weight = torch.empty(num_rows, dim)
    if not weight.is_meta:  # to draw for a shape alone, torch would import its compiler: two seconds for nothing
        nn.init.normal_(weight, std=INIT_STD)
    return nn.Embedding(num_rows, dim, _weight=weight)


def check(config: TrunkConfig, *, where: str = "trunk") -> None:
    """Raises UserError, naming the setting, where sizes are not positive, absurd, or do not fit together."""
    heads, groups = config.attention.num_heads, config.attention.num_groups or config.attention.num_heads
    sizes = {
        "dim": (config.dim, 65536),
        "num_layers": (config.num_layers, 512),
        "ffn_dim": (config.ffn_dim, 262144),
        "attention.num_heads": (heads, 1024),
        "attention.num_groups": (groups, 1024),
        "positions.max_positions": (config.positions.max_positions, 1_000_000),
    }
    for name, (value, most) in sizes.items():
        if not 1 <= value <= most:
            raise UserError(f"{where}, '{name}': expected 1 to {most:,}, got {value:,}.")
    if not 0 <= config.num_segments <= 65536:
        raise UserError(f"{where}, 'num_segments': expected 0 to 65,536, got {config.num_segments:,}.")
    if config.dim % heads:
        raise UserError(f"{where}, 'attention.num_heads': dim {config.dim} cannot be divided into {heads} heads.")
    if heads % groups:
        raise UserError(f"{where}, 'attention.num_groups': {heads} heads cannot be divided into {groups} groups.")
    if config.positions.kind == "sinusoidal" and config.dim % 2:
        raise UserError(f"{where}, 'dim': sinusoidal positions need an even width, got {config.dim}.")
    if config.positions.kind == "rotary" and config.dim // heads % 2:
        raise UserError(
            f"{where}, 'attention.num_heads': rotary positions need an even head width, got {config.dim // heads}."
        )
    for name, rate in (("dropout", config.dropout), ("attention.dropout", config.attention.dropout)):
        if not 0 <= rate <= MAX_RATE:
            raise UserError(f"{where}, '{name}': expected 0 to {MAX_RATE}, got {rate}.")
    if not 0 < config.norm_eps < 1:
        raise UserError(f"{where}, 'norm_eps': expected above 0 and below 1, got {config.norm_eps}.")
    if config.positions.kind in ("sinusoidal", "rotary") and not 1 < config.positions.base < 1e12:
        raise UserError(f"{where}, 'positions.base': expected above 1 and below 1e12, got {config.positions.base}.")
