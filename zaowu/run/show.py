"""Pictures and sounds of the records that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zaowu.errors import UserError
from zaowu.inputs import Inputs, Shown
from zaowu.report.content import MAX_URIS, is_sound, picture_size


def seen(
    source: Inputs, values: Mapping[str, Sequence[Any]], records: Iterable[int], *, room: int = MAX_URIS
) -> dict[int, dict[str, str]]:
    """Record -> what of "picture" and "sound" it has; with a sound "text" too, which says how much of it that is.

    records: one that is shown twice stands there twice. room: characters that all of them may take.
    Pictures come first, and records in the given order: what no longer fits is left out. So is a file that is gone by
    now: no report fails for a picture.
    """
    times, found, drawn = Counter(records), dict[int, dict[str, str]](), dict[int, Shown]()
    for record in times:
        try:
            drawn[record] = source.shown(values, record)
        except UserError:
            continue
    for record, one in drawn.items():
        cost = len(one.picture) * times[record]
        if cost <= room and picture_size(one.picture):
            room -= cost
            found.setdefault(record, {})["picture"] = one.picture
    for record, one in drawn.items():
        cost = len(one.sound) * times[record]
        if cost <= room and is_sound(one.sound):
            room -= cost
            found.setdefault(record, {}).update(sound=one.sound, text=one.words[:400])
    return found
