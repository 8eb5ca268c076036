"""Documents of text -> tokens with the places of sentences and words, some hundred documents at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zaowu.batching.shards.sentences import chinese_words, sentence_starts, word_starts
from zaowu.batching.shards.shard import Shard
from zaowu.inputs.text.codec import Codec
from zaowu.progress import note
from zaowu.records.corpus import Document

SCAN = 200_000  # tokens looked through for the sentences of one paragraph, above which all offsets are fetched at once


class Encoder:
    """Documents to shards with one codec; what stands in a text like a special piece is text and becomes none.

    Where the tokenizer has a piece for a line's end, one stands between the paragraphs of a document.
    """

    def __init__(self, codec: Codec, *, words: bool = False) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(codec.tokenizer.to_str())
        self.tokenizer.encode_special_tokens = True
        self.dtype: Any = np.uint16 if codec.num_pieces <= 1 << 16 else np.uint32
        self.with_words = words
        if words and chinese_words() is None:
            note("--whole-word: each Chinese character is a word without jieba (pip install 'zaowu[corpus]').")
        probe = self.tokenizer.decode(self.tokenizer.encode("a\nb", add_special_tokens=False).ids)
        self.between = "\n" if "\n" in probe else ""

    def encodings(self, documents: Sequence[Document]) -> list[Any]:
        """What the library makes of all paragraphs, on all cores."""
        texts = [text for document in documents for text in self._texts(document)]
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def _texts(self, document: Document) -> list[str]:
        *others, last = document.paragraphs
        return [*(f"{paragraph}{self.between}" for paragraph in others), last]

    def shard(self, documents: Sequence[Document], encodings: Sequence[Any]) -> Shard | None:
        """The documents that have a token, as one shard; None where none has."""
        tokens: list[np.ndarray] = []
        sentences, starts, ids, sources, words = [], [0], [], [], []
        total, own = 0, iter(encodings)
        for document in documents:
            begin = total
            for text in self._texts(document):
                encoding = next(own)
                piece_ids = encoding.ids
                if not piece_ids:
                    continue
                places = _sentence_tokens(encoding, text, len(piece_ids))
                tokens.append(np.asarray(piece_ids, self.dtype))
                sentences.append(places + total)
                if self.with_words:
                    words.append(_word_tokens(encoding, text, places))
                total += len(piece_ids)
            if total > begin:
                starts.append(total)
                ids.append(document.id)
                sources.append(document.source)
        if not ids:
            return None
        return Shard(
            tokens=np.concatenate(tokens),
            documents=np.asarray(starts, np.int64),
            sentences=np.concatenate([*sentences, [total]]).astype(np.int64),
            ids=np.asarray(ids, np.uint64),
            sources=np.asarray(sources, np.uint8),
            words=np.concatenate(words) if words else None,
        )


def _sentence_tokens(encoding: Any, text: str, num_tokens: int) -> np.ndarray:
    """(S,) int64, the first token of every sentence, rising from 0."""
    characters = sentence_starts(text)
    if not characters:
        return np.zeros(1, np.int64)
    if num_tokens * len(characters) > SCAN:
        ends = np.asarray(encoding.offsets, np.int64)[:, 1]
        places = np.searchsorted(ends, characters, side="right").tolist()
    else:
        places = [_token(encoding, place, len(text)) for place in characters]
    found = np.unique([0, *(place for place in places if place is not None and place < num_tokens)])
    return found.astype(np.int64)


def _token(encoding: Any, character: int, length: int) -> int | None:
    """The token at a character; the next one where the tokenizer leaves that character out."""
    for place in range(character, min(character + 8, length)):
        if (token := encoding.char_to_token(place)) is not None:
            return int(token)
    return None


def _word_tokens(encoding: Any, text: str, sentences: np.ndarray) -> np.ndarray:
    """(T,) bool, True at the first token of each word, and of each sentence."""
    starts = np.concatenate([[0], np.cumsum(word_starts(text, chinese_words()))])
    offsets = np.asarray(encoding.offsets, np.int64)
    found = starts[offsets[:, 1]] > starts[offsets[:, 0]]
    found[1:] &= (offsets[1:] != offsets[:-1]).any(axis=1)  # the bytes of one character are several tokens
    found[sentences] = True
    return found
