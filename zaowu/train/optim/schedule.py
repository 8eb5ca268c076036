"""The learning rate over a training: pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal

Shape = Literal["linear", "cosine", "wsd"]

COSINE_FLOOR = 0.1
DECAY_SHARE = 0.2


def rate(step: int, *, num_steps: int, warmup: float, shape: Shape = "linear") -> float:
    """The learning rate at `step` (from 0) as a share of its peak: linear up to it, then down in a shape.

    warmup: share of all steps in which it rises. Past the end it is what it was to become there.

    linear  to zero, as BERT and nearly all fine-tuning.
    cosine  half a wave down to a tenth: at zero the last steps would learn nothing from text that was read for
            them. Source: Brown et al. 2020, appendix B; Hoffmann et al. 2022, section 3.1.
    wsd     warm-up, stable, decay: the peak until the last fifth of the steps, there 1 - sqrt(share done) down to
            zero. All of training before the decay is the same whatever its length. Source: Hu et al. 2024,
            section 4; the shape and length of the decay, Hägele et al. 2024, section 3.
    """
    rising = max(1, round(warmup * num_steps))
    if step < rising:
        return (step + 1) / rising
    left = max(0, num_steps - step)
    if shape == "linear":
        return left / max(1, num_steps - rising)
    if shape == "cosine":
        done = 1 - left / max(1, num_steps - rising)
        return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * done)) / 2
    falling = max(1, min(num_steps - rising, round(DECAY_SHARE * num_steps)))
    return 1 - math.sqrt(max(0.0, 1 - left / falling))
