"""Pieces of text while it is written: whole characters, and the end at a stop string."""

from __future__ import annotations

import random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from zaowu.decode.tell import Teller


@pytest.fixture(scope="module")
def by_bytes() -> Tokenizer:
    """One token for each byte, as a tokenizer with few pieces spells Chinese."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture(scope="module")
def by_words() -> Tokenizer:
    words = ["[UNK]", "the", "fox", "jump", "##s", "##ing", "over", "dog", ".", "狐", "狸"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def tell(teller: Teller, ids: list[int]) -> list[str]:
    return [*(teller.feed(token) for token in ids), teller.finish()]


@pytest.mark.parametrize("text", ["姚明宣布退役。", "naïve 🦊 jumps", "plain words", "é", ""])
def test_pieces_are_whole_characters_and_together_the_text(by_bytes, text):
    ids = by_bytes.encode(text).ids
    assert len(ids) == len(text.encode())
    pieces = tell(Teller(by_bytes.decode), ids)
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert sum(map(bool, pieces)) == len(text)


def test_half_a_character_at_the_end_is_shown_when_nothing_follows(by_bytes):
    ids = by_bytes.encode("退役").ids
    assert tell(Teller(by_bytes.decode), ids[:4]) == ["", "", "退", "", "\ufffd"]


def test_bytes_that_are_no_text_do_not_hold_back_the_rest_for_ever(by_bytes):
    broken = by_bytes.encode("退").ids[1:2] * 6
    pieces = tell(Teller(by_bytes.decode), broken + by_bytes.encode("ab").ids)
    assert any(pieces[:6]) and "".join(pieces).endswith("ab")


def test_words_are_joined_as_they_are_at_once(by_words):
    ids = by_words.encode("the fox jumps over the 狐狸 jumping .").ids
    for begun in (0, 1, 3):
        teller = Teller(by_words.decode, before=ids[:begun])
        told = "".join(tell(teller, ids[begun:]))
        assert by_words.decode(ids[:begun]) + told == by_words.decode(ids)
        assert teller.text == told


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one\n\ntwo", ["\n\n"], "one"),
        ("one\ntwo", ["\n\n"], "one\ntwo"),
        ("aXYbXYZc", ["XYZ"], "aXYb"),
        ("aXYbXYZc", ["XYZ", "b"], "aXY"),
        ("XXYc", ["XY"], "X"),
        ("问：答：好。问：", ["问："], ""),
        ("答：好。问：", ["问："], "答：好。"),
        ("endX", ["XY"], "endX"),
    ],
)
def test_a_stop_string_ends_the_text_and_is_never_shown(by_bytes, text, stop, expected):
    teller = Teller(by_bytes.decode, stop=stop)
    pieces = tell(teller, by_bytes.encode(text).ids)
    assert "".join(pieces) == teller.text == expected
    assert teller.ended == (expected != text)


def test_any_text_and_any_stop(by_bytes):
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices("ab好", k=draw.randrange(12)))
        stop = ["".join(draw.choices("ab好", k=draw.randrange(1, 4))) for _ in range(draw.randrange(3))]
        places = [text.find(one) for one in stop if one in text]
        teller = Teller(by_bytes.decode, stop=stop)
        assert "".join(tell(teller, by_bytes.encode(text).ids)) == (text[: min(places)] if places else text)
