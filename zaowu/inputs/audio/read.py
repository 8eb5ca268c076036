"""A recording, by path or as the bytes of its file -> samples; what cannot be used is said in words."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs.audio.log_mel import RATE_HZ
from zaowu.records.records import Cleaned

if TYPE_CHECKING:
    import polars as pl

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
RATES_HZ = (1000, 768_000)
MAX_CHANNELS = 64
MAX_S = 24 * 3600  # of one recording: a small FLAC file can hold days of silence
_BLOCK = 1 << 20  # samples of all channels, and bytes, read at once
_UNKNOWN_SIZE = 0x7FFF0000  # what programs that write to a pipe put for the length of a WAV is no less
_LOST_MP3_SAMPLES = 4608  # of four frames: encoders differ in what they count at the ends
_OTHERS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"PK\x03\x04": "a zip archive",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
}


@dataclass(frozen=True)
class Header:
    """rate: samples a second of one channel. samples: of one channel. form: WAV, FLAC, OGG, MP3."""

    rate: int
    samples: int
    channels: int
    form: str

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


class Unreadable(Exception):
    """No sound can be had of these bytes; the words continue "expected a sound, got"."""


def library() -> Any:
    """soundfile. Raises UserError where it is not installed."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, and its libsndfile is not
        message = "recordings are read by the package soundfile, which is missing. Run: pip install 'zaowu[audio]'"
        raise UserError(message) from error
    return soundfile


def begins(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a WAV, FLAC, OGG or MP3."""
    if head[:4] in (b"RIFF", b"RF64"):
        return head[8:12] == b"WAVE"
    is_mp3 = head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))
    return head[:4] in (b"fLaC", b"OggS") or is_mp3


def clean(values: pl.Series, folder: Path | None) -> Cleaned:
    """Every recording opened once, whole: its digest, and whether all of it can be heard.

    values: String (paths; relative ones lie in `folder`) or Binary (encoded files). Paths come back absolute.
    """
    import os
    from concurrent.futures import ThreadPoolExecutor

    import polars as pl

    library()
    binary = values.dtype == pl.Binary
    found: list[Any] = [_resolved(value, folder) for value in (values if binary else values.cast(pl.String)).to_list()]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        judged = list(pool.map(_judge, found))
    problems = {row: f"expected a sound, got {problem}" for row, (_, problem) in enumerate(judged) if problem}
    kept = [None if row in problems else value for row, value in enumerate(found)]
    series = pl.Series(values.name, kept, pl.Binary if binary else pl.String)
    return Cleaned(series, [digest for digest, _ in judged], problems)


def _resolved(value: Any, folder: Path | None) -> Any:
    if isinstance(value, bytes):
        return value or None
    if value is None or not value.strip():
        return None
    path = Path(value.strip()).expanduser()
    return str((path if folder is None else folder / path).absolute())


def _judge(value: str | bytes | None) -> tuple[str | None, str]:
    """Digest, and what is wrong with it or "". Nothing for a missing value."""
    if value is None:
        return None, ""
    try:
        return _digest(value), _fault(value)
    except Unreadable as problem:
        return None, str(problem)


def _digest(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return blake2b(value, digest_size=16).hexdigest()
    digest = blake2b(digest_size=16)
    try:
        with Path(value).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError as error:
        raise Unreadable("a path where there is no file") from error
    except IsADirectoryError as error:
        raise Unreadable("a folder") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreadable(f"a file that cannot be opened ({reason})") from error
    return digest.hexdigest()


def _fault(value: str | bytes) -> str:
    """Reads all of it, without keeping it."""
    with opened(value) as sound:
        header = header_of(sound)
        heard, finite = 0, True
        while len(block := _read(sound, max(1, _BLOCK // header.channels))):
            heard += len(block)
            finite = finite and bool(np.isfinite(block).all())
            if heard > header.rate * MAX_S:
                raise Unreadable(f"one of more than {MAX_S // 3600} hours")
    if not heard:
        return "one of 0 seconds"
    if not finite:
        return "samples that are not finite"
    whole = f"a truncated {header.form}"
    if header.form == "MP3":
        return whole if _counts(value) and heard < header.samples - _LOST_MP3_SAMPLES else ""
    return whole if heard < header.samples or _is_cut(value, header.form) else ""


@contextmanager
def opened(value: str | bytes) -> Iterator[Any]:
    """The soundfile.SoundFile of a path or of bytes; what the file is called does not matter. Raises Unreadable."""
    soundfile = library()
    try:
        with soundfile.SoundFile(io.BytesIO(value) if isinstance(value, bytes) else value) as sound:
            yield sound
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        raise Unreadable(_what(value)) from error


def header_of(sound: Any) -> Header:
    """Raises Unreadable where it cannot be true."""
    header = Header(sound.samplerate, sound.frames, sound.channels, "WAV" if "WAV" in sound.format else sound.format)
    least, most = RATES_HZ
    if not least <= header.rate <= most:
        raise Unreadable(f"a rate of {header.rate:,} Hz (it may be {least:,} to {most:,})")
    if not 1 <= header.channels <= MAX_CHANNELS:
        raise Unreadable(f"{header.channels} channels (at most {MAX_CHANNELS})")
    if header.samples > header.rate * MAX_S:
        raise Unreadable(f"one of more than {MAX_S // 3600} hours")
    return header


def header(value: str | bytes) -> Header:
    """Of a recording that `clean` has let pass. Raises UserError where it is no longer what it was."""
    try:
        with opened(value) as sound:
            found = header_of(sound)
            if found.form != "MP3" or _counts(value):
                return found
            heard = 0  # an MP3 without a count says what its first frame suggests
            while more := len(_read(sound, _BLOCK // found.channels)):
                heard += more
            return Header(found.rate, heard, found.channels, found.form)
    except Unreadable as problem:
        raise _gone(value, problem) from problem


def wave(value: str | bytes, spans: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(S,) float32, mono, 16 kHz: the pieces [start, stop) of a recording, behind one another.

    spans: in samples of the recording's own rate. Channels are averaged. S = resampled(sum of pieces, rate).
    Raises UserError where the file is no longer what it was.
    """
    try:
        with opened(value) as sound:
            rate = sound.samplerate
            parts = []
            for start, stop in spans:
                if sound.tell() != start:
                    sound.seek(min(start, sound.frames))
                part = _read(sound, stop - start).mean(axis=1)
                parts.append(np.pad(part, (0, stop - start - len(part))))
    except Unreadable as problem:
        raise _gone(value, problem) from problem
    samples = np.nan_to_num(np.concatenate(parts), posinf=0.0, neginf=0.0)
    ratio = _ratio(rate)
    if ratio == 1:
        return samples
    from scipy.signal import resample_poly

    return resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def resampled(samples: int, rate: int) -> int:
    """How many samples at 16 kHz become of `samples` at `rate`."""
    ratio = _ratio(rate)
    return -(-samples * ratio.numerator // ratio.denominator)


def _ratio(rate: int) -> Fraction:
    return Fraction(RATE_HZ, rate).limit_denominator(4000)  # a rate of 44,099 Hz must not need a filter of a million


def _read(sound: Any, samples: int) -> np.ndarray:
    """(S, channels) float32, fewer at the end of the file."""
    found: np.ndarray = sound.read(samples, dtype="float32", always_2d=True)
    return found


def _gone(value: str | bytes, problem: Unreadable) -> UserError:
    name = "a recording" if isinstance(value, bytes) else value
    return UserError(f"{name}: expected the sound that was there when the data were checked, got {problem}.")


def _bytes(value: str | bytes, start: int, count: int) -> bytes:
    """Some bytes of a file; start < 0 counts from its end."""
    if isinstance(value, bytes):
        start = max(0, len(value) + start) if start < 0 else start
        return value[start : start + count]
    with Path(value).open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size + start) if start < 0 else start)
        return file.read(count)


