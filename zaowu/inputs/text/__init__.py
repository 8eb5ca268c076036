"""Text: one or several columns of words -> token ids -> token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs import Feature, Item, Shown
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.tfidf import BaselineFeatures
from zaowu.inputs.text.windows import OTHERS, laid_out

if TYPE_CHECKING:
    import polars as pl

    from zaowu.inputs.text.embedder import TokenEmbedding

__all__ = ["BaselineFeatures", "Input", "Lengths", "codec_of", "guess"]

KIND = "text"
LENGTH_BINS = 12
LONG = ("window", "truncate", "end")
BEHIND = "end"  # what is kept of a text that an answer stands behind
SPARE = 4  # pieces of room beside half as many again as the longest answer has
LEAST_PIECES = 261  # of bytes: all of them, and five special ones
CHARACTERS_A_PIECE = 40  # of text that a piece is worth: of little text long pieces would be learned by heart
MAX_TRAIN_WINDOWS = 8  # of one very long record in one epoch
MAX_WINDOWS = 64  # of one record in prediction: some 30,000 tokens, evenly spread over the text


def guess(values: pl.Series) -> str | None:
    """Text is strings that mostly differ and are more than a code: spaces, or several Chinese characters."""
    import polars as pl

    if values.dtype != pl.String:
        return None
    sample = values.drop_nulls().head(2000)
    sample = sample.filter(sample.str.strip_chars() != "")
    if sample.is_empty():
        return None
    letters = sample.str.count_matches(r"\p{L}")
    han = sample.str.count_matches(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
    words = sample.str.count_matches(r"\S+")
    wordy = float(((words >= 2) & (letters >= 2) | (han >= 2)).mean() or 0)  # type: ignore[arg-type]
    different = sample.n_unique() / len(sample)
    if wordy < 0.5 or (different < 0.1 and sample.n_unique() < 50):
        return None
    mean = float(sample.str.len_chars().mean() or 0)  # type: ignore[arg-type]
    return f"words, {mean:.0f} characters on average, {different:.0%} different"


@dataclass(frozen=True)
class Lengths:
    """How long the training texts are, in tokens, and what became of those over the limit.

    edges (n + 1), counts (n): histogram of tokens a record. over: records beyond `limit`. unknown_share: of pieces.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    median: int
    longest: int
    limit: int
    over: int
    long: str
    unknown_share: float


