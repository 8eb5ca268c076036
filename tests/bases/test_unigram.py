from __future__ import annotations

import random
import re
import sys
import unicodedata

import pytest
from tokenizers import Tokenizer, normalizers

from zaowu.bases import unigram

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁a", "a", "b", "ab", "中", "国", "中国", "ba", "<mask>"]
SCORES = [0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -2.5, -2.25, -4.5, -3.0, -4.0, -3.5, -4.0, 0.0]
NORMAL = {ord("Ａ"): "a", 0x3000: " ", 0x1: "", ord("㎏"): "ba"}


def tiny() -> Tokenizer:
    return unigram.build(PIECES, SCORES, normal=NORMAL)


def most_probable(text: str) -> float:
    """The best score over every way to cut `text`, by trying them all; an unknown character costs the least
    score and 10 more, as in SentencePiece."""
    if not text:
        return 0.0
    unknown = min(SCORES) - 10
    best = unknown + most_probable(text[1:])
    for piece, score in zip(PIECES[4:-1], SCORES[4:-1], strict=True):
        if text.startswith(piece):
            best = max(best, score + most_probable(text[len(piece) :]))
    return best


def test_pieces_are_the_most_probable_ones():
    tokenizer, rng = tiny(), random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("ab中国 字z", k=rng.randint(1, 9)))
        pieces = [PIECES[i] for i in tokenizer.encode(text, add_special_tokens=False).ids]
        spelled = "▁" * (not text.startswith(" ")) + re.sub(" +", "▁", text)
        score = sum(min(SCORES) - 10 if p == "<unk>" else SCORES[PIECES.index(p)] for p in pieces)
        assert score == most_probable(spelled), text
        assert sum(1 if p == "<unk>" else len(p) for p in pieces) == len(spelled), text


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Ａb", "▁a b"),
        ("a　　 b", "▁a ▁ b"),  # wide spaces are spaces, and a run is one
        (" a", "▁a"),  # a leading space is the one that would be put there
        ("a ", "▁a ▁"),
        ("字字a", "▁ <unk> <unk> a"),  # neighbours are not fused
        ("b\x01a", "▁ ba"),
        ("㎏", "▁ ba"),
        ("中国<mask> a", "▁ 中国 <mask> ▁a"),
    ],
)
def test_by_hand(text: str, pieces: str):
    ids = tiny().encode(text, add_special_tokens=False).ids
    assert " ".join(PIECES[i] for i in ids) == pieces


def test_frame_of_one_text_and_of_a_pair():
    tokenizer = tiny()
    assert tokenizer.encode("a").tokens == ["<s>", "▁a", "</s>"]
    pair = tokenizer.encode("a", "中")
    assert pair.tokens == ["<s>", "▁a", "</s>", "</s>", "▁", "中", "</s>"]
    assert set(pair.type_ids) == {0}
    assert tokenizer.decode(tokenizer.encode("a中国 ab").ids) == "a中国 ab"
    again = Tokenizer.from_str(tokenizer.to_str())
    assert again.encode("Ａ字字 b").ids == tokenizer.encode("Ａ字字 b").ids


def test_charsmap_is_what_translate_does():
    rng = random.Random(1)
    plain = [chr(c) for c in range(1, 0x30000) if c < 0xD800 or c > 0xDFFF]
    # a mark joins the character before it, which the library looks up as one: not this table's doing
    alone = [c for c in plain if not unicodedata.category(c).startswith(("M", "C")) and not "가" <= c <= "힣"]
    for size in (1, 2, 50, 3000):
        table = {ord(c): "".join(rng.choices(alone, k=rng.randint(0, 3))) for c in rng.sample(alone, size)}
        normalizer = normalizers.Precompiled(unigram.charsmap(table))
        for _ in range(100):
            letters = [rng.choice([chr(rng.choice(list(table))), rng.choice(alone), "x"]) for _ in range(6)]
            text = "x" + "x".join(letters)
            assert normalizer.normalize_str(text) == text.translate(table), [hex(ord(c)) for c in text]
    assert normalizers.Precompiled(unigram.charsmap({})).normalize_str("a中") == "a中"


def test_character_class_matches_exactly_its_characters():
    rng = random.Random(2)
    characters = {chr(rng.choice([rng.randrange(33, 127), rng.randrange(0x4E00, 0x4F00)])) for _ in range(150)}
    # Python writes the same escapes as \uXXXX
    inside = re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\u{int(m[1], 16):04x}", unigram.character_class(characters))
    pattern = re.compile(f"[{inside}]")
    for code in range(0xD800):
        assert bool(pattern.match(chr(code))) == (chr(code) in characters)
    assert sys.maxunicode == 0x10FFFF
