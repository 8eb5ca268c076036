"""What the tokeniser hands to the objectives: the tokens of whole documents and where things begin in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shard:
    """Tokens of whole documents, memory-mapped. No special pieces are in them.

    tokens: (N,) uint16 or uint32. documents: (D + 1,) int64, first token of each document, N at the end.
    sentences: (S + 1,) int64, first token of each sentence, N at the end; the start of every document is among them.
    ids: (D,) uint64, hash of each document's content. sources: (D,) uint8, place of its source in the list of sources.
    words: (N,) bool, True where a word starts (a Chinese word is several characters), or None where nobody asked for
    it. Any array may be an np.memmap or a plain one.
    """

    tokens: np.ndarray
    documents: np.ndarray
    sentences: np.ndarray
    ids: np.ndarray
    sources: np.ndarray
    words: np.ndarray | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def num_documents(self) -> int:
        return len(self.ids)
