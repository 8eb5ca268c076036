"""Encodings told apart by what they would make of the bytes. The languages' own codecs are the oracle."""

from __future__ import annotations

import random

import pytest

from zaowu.records.reading.legacy import guess, utf16

TRADITIONAL = [
    "台北市今天天氣晴朗,生活",
    "行政院長宣布新的經濟政策,政治",
    "這家餐廳的牛肉麵真的很好吃,美食",
    "中華隊在棒球比賽中擊敗日本隊,體育",
    "科技公司發表最新款手機,科技",
    "香港股市今天上漲三百點,財經",
    "颱風逼近花蓮明天停班停課,生活",
    "周杰倫新專輯下個月發行,娛樂",
]
FOREIGN = {
    "cp1251": "Привет, как дела? Это тестовый текст, очень длинный.",
    "shift_jis": "これは日本語のテキストです。とても長い文章を書きます。",
    "euc_kr": "안녕하세요 이것은 한국어 텍스트입니다 매우 긴 문장",
}
LATIN = ["café noir, naïve, über, Straße, señor", "“smart” – quotes, £5", "ÉTÉ À LA PLAGE"]


@pytest.mark.parametrize("num_lines", [1, 2, 10])
def test_simplified_text_of_any_length_is_gb18030(news, num_lines):
    rng = random.Random(num_lines)
    for _ in range(200):
        lines = [f"{text},{label}".encode("gb18030") for text, label in rng.sample(list(news), num_lines)]
        assert guess(lines) == "gb18030"


@pytest.mark.parametrize("codec", ["cp950", "gb18030"])
@pytest.mark.parametrize("line", TRADITIONAL)
def test_traditional_text_is_what_it_was_written_in(line, codec):
    assert guess([line.encode(codec)]) == codec


@pytest.mark.parametrize("line", LATIN)
def test_single_marks_between_letters_are_latin(line):
    assert guess([line.encode("cp1252")]) == "cp1252"


@pytest.mark.parametrize("codec", FOREIGN)
def test_other_languages_are_not_taken_for_chinese(codec):
    assert guess([FOREIGN[codec].encode(codec)] * 20) is None


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["text,label\nhello,x\n", "一,一\n一下,一\n", *TRADITIONAL[:1], "a\n"])
def test_utf16_with_and_without_a_mark(text, codec):
    assert utf16(("\ufeff" + text).encode(codec)) == codec
    assert utf16((text + "\n").encode(codec)) == codec
    assert utf16(text.encode()) is None


@pytest.mark.parametrize("head", [b"abc\0\1\2", b"\0" * 50, b"\xff\xfe\0\0a\0\0\0", bytes(range(256)) * 4])
def test_bytes_that_are_no_utf16(head):
    assert utf16(head) is None
