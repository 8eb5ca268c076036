"""What can go wrong, and how a person is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The person's input is at fault: where, expected, got, what to do, in one short text.

    The command line prints it as it is and ends with exit code 2; it never shows a traceback for it.
    """


class Stopped(Exception):
    """A person pressed Ctrl-C; what was done so far is on disk. Exit code 130."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """`" Did you mean 'topic'?"`, or nothing when no choice is close to `name`."""
    close = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def shorten(value: object, width: int = 60) -> str:
    """`value` as one line of at most `width` characters, for use inside an error sentence."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
