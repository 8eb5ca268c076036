"""`zaowu check`: the data gate alone. What `fit` would learn from, and what a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zaowu.errors import shorten
from zaowu.progress import note, speaking
from zaowu.records import schema as schemas
from zaowu.records.check import clean
from zaowu.records.findings import Example, Findings, find
from zaowu.records.read import read
from zaowu.records.records import Records, Schema

NUM_SHOWN = 3  # examples and names in one sentence


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
        found = self.findings
        counts = (found.duplicates_within, found.duplicates_across, found.conflicting_labels)
        others = (found.one_member, found.near_equal, *found.unseen.values(), *found.skipped.values())
        return any(counts) or any(others)

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
        return [*self.notes, *_counted(self), *_to_look_at(self.findings)]


def check(
    path: Any,
    *,
    test: Any = None,
    valid: Any = None,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    group: str | None = None,
    on_bad_row: str | None = None,
    quiet: bool = False,
) -> CheckResult:
    """Reads the training file and, where given, the validation and test files, and says what is in them.

    path, test, valid: whatever `records.read` takes. columns: kinds by column name. The files are read, understood
    and cleaned exactly as `fit` does; nothing is learned or written. Raises UserError for what `fit` would refuse.
    """
    from zaowu.inputs import guessers

    sources = {"train": path, "valid": valid, "test": test}
    parts: dict[str, Records] = {}
    notes: list[str] = []
    with speaking(quiet=quiet):
        for part, source in sources.items():
            if source is None:
                continue
            if isinstance(source, str):
                note(f"Reading {source}.")
            table = read(source, on_bad_row=on_bad_row)
            if part == "train":
                schema = schemas.guess(
                    table, guessers=guessers(), target=target, columns=columns, ignore=ignore, group=group
                )
                lines = schemas.describe(schema, table)
            min_classes = 2 if part == "train" else 1
            parts[part] = clean(table, schema, on_bad_row=on_bad_row, min_classes=min_classes)
            notes += [f"{table.source}: {text}" for text in table.notes]
        findings = find(parts)
    return CheckResult(
        sources={part: records.source for part, records in parts.items()},
        schema=schema,
        columns=lines,
        findings=findings,
        notes=(*notes, *findings.notes),
    )


def _counted(result: CheckResult) -> list[str]:
    found, lines = result.findings, []
    for part, source in result.sources.items():
        length, classes = found.lengths[part], found.classes.get(part, {})
        lines.append(
            f"{part} ({source}): {_rows(found.rows[part])}, {length.shortest:,} to {length.longest:,} characters "
            f"(median {length.median:,.0f})."
        )
        if classes:
            names = [f"{shorten(label, 20)} {count:,}" for label, count in classes.items()]
            lines.append(f"{part} has {_plural(len(classes), 'class', 'classes')}: {_some(names, 10)}.")
    return lines


def _to_look_at(found: Findings) -> list[str]:
    lines = []
    for part, reasons in found.skipped.items():
        lines += [f"{part}: {_rows(count)} skipped ({reason})." for reason, count in reasons.items()]
    if found.skipped_examples:
        lines.append(f"Such as {'; '.join(found.skipped_examples[:NUM_SHOWN])}.")
    for part, count in found.within.items():
        if count:
            lines.append(f"{part}: {_rows(count)} more than there are different contents.")
    lines += _shown(found.examples["duplicates_within"])
    for part, count in found.across.items():
        if count:
            lines.append(f"{part}: {_rows(count)} with a content of train, on which a score is too good to be true.")
    lines += _shown(found.examples["duplicates_across"])
    if found.conflicting_labels:
        lines.append(f"{_rows(found.conflicting_labels)} whose content stands elsewhere with another label.")
    lines += _shown(found.examples["conflicting_labels"])
    if found.one_member:
        names = _some([f"'{shorten(label, 20)}'" for label in found.one_member], 10)
        lines.append(f"Classes with a single row, from which little can be learned: {names}.")
    for part, labels in found.unseen.items():
        if labels:
            names = _some([f"'{shorten(label, 20)}' ({count:,})" for label, count in labels.items()], 10)
            lines.append(f"{part} has labels that train lacks: {names}.")
    for alike in found.near_equal:
        names = ", ".join(f"'{shorten(label, 20)}'" for label in alike)
        lines.append(f"Labels that differ only by white space, case or full-width form are kept apart: {names}.")
    return lines or ["Nothing needs to be looked at."]


def _shown(examples: Sequence[Example]) -> list[str]:
    lines = []
    for example in examples[:NUM_SHOWN]:
        rows = ", ".join(f"{part} {row}" for part, row in example.rows)
        more = ", …" if example.count > len(example.rows) else ""
        labels = f" [{', '.join(shorten(label, 20) for label in example.labels)}]" if example.labels else ""
        lines.append(f"  '{shorten(example.text, 40)}'{labels}, rows {rows}{more}")
    return lines


def _rows(count: int) -> str:
    return _plural(count, "row", "rows")


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
