"""A text that a causal model writes behind what it reads: prompt and answer are one row of tokens.

    p(y_t | x, y_1 ... y_(t-1)) = softmax(E s_t)                                          (Radford et al. 2018, 3.2)

s: the trunk's states. Loss is taken on the answer alone. There is no other half: this head is the output layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.targets.text.head import NEVER, Told
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.linear import INIT_STD
from zaowu.trunk.vocabulary import Vocabulary


class BehindHead(nn.Module):
    """(B, T, D) states of prompts with their answers behind them -> what they say about the answers.

    table: the input's. tied: it is the output layer's too; else that has a `weight` of its own. unwritten: pieces that
    no answer may hold. stays: it is part of what adapters stand beside.
    """

    stays = True

    def __init__(self, table: TokenEmbedding, *, tied: bool, unwritten: Sequence[int]) -> None:
        super().__init__()
        self.output = Vocabulary()
        self._shared, self.unwritten = (table,), list(unwritten)
        self.weight = None if tied else nn.Parameter(torch.empty_like(table.weight))
        table.tied = tied
        self.bias = None

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with deviation 0.02, as the other matrices."""
        if self.weight is not None:
            with torch.no_grad():
                self.weight.normal_(0.0, INIT_STD, generator=generator)

    @property
    def tokens(self) -> BehindHead | TokenEmbedding:
        """What holds the output layer's `weight`."""
        return self._shared[0] if self.weight is None else self

    def forward(self, states: Tensor, mask: Tensor, answers: Tensor, *, seed: int | Tensor | None = None) -> Told:
        """answers: (B, T), the piece behind each place, negative where none is asked for (`placed`)."""
        places = torch.nonzero(answers.flatten() >= 0).squeeze(1)
        rows = states.flatten(0, 1).index_select(0, places)
        return Told(self, rows, answers.flatten()[places].long(), places // answers.shape[1], len(answers))

    def writer(self, trunk: Encoder) -> Writer:
        """What writes with these weights as they are now; the model must not be training."""
        table, output = self._shared[0].weight.detach(), self.tokens.weight.detach()  # type: ignore[union-attr]
        bias = output.new_zeros(len(output))
        bias[self.unwritten] = NEVER
        return Writer(trunk, table=table, output=output, bias=bias, dtype=self.output.dtype)


def placed(prompt: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (U,) -> the tokens to be read, (P + U - 1,), and the piece behind each of them, -1 in the prompt.

    Of a record without an answer, (0,), the prompt alone. The last piece is told, never read.
    """
    if not len(answer):
        return prompt, np.full(len(prompt), -1, np.int64)
    told = np.full(len(prompt) + len(answer) - 1, -1, np.int64)
    told[len(prompt) - 1 :] = answer
    return np.concatenate([prompt, answer[:-1]]), told


def joined(
    rows: Sequence[Mapping[str, Mapping[str, np.ndarray]]], answers: Sequence[np.ndarray]
) -> tuple[list[dict[str, dict[str, np.ndarray]]], list[np.ndarray]]:
    """The features of B prompts and their answers, (U,) each -> the same with the answers behind them; `placed`."""
    found = [placed(row["text"]["ids"], answer) for row, answer in zip(rows, answers, strict=True)]
    return [{"text": {"ids": ids.astype(np.int32)}} for ids, _ in found], [told for _, told in found]
