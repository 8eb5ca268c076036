"""The half that writes: a stack that looks back to the trunk's states, against a table of pieces.

    p(y_t | y_1 ... y_(t-1), x) = softmax(E s_t + b)                                 (Vaswani et al. 2017, 3.1 and 3.4)

s: the stack's states of the pieces before y_t. E: the table, which is the input's too where a text is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zaowu.config import PositionConfig, TrunkConfig
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.vocabulary import Vocabulary

PLACES = 512  # of an answer, where the trunk marks none
NEVER = -1e4  # the bias of a piece that may not be written
COPIED = ("attention", "attention_norm", "ffn", "ffn_norm")  # parts of a block that both halves have


def decoder_config(trunk: TrunkConfig, *, layers: int) -> TrunkConfig:
    """The other half of a trunk: its switches, causal, and places for what is written."""
    positions = trunk.positions
    if positions.kind == "none" or positions.max_positions == 1:
        positions = PositionConfig(max_positions=PLACES)
    return replace(trunk, causal=True, num_segments=0, num_layers=layers, positions=positions)


@dataclass(frozen=True)
class Told:
    """What the head says of answers that it is told, one piece after the other.

    states: (N, D), of the answers' N real pieces, row after row. labels: (N,) these pieces. rows: (N,) whose they are.
    num_rows: B.
    """

    head: Any
    states: Tensor
    labels: Tensor
    rows: Tensor
    num_rows: int

    def loss(self, weights: Tensor, *, smoothing: float) -> Tensor:
        """(): the sum over pieces of weight x cross-entropy. weights: (B,)."""
        own = weights[self.rows]
        head = self.head
        found: Tensor = head.output(
            self.states, head.tokens.weight, self.labels, weights=own, bias=head.bias, smoothing=smoothing
        )
        return found

    @torch.no_grad()
    def judge(self) -> Tensor:
        """(B, 3): each row's sum of minus log probabilities, its pieces, and those that were the likeliest ones."""
        head = self.head
        losses, right = head.output.judge(self.states, head.tokens.weight, self.labels, bias=head.bias)
        found = losses.new_zeros(self.num_rows, 3)
        return found.index_add_(0, self.rows, torch.stack([losses, torch.ones_like(losses), right.to(losses.dtype)], 1))


class TextHead(nn.Module):
    """States (B, S, D) and their mask -> what they say about answers, or a `Writer` of answers.

    config: of the decoder. table: the input's, held without being registered again; None: one of its own. start: the
    piece before an answer. unwritten: pieces that no answer may hold.
    """

    def __init__(
        self,
        config: TrunkConfig,
        table: TokenEmbedding | None,
        *,
        num_pieces: int,
        pad_id: int,
        start: int,
        unwritten: Sequence[int],
    ) -> None:
        super().__init__()
        self.decoder = Decoder(config)
        self.output = Vocabulary()
        self.table = TokenEmbedding(num_pieces, config.dim, pad_id=pad_id) if table is None else None
        self._shared = (table,)
        self.bias = nn.Parameter(torch.zeros(num_pieces))
        self.start, self.unwritten = start, list(unwritten)
        self.tokens.tied = True

    @property
    def tokens(self) -> TokenEmbedding:
        """The table."""
        found = self._shared[0] if self.table is None else self.table
        assert found is not None
        return found

    def forward(self, states: Tensor, mask: Tensor, answers: Tensor, *, seed: int | Tensor | None = None) -> Told:
        """answers: (B, U) pieces, the end piece behind them, negative where there are none. seed: as the trunk's."""
        real = answers >= 0
        before = F.pad(answers[:, :-1], (1, 0), value=self.start).clamp(min=0)
        places = torch.arange(answers.shape[1], device=answers.device).expand_as(answers)
        found = self.decoder(
            self.tokens(before),
            mask=real,
            positions=places,
            segments=torch.zeros_like(places),
            memory=Memory(states, mask),
            seed=seed,
        )
        where = torch.nonzero(real.flatten()).squeeze(1)
        rows = found.flatten(0, 1).index_select(0, where)
        width = max(1, answers.shape[1])
        return Told(self, rows, answers.flatten()[where].long(), where // width, len(answers))

    @torch.no_grad()
    def attention(self, states: Tensor, mask: Tensor, answers: Tensor) -> Tensor:
        """(B, U, S): how much each piece of the answers looks at each state, in the last block."""
        found: list[Tensor] = []

        def look(cross: Any, given: tuple[Any, ...], more: Any) -> None:
            found.append(cross.weights(*given[:3]))

        last: Any = self.decoder.blocks[-1]
        hook = last.cross.register_forward_pre_hook(look, with_kwargs=True)
        try:
            self(states, mask, answers)
        finally:
            hook.remove()
        return found[0]

    def writer(self) -> Writer:
        """What writes with these weights as they are now; the model must not be training."""
        bias = self.bias.detach().clone()
        bias[self.unwritten] = NEVER
        table = self.tokens.weight.detach()
        return Writer(self.decoder, table=table, output=table, bias=bias, dtype=self.output.dtype)

    @torch.no_grad()
    def begin_as(self, trunk: Encoder) -> None:
        """Starts as the trunk does, whose layers are taken evenly; what looks back to it stays as it was drawn.

        Source: Rothe, Narayan, Severyn 2020, "Leveraging Pre-trained Checkpoints", section 3.
        """
        own = self.decoder
        if own.positions is not None and trunk.positions is not None:
            own.positions.load_state_dict(trunk.positions.state_dict())
        if own.positions is not None and trunk.segments is not None:
            own.positions.weight += trunk.segments.weight[0]  # which all tokens of a text have
        own.entry_norm.load_state_dict(trunk.entry_norm.state_dict())
        own.exit_norm.load_state_dict(trunk.exit_norm.state_dict())
        last = max(1, len(own.blocks) - 1)
        for index, block in enumerate(own.blocks):
            model = trunk.blocks[round(index * (len(trunk.blocks) - 1) / last)]
            for part in COPIED:
                getattr(block, part).load_state_dict(getattr(model, part).state_dict())
