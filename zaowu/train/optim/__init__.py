"""Weights and gradients -> new weights.

optimizer   one object for the loop: clipping, groups, token tables, which kernel
touched     AdamW on those rows of a token table that a step used
lamb        LAMB, for large batches
norms       norms of tensors, whole or spread over ranks
schedule    the learning rate over a training
"""

from zaowu.train.optim.optimizer import Optimizer
from zaowu.train.optim.touched import TouchedRows

__all__ = ["Optimizer", "TouchedRows"]
