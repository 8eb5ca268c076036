"""Chinese news headlines -> topic, from a file with the columns `title` and `topic`: one set in three sizes."""

from __future__ import annotations

import csv
from pathlib import Path

from sets.rows import Source, TextSet, clean, split, unique
from zaowu.errors import UserError

SIZES = (200, 2000, 8000)
TEST_ROWS = 2000


def build(path: Path) -> list[TextSet]:
    """`headlines_200`, `headlines_2000` and `headlines_8000`, which share their test rows.

    Raises UserError for a file that cannot be read, lacks a column, or leaves no rows to learn from.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"title", "topic"} <= set(reader.fieldnames or []):
                raise UserError(f"{path}: expected the columns title and topic, got {reader.fieldnames}.")
            rows = unique((clean(row["title"]), clean(row["topic"] or "")) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UserError(f"{path}: cannot be read as a UTF-8 CSV file ({problem}).") from None
    if len(rows) < TEST_ROWS + max(SIZES) // 2:
        raise UserError(f"{path}: expected about 10,000 different headlines, got {len(rows):,}.")
    source = Source(package=path.name, version="as given", licence="of the file that was given")
    sets = []
    for size in SIZES:
        train, test = split(rows, train=size, test=TEST_ROWS)
        sets.append(TextSet(f"headlines_{size}", "tuning", "news headline -> topic", source, train, test))
    return sets
