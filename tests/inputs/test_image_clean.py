"""Which columns are images, what their pixels are, and what is said of files that are none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from image_files import claims, encoded, npy, objects, smooth
from PIL import Image

from zaowu.inputs import image
from zaowu.inputs.image.pixels import Unreadable, decode, levels_of, to_size

GREY, COLOUR = smooth(20, 30), smooth(20, 30, colour=True)


@pytest.mark.parametrize(
    "values",
    [
        ["a.png", "b/c.JPG", None, "d e.webp"],
        [encoded(GREY), encoded(COLOUR, "JPEG"), None],
        [encoded(GREY, "GIF"), encoded(COLOUR, "WEBP"), npy(GREY)],
        [[[[0, 0, 0]] * 4] * 4],
        pl.Series([GREY.tolist()], dtype=pl.List(pl.List(pl.UInt8))),
        [np.zeros((12, 10)).tolist()] * 3,
        pl.Series([np.zeros((3, 40), np.uint8)], dtype=pl.Array(pl.UInt8, (3, 40))),
    ],
    ids=["paths", "files", "more files", "colour arrays", "bytes", "nearly square", "fixed shape"],
)
def test_these_are_images(values):
    assert image.guess(pl.Series("photo", values))


@pytest.mark.parametrize(
    "values",
    [
        ["a.png", "some words", "b.txt"],
        ["https://example.org/a.png"] * 3,
        ["png", "jpg"],
        [b"RIFF\0\0\0\0WAVEfmt ", b"fLaC"],
        [b"", b"text"],
        [1, 2, 3],
        [[1.0, 2.0], [3.0]],
        [[[1.0] * 50, [2.0] * 50]] * 3,
        [[["a", "b"]] * 12] * 3,
        [None, None],
        ["", "  "],
    ],
    ids=[
        "words",
        "addresses",
        "endings",
        "sound",
        "bytes",
        "numbers",
        "series",
        "channels",
        "letters",
        "null",
        "blank",
    ],
)
def test_these_are_not(values):
    assert image.guess(pl.Series("photo", values)) is None


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_gives_its_pixels(form):
    lossy = form in ("JPEG", "WEBP")
    grey = decode(encoded(GREY, form))
    assert grey.shape[:2] == GREY.shape and grey.dtype == np.uint8
    assert np.abs(grey.astype(int).mean(2) - GREY).max() <= (12 if lossy else 0)
    if form != "GIF":
        found = decode(encoded(COLOUR, form)).astype(int)
        assert found.shape == COLOUR.shape and np.abs(found - COLOUR).mean() <= (6 if lossy else 0)


def test_the_first_frame_of_a_moving_picture():
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    for form in ("GIF", "WEBP"):
        more = {"lossless": True} if form == "WEBP" else {}
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **more)
        assert (decode(data) == 10).all()


def test_exif_turns_the_picture_and_a_damaged_note_does_not_matter():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = decode(encoded(GREY, exif=exif))
    np.testing.assert_array_equal(pixels[:, :, 0], np.rot90(GREY, -1))
    assert decode(encoded(GREY, "PNG", exif=b"Exif\0\0nonsense")).shape == (20, 30, 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_stands_on_white(mode):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2, :, 3] = 255  # the upper half is black, the lower half nothing at all
    if mode == "P":
        paletted = Image.new("P", (4, 4), 1)
        paletted.putpalette([0, 0, 0, 9, 9, 9])
        paletted.paste(0, (0, 0, 4, 2))
        data = encoded(paletted, transparency=1)
    else:
        data = encoded(Image.fromarray(rgba).convert(mode))
    pixels = decode(data)
    assert (pixels[:2] == 0).all() and (pixels[2:] == 255).all()


def test_16_bits_keep_their_depth_until_the_levels_are_known():
    deep = np.linspace(1000, 3000, 600).reshape(20, 30).astype(np.uint16)
    pixels = decode(encoded(deep))
    np.testing.assert_array_equal(pixels[:, :, 0], deep)
    low, high = levels_of([pixels])
    assert 1000 <= low < 1010 and 2990 < high <= 3000
    small = to_size(pixels, (20, 30), channels=1, levels=(low, high))
    assert small.dtype == np.uint8 and small.min() == 0 and small.max() == 255 and len(np.unique(small)) > 200


@pytest.mark.parametrize(
    ("array", "levels"),
    [
        (np.array([[0.0, 0.5], [1.0, 0.25]]), (0, 1)),
        (np.array([[0, 7], [9, 255]], np.int64), (0, 255)),
        (np.array([[-3.0, 5.0], [1.0, 1.0]], np.float32), None),
        (np.full((2, 2), 500, np.uint16), None),
    ],
)
def test_levels_of_arrays(array, levels):
    found = levels_of([decode(npy(array))])
    assert found[0] < found[1] and (levels is None or found == levels)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_arrays(shape, order):
    array = np.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8), order=order)
    np.testing.assert_array_equal(decode(npy(array)).reshape(shape), array)
    assert decode(npy(array > 100)).max() == 255


def test_an_array_with_transparency_stands_on_white():
    for full, dtype in ((255, np.uint8), (65535, np.uint16), (1.0, np.float32)):
        array = np.zeros((2, 2, 4), dtype)
        array[0, :, 3] = full
        pixels = decode(npy(array))
        assert pixels.shape == (2, 2, 3) and (pixels[0] == 0).all() and (pixels[1] == full).all()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1_000_000))
    return stream.getvalue()


HOSTILE = {
    "empty": (b"", "an empty file"),
    "text": ("标题,topic\n1,2\n".encode() * 100, "text: '标题,topic"),
    "short text": (b"hi", "text: 'hi'"),
    "noise": (bytes(range(128, 256)) * 9, "1,152 bytes that are no image"),
    "zip": (zipped(), "a ZIP archive"),
    "50 megapixels": (claims(8000, 6250), r"50\.0 megapixels \(8,000 x 6,250\), over the 25 that are read"),
    "a billion": (claims(40000, 40000), "more than 25 megapixels|1,600"),
    "no size": (claims(0, 10), "PNG|image"),
    "too few pixels": (claims(1000, 1000), "PNG"),
    "truncated png": (encoded(smooth(90, 90, colour=True))[:-60], "a truncated PNG"),
    "truncated jpeg": (encoded(smooth(90, 90, colour=True), "JPEG")[:-300], "a truncated JPEG"),
    "header alone": (encoded(GREY)[:8], "a damaged image"),
    "damaged": (encoded(smooth(64, 64))[:60] + b"\0" * 80 + encoded(smooth(64, 64))[140:], "PNG"),
    "array of objects": (objects(), "an array of object"),
    "array of letters": (npy(np.array([["a"]])), "an array of"),
    "one dimension": (npy(np.zeros(9)), r"shape \(9,\)"),
    "five channels": (npy(np.zeros((4, 4, 5))), r"shape \(4, 4, 5\)"),
    "not finite": (npy(np.array([[1.0, np.inf]])), "not finite"),
    "overflowing": (npy(np.array([[1.0, 1e300]])), "not finite"),
    "complex": (npy(np.zeros((2, 2), complex)), "an array of complex128"),
    "truncated array": (npy(GREY)[:-5], "a truncated array"),
    "longer array": (npy(GREY) + b"more", "a damaged array"),
    "array header": (b"\x93NUMPY\x01\x00\x10\x00{'descr': boom()}", "an array with a damaged header"),
    "array bomb": (npy(GREY).replace(b"(20, 30)", b"(99999, 99999)"), "megapixels|header"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_image_is_a_problem_in_words(case, tmp_path):
    data, words = HOSTILE[case]
    (tmp_path / "x.png").write_bytes(data)
    (tmp_path / "good.png").write_bytes(encoded(GREY))
    for values in (["good.png", "x.png", None], [encoded(GREY), data, None]):
        found = image.clean(pl.Series("photo", values), tmp_path)
        assert list(found.problems) == [1]
        pattern = rf"^expected an image, got .*({words})"
        assert pl.Series([found.problems[1]]).str.contains(pattern).all(), found.problems[1]
        assert found.values.is_null().to_list() == [False, True, True]


def test_a_zip_bomb_inside_a_picture_is_not_unpacked():
    """Its header claims few pixels; what is stored expands to far more."""
    found = decode(claims(10, 10, body=300_000_000))
    assert found.shape == (10, 10, 1)


def test_paths_are_read_against_the_folder_of_the_table(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "x.png").write_bytes(encoded(GREY))
    (tmp_path / "same.png").write_bytes(encoded(GREY))
    absolute = str(tmp_path / "same.png")
    values = ["a b/x.png", " same.png ", absolute, "gone.png", "a b", "", None, "nul\0.png"]
    found = image.clean(pl.Series("photo", values), tmp_path)
    assert found.values.to_list()[:3] == [str(tmp_path / "a b" / "x.png"), absolute, absolute]
    assert found.values.dtype == pl.String and set(found.contents[:3]) == {found.contents[0]} != {None}
    assert found.problems.keys() == {3, 4, 7}
    assert found.problems[3].startswith("expected an image, got no file at") and "a folder" in found.problems[4]
    assert found.contents[3:] == [None] * 5


def test_nested_lists_become_npy_bytes():
    good, ragged = GREY[:9, :9].tolist(), [[1, 2], [3]]
    found = image.clean(pl.Series("photo", [good, ragged, None, good]), None)
    assert found.values.dtype == pl.Binary and list(found.problems) == [1]
    assert "rows of different length" in found.problems[1]
    np.testing.assert_array_equal(decode(found.values[0])[:, :, 0], GREY[:9, :9])
    assert found.contents[0] == found.contents[3]


def test_something_that_is_no_plain_file_is_not_read():
    if not Path("/dev/zero").exists():
        pytest.skip("no such device here")
    found = image.clean(pl.Series("photo", ["/dev/zero"]), None)
    assert "not a plain file" in found.problems[0]


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    import sys

    from zaowu.errors import UserError

    data = encoded(GREY)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=r"pip install 'zaowu\[image\]'"):
        decode(data)
    with pytest.raises(Unreadable):
        decode(b"")
