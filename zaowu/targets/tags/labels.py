"""Tags as people write them: JSON lists, or words joined by a sign."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

SEPARATORS = (";", "；", "|", "、", ",", "，")  # the first that occurs in training labels is the one
NO_TAGS = "(none)"


def find_separator(labels: Sequence[str | None]) -> str:
    """What joins tags in most of the labels that hold a separator; "" for JSON lists and single tags."""
    found = Counter(
        next((sign for sign in SEPARATORS if sign in label), "")
        for label in labels
        if label is not None and not label.lstrip().startswith("[")
    )
    del found[""]
    return found.most_common(1)[0][0] if found else ""


def parse(label: str, separator: str) -> list[str]:
    """The different tags of one label, in their order."""
    parts: list[Any] = []
    if label.lstrip().startswith("["):
        try:
            parts = json.loads(label)
        except (ValueError, RecursionError):
            quoted = re.findall(r"'([^']*)'", label)  # as Python writes a list
            is_word = not quoted and label.strip("[ ") and not label.rstrip().endswith("]")  # [WIP];bug
            parts = label.split(separator) if is_word and separator else [label] if is_word else quoted
    else:
        parts = label.split(separator) if separator else [label]
    return list(dict.fromkeys(tag for part in parts if (tag := str(part).strip())))


def words(tags: Sequence[str]) -> str:
    """Tags for reading."""
    return ", ".join(tags) if tags else NO_TAGS
