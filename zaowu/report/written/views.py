"""What the template lays out of written texts."""

from __future__ import annotations

from typing import Any

from zaowu.report.say import Say
from zaowu.report.written import chinese, english, pictures
from zaowu.report.written.content import GROUPS, Memorised, Written

MORE = {"en": english.WORDS, "zh": chinese.WORDS}  # words of this part of the page
MAX_ATTENTION = 3


def view(written: Written | None, number: int, say: Say) -> dict[str, Any] | None:
    """number: of the target, which keeps the ids of one page apart. None where nothing was written."""
    if not written:
        return None
    groups = [(name, [row for row in written["examples"] if row["group"] == name]) for name in GROUPS]
    return {
        "counted": say(f"counted.{written['tokenize']}"),
        "groups": [(name, [_example(row, say) for row in rows]) for name, rows in groups if rows],
        "lengths": pictures.lengths(written["lengths"], number, say) if written["lengths"] else None,
        "memory": None if written["memory"] is None else _memory(written["memory"], say),
        "attention": [
            {
                "row": one["row"],
                "picture": pictures.attention(
                    one["weights"], one["source"], one["written"], f"attention{number}-{place}", say
                ),
                "cut": max(len(one["source"]), len(one["written"])) > pictures.MAX_PIECES,
                "sizes": {"source": len(one["source"]), "written": len(one["written"])},
            }
            for place, one in enumerate(written["attention"][:MAX_ATTENTION])
        ],
    }


def _example(row: Any, say: Say) -> dict[str, Any]:
    return {
        **row,
        "score": say.percent(row["score"]),
        "predicted": row["predicted"] or say("written.nothing"),
        "references": say("written.or").join(row["references"]),
    }


def _memory(memory: Memorised, say: Say) -> dict[str, Any]:
    unit = say("unit.characters" if memory["characters"] else "unit.words")
    counts = {name: say.whole(memory[name]) for name in ("long", "copied", "texts", "whole")}
    if not memory["long"]:
        sentence = say("passages.short")
    elif not memory["copied"]:
        sentence = say("passages.none", **counts)
    else:
        sentence = say("passages.some", **counts, n=memory["size"], unit=unit, share=say.percent(memory["share"]))
    return {
        "how": say("read.passages", n=memory["size"], unit=unit),
        "sentences": [sentence, *([say("passages.whole", **counts)] if memory["whole"] else [])],
        "passages": [
            (
                one["passage"],
                say("passages.place", **{name: one[name] for name in ("units", "row", "train_row")}, unit=unit),
            )
            for one in memory["passages"]
        ],
    }
