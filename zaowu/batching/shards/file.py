"""A shard as a safetensors file: written whole or not at all, checked and memory-mapped when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.batching.shards.shard import Shard
from zaowu.errors import UserError, shorten

DTYPES: dict[str, Any] = {
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "I64": np.int64,
    "BOOL": np.bool_,
}
ALLOWED = {
    "tokens": ("U16", "U32"),
    "documents": ("I64",),
    "sentences": ("I64",),
    "ids": ("U64",),
    "sources": ("U8",),
    "words": ("BOOL",),
}
MAX_HEADER = 1 << 16  # bytes; six tensors need under 600


def write(path: Path, shard: Shard) -> None:
    """Under a temporary name, then renamed. Raises OSError or SafetensorError where it cannot be written."""
    from safetensors.numpy import save_file

    tensors = {name: getattr(shard, name) for name in ALLOWED if getattr(shard, name) is not None}
    fresh = path.with_name(path.name + ".new")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, fresh)
    fresh.replace(path)


def read(path: Path, *, num_pieces: int | None = None) -> Shard:
    """The shard at `path`, memory-mapped. num_pieces: of the tokenizer; a token beyond it is damage.

    The header is compared with the file's size before anything is mapped, and the tensors with one another.
    Raises UserError naming the file.
    """
    try:
        header, start, size = _header(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}). Copy the folder again.") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read ({shorten(error, 80)})") from None
    arrays = {}
    for name, facts in header.items():
        if name != "__metadata__":
            arrays[name] = _mapped(path, name, facts, start, size)
    if missing := [name for name in ALLOWED if name not in arrays and name != "words"]:
        raise _damaged(path, f"it has no '{missing[0]}'")
    shard = Shard(**arrays)
    _check(shard, path, num_pieces)
    return shard


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header, where the tensors begin, and the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ValueError(f"{length:,} bytes long in a file of {size:,}")
        header = json.loads(file.read(length).decode())
    if not isinstance(header, dict):
        raise ValueError("no object")
    return header, 8 + length, size


def _mapped(path: Path, name: str, facts: Any, start: int, size: int) -> np.ndarray:
    if name not in ALLOWED:
        raise _damaged(path, f"'{shorten(name, 30)}' is no tensor of a shard")
    facts = facts if isinstance(facts, dict) else {}
    dtype, shape, place = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
    if dtype not in ALLOWED[name]:
        raise _damaged(path, f"'{name}' has the type {shorten(repr(dtype), 30)}")
    numbers = [*shape, *place] if isinstance(shape, list) and isinstance(place, list) else []
    if len(numbers) != 3 or not all(type(number) is int and 0 <= number <= size for number in numbers):
        raise _damaged(path, f"'{name}' has an impossible size")
    kind = np.dtype(DTYPES[dtype])
    num, begin, end = numbers
    if end - begin != num * kind.itemsize or start + end > size:
        raise _damaged(path, f"'{name}' does not fit into the file, which may be cut short")
    if not num:
        return np.empty(0, kind)
    return np.memmap(path, kind, "r", offset=start + begin, shape=(num,))


def _check(shard: Shard, path: Path, num_pieces: int | None) -> None:
    num = shard.num_tokens
    for name in ("documents", "sentences"):
        places = getattr(shard, name)
        if len(places) < 2 or places[0] != 0 or places[-1] != num or (np.diff(places) <= 0).any():
            raise _damaged(path, f"'{name}' do not rise from 0 to the {num:,} tokens")
    if not len(shard.ids) == len(shard.sources) == len(shard.documents) - 1:
        raise _damaged(path, "its documents are not as many in each list")
    if not np.isin(shard.documents, shard.sentences, assume_unique=True).all():
        raise _damaged(path, "a document begins within a sentence")
    if shard.words is not None and len(shard.words) != num:
        raise _damaged(path, f"'words' are {len(shard.words):,}, not {num:,}")
    if num_pieces is not None and int(shard.tokens.max()) >= num_pieces:
        raise _damaged(path, f"token {int(shard.tokens.max()):,} is beyond the tokenizer's {num_pieces:,} pieces")


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: the shard is damaged ({why}). Copy the folder again, or delete it and tokenise anew.")


def joined(shards: list[Shard]) -> Shard:
    """Several shards as one, in order."""
    starts = np.cumsum([0, *(shard.num_tokens for shard in shards)])
    words = [shard.words for shard in shards if shard.words is not None]
    return Shard(
        tokens=np.concatenate([shard.tokens for shard in shards]),
        documents=_places([shard.documents for shard in shards], starts),
        sentences=_places([shard.sentences for shard in shards], starts),
        ids=np.concatenate([shard.ids for shard in shards]),
        sources=np.concatenate([shard.sources for shard in shards]),
        words=np.concatenate(words) if words else None,
    )


def _places(each: list[np.ndarray], starts: np.ndarray) -> np.ndarray:
    moved = [places[:-1] + start for places, start in zip(each, starts[:-1], strict=True)]
    return np.concatenate([*moved, starts[-1:]]).astype(np.int64)


def split(shard: Shard, num_documents: int) -> tuple[Shard, Shard]:
    """The first so many documents, and the rest."""
    token = int(shard.documents[num_documents])
    sentence = int(np.searchsorted(shard.sentences, token))
    first = Shard(
        shard.tokens[:token],
        shard.documents[: num_documents + 1],
        shard.sentences[: sentence + 1],
        shard.ids[:num_documents],
        shard.sources[:num_documents],
        None if shard.words is None else shard.words[:token],
    )
    rest = Shard(
        shard.tokens[token:],
        shard.documents[num_documents:] - token,
        shard.sentences[sentence:] - token,
        shard.ids[num_documents:],
        shard.sources[num_documents:],
        None if shard.words is None else shard.words[token:],
    )
    return first, rest
