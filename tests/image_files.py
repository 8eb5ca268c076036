"""Images made for the tests: in every format, and damaged in every way."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray | Image.Image, form: str = "PNG", **more) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **more)
    return stream.getvalue()


def smooth(height: int, width: int, *, colour: bool = False) -> np.ndarray:
    """A picture that a lossy format keeps within a few units."""
    down, across = np.mgrid[:height, :width]
    grey = (down * 120 / height + across * 120 / width).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey // 2], 2) if colour else grey


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def objects() -> bytes:
    """An .npy file whose header says that Python objects follow."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (1, 1)})
    return stream.getvalue() + bytes(8)


def claims(width: int, height: int, *, body: int = 1000) -> bytes:
    """A PNG of a few bytes whose header says that it is of that size; its pixels are one long run of zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(body), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
