"""Steps that torch does in many passes over memory, each as one pass in C.

    attention   over packed rows, dropout included                              attention.c
    gelu        on bfloat16                                                     gelu.c
    residual    dropout, sum and layer norm; sums of columns                    residual.c
    softmax     cross-entropy over the vocabulary, with its gradient             softmax.c
    write       one token more through a whole stack, for few rows                write.c
    adamw       and the norm of all gradients, straight from the products       adamw.c
    encoder     all blocks of an encoder in one call, without a gradient         encoder.c

What they compute, and where they are not available, is the code they stand in for, within rounding. Every result is
the same on any number of threads. `available` decides for a tensor; nothing else in the package asks about compilers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zaowu.trunk.kernels import build

DTYPES = (torch.float32, torch.bfloat16)


def available(*tensors: Tensor) -> bool:
    """Whether the kernels can take these: on a CPU, float32 or bfloat16, and there is a compiled library."""
    fitting = all(x.device.type == "cpu" and x.dtype in DTYPES for x in tensors)
    return fitting and build.library() is not None
