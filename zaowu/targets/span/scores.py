"""Exact match and F1 of answers, as the sets define them: SQuAD's by words, CMRC 2018's by Chinese characters.

Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1; Cui et al.
2019, "A Span-Extraction Dataset for Chinese Machine Reading Comprehension", section 4.1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_SIGNS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》……·、「」（）－～『』") | _PUNCTUATION
_HAN = re.compile(r"[\u4e00-\u9fa5]")
_UNITS = re.compile(r"[\u4e00-\u9fa5]|[^\s\u4e00-\u9fa5]+")


def by_characters(texts: Sequence[str]) -> bool:
    """Whether answers are to be compared as CMRC does it: where half of them have a Chinese character."""
    return 2 * sum(_HAN.search(text) is not None for text in texts) > len(texts)


def exact(predicted: str, given: Sequence[str], *, characters: bool) -> float:
    """1 where the normalised words are those of any given answer; without given answers, where nothing is said."""
    if not given:
        return float(not predicted)
    normal = _bare if characters else _words
    return float(any(normal(predicted) == normal(one) for one in given))


def f1(predicted: str, given: Sequence[str], *, characters: bool) -> float:
    """Of the given answers the best F1 of units: words that both have, or the longest run of characters of both."""
    if not given or not predicted:
        return float(not given and not predicted)
    return max((_f1_characters if characters else _f1_words)(predicted, one) for one in given)


def _f1_words(predicted: str, given: str) -> float:
    one, other = _words(predicted).split(), _words(given).split()
    if not one or not other:
        return float(one == other)
    common = sum((Counter(one) & Counter(other)).values())
    return 2 * common / (len(one) + len(other))


def _f1_characters(predicted: str, given: str) -> float:
    one, other = units(predicted), units(given)
    if not one or not other:
        return float(one == other)
    return 2 * longest_common_run(one, other) / (len(one) + len(other))


def _words(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces."""
    bare = "".join(sign for sign in text.lower() if sign not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _bare(text: str) -> str:
    """Lower case without any punctuation."""
    return "".join(sign for sign in text.lower().strip() if sign not in _SIGNS)


def units(text: str) -> list[str]:
    """Chinese characters one by one, and what stands between them by white space and punctuation."""
    bare = "".join(" " if sign in _SIGNS else sign for sign in text.lower())
    return _UNITS.findall(bare)


def longest_common_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest run of units that stands in both: a run of n holds one of n - 1, so n can be halved for."""
    codes: dict[str, str] = {}
    first, second = ("".join(codes.setdefault(unit, chr(len(codes))) for unit in own) for own in (one, other))
    low, high = 0, min(len(first), len(second))
    while low < high:
        size = (low + high + 1) // 2
        runs = {first[place : place + size] for place in range(len(first) - size + 1)}
        if any(second[place : place + size] in runs for place in range(len(second) - size + 1)):
            low = size
        else:
            high = size - 1
    return low
