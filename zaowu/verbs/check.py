"""`zaowu check`: the data gate alone. What `fit` would learn from, and what a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zaowu.config import DataConfig
from zaowu.errors import shorten
from zaowu.progress import note, speaking
from zaowu.records import schema as schemas
from zaowu.records.check import clean
from zaowu.records.findings import Findings, find
from zaowu.records.prepare import gathered
from zaowu.records.read import read
from zaowu.records.records import Records, Schema


@dataclass(frozen=True)
class CheckResult:
    """What was found. sources: part -> its file. columns: one line per column, as `schema.describe` gives them."""

    sources: dict[str, str]
    schema: Schema
    columns: list[tuple[str, str, str, str, str, str]]
    findings: Findings
    notes: tuple[str, ...]

    @property
    def problems(self) -> bool:
        """Whether something must be looked at: exit code 1."""
        return self.findings.problems

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready: the counts of `Findings.to_plain` beside where they come from."""
        names = ("name", "role", "kind", "different_values", "example", "reason")
        return {
            "sources": self.sources,
            "problems": self.problems,
            **self.findings.to_plain(),
            "columns": [dict(zip(names, line, strict=True)) for line in self.columns],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The findings in short sentences, for reading."""
        found = self.findings
        lines = list(self.notes)
        for part, source in self.sources.items():
            length, classes = found.lengths[part], found.classes.get(part, {})
            lines.append(
                f"{part} ({source}): {found.rows[part]:,} usable rows, {length.shortest:,} to {length.longest:,} "
                f"characters (median {length.median:,.0f})."
            )
            largest = ", ".join(f"{shorten(label, 20)} {count:,}" for label, count in list(classes.items())[:10])
            if classes:
                rest = f" and {len(classes) - 10:,} more" if len(classes) > 10 else ""
                lines.append(
                    f"  {len(classes):,} classes: {largest}{rest}." if len(classes) > 1 else f"  One class: {largest}."
                )
        return [*lines, *(found.lines() or ["Nothing needs to be looked at."])]


def check(
    path: Any,
    *,
    test: Any = None,
    valid: Any = None,
    target: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | Sequence[str] = (),
    ignore: Sequence[str] = (),
    group: str | None = None,
    series_id: str | None = None,
    time: str | None = None,
    on_bad_row: str | None = None,
    quiet: bool = False,
) -> CheckResult:
    """Reads the training file and, where given, the validation and test files, and says what is in them.

    path, test, valid: whatever `records.read` takes. columns: name -> kind, or "name:kind=text" strings.
    The files are read, understood and cleaned exactly as `fit` does; nothing is learned or written. Raises
    UserError for what `fit` would refuse.
    """
    from zaowu.inputs import cleaners, guessers

    names = (target,) if isinstance(target, str) else tuple(target or ())
    data = DataConfig(target=names, series_id=series_id, time=time)
    sources = {"train": path, "valid": valid, "test": test}
    parts: dict[str, Records] = {}
    notes: list[str] = []
    with speaking(quiet=quiet):
        for part, source in sources.items():
            if source is None:
                continue
            if isinstance(source, str):
                note(f"Reading {source}.")
            table = gathered(read(source, on_bad_row=on_bad_row), data)
            if part == "train":
                schema = schemas.guess(
                    table,
                    guessers=guessers(),
                    target=names,
                    columns=schemas.column_choices(columns)["columns"],
                    ignore=ignore,
                    group=group,
                )
                lines = schemas.describe(schema, table)
            min_classes = 2 if part == "train" else 1
            parts[part] = clean(table, schema, on_bad_row=on_bad_row, min_classes=min_classes, cleaners=cleaners())
            notes += [f"{table.source}: {text}" for text in table.notes]
        findings = find(parts)
    return CheckResult(
        sources={part: records.source for part, records in parts.items()},
        schema=schema,
        columns=lines,
        findings=findings,
        notes=(*notes, *findings.notes),
    )
