"""Tokens -> text, piece by piece as it can be shown, and the place where a stop string ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\ufffd"  # what half a character is shown as
MOST_BYTES = 4  # of a character: more tokens than this without one, and the text is broken for good

Decode = Callable[[Sequence[int]], str]


class Teller:
    """One text while it is written.

    A piece is given out when its characters are whole: a token may be half a Chinese character. With stop strings,
    what could be the beginning of one is held back until it is not. The pieces together are the text that all tokens
    give at once, up to the first stop string.
    """

    def __init__(self, decode: Decode, *, before: Sequence[int] = (), stop: Sequence[str] = ()) -> None:
        """before: the tokens that the text goes on from; where words are joined, they decide how it begins."""
        self._decode, self._stop = decode, tuple(stop)
        self._tokens = list(before)
        self._from, self._to = max(0, len(self._tokens) - 8), len(self._tokens)
        self._held = ""
        self.text = ""  # given out so far
        self.ended = False  # at a stop string

    def feed(self, token: int) -> str:
        """The next piece, maybe empty. After a stop string there are no more."""
        if self.ended:
            return ""
        self._tokens.append(token)
        return self._give(self._fresh(last=False), last=False)

    def finish(self) -> str:
        """What was held back, when no token follows."""
        return "" if self.ended else self._give(self._fresh(last=True), last=True)

    def _fresh(self, *, last: bool) -> str:
        """The text of the tokens that were not told yet, if it is whole."""
        if self._to == len(self._tokens):
            return ""
        old, new = (self._decode(self._tokens[self._from : stop]) for stop in (self._to, len(self._tokens)))
        if new.endswith(BROKEN) and not last and len(self._tokens) - self._to < MOST_BYTES:
            return ""
        self._from, self._to = self._to, len(self._tokens)
        return new[len(old) :] if new.startswith(old) else new[_common(old, new) :]

    def _give(self, fresh: str, *, last: bool) -> str:
        text = self._held + fresh
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if places:
            self.ended, self._held = True, ""
            text = text[: min(places)]
        else:
            keep = 0 if last else max((_overlap(text, stop) for stop in self._stop), default=0)
            self._held = text[len(text) - keep :]
            text = text[: len(text) - keep]
        self.text += text
        return text


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)


def _common(one: str, other: str) -> int:
    size = 0
    while size < min(len(one), len(other)) and one[size] == other[size]:
        size += 1
    return size
