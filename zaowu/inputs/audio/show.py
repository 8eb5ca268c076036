"""One recording as a report shows it: its spectrogram as a small picture, and the sound itself."""

from __future__ import annotations

import io
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np

from zaowu.inputs import Shown
from zaowu.inputs.audio import read
from zaowu.inputs.audio.log_mel import RATE_HZ, log_mel

MAX_BYTES = 200_000  # of a sound inside a page
MAX_WIDTH = 400  # pixels
EXCERPT_S = 6  # of a larger file, as WAV
PICTURE_S = 60  # of a long recording, its beginning
_TYPES = {"WAV": "audio/wav", "FLAC": "audio/flac", "OGG": "audio/ogg", "MP3": "audio/mpeg"}
_SHADES = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))  # quiet to loud


def shown(value: str | bytes) -> Shown:
    header = read.header(value)
    told = words(value, header)
    beginning = min(header.samples, PICTURE_S * header.rate)
    picture = _uri("image/png", png(log_mel(read.wave(value, ((0, beginning),)))))
    data = value if isinstance(value, bytes) else Path(value).read_bytes() if _is_small(value) else b""
    if 0 < len(data) <= MAX_BYTES and header.form in _TYPES:
        return Shown(told, picture, _uri(_TYPES[header.form], data))
    samples = min(header.samples, EXCERPT_S * header.rate)
    cut = f", the first {EXCERPT_S} s can be heard" if samples < header.samples else ""
    return Shown(told + cut, picture, _uri("audio/wav", _wav(read.wave(value, ((0, samples),)))))


def words(value: str | bytes, header: read.Header) -> str:
    """`cat.wav: WAV, 0.43 s, 8,000 Hz, mono`."""
    channels = {1: "mono", 2: "stereo"}.get(header.channels, f"{header.channels} channels")
    name = "" if isinstance(value, bytes) else f"{Path(value).name[-200:]}: "
    return f"{name}{header.form}, {header.seconds:.2f} s, {header.rate:,} Hz, {channels}"


def png(frames: np.ndarray) -> bytes:
    """(F, M) features -> a PNG, time to the right and pitch upwards, at most `MAX_WIDTH` wide."""
    step = -(-len(frames) // MAX_WIDTH)
    starts = np.arange(0, len(frames), step)
    columns = np.maximum.reduceat(frames, starts, axis=0)  # (W, M), the loudest of each step
    low, high = float(columns.min()), float(columns.max())
    levels = ((columns - low) / max(high - low, 1e-6) * 255).round().astype(np.uint8)
    rows = levels.T[::-1]  # (M, W)
    height, width = rows.shape
    shades = np.stack(
        [np.interp(np.arange(256), np.linspace(0, 255, len(_SHADES)), c) for c in zip(*_SHADES, strict=True)], 1
    )
    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(rows))  # 0: no filter
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),  # 8 bits, by palette
        (b"PLTE", shades.round().astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    read.library().write(file, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _is_small(path: str) -> bool:
    return Path(path).stat().st_size <= MAX_BYTES


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"
