"""What a pre-trained model says of a few sentences that it has never seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from zaowu.batching.order import chance
from zaowu.batching.shards import Shard, Shards
from zaowu.evaluate.filled import GAP, Filled
from zaowu.inputs.text.codec import Codec
from zaowu.learn.corpus import Pretrained

NUM = 10
LEAST, MOST = 8, 48  # tokens of a sentence that is shown
LIKELIEST = 5
WRITTEN = 16  # tokens that a causal model goes on with


def filled(made: Pretrained, shards: Shards, *, seed: int) -> tuple[Filled, ...]:
    """A piece of each sentence is hidden, or its end; sentences and places are drawn by chance."""
    sentences = list(_sentences(shards, seed=seed))
    say = _go_on if "causal" in made.objectives else _fill
    was_training = made.model.training
    made.model.eval()
    with torch.inference_mode():
        found = tuple(say(made, ids, seed) for ids in sentences)
    made.model.train(was_training)
    return found


def _sentences(shards: Shards, *, seed: int) -> Iterator[np.ndarray]:
    """(T,) int64 ids of up to `NUM` held-out sentences."""
    left = NUM
    for entry in shards.valid:
        shard = shards.open(entry)
        starts = _suitable(shard)
        drawn = chance(starts.astype(np.uint64), seed=seed, epoch=0)
        ends = np.asarray(shard.sentences)
        for start in starts[np.argsort(drawn)][:left]:
            stop = ends[np.searchsorted(ends, start, side="right")]
            yield np.asarray(shard.tokens[start:stop], np.int64)
            left -= 1
        if not left:
            return


def _suitable(shard: Shard) -> np.ndarray:
    sentences = np.asarray(shard.sentences)
    sizes = np.diff(sentences)
    return sentences[:-1][(sizes >= LEAST) & (sizes <= MOST)]


def _fill(made: Pretrained, ids: np.ndarray, seed: int) -> Filled:
    masked: Any = made.objectives["masked"]
    codec: Codec = made.source.codec
    place = int(chance(np.array([ids.sum()], np.uint64), seed=seed, epoch=1)[0] % len(ids))
    hidden = np.r_[masked.start, ids, masked.between]
    hidden[place + 1] = masked.mask
    states = _states(made, hidden)
    head: Any = made.model.get_submodule("masked")
    logits = head.logits(states[place + 1 : place + 2])[0].float()
    likeliest = logits.softmax(-1).topk(LIKELIEST)
    words = _decoded(codec, ids[:place]), _decoded(codec, ids[place + 1 :])
    return Filled(
        text=f"{words[0]}{GAP}{words[1]}",
        truth=_piece(codec, int(ids[place])),
        answers=tuple(
            (_piece(codec, piece), share)
            for piece, share in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        ),
    )


def _go_on(made: Pretrained, ids: np.ndarray, seed: int) -> Filled:
    """Always the likeliest piece next; everything is computed again for each, which is enough for a few."""
    codec, half = made.source.codec, len(ids) // 2
    head: Any = made.model.get_submodule("lm_head")
    so_far = ids[:half]
    for _ in range(min(WRITTEN, made.source.max_tokens - half)):
        logits = head.logits(_states(made, so_far)[-1:])[0]
        so_far = np.r_[so_far, int(logits.argmax())]
    return Filled(
        text=_decoded(codec, ids[:half]),
        truth=_decoded(codec, ids[half:]),
        answers=((_decoded(codec, so_far[half:]), None),),
    )


def _states(made: Pretrained, ids: np.ndarray) -> torch.Tensor:
    """(T,) ids -> (T, D)."""
    model = made.model
    device = next(model.parameters()).device
    row = torch.from_numpy(ids).to(device)[None]
    positions = torch.arange(row.shape[1], device=device)[None]
    vectors = model.embedders["text"](row)
    states = model.trunk(
        vectors, mask=torch.ones_like(row, dtype=torch.bool), positions=positions, segments=torch.zeros_like(row)
    )
    found: torch.Tensor = states[0]
    return found


def _decoded(codec: Codec, ids: np.ndarray) -> str:
    return str(codec.tokenizer.decode(ids.tolist(), skip_special_tokens=False))


def _piece(codec: Codec, number: int) -> str:
    """One piece as a person would read it; as it is named where it decodes to nothing."""
    shown = codec.tokenizer.decode([number], skip_special_tokens=False).strip()
    return shown or str(codec.tokenizer.id_to_token(number))
