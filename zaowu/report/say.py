"""Words and numbers in the reader's language."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import TypeGuard

from zaowu.errors import UserError, nearest, shorten
from zaowu.progress import duration
from zaowu.report import chinese, english

PLAIN = {"log_loss": ".3f", "r2": ".3f", "mae": ",.4g", "rmse": ",.4g"}  # metrics that are no shares: their format


class Say:
    """`say("key", n=3)` is the sentence of that key. Raises UserError for a language that we do not have.

    more: language -> the words of one page, beside those of all pages.
    """

    def __init__(self, lang: str, more: Mapping[str, Mapping[str, str]] | None = None) -> None:
        tables = {"en": english.WORDS, "zh": chinese.WORDS}
        if lang not in tables:
            raise UserError(f"--lang: expected en or zh, got '{shorten(lang)}'.{nearest(lang, tables)}")
        self.lang, self.words = lang, {**tables[lang], **(more or {}).get(lang, {})}
        self.zh = lang == "zh"

    def __call__(self, key: str, **values: object) -> str:
        return self.words[key].format(**values)

    def name(self, group: str, value: object) -> str:
        """What a person calls `value` of a group ("role", "stage"); the value itself where we have no word."""
        pattern, numbers = _pattern(value)
        words = self.words.get(f"{group}.{pattern}")
        return str(value) if words is None else _filled(words, numbers)

    def told(self, sentence: object) -> str:
        """What another room said in English, in the reader's language where we know how."""
        pattern, numbers = _pattern(sentence)
        words = chinese.SENTENCES.get(pattern) if self.zh else None
        return str(sentence) if words is None else _filled(words, numbers)

    def percent(self, value: float | None, digits: int = 1) -> str:
        """`0.9412` -> `94.1 %`; a dash for what could not be computed."""
        return self("percent", number=f"{100 * value:.{digits}f}") if known(value) else "–"

    def interval(self, low: float | None, high: float | None, *, signed: bool = False) -> str:
        """Two shares in per cent, without the sign."""
        form = "+.1f" if signed else ".1f"
        if known(low) and known(high):
            return self("interval", low=f"{100 * low:{form}}", high=f"{100 * high:{form}}")
        return "–"

    def score(self, name: str, value: float | None) -> str:
        """A metric's value: losses and errors as they are, all others are shares."""
        if name not in PLAIN:
            return self.percent(value)
        return plain(name, value) if known(value) else "–"

    def range(self, name: str, low: float | None, high: float | None, *, signed: bool = False) -> str:
        """The interval of a metric; shares without the sign of per cent."""
        if name not in PLAIN or not (known(low) and known(high)):
            return self.interval(low, high, signed=signed)
        return self("range", low=plain(name, low, signed=signed), high=plain(name, high, signed=signed))

    def gap(self, name: str, value: float, *, signed: bool = False) -> str:
        """A difference of two values of a metric."""
        if name not in PLAIN:
            return self.points(value, signed=signed)
        return plain(name, value if signed else abs(value), signed=signed)

    def points(self, value: float, *, signed: bool = False) -> str:
        """A difference of shares."""
        return self("points", number=f"{100 * value:+.1f}" if signed else f"{abs(100 * value):.1f}")

    def whole(self, value: float | None) -> str:
        """`12345` -> `12,345`."""
        return f"{round(value):,}" if known(value) else "–"

    def million(self, value: float | None) -> str:
        """`33123456` -> `33.1 million`, or `3,312 万`; what is larger in the next unit."""
        if not known(value) or value < 1e6:
            return self.whole(value)
        if value >= (1e8 if self.zh else 1e9):
            return self("billion", number=f"{value / (1e8 if self.zh else 1e9):,.1f}")
        return self("million", number=f"{value / 1e4:,.0f}" if self.zh else f"{value / 1e6:.1f}")

    def duration(self, seconds: float | None) -> str:
        """`75` -> `1 min 15 s`; below ten seconds with one decimal."""
        words = "–"
        if known(seconds):
            words = duration(seconds) if seconds >= 10 else self("seconds", number=f"{seconds:.1f}")
        if self.zh:
            for unit, character in (("h", "小时"), ("min", "分"), ("s", "秒")):
                words = re.sub(rf"\b{unit}\b", character, words)
        return words

    def listed(self, names: list[str], most: int = 8) -> str:
        """`a, b, c and 4 more`."""
        words = self("comma").join(shorten(name, 40) for name in names[:most])
        if len(names) <= most:
            return words
        return words + ("" if self.zh else " ") + self("and_more", n=len(names) - most)


def plain(name: str, value: float, *, signed: bool = False) -> str:
    """A value of a metric that is no share, without an exponent where it is large."""
    form = ",.0f" if abs(value) >= 1e4 else PLAIN[name]
    return format(value, f"+{form}" if signed else form)


def _pattern(value: object) -> tuple[str, list[str]]:
    """`5-fold` -> `{n}-fold` and the number."""
    number = r"[0-9]+(?:,[0-9]{3})*"
    return re.sub(number, "{n}", str(value)), re.findall(number, str(value))


def _filled(words: str, numbers: list[str]) -> str:
    for number in numbers:
        words = words.replace("{n}", number, 1)
    return words


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is such a number: not None, NaN or infinite."""
    return value is not None and math.isfinite(value)


def language(lang: str | None) -> str:
    """The person's choice, or what their locale says: "zh" for Chinese, else "en"."""
    if lang is not None:
        Say(lang)
        return lang
    told = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if told.startswith("zh") else "en"
