"""Answers that stand in a text: an answer to a question, names and terms. How a cell says where they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

KINDS = ("span", "entities")  # of answers whose cells this file reads
START = ("start", "answer_start", "begin", "start_offset")
END = ("end", "stop", "end_offset")
LABEL = ("label", "type", "tag", "entity", "entity_group", "entity_type")
UNKNOWN = -1  # the place of an answer of which only the words are given
NUM_SEARCHED = 200  # rows that tell which column is searched

Answer = tuple[str, int]  # its words, and the character of the context at which they begin
Entity = tuple[int, int, str]  # first character, the one behind the last, label


def answers(cell: str) -> list[Answer] | None:
    """The given answers to a question, none for "no answer"; None where the cell cannot be understood.

    `[{"text": ..., "start": ...}, ...]`, a list of words, or the words themselves.
    """
    data = _json(cell)
    if data is None:
        return [(cell.strip(), UNKNOWN)] if cell.strip() else []
    data = [data] if isinstance(data, dict) else data
    found = []
    for item in data:
        if isinstance(item, str):
            found.append((item, UNKNOWN))
        elif isinstance(item, Mapping) and isinstance(item.get("text"), str):
            start = _first(item, START)
            found.append((item["text"], start if type(start) is int else UNKNOWN))
        else:
            return None
    return [answer for answer in found if answer[0].strip()]


def places(context: str, given: Sequence[Answer]) -> list[tuple[int, int]]:
    """Where the answers stand in the context: first character and the one behind the last.

    At the place that is told or, where other words stand there, the nearest one with the answer's words. An answer
    whose words are nowhere is left out.
    """
    found = []
    for words, start in given:
        words = words.strip()
        if start < 0 or context[start : start + len(words)] != words:
            before = context.rfind(words, 0, max(0, start) + len(words))
            after = context.find(words, max(0, start))
            standing = [place for place in (before, after) if place >= 0]
            if not words or not standing:
                continue
            start = min(standing, key=lambda place: abs(place - max(0, start)))
        found.append((start, start + len(words)))
    return list(dict.fromkeys(found))


def entities(cell: str) -> list[Entity] | None:
    """Entities in their order, `[{"start":, "end":, "label":}, ...]` or `[[start, end, label], ...]`; None where the
    cell cannot be understood."""
    data = _json(cell)
    if not isinstance(data, list):
        return None
    found = []
    for item in data:
        if isinstance(item, Mapping):
            start, end, label = (_first(item, names) for names in (START, END, LABEL))
        elif isinstance(item, list) and len(item) == 3:
            start, end, label = item
        else:
            return None
        if type(start) is not int or type(end) is not int or not isinstance(label, str) or not 0 <= start < end:
            return None
        if not label.strip():
            return None
        found.append((start, end, label.strip()))
    return sorted(set(found))


def told(cell: str) -> list[tuple[str, str]]:
    """(words, label) of each entity, for reading; where the cell does not give the words, the places."""
    data, own = _json(cell), entities(cell) or []
    listed = data if isinstance(data, list) else []
    given = {(_first(item, START), _first(item, END)): item["text"] for item in listed
             if isinstance(item, Mapping) and isinstance(item.get("text"), str)}  # fmt: skip
    return [(given.get((start, end), f"{start}-{end}"), label) for start, end, label in own]


def apart(found: Sequence[Entity]) -> list[Entity]:
    """Without those inside of others or across their ends: of entities that share characters the longest stays."""
    kept: list[Entity] = []
    for entity in sorted(found, key=lambda one: (one[0] - one[1], one[0])):
        if all(entity[1] <= other[0] or other[1] <= entity[0] for other in kept):
            kept.append(entity)
    return sorted(kept)


def problem(kind: str, cell: str, text: str) -> str | None:
    """What is wrong with one answer to one text, or None."""
    if kind == "entities":
        found = entities(cell)
        if found is None:
            return 'expected a list such as [{"start": 0, "end": 2, "label": "person"}], got another text'
        beyond = next((one for one in found if one[1] > len(text)), None)
        if beyond is None:
            return None
        return f"expected places within the {len(text):,} characters of the text, got {beyond[0]} to {beyond[1]}"
    given = answers(cell)
    if given is None:
        return 'expected the words of the answer, or [{"text": "...", "start": 0}], got another list'
    if given and not places(text, given):
        words = given[0][0]
        return f"expected words that stand in the context, got '{words if len(words) < 40 else words[:39] + '…'}'"
    return None


def kind_of_cells(sample: Sequence[str]) -> str | None:
    """Which of the two kinds a column's cells are written as, if either."""
    lists = [data for data in map(_json, sample) if isinstance(data, list)]
    items = [item for data in lists for item in data]
    if len(lists) < 0.95 * len(sample) or not items:
        return None
    if all(isinstance(item, Mapping) for item in items):
        if all(_first(item, END) is not None and _first(item, LABEL) is not None for item in items):
            return "entities"
        if all(isinstance(item.get("text"), str) and _first(item, LABEL) is None for item in items):
            return "span"
    is_triple = all(isinstance(item, list) and [type(part) for part in item] == [int, int, str] for item in items)
    return "entities" if is_triple else None


def searched(kind: str, texts: Mapping[str, Sequence[str]], cells: Sequence[str | None]) -> str:
    """The column that the answers stand in: the one in which most of them are found; of equals the longest.

    texts: column -> N texts. cells: N answers, None where there is none.
    """
    rows = [row for row, cell in enumerate(cells) if cell is not None and _json(cell) != []]
    rows = rows[:: 1 + len(rows) // NUM_SEARCHED] or list(range(min(len(cells), NUM_SEARCHED)))

    def fitness(column: str) -> tuple[int, int]:
        own = texts[column]
        fit = sum(problem(kind, cells[row] or "", own[row]) is None for row in rows)
        return fit, sum(len(own[row]) for row in rows)

    return max(texts, key=fitness)


def _json(cell: str) -> Any:
    """A list or an object that the cell holds as JSON; None for anything else."""
    if cell.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        data = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, (list, dict)) else None


def _first(item: Mapping, names: Sequence[str]) -> Any:
    return next((item[name] for name in names if name in item), None)