def _size(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else Path(value).stat().st_size


def _what(value: str | bytes) -> str:
    """What a file that is no sound is instead."""
    try:
        head = _bytes(value, 0, 512)
    except (OSError, ValueError):
        return "a file that cannot be opened"
    if not head:
        return "an empty file"
    if begins(head):
        form = {b"RI": "WAV", b"RF": "WAV", b"fL": "FLAC", b"Og": "OGG"}.get(head[:2], "MP3")
        return f"a damaged or truncated {form}"
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return name
    try:
        text = head[: head.rfind(b" ")].decode("utf-8") if b" " in head else head.decode("utf-8")
    except UnicodeDecodeError:
        return "a file that is none (WAV, FLAC, OGG and MP3 are read)"
    return f"text ('{shorten(text, 20)}')" if text.isprintable() or "\n" in text else "a file that is none"


def _is_cut(value: str | bytes, form: str) -> bool:
    """Whether the end of a WAV or OGG is missing, which libsndfile mends in silence."""
    if form == "OGG":
        tail = _bytes(value, -70_000, 70_000)  # a page has at most 65,307 bytes
        page = tail[tail.rfind(b"OggS") :]
        segments = page[27 : 27 + page[26]] if len(page) > 27 else b""
        is_last = bool(segments) and page[5] & 4  # the last page says that it is
        return not is_last or len(page) < 27 + len(segments) + sum(segments)
    if form != "WAV" or _bytes(value, 0, 4) != b"RIFF":
        return False
    size, place = _size(value), 12
    for _ in range(1000):  # chunks
        head = _bytes(value, place, 8)
        if len(head) < 8:
            return False
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return 0 < length < _UNKNOWN_SIZE and place + 8 + length > size
        place += 8 + length + length % 2
    return False


def _counts(value: str | bytes) -> bool:
    """Whether an MP3 says how many frames it has."""
    head = _bytes(value, 0, 10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    first = _bytes(value, start, 200)
    return b"Xing" in first or b"Info" in first
