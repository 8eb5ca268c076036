"""Sharded weights on disk: every rank writes its own part as safetensors, and any number of ranks reads them.

By torch's distributed checkpoint with its Hugging Face writer, which has no pickled index: what lies where in a tensor
stands in the header of each safetensors file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, distributed

from zaowu.bases.cache import sha256
from zaowu.train.parallel.ranks import current


def is_sharded(tensors: Mapping[str, Tensor]) -> bool:
    return any(hasattr(tensor, "device_mesh") for tensor in tensors.values())


def write(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Every rank its part. Raises OSError, on all ranks, when one of them could not."""
    from torch.distributed.checkpoint import HuggingFaceStorageWriter, save
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        save(dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:
        raise OSError("; ".join(str(one[0]) for one in error.failures.values())) from None


def sums(folder: Path) -> dict[str, str]:
    """Path within `folder` -> sha256, of every shard below it; each rank reads its share of the files."""
    ranks = current()
    own = {path.relative_to(folder).as_posix(): sha256(path) for path in _shards(folder)[ranks.rank :: ranks.world]}
    return {name: digest for text in ranks.texts(json.dumps(own)) for name, digest in json.loads(text).items()}


def read(folder: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a folder that `write` wrote, each spread as the one of its name in `like`, or whole.

    What ends in "/step" is a scalar. Raises KeyError for a tensor that `like` does not have, RuntimeError or ValueError
    for shapes that differ.
    """
    from torch.distributed.checkpoint import HuggingFaceStorageReader, load
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    reader = HuggingFaceStorageReader(str(folder))
    found = {}
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(stored, TensorStorageMetadata)  # the reader knows no other
        template = torch.zeros(()) if name.endswith("/step") else torch.zeros_like(like[name.partition("/")[0]])
        if stored.size != template.shape:
            raise ValueError(f"{name} has the shape {list(stored.size)}, expected {list(template.shape)}")
        found[name] = template
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # as is meant
        load(found, storage_reader=reader, no_dist=not distributed.is_initialized())
    return found


def spread_as(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same on every rank, as parts like those of `like`; itself when that is whole."""
    if not hasattr(like, "device_mesh"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))
