"""Which token comes next: the likeliest, or one drawn by chance.

    p = softmax(z / temperature), of which only a part may be drawn:
    top-k:  the k likeliest                                                               (Fan et al. 2018)
    top-p:  the fewest likeliest whose share together is p or more, one at least          (Holtzman et al. 2020)

The number that decides is a function of (seed, row, step), whatever else is in the batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zaowu.batching.order import chance
from zaowu.config import WriteConfig

AT_ONCE = 512  # likeliest tokens that are looked at first: sorting them all takes longer than the model's step


def pick(logits: Tensor, config: WriteConfig, *, rows: np.ndarray, step: int) -> Tensor:
    """(R, V) -> (R,) tokens. rows: (R,) numbers of the rows, which stay theirs when others have ended."""
    if config.temperature == 0:
        return logits.argmax(1)
    probabilities, tokens = _allowed(logits.float() / config.temperature, config)
    sums = probabilities.cumsum(1, dtype=torch.float64)
    drawn = chance(rows.astype(np.uint64), seed=config.seed, epoch=step)
    share = torch.from_numpy((drawn >> np.uint64(11)) * 2.0**-53).to(sums.device)  # in [0, 1)
    places = torch.searchsorted(sums, (share * sums[:, -1])[:, None], right=True)
    # A share just below 1 may be rounded up to the whole sum; the last token that can be drawn is then meant.
    last = (probabilities > 0).long().cumsum(1).argmax(1, keepdim=True)
    places = torch.minimum(places, last)
    return (places if tokens is None else tokens.gather(1, places)).squeeze(1)


def _allowed(z: Tensor, config: WriteConfig) -> tuple[Tensor, Tensor | None]:
    """(R, V) -> what may be drawn: (R, n) weights, and their tokens; None = in their order."""
    if not config.top_k and config.top_p == 1:
        return z.softmax(1), None
    size = z.shape[1]
    count = min(config.top_k or AT_ONCE, size)
    best, tokens = z.topk(count, dim=1)
    if config.top_p < 1 and not config.top_k:
        # The share of the likeliest among all decides whether they are enough.
        shares = (best - z.logsumexp(1, keepdim=True)).exp()
        if count < size and bool((shares.sum(1) < config.top_p).any()):
            shares, tokens = z.softmax(1).sort(dim=1, descending=True)
    else:
        shares = best.softmax(1)
    before = shares.cumsum(1) - shares
    return shares.masked_fill(before >= config.top_p, 0.0), tokens
