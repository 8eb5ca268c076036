"""A tiny E5S1 file that every test here can make, and the real default base where it can be had."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from zaowu.bases import resolve
from zaowu.bases.names import DEFAULT
from zaowu.errors import UserError

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁a", "a", "b", "ab", "中", "中国", "<mask>"]
SCORES = [0, 0, 0, 0, -2, -3, -2.5, -2.5, -4, -3, -3.5, 0]
NORMAL = {0x41: "a", 0x3000: " ", 0x7F: "", 0x338F: "kg"}
DIM, LAYERS, HEADS, FFN, VOCAB, POSITIONS, SEGMENTS = 32, 1, 2, 64, 14, 6, 2
BLOCK = struct.pack("<e", 0.5) + bytes(range(0x90, 0xA0))  # low nibbles 0..15, high nibbles all 9


def e5_tensors() -> dict[str, tuple[int, int]]:
    """Name -> (kind, number of values): matrices are packed in 4 bits, the rest is float32."""
    tensors = {
        "emb.word": (1, VOCAB * DIM),
        "emb.pos": (0, POSITIONS * DIM),
        "emb.type": (0, SEGMENTS * DIM),
        "emb.ln.w": (0, DIM),
        "emb.ln.b": (0, DIM),
    }
    for name, rows, columns in [
        ("q", DIM, DIM),
        ("k", DIM, DIM),
        ("v", DIM, DIM),
        ("ao", DIM, DIM),
        ("fi", FFN, DIM),
        ("fo", DIM, FFN),
    ]:
        tensors[f"l0.{name}.w"] = (1, rows * columns)
        tensors[f"l0.{name}.b"] = (0, rows)
    for name in ("aln", "oln"):
        tensors[f"l0.{name}.w"] = tensors[f"l0.{name}.b"] = (0, DIM)
    return tensors


def e5_bytes(**change: object) -> bytes:
    """The file. `change` replaces one part by bytes, to make a broken one: magic, shape, head, offsets, scores,
    blob, normal_head, normal, count, or `entry` (the first of the directory)."""
    blob = [piece.encode() for piece in PIECES]
    offsets = [sum(map(len, blob[:i])) for i in range(len(blob) + 1)]
    normal = b"".join(
        struct.pack(f"<IB{len(text)}I", code, len(text), *map(ord, text)) for code, text in NORMAL.items()
    )
    tensors = e5_tensors()
    parts: dict[str, object] = {
        "magic": b"E5S1" + struct.pack("<I", 1),
        "shape": struct.pack("<7ifi", DIM, LAYERS, HEADS, FFN, VOCAB, POSITIONS, SEGMENTS, 1e-12, 32),
        "head": struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, offsets[-1]),
        "offsets": struct.pack(f"<{len(offsets)}I", *offsets),
        "scores": struct.pack(f"<{len(SCORES)}f", *SCORES),
        "blob": b"".join(blob),
        "normal_head": struct.pack("<iI", len(NORMAL), len(normal)),
        "normal": normal,
        "count": struct.pack("<i", len(tensors)),
        **change,
    }
    start = b"".join(bytes(part) for name, part in parts.items() if name != "entry")  # type: ignore[call-overload]
    at = len(start) + sum(len(name) + 23 for name in tensors)
    entries, values = [], []
    for index, (name, (kind, size)) in enumerate(tensors.items()):
        if kind:
            data = BLOCK * (size // 32)
        else:
            data = struct.pack(f"<{size}f", *[index + i / 1024 for i in range(size)])
        entries.append(struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, size, at, len(data)))
        values.append(data)
        at += len(data)
    if "entry" in change:
        entries[0] = bytes(change["entry"])  # type: ignore[call-overload]
    return start + b"".join(entries) + b"".join(values)


@pytest.fixture
def make_e5() -> Callable[..., bytes]:
    return e5_bytes


@pytest.fixture(scope="session")
def base_folder() -> Path:
    """The default base; these tests are skipped only where it is absent and cannot be fetched."""
    try:
        return resolve(DEFAULT)
    except UserError as error:
        pytest.skip(str(error))
