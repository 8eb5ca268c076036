"""One batch, and the only place that pads.

The legend of shapes, used everywhere:
B batch, T positions, D width, H heads, K head width, V vocabulary, C classes, N records.
Masks are boolean, True = real.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass
class Batch:
    """What the model sees of B records.

    inputs: column group -> feature -> (B, T, ...), padded with the feature's own pad value.
    mask: (B, T), True = real. positions: (B, T), each column restarts at 0. segments: (B, T), column or sentence.
    documents: (B, T) or None; a token attends only within equal values. None = one document per record.
    targets: name -> (B, ...). target_mask: name -> (B,), True where the record has that answer.
    weights: (B,) of the loss. ids, groups: (B,) uint64, as in `Records`. index: (B,) place in the source.
    """

    inputs: dict[str, dict[str, Tensor]]
    mask: Tensor
    positions: Tensor
    segments: Tensor
    documents: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    target_mask: dict[str, Tensor] = field(default_factory=dict)
    weights: Tensor = field(default_factory=lambda: torch.ones(0))
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
