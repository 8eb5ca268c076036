"""Norms of many tensors at once, whole or spread over ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """(N,) float32, the 2-norm of each of N tensors; of a sharded one (FSDP) over all its parts.

    All tensors are whole, or all are sharded over the same ranks; then every rank calls this, and gets the same.
    """
    meshes = [tensor.device_mesh for tensor in tensors if hasattr(tensor, "device_mesh")]
    found = torch.stack(torch._foreach_norm([local(tensor) for tensor in tensors])).float()
    if not meshes:
        return found
    assert len(meshes) == len(tensors), "whole and sharded tensors together"
    squares = found.square()
    torch.distributed.all_reduce(squares, group=meshes[0].get_group())
    return squares.sqrt_()


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this rank holds, sharing memory; any other tensor itself."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
