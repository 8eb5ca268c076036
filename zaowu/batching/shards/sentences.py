"""Where sentences and words begin in a paragraph, in characters."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

_CLOSING = "”’\"'」』）)】》〉］\\]｝}"
_END = re.compile(
    rf"(?:[。！？｡…]+|[!?]+(?![\w=&/%])|(?<![A-Z])\.+(?=[{_CLOSING}]*\s))[。！？｡…!?]*[{_CLOSING}]*\s*|\s*\n\s*"
)
HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+|\S")


def sentence_starts(paragraph: str) -> list[int]:
    """First characters of all sentences but the first one.

    A sentence ends after 。！？!?… and after a full stop that white space follows, with the closing quotes and
    brackets behind it; and at a line's end. No full stop after a single capital (an initial) and no mark within a
    word (an address) ends one; abbreviations do, which costs an objective little.
    """
    length = len(paragraph.rstrip())
    return [end for found in _END.finditer(paragraph) if 0 < (end := found.end()) < length and found.start()]


def word_starts(paragraph: str, cut: Callable[[str], Iterator[str]] | None) -> np.ndarray:
    """(C,) bool for C characters: True where a word begins. cut: parts a run of Han characters into words.

    Without `cut` every Han character is a word. Signs are words of their own.
    """
    found = np.zeros(len(paragraph), bool)
    for match in _WORD.finditer(paragraph):
        start, end = match.span()
        found[start] = True
        if end - start > 1 and paragraph[start] >= "\u2e80":
            run = match[0]
            if not re.match(f"[{HAN}]", run):
                continue
            if cut is None:
                found[start:end] = True
            else:
                place = start
                for word in cut(run):
                    found[place] = True
                    place += len(word)
    return found


@lru_cache(maxsize=1)
def chinese_words() -> Callable[[str], Iterator[str]] | None:
    """The cutter of jieba, or None where it is not installed. Its dictionary is read anew, never from a cache."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its source has escapes that Python complains of
            import jieba
    except ImportError:
        return None
    jieba.setLogLevel(60)
    cutter: Any = jieba.Tokenizer()
    with tempfile.TemporaryDirectory(prefix="zaowu-") as folder:  # its cache may be written by anybody, so not used
        cutter.tmp_dir = folder
        cutter.initialize()
    return lambda text: cutter.cut(text)
