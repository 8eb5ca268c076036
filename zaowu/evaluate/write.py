"""Answers that a model writes piece by piece: the likeliest each time, or the best of several beams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zaowu.batching.batch import collate, padded_answers
from zaowu.decode.search import beam_search, one_by_one
from zaowu.decode.tell import BROKEN
from zaowu.inputs import Inputs
from zaowu.model import Model
from zaowu.targets.text.behind import placed
from zaowu.trunk.kernels.write import ROWS
from zaowu.trunk.transformer.decoder.cross import Memory
from zaowu.trunk.transformer.decoder.writer import Writer
from zaowu.trunk.transformer.encoder import Encoder

NUM_KEPT = 5  # texts of a record, of more beams
MOST_SHOWN = 60  # pieces of a text

Rows = list[tuple[tuple[int, ...], bool]]  # pieces, and whether an end piece ended them


class Pen:
    """Writes with one head of a model. target, head: as `Model.writers` gives them; the model must not be training."""

    def __init__(self, target: Any, head: Any, writer: Writer | None = None) -> None:
        self.target, self.head = target, head
        self.writer: Writer = head.writer() if writer is None else writer
        _, self.end = target.pieces.end_pieces()
        self.config = replace(target.write, max_tokens=target.room)

    @torch.no_grad()
    def __call__(self, states: Tensor, mask: Tensor, sources: Sequence[str]) -> list[list[Any]]:
        """For each row of (B, S, D) states its texts, the best first. sources: B, see `Written.source`."""
        step, found = max(1, ROWS // self.config.beams), []
        for start in range(0, len(states), step):
            part = slice(start, start + step)
            width = int(mask[part].any(0).nonzero().max()) + 1 if bool(mask[part].any()) else 1
            found += self._written(states[part, :width], mask[part, :width], sources[part])
        return found

    def _written(self, states: Tensor, mask: Tensor, sources: Sequence[str]) -> list[list[Any]]:
        texts = self._search(states, mask)
        owners = torch.tensor([row for row, own in enumerate(texts) for _ in own], device=states.device)
        every = [one for own in texts for one in own]
        told = [np.array([*pieces, self.end] if ended else pieces, np.int32) for pieces, ended in every]
        scores = self._scores(states[owners], mask[owners], told)
        rows = iter(zip(every, scores, strict=True))
        return [
            [
                self.target.piece(self._text(pieces), score, len(pieces) + ended, not ended, source)
                for (pieces, ended), score in (next(rows) for _ in own)
            ]
            for own, source in zip(texts, sources, strict=True)
        ]

    def _begun(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Any, list[list[int]], list[int]]:
        """Logits and state behind the beginnings, what these are, and how many pieces each text may have."""
        num, start = len(states), self.head.start
        ids = torch.full((num, 1), start, device=states.device)
        real, memory = torch.ones_like(ids, dtype=torch.bool), Memory(states, mask)
        logits, state = self.writer.begin(ids, real, each=self.config.beams, memory=memory)
        return logits, state, [[start]] * num, [self.config.max_tokens] * num

    def _search(self, states: Tensor, mask: Tensor) -> list[Rows]:
        logits, state, beginnings, rooms = self._begun(states, mask)
        num = len(beginnings)
        how: dict[str, Any] = {"beginnings": beginnings, "rooms": rooms, "ends": (self.end,), "config": self.config}
        if self.config.beams > 1:
            best = beam_search(self.writer.step, state, logits, **how)
            return [[(one.tokens, one.reason == "end") for one in own[:NUM_KEPT]] for own in best]
        pieces: list[list[int]] = [[] for _ in range(num)]
        ended = [False] * num
        for told in one_by_one(self.writer.step, state, logits, **how):
            for one in told:
                if one.reason == "end":
                    ended[one.row] = True
                else:
                    pieces[one.row].append(one.token)
        return [[(tuple(own), done)] for own, done in zip(pieces, ended, strict=True)]

    def _text(self, pieces: Sequence[int]) -> str:
        return str(self.target.pieces.decode(pieces)).replace(BROKEN, "").strip()

    def _scores(self, states: Tensor, mask: Tensor, told: list[np.ndarray]) -> list[float]:
        """The mean log probability of the pieces of each text, all of them in one pass."""
        sums = self._told(states, mask, told).judge()
        means: list[float] = (-sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
        return means

    def _told(self, states: Tensor, mask: Tensor, told: list[np.ndarray]) -> Any:
        """What the head makes of these pieces, one row of them for each row of states."""
        return self.head(states, mask, torch.from_numpy(padded_answers(told)).to(states.device))


class BehindPen(Pen):
    """Where a causal trunk writes behind what it reads: what it is called with are tokens (B, S), not states."""

    def _begun(self, states: Tensor, mask: Tensor) -> tuple[Tensor, Any, list[list[int]], list[int]]:
        ids, lengths = states.long(), mask.sum(1).tolist()
        logits, state = self.writer.begin(ids, mask, each=self.config.beams)
        prompts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        context = self.writer.trunk.config.positions.max_positions
        rooms = [max(1, min(self.config.max_tokens, context - length)) for length in lengths]
        return logits, state, prompts, rooms

    def _told(self, states: Tensor, mask: Tensor, told: list[np.ndarray]) -> Any:
        prompts = [row[real].cpu().numpy() for row, real in zip(states, mask, strict=True)]
        both = [placed(prompt, answer) for prompt, answer in zip(prompts, told, strict=True)]
        ids, labels = (
            torch.from_numpy(padded_answers([own[part] for own in both])).long().to(states.device) for part in (0, 1)
        )
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        given = {"mask": ids >= 0, "positions": places, "segments": torch.zeros_like(places)}
        found = self.writer.trunk(self.writer.table[ids.clamp(min=0)], **given)
        return self.head(found, given["mask"], labels)


def pen_of(target: Any, head: Any, trunk: Encoder) -> Pen:
    """What writes with the head that `Model.writers` gives, behind the trunk of that model."""
    if target.behind:
        return BehindPen(target, head, head.writer(trunk))
    return Pen(target, head)


def looked(
    model: Model, source: Inputs, values: Mapping[str, Sequence[Any]], name: str, texts: Sequence[str]
) -> list[Any]:
    """For each of a few records what its text looks at, for a person: `source` (T pieces), `written` (U pieces) and
    `weights` (U lists of T), at most 60 a side. Empty where anything but one row of text is read, and without a half
    that looks back.

    values: column -> B values. name: the target's. texts: B that were written.
    """
    target, head = model.writers()[name]
    items = [] if target.behind else source.items(values)
    if source.alone is None or source.alone is not source.text or len(items) != len(texts) or not len(texts):
        return []
    device, rows = next(model.parameters()).device, [source.features(item) for item in items]
    batch = collate(rows, source.specs, numbered=source.numbered).to(device)
    answers = target.answer_tokens(list(texts))
    with torch.no_grad():
        weights = head.attention(model.states(batch), batch.mask, torch.from_numpy(padded_answers(answers)).to(device))
    found = []
    for row, (item, answer) in enumerate(zip(items, answers, strict=True)):
        read, written = item.features["ids"][:MOST_SHOWN].tolist(), answer[:MOST_SHOWN].tolist()
        shares = (weights[row, : len(written), : len(read)].double() * 1000).floor() / 1000  # the sum stays below 1
        found.append(
            {"source": target.pieces.shown(read), "written": target.pieces.shown(written), "weights": shares.tolist()}
        )
    return found


def fingerprint(features: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Equal for records of which the same is read."""
    digest = blake2b(digest_size=8)
    for group in sorted(features):
        for name in sorted(features[group]):
            digest.update(np.ascontiguousarray(features[group][name]).tobytes())
    return digest.hexdigest()