def codec_of(texts: Sequence[str], num_pieces: int) -> Codec:
    """Pieces of bytes, with which every text can be read and written: at most `num_pieces`, fewer of little text.

    Raises UserError for fewer than the bytes and the special pieces.
    """
    from zaowu.inputs.text.learn_pieces import learn

    if num_pieces < LEAST_PIECES:
        raise UserError(
            f"--set num_pieces: expected at least {LEAST_PIECES} where texts are written, got {num_pieces}."
        )
    enough = max(LEAST_PIECES, sum(map(len, texts)) // CHARACTERS_A_PIECE)
    return learn(texts, kind="bpe", num_pieces=min(num_pieces, enough), written=True)


class Input:
    """The text columns of a record as one row of tokens; one codec and one embedding for all of them.

    searched: the column that answers are places in, or "". It stands last, in windows that overlap, and the others
    stand before each of them.
    """

    kind = KIND
    numbered = True

    def __init__(
        self,
        columns: Sequence[str],
        codec: Codec,
        *,
        max_tokens: int = 512,
        long: str = "window",
        searched: str = "",
    ) -> None:
        self.columns, self.codec = tuple(columns), codec
        self.max_tokens, self.long, self.searched = max_tokens, long, searched
        self.before, self.after = codec.frame()

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str]],
        *,
        base: Path | None,
        trim: Literal["auto", "off"] = "auto",
        max_tokens: int = 512,
        long: Literal["window", "truncate"] = "window",
        behind: bool = False,
        num_pieces: int = 8000,
        searched: str = "",
        written: Sequence[str] = (),
    ) -> tuple[Input, np.ndarray | None]:
        """Learns the pieces from training values, one sequence per column.

        base: a folder with tokenizer files, or None to learn `num_pieces` pieces from the texts alone. written: answers
        that are texts, which are written with the same pieces. behind: they will stand behind the text in its row,
        which leaves them room and keeps the text's end where it is too long.
        Returns the input, and which rows of the base's token table it keeps (None = all, in order).
        """
        texts = [text for column in values for text in column] + list(written)
        kept = None
        if base is None:
            codec = codec_of(texts, num_pieces) if written else Codec.train(texts, num_pieces=num_pieces)
        else:
            codec = Codec.from_folder(base)
            if trim == "auto" and not behind:
                codec, kept = codec.trimmed(texts, tight=bool(written))
        if behind:
            longest = max(map(len, codec.bare(written))) + 1
            max_tokens -= min(longest + longest // 2 + SPARE, max_tokens // 2)
        return cls(columns, codec, max_tokens=max_tokens, long=BEHIND if behind else long, searched=searched), kept

    @property
    def specs(self) -> dict[str, Feature]:
        return {"ids": Feature(np.int32, pad=self.codec.pad_id)}

    def features(self, *values: Sequence[str], training: bool = False, whole: bool = False) -> list[Item]:
        """One item per record, or one per window of a record that is longer than `max_tokens`.

        values: one sequence per column, in the order of `columns`. A record has at most
        `MAX_WINDOWS` of them, `MAX_TRAIN_WINDOWS` in training, evenly spread over its text. whole: only its first, and
        none of a record without any text.
        """
        items: list[Item] = []
        most = MAX_TRAIN_WINDOWS if training else MAX_WINDOWS
        if self.searched:
            return self._searched(values, most=1 if whole else most)
        for record, ids in enumerate(self.codec.encode(*values)):
            windows = self.windows(ids)
            if whole:
                windows = windows[: any(column[record].strip() for column in values)]
            if len(windows) > most:
                chosen = np.linspace(0, len(windows) - 1, most).round().astype(int)
                windows = [windows[i] for i in chosen]
            items.extend(Item({"ids": window}, record, 1 / len(windows)) for window in windows)
        return items

    def _searched(self, values: Sequence[Sequence[str]], *, most: int) -> list[Item]:
        """Items that know which characters of the searched column their tokens stand for."""
        by_name = dict(zip(self.columns, values, strict=True))
        texts = by_name.pop(self.searched)
        between = self.codec.between() if by_name else np.empty(0, np.int32)
        beside = zip(*(self.codec.located(own) for own in by_name.values()), strict=True)
        room = (self.max_tokens - len(self.before) - len(self.after)) // OTHERS // max(1, len(by_name))
        items: list[Item] = []
        for record, (text, (ids, places)) in enumerate(zip(texts, self.codec.located(texts), strict=True)):
            others = [np.r_[own[:room], between] for own, _ in next(beside, ())]
            rows = laid_out(
                self.before,
                np.concatenate([np.empty(0, np.int32), *others]),
                self.after,
                ids,
                places,
                max_tokens=self.max_tokens,
                most=1 if self.long == "truncate" else most,
            )
            items.extend(Item({"ids": row}, record, 1 / len(rows), text, own) for row, own in rows)
        return items

    def windows(self, ids: np.ndarray) -> list[np.ndarray]:
        """`ids` (T,) as pieces of at most `max_tokens`, each with its own special pieces; nothing is dropped."""
        if self.long == BEHIND:  # whatever ends a text would end it before the answer
            bare = ids[len(self.before) : len(ids) - len(self.after)]
            row = np.r_[self.before, bare[-(self.max_tokens - len(self.before)) :]].astype(np.int32)
            return [row if len(row) else np.array([self.codec.pad_id], np.int32)]
        if len(ids) <= self.max_tokens:
            return [ids]
        bare = ids[len(self.before) : len(ids) - len(self.after)]
        room = self.max_tokens - len(self.before) - len(self.after)
        starts = range(0, len(bare), room) if self.long == "window" else (0,)
        return [np.concatenate([self.before, bare[i : i + room], self.after]) for i in starts]

    def lengths(self, items: Sequence[Item], num_records: int) -> Lengths:
        """What the report says about the lengths of `items`, made of `num_records` records."""
        sizes = np.zeros(num_records, np.int64)
        np.add.at(sizes, [item.record for item in items], [item.length for item in items])
        windows = np.bincount([item.record for item in items], minlength=num_records)
        beyond = windows > 1 if self.long == "window" else sizes >= self.max_tokens
        edges = np.unique(np.linspace(0, max(1, sizes.max()), LENGTH_BINS + 1).round().astype(int))
        unknown = sum(int((item.features["ids"] == self.codec.unknown_id).sum()) for item in items)
        return Lengths(
            edges=tuple(edges.tolist()),
            counts=tuple(np.histogram(sizes, edges)[0].tolist()),
            median=int(np.median(sizes)),
            longest=int(sizes.max()),
            limit=self.max_tokens,
            over=int(beyond.sum()),
            long=self.long,
            unknown_share=unknown / max(1, int(sizes.sum())),
        )

    def unknown_shares(self, items: Sequence[Item], num_records: int) -> np.ndarray:
        """(N,) share of each record's pieces that the vocabulary does not know."""
        unknown, total = np.zeros(num_records), np.zeros(num_records)
        for item in items:
            ids = item.features["ids"]
            unknown[item.record] += (ids == self.codec.unknown_id).sum()
            total[item.record] += len(ids) - self.codec.num_special
        return unknown / np.maximum(total, 1)

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """A text is learned from as it is."""
        return features

    def shown(self, *values: str) -> Shown:
        order = sorted(range(len(values)), key=lambda place: self.columns[place] == self.searched)
        return Shown(" | ".join(values[place] for place in order))  # the question before its context

    def embedder(self, dim: int) -> TokenEmbedding:
        from zaowu.inputs.text.embedder import TokenEmbedding

        return TokenEmbedding(self.codec.num_pieces, dim, pad_id=self.codec.pad_id)

    def state(self) -> dict[str, Any]:
        state = {"columns": list(self.columns), "max_tokens": self.max_tokens, "long": self.long}
        return {**state, "searched": self.searched}

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes; its tokenizer files lie in `folder`. Raises UserError if hostile."""
        if not isinstance(state, dict):
            raise UserError(f"{where}: expected an object, got {type(state).__name__}.")
        columns, max_tokens, long = (state.get(key) for key in ("columns", "max_tokens", "long"))
        if not (isinstance(columns, list) and columns and all(isinstance(name, str) for name in columns)):
            raise UserError(f"{where}: expected a list of column names, got {shorten(repr(columns))}.")
        if type(max_tokens) is not int or not 8 <= max_tokens <= 1_000_000 or long not in LONG:
            raise UserError(f"{where}: expected max_tokens and long, got {shorten([max_tokens, long])}.")
        searched = state.get("searched", "")
        if searched != "" and searched not in columns:
            raise UserError(f"{where}, 'searched': expected one of {shorten(columns)}, got {shorten(searched)}.")
        found = cls(columns, Codec.from_folder(folder), max_tokens=max_tokens, long=long, searched=searched)
        if len(found.before) + len(found.after) >= max_tokens:
            raise UserError(f"{where}: the special pieces leave no room for a text in {max_tokens} tokens.")
        return found
