"""An image file or an array -> pixels. Whatever is in it, the answer is pixels or one sentence.

Nothing is decoded before its header says how large it would be: a picture of a few hundred bytes can claim to have a
billion pixels.
"""

from __future__ import annotations

import io
import math
import stat
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten

MAX_MEGAPIXELS = 25
MAX_FILE_MB = 200  # the largest picture of that many pixels, 16 bits a channel, stored plainly
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # of Pillow's, none that starts a program
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".npy")
NPY = b"\x93NUMPY"
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*", NPY)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
OPAQUE = 255


class Unreadable(Exception):
    """What was got instead of an image, in words that go on from "expected an image, got "."""


def looks_like_image(data: bytes) -> bool:
    """Whether the first bytes are those of an image format."""
    return data.startswith(MAGIC) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def read(value: str | bytes) -> bytes:
    """The encoded file. value: a path, or the file itself. Raises Unreadable."""
    if isinstance(value, bytes):
        return value
    path = Path(value)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise Unreadable("a folder" if stat.S_ISDIR(facts.st_mode) else "something that is not a plain file")
        if facts.st_size > MAX_FILE_MB * 1e6:
            raise Unreadable(f"a file of {facts.st_size / 1e6:,.0f} MB, over the {MAX_FILE_MB} MB that are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise Unreadable(f"no file at '{shorten(value)}'") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise Unreadable(f"a file that cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def decode(data: bytes, *, near: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W, 1 or 3) pixels: uint8, or as deep as they are stored: integers or float32, all finite.

    The first frame, turned as EXIF says; what is transparent stands on white. near: (height, width) that will be
    enough; a JPEG is then not decoded in full. Raises Unreadable.
    """
    if not data:
        raise Unreadable("an empty file")
    if data.startswith(NPY):
        return _array(data)
    try:
        from PIL import Image
    except ImportError:
        raise UserError("Images need Pillow, which is not installed: pip install 'zaowu[image]'.") from None
    form = ""
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            form = image.format or "image"
            _check_size(*image.size)
            if near is not None and form in ("JPEG", "MPO"):  # the latter: a JPEG with others behind it
                longest = max(near)
                image.draft(None, (longest, longest))  # any way up
            return _pixels(image)
    except Unreadable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"far more than {MAX_MEGAPIXELS} megapixels; make it smaller") from None
    except Exception as error:  # a damaged file makes a decoder raise anything: struct.error, SyntaxError, KeyError ...
        if not form:
            raise Unreadable(_what(data)) from None
        cut = "truncated" in str(error) or "Truncated" in str(error)
        raise Unreadable(f"a {'truncated' if cut else 'damaged'} {form}") from None


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise Unreadable("an image without a pixel")
    if width * height > MAX_MEGAPIXELS * 1e6:
        size = f"{width * height / 1e6:,.1f} megapixels ({width:,} x {height:,})"
        raise Unreadable(f"{size}, over the {MAX_MEGAPIXELS} that are read; make it smaller")


def _what(data: bytes) -> str:
    """What bytes are that no decoder knows."""
    if data.startswith(b"PK\x03\x04"):
        return "a ZIP archive"
    if looks_like_image(data):
        return "a damaged image"
    text = data[:200].decode("utf-8", "replace")
    if all(letter.isprintable() or letter.isspace() for letter in text[:-3]) and "\ufffd" not in text[:-3]:
        return f"text: '{shorten(text[:-3] if len(data) > 200 else text, 30)}'"
    return f"{len(data):,} bytes that are no image"


def _pixels(image: Any) -> np.ndarray:
    """(H, W, 1 or 3) of an open Pillow image."""
    from PIL import Image, ImageOps

    image.load()
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a damaged note about the picture is no reason to do without it
        image.info.pop("exif", None)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep(np.asarray(image))[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (OPAQUE,) * 4)
        image = Image.alpha_composite(white, image).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _deep(pixels: np.ndarray) -> np.ndarray:
    """Pixels of more than 8 bits, all finite; integers stay what they are, other numbers become float32."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(OPAQUE)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite there, and refused
            pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise Unreadable("pixels that are not finite numbers")
    return pixels


def _array(data: bytes) -> np.ndarray:
    """(H, W, 1 or 3) of the bytes of an .npy file; its header is looked at before anything is made of it."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = header(stream)
    except Exception:  # the header is somebody's text
        raise Unreadable("an array with a damaged header") from None
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise Unreadable(f"an array of {shorten(dtype)} where numbers were expected")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise Unreadable(f"an array of shape {shorten(shape)} where (H, W) or (H, W, 1, 3 or 4) was expected")
    _check_size(shape[1], shape[0])
    body = memoryview(data)[stream.tell() :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        raise Unreadable("a truncated array" if len(body) < math.prod(shape) * dtype.itemsize else "a damaged array")
    pixels = _deep(np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C"))
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] < 4:
        return pixels
    full = OPAQUE if pixels.dtype == np.uint8 else np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1.0
    share = np.clip(pixels[:, :, 3:].astype(np.float32) / full, 0, 1)
    onto_white = pixels[:, :, :3] * share + full * (1 - share)
    return onto_white.round().astype(pixels.dtype) if pixels.dtype.kind in "ui" else onto_white


def levels_of(samples: list[np.ndarray]) -> tuple[float, float]:
    """The values of deep pixels that become black and white: 0 and 255, or 0 and 1, where they seem to mean that;
    else those that all but a thousandth on either side lie between."""
    lowest, highest = float(min(one.min() for one in samples)), float(max(one.max() for one in samples))
    if lowest >= 0 and highest <= 1 and samples[0].dtype.kind == "f":
        return 0.0, 1.0
    if lowest >= 0 and highest <= OPAQUE:
        return 0.0, float(OPAQUE)
    some = np.concatenate([one.ravel()[:: max(1, one.size // 4096)] for one in samples])
    low, high = np.quantile(some.astype(np.float64), [0.001, 0.999]).tolist()
    return (low, high) if high > low else (lowest, highest) if highest > lowest else (lowest - 1, lowest + 1)


def to_size(
    pixels: np.ndarray, size: tuple[int, int], *, channels: int, levels: tuple[float, float] | None
) -> np.ndarray:
    """(H, W, C) uint8 of the size that all have. Stretched: nothing is cut off. levels: as `levels_of` gave them."""
    if pixels.dtype != np.uint8:
        low, high = levels or (0.0, float(OPAQUE) if pixels.dtype.kind != "f" else 1.0)
        scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(OPAQUE / (high - low))
        pixels = np.clip(scaled.round(), 0, OPAQUE).astype(np.uint8)
    if channels == 1 and pixels.shape[2] == 3:
        pixels = (pixels @ LUMA).round().astype(np.uint8)[:, :, None]
    if pixels.shape[:2] != size:
        from PIL import Image

        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        resized = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))  # Pillow averages where it shrinks
        pixels = resized[:, :, None] if resized.ndim == 2 else resized
    return np.repeat(pixels, channels, 2) if pixels.shape[2] < channels else pixels
