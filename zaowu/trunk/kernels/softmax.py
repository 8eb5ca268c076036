"""Cross-entropy of bfloat16 logits with its gradient, in one go (softmax.c)."""

from __future__ import annotations

import torch
from torch import Tensor

from zaowu.trunk.kernels import available
from zaowu.trunk.kernels.call import address, call


def fits(z: Tensor) -> bool:
    """Whether `softmax_gradient` can take them; float32 is left to torch."""
    return z.dtype == torch.bfloat16 and z.is_contiguous() and available(z)


def softmax_gradient(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (M, V), labels (M,) int64 -> softmax(z) - onehot(y), written over `z`, and the losses (M,) float32."""
    labels, losses = labels.contiguous(), z.new_empty(len(z), dtype=torch.float32)
    call("softmax_gradient", *z.shape, address(z), address(labels), address(losses))
    return z, losses
