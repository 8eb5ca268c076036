"""What is seen and heard of a record: thumbnails, spectrograms with a player, plots, rows of a table; and no more."""

from __future__ import annotations

import dataclasses
import io
import struct
import wave
import zlib
from base64 import b64encode

import numpy as np
import pytest
import report_samples as samples
from report_html import Page

from zaowu.config import from_plain
from zaowu.errors import UserError
from zaowu.inputs import Inputs, Shown
from zaowu.inputs.series import plot
from zaowu.report.content import MAX_SIDE, MAX_URI, MAX_URIS, ReportContent, check_shown, is_sound, picture_size
from zaowu.report.write import render
from zaowu.run.show import seen


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def png(width: int, height: int = 12, *, kind: str = "image/png") -> str:
    """A grey picture."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes((width + 1) * height))),
        (b"IEND", b""),
    ]
    made = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return uri(kind, b"\x89PNG\r\n\x1a\n" + b"".join(made))


def wav(samples: int = 800) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * samples))
    return uri("audio/wav", file.getvalue())


def content(kind: str, **media: str) -> ReportContent:
    """A report on a column of this kind whose mistakes and predictions have these pictures and sounds."""
    made = samples.topics()
    made.columns[0] = {**made.columns[0], "name": "it", "kind": kind}
    [answer] = made.answers
    answer.mistakes = [{**row, **media} for row in answer.mistakes[:3]]
    answer.predictions = [{**row, **media} for row in answer.predictions[:2]]
    return made


SVG = plot.svg(np.array([[1.0, 2.0, np.nan, 4.0, 3.0]]))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_tiny_image_is_enlarged_pixel_by_pixel_and_a_thumbnail_is_not(lang):
    page = Page(render(content("image", picture=png(12)), lang=lang))
    tiny, words = page.all("img"), {"en": "image: ", "zh": "图片："}[lang]
    assert len(tiny) == 5 and all(image["src"] == png(12) for image in tiny)
    assert {(image["width"], image["height"], image["class"]) for image in tiny} == {("96", "96", "tiny")}
    assert tiny[0]["alt"].startswith(words) and samples.HEADLINES[0][:10] in tiny[0]["alt"]
    large = Page(render(content("image", picture=png(160, 90)), lang=lang)).all("img")
    assert {(image["width"], image["height"], image.get("class")) for image in large} == {("160", "90", None)}
    assert not page.all("script") and not page.all("audio")


@pytest.mark.parametrize(("lang", "said"), [("en", "time runs to the right"), ("zh", "横轴是时间")])
def test_a_sound_is_played_beside_its_spectrogram(lang, said):
    page = Page(render(content("audio", picture=png(90, 80), sound=wav()), lang=lang))
    players = page.all("audio")
    assert len(players) == len(page.all("img")) == 5
    assert all(player["src"] == wav() and "controls" in player and player["aria-label"] for player in players)
    assert said in page.text("p")
    assert not page.all("script")


def test_what_cannot_be_heard_for_want_of_room_is_said():
    made = content("audio", picture=png(90, 80), sound=wav())
    del made.answers[0].mistakes[1]["sound"]
    assert "2 of these 3 rows can be heard" in Page(render(made)).text("p")
    assert "rows can be heard" not in render(content("audio", picture=png(90, 80), sound=wav()))


def test_a_series_shows_its_plot():
    page = Page(render(content("series", picture=SVG)))
    assert [(image["src"], image["width"], image["height"]) for image in page.all("img")] == [(SVG, "320", "90")] * 5
    assert page.all("img")[0]["alt"].startswith("plot: ")
    assert "one channel over time" in page.text("p")


def test_a_table_shows_the_whole_row_and_a_text_its_beginning():
    cells = ", ".join(f"column_{k}: {k}" for k in range(25))
    assert 350 < len(cells) < 400
    for kind, whole in (("number", True), ("text", False)):
        made = content(kind)
        made.answers[0].mistakes = [{**row, "text": cells} for row in made.answers[0].mistakes]
        assert (cells in Page(render(made)).text("bdi")) is whole


def test_the_page_may_load_pictures_and_sounds_from_itself_alone():
    page = Page(render(content("audio", picture=png(90, 80), sound=wav())))
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="90" viewBox="0 0 320 90">'
LINE = '<polyline points="1,2 3,4" fill="none" stroke="#2a6fb0" stroke-width="1.3"/>'


def svg(inner: str, head: str = HEAD, end: str = "</svg>") -> str:
    return uri("image/svg+xml", f"{head}{inner}{end}".encode())


NO_PICTURES = {
    "nothing": "",
    "an address": "https://example.org/x.png",
    "a script": "javascript:alert(1)",
    "a page": uri("text/html", b"<script>alert(1)</script>"),
    "no base64": "data:image/svg+xml,<svg onload=alert(1)>",
    "an attribute": png(12) + '" onerror="alert(1)',
    "a line more": png(12) + "\n",
    "padding in the middle": png(12)[:40] + "=" + png(12)[40:],
    "a letter less": png(12)[:-1],
    "a parameter": png(12).replace("png;", "png;charset=x;"),
    "capitals": png(12).replace("image/png", "IMAGE/PNG"),
    "another type": uri("image/gif", b"GIF89a" + bytes(40)),
    "a lie": png(12, kind="image/jpeg"),
    "no PNG": uri("image/png", b"<svg onload='alert(1)'/>" + bytes(20)),
    "half a head": uri("image/png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00"),
    "no width": png(0),
    "a bomb": png(MAX_SIDE + 1),
    "too long": uri("image/png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(MAX_URI)),
    "a sound": wav(),
    "svg script": svg("<script>alert(1)</script>"),
    "svg event": svg(LINE.replace("fill", "onload")),
    "svg event in the head": svg(LINE, HEAD.replace("width", 'onload="alert(1)" width')),
    "svg image": svg('<image href="https://example.org/x.png"/>'),
    "svg link": svg('<a href="javascript:alert(1)">' + LINE + "</a>"),
    "svg foreign": svg("<foreignObject><b/></foreignObject>"),
    "svg use": svg('<use href="#a"/>'),
    "svg style": svg("<style>@import 'x'</style>"),
    "svg url": svg(LINE.replace("#2a6fb0", "url(https://example.org)")),
    "svg entity": svg(LINE, "<!DOCTYPE svg [<!ENTITY a 'b'>]>" + HEAD),
    "svg comment": svg("<!-- x -->"),
    "svg after the end": svg(LINE, end="</svg><script/>"),
    "svg not closed": svg(LINE, end=""),
    "svg large": svg(LINE, HEAD.replace('width="320"', 'width="9999"')),
}
NO_SOUNDS = {
    "nothing": "",
    "an address": "https://example.org/x.wav",
    "a picture": png(12),
    "a page": uri("audio/wav", b"<script>alert(1)</script>"),
    "another type": wav().replace("audio/wav", "audio/x-evil"),
    "a video": uri("video/mp4", b"RIFF" + bytes(40)),
    "a lie": wav().replace("audio/wav", "audio/flac"),
    "an attribute": wav() + '" autoplay="',
    "too long": uri("audio/wav", b"RIFF" + bytes(MAX_URI)),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_neither_loaded_nor_shown(name):
    refused(picture=NO_PICTURES[name])


@pytest.mark.parametrize("name", NO_SOUNDS)
def test_what_is_no_sound_is_neither_loaded_nor_shown(name):
    refused(sound=NO_SOUNDS[name])


def refused(**media: str) -> None:
    made = content("image", **media)
    with pytest.raises(
        UserError, match=rf"^metrics\.json, 'mistakes', '{next(iter(media))}': expected .*, got "
    ) as told:
        check_shown(made.answers, where="metrics.json")
    assert len(str(told.value)) < 300
    page = Page(render(made))
    assert not page.all("img", "audio") and "alert(1)" not in render(made)


def test_what_an_input_gives_is_let_pass():
    assert picture_size(png(12, 9)) == (12, 9) and picture_size(SVG) == (320, 90) and picture_size(svg("")) == (320, 90)
    assert picture_size(svg(LINE)) == (320, 90)
    for kind, head in {"wav": b"RIFF", "flac": b"fLaC", "ogg": b"OggS", "mpeg": b"\xff\xfb"}.items():
        assert is_sound(uri(f"audio/{kind}", head + bytes(30)))
    check_shown(content("audio", picture=png(90, 80), sound=wav()).answers, where="metrics.json")


def test_many_that_are_small_are_too_much_together():
    made = content("audio", sound=wav(MAX_URI // 6))
    [answer] = made.answers
    answer.mistakes = answer.mistakes[:1] * 30
    with pytest.raises(UserError, match=rf"expected pictures and sounds of at most {MAX_URIS:,} characters, got "):
        check_shown(made.answers, where="metrics.json")


def test_pictures_and_sounds_go_through_a_file_and_back():
    made = content("audio", picture=png(90, 80), sound=wav())
    again = from_plain(ReportContent, dataclasses.asdict(made), where="test")
    assert render(again) == render(made)


# ---- which records are shown


class Group:
    """Records that say how long their picture and sound are."""

    kind, columns = "image", ("it",)

    def shown(self, value):
        if value is None:
            raise UserError("it is gone.")
        wide, long = value
        return Shown("words", png(wide, wide) if wide else "", wav(long) if long else "")


def of(values, records, **room):
    return seen(Inputs({"image": Group()}), {"it": values}, records, **room)


def test_pictures_come_before_sounds_and_the_worst_before_the_others():
    values = [(8, 500), (8, 500), (0, 500), None, (0, 0)]
    assert of(values, range(5)) == {
        0: {"picture": png(8, 8), "sound": wav(500), "text": "words"},
        1: {"picture": png(8, 8), "sound": wav(500), "text": "words"},
        2: {"sound": wav(500), "text": "words"},
    }
    one, sound = len(png(8, 8)), len(wav(500))
    assert of(values, [1, 0], room=2 * one + sound) == {
        1: {"picture": png(8, 8), "sound": wav(500), "text": "words"},
        0: {"picture": png(8, 8)},
    }
    assert of(values, [0, 1], room=one) == {0: {"picture": png(8, 8)}}
    assert of(values, [0, 0, 1], room=2 * one - 1) == {1: {"picture": png(8, 8)}}
    assert of([(MAX_SIDE + 1, 0)], [0]) == {}
