"""Labelled examples -> the tokens that a causal model reads before each question.

    text: 国安昨晚主场取胜
    label: 体育

    text: 新款手机今天发布
    label: 科技

    text: 姚明宣布退役
    label:

Names of columns are the words of the prompt. Of every class there are as many examples as of any other, drawn by
chance, and as many as the context of the model has room for (Brown et al. 2020, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.batching.order import chance
from zaowu.errors import UserError
from zaowu.inputs.text.codec import Codec

BETWEEN = "\n\n"  # two examples
ORDER = 1  # the epoch of the chance that puts examples one behind another; 0: of the one that draws them
FREE = ("N/A", "", "[MASK]")  # inputs that say nothing (Zhao et al. 2021, section 5)


@dataclass(frozen=True)
class Shots:
    """Labelled examples. texts: N tuples of one text for each of `columns`. ids: (N,) of all chance."""

    texts: list[tuple[str, ...]]
    labels: list[str]
    ids: np.ndarray
    columns: tuple[str, ...]
    target: str
    schema: Any
    skipped: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """In Unicode order."""
        return tuple(sorted(set(self.labels)))


@dataclass(frozen=True)
class Prompt:
    """What stands before every question. rows: places of the shown examples in `Shots`, in their order.

    room: most tokens of a question. cut: examples whose texts were cut to fit.
    """

    tokens: list[int]
    rows: np.ndarray
    room: int
    cut: int


class Words:
    """The pieces of examples, questions and labels. Each is told as it would be behind what it stands behind."""

    def __init__(self, codec: Codec, columns: Sequence[str], target: str) -> None:
        self.codec, self.columns, self.target = codec, tuple(columns), target
        self.first = codec.frame()[0].tolist()  # pieces that begin every text
        self.last = self._behind("a", f"\n{target}:")
        self.between = self._behind("a", f"{BETWEEN}{columns[0]}:")[0]  # what ends a label

    def question(self, texts: Sequence[str], *, room: int | None = None) -> list[int]:
        """One text for each column -> tokens up to where the label is to stand; `room` at most, the text's end cut."""
        fields = "\n".join(f"{name}: {text}" for name, text in zip(self.columns, texts, strict=True))
        whole = self._behind("a", f"{BETWEEN}{fields}\n{self.target}:")
        if room is None or len(whole) <= room:
            return whole
        return whole[: room - len(self.last)] + self.last

    def label(self, label: str) -> list[int]:
        return self._behind(f"{self.target}:", f" {label}")

    def _behind(self, before: str, text: str) -> list[int]:
        """The tokens of `text` where it stands behind `before`."""
        head, whole = (
            self.codec.tokenizer.encode(words, add_special_tokens=False).ids for words in (before, before + text)
        )
        if whole[: len(head)] == head and len(whole) > len(head):
            return list(whole[len(head) :])
        return list(self.codec.tokenizer.encode(text, add_special_tokens=False).ids)


def build(
    shots: Shots,
    words: Words,
    labels: Mapping[str, list[int]],
    *,
    context: int,
    longest: int,
    num_shots: int | None,
    seed: int,
) -> Prompt:
    """The prompt of one draw. labels: class -> its tokens. longest: tokens of the longest question.

    Questions get half of the context at most. Raises UserError where not even one example of each class fits.
    """
    classes, most = shots.classes, max(len(told) for told in labels.values())
    free = context - most - len(words.first)
    room = min(longest, free // 2)
    share = (free - room) // len(classes)  # tokens of one example that every class can have
    least = most + len(words.last) + 8  # of a text
    if num_shots is not None and num_shots < len(classes):
        raise UserError(
            f"--num-shots {num_shots}: expected one example for each of the {len(classes)} classes or more."
        )
    if share < least or room < len(words.last) + 8:
        raise UserError(
            f"--shots: {len(classes)} classes need {len(classes)} examples, which do not fit into the {context:,} "
            "tokens that this model reads. Use fewer classes, or a model with a longer context."
        )
    drawn = np.argsort(chance(shots.ids, seed=seed, epoch=0), kind="stable")
    queues: dict[str, list[tuple[int, list[int]]]] = {name: [] for name in classes}
    cut: dict[str, tuple[int, list[int]]] = {}  # for a class of long texts alone
    for row in drawn.tolist():
        name = shots.labels[row]
        block = words.question(shots.texts[row]) + labels[name]
        if len(block) <= share:
            queues[name].append((row, block))
        elif name not in cut:
            cut[name] = row, words.question(shots.texts[row], room=share - len(labels[name])) + labels[name]
    num_cut = sum(not queue for queue in queues.values())
    for name, queue in queues.items():
        if not queue:
            queue.append(cut[name])
    shown: list[tuple[int, list[int]]] = []
    left = free - room
    for number in range(min(len(queue) for queue in queues.values())):
        more = [queue[number] for queue in queues.values()]
        size = sum(len(block) for _, block in more)
        if size > left or (num_shots is not None and len(shown) + len(more) > num_shots):
            break
        shown, left = shown + more, left - size
    rows = np.array([row for row, _ in shown])
    order = np.argsort(chance(shots.ids[rows], seed=seed, epoch=ORDER), kind="stable")
    tokens = [token for place in order for token in shown[place][1]]
    return Prompt(words.first + tokens, rows[order], room, num_cut)
