"""Builds a `tokenizer.json` for Unigram pieces with a table of normalised code points (as SentencePiece does)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"  # stands for a space inside pieces
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # begin, padding, end, unknown, masked


def build(pieces: Sequence[str], scores: Iterable[float], *, normal: Mapping[int, str]) -> Tokenizer:
    """The tokenizer: characters normalised, runs of spaces made one, most probable pieces, `<s> A </s>`.

    pieces must hold the five SPECIAL ones. normal: code point -> its replacement.

    A character that no piece holds is one unknown piece, also beside another: the library would fuse
    neighbours, so they are cut apart before the pieces are looked for. No piece spans one, so none changes.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    ids = {piece: i for i, piece in enumerate(pieces)}
    vocab = list(zip(pieces, map(float, scores), strict=True))
    tokenizer = Tokenizer(models.Unigram(vocab, ids["<unk>"], False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap(normal)), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    known = {character for piece in pieces if piece not in SPECIAL for character in piece}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always"),
            pre_tokenizers.Split(Regex(f"[^{character_class(known)}]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(piece, ids[piece]) for piece in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens(
        [AddedToken(piece, lstrip=piece == "<mask>", normalized=False, special=True) for piece in SPECIAL]
    )
    return tokenizer


def character_class(characters: Iterable[str]) -> str:
    """The inside of a regular expression's brackets that matches exactly `characters`."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\x{{{a:x}}}" if a == b else rf"\x{{{a:x}}}-\x{{{b:x}}}" for a, b in ranges)


def charsmap(normal: Mapping[int, str]) -> bytes:
    """The table as SentencePiece's `precompiled_charsmap`: a double-array trie, then the replacements.

    Layout: u32 bytes of the trie; the trie's u32 units; the replacements in UTF-8, each ended by a zero byte.
    A unit holds its own label (bits 0-7), whether a key ends there (bit 8) and, from bit 10, the offset: the
    unit reached by byte c is at (position xor offset) xor c. A key's value, the place of its replacement, is
    in the unit reached by 0, with the top bit set.
    Source: J. Aoe 1989, "An efficient digital search algorithm by using a double-array structure".
    """
    trie: dict[int, Any] = {}  # byte -> the node it leads to; 0 -> the value of the key that ends here
    replacements = bytearray()
    for code, text in normal.items():
        node = trie
        for byte in chr(code).encode("utf-8"):
            node = node.setdefault(byte, {})
        node[0] = len(replacements)
        replacements += text.encode("utf-8") + b"\0"

    units = {0: 0}
    offsets: set[int] = set()  # two nodes at one offset would share their children
    pending = [(0, trie)]
    first_free = 0
    while pending:
        position, node = pending.pop()
        while first_free in units or first_free in offsets:
            first_free += 1
        offset = first_free
        while offset in offsets or any(offset ^ label in units for label in node):
            offset += 1
        offsets.add(offset)
        units[position] |= (position ^ offset) << 10 | (1 << 8 if 0 in node else 0)
        for label, child in node.items():
            units[offset ^ label] = child | 1 << 31 if label == 0 else label
            if label:
                pending.append((offset ^ label, child))
    assert max(units) < 1 << 21, "offsets have 21 bits"
    size = (max(units) // 256 + 1) * 256  # whole blocks: every byte leads to a unit
    array = [units.get(i, 0) for i in range(size)]
    return struct.pack(f"<I{size}I", size * 4, *array) + bytes(replacements)
