"""What a person should know about their records before anything is learned from them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import shorten
from zaowu.records.bad_rows import kind
from zaowu.records.leaks import Leak, find_leaks
from zaowu.records.records import BadRow, Records

EXAMPLES = ("duplicates_within", "duplicates_across", "conflicting_labels")
NUM_EXAMPLES = 20
NUM_SHOWN = 3  # of them, among sentences
NUM_ROWS = 10  # row numbers in one example
TEXT_CHARS = 80


@dataclass(frozen=True)
class Example:
    """One content and where it stands. rows: (part, row number) of its records, the first few. count: of all."""

    text: str
    labels: tuple[str, ...]
    rows: tuple[tuple[str, int], ...]
    count: int

    def to_plain(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "labels": list(self.labels),
            "rows": [row for _, row in self.rows],
            "count": self.count,
        }

    def __str__(self) -> str:
        rows = ", ".join(f"{part} {row}" for part, row in self.rows) + (", …" if self.count > len(self.rows) else "")
        labels = f" ({', '.join(shorten(label, 20) for label in self.labels)})" if self.labels else ""
        return f"'{shorten(self.text, 40)}'{labels}: rows {rows}"


@dataclass(frozen=True)
class Lengths:
    """Characters of a record's inputs together."""

    shortest: int
    median: float
    mean: float
    longest: int


@dataclass(frozen=True)
class Findings:
    """Counts of records, and examples of them. Equal content: equal after NFKC and folding of white space.

    rows: usable records in each part. skipped: part -> what was wrong -> rows that are not used. Parts that were
    split from one source carry the same skipped rows: they count for the first of them.
    within: part -> surplus copies, the records of a part minus its different contents.
    across: part -> its records whose content stands in "train" too.
    conflicting: part -> its records whose content has, in any part, two or more different labels.
    classes: part -> label -> records, the most frequent first; empty where no target is a category.
    one_member: classes of "train" with one record. unseen: part -> label -> records, of labels "train" lacks.
    near_equal: sets of labels that differ only by white space, case or full-width forms. leaks: columns of "train"
    that alone know the answer.
    lengths: part -> lengths. notes: what cleaning did.
    examples: "duplicates_within", "duplicates_across", "conflicting_labels" -> at most 20, the most copies first;
    skipped_examples: at most 20 rows with what is wrong with them.
    """

    rows: dict[str, int]
    skipped: dict[str, dict[str, int]]
    within: dict[str, int]
    across: dict[str, int]
    conflicting: dict[str, int]
    classes: dict[str, dict[str, int]]
    one_member: tuple[str, ...]
    unseen: dict[str, dict[str, int]]
    near_equal: tuple[tuple[str, ...], ...]
    leaks: tuple[Leak, ...]
    lengths: dict[str, Lengths]
    notes: tuple[str, ...]
    examples: dict[str, tuple[Example, ...]]
    skipped_examples: tuple[str, ...]

    @property
    def duplicates_within(self) -> int:
        return sum(self.within.values())

    @property
    def duplicates_across(self) -> int:
        return sum(self.across.values())

    @property
    def conflicting_labels(self) -> int:
        return sum(self.conflicting.values())

    @property
    def problems(self) -> bool:
        """Whether something must be looked at."""
        counts = (*self.within.values(), *self.across.values(), *self.conflicting.values())
        others = (self.one_member, self.near_equal, self.leaks, *self.skipped.values(), *self.unseen.values())
        return any(counts) or any(others)

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready. Row numbers in `duplicates` and `conflicts`; in `examples` each with its part."""
        within, across, conflicts = (self.examples[name] for name in EXAMPLES)
        return {
            "rows": sum(self.rows.values()),
            "duplicates_within": self.duplicates_within,
            "duplicates_across": self.duplicates_across,
            "conflicting_labels": self.conflicting_labels,
            "skipped": dict(sum((Counter(reasons) for reasons in self.skipped.values()), Counter())),
            "class_counts": self.classes,
            "one_member_classes": list(self.one_member),
            "unseen_labels": self.unseen,
            "near_labels": [list(alike) for alike in self.near_equal],
            "leaks": [asdict(leak) for leak in self.leaks],
            "lengths": {part: asdict(lengths) for part, lengths in self.lengths.items()},
            "parts": {
                part: {
                    "rows": count,
                    "duplicates_within": self.within[part],
                    "duplicates_across": self.across[part],
                    "conflicting_labels": self.conflicting[part],
                }
                for part, count in self.rows.items()
            },
            "duplicates": [example.to_plain() for example in dict.fromkeys((*across, *within))],
            "conflicts": [example.to_plain() for example in conflicts],
            "examples": {
                name: [example.to_plain() | {"rows": [list(row) for row in example.rows]} for example in found]
                for name, found in self.examples.items()
            }
            | {"skipped": list(self.skipped_examples)},
        }

    def lines(self) -> list[str]:
        """What must be looked at, in short sentences; empty when nothing must."""
        lines = [
            f"{part}: {_rows(count)} skipped ({reason})."
            for part, reasons in self.skipped.items()
            for reason, count in reasons.items()
        ]
        lines += [f"  {example}" for example in self.skipped_examples[:NUM_SHOWN]]
        for part, count in self.within.items():
            if count:
                lines.append(f"{part}: {_rows(count)} more than there are different contents.")
        lines += self._shown("duplicates_within")
        for part, count in self.across.items():
            if count:
                lines.append(f"{part}: {_rows(count)} with a content of train; a score on them is too good to be true.")
        lines += self._shown("duplicates_across")
        if self.conflicting_labels:
            lines.append(f"{_rows(self.conflicting_labels)} whose content stands elsewhere with another label.")
        lines += self._shown("conflicting_labels")
        if self.one_member:
            lines.append(f"Classes with a single row, from which little can be learned: {_listing(self.one_member)}.")
        for part, labels in self.unseen.items():
            if labels:
                lines.append(f"{part}: {_rows(sum(labels.values()))} with labels that train lacks: {_listing(labels)}.")
        for alike in self.near_equal:
            lines.append(f"Labels that differ only by white space, case or full-width form: {_listing(alike)}.")
        lines += [f"train: {leak}" for leak in self.leaks]
        return lines

    def _shown(self, name: str) -> list[str]:
        return [f"  {example}" for example in self.examples[name][:NUM_SHOWN]]


def find(parts: Mapping[str, Records]) -> Findings:
    """Findings over the named parts of one data set; `across` and `unseen` compare the others with "train"."""
    every = pl.concat([_listed(name, records) for name, records in parts.items()])
    train = every.filter(part="train")
    copies = every.filter(pl.len().over("part", "content") > 1)
    across = every.join(train, on="content", how="semi").filter(pl.col("part") != "train")
    pairs = every.drop_nulls("label").select("content", "label").unique()
    contents = pairs.group_by("content").len().filter(pl.col("len") > 1)
    conflicting = every.drop_nulls("label").join(contents, on="content", how="semi")
    surplus = every.group_by("part").agg(surplus=pl.len() - pl.col("content").n_unique())
    classes = {name: _class_counts(records) for name, records in parts.items()}
    seen = classes.get("train", {})
    others = {name: own for name, own in classes.items() if name != "train"} if seen else {}
    skipped: dict[BadRow, str] = {}  # with the first part that carries it
    for name, records in parts.items():
        for bad in records.skipped:
            skipped.setdefault(bad, name)
    found = (copies, every.join(across, on="content", how="semi"), conflicting)
    return Findings(
        rows={name: len(records) for name, records in parts.items()},
        skipped={name: dict(Counter(kind(bad) for bad, part in skipped.items() if part == name)) for name in parts},
        within=_by_part(parts, dict(surplus.iter_rows())),
        across=_by_part(parts, _counts(across.get_column("part"))),
        conflicting=_by_part(parts, _counts(conflicting.get_column("part"))),
        classes={name: own for name, own in classes.items() if own},
        one_member=tuple(label for label, count in seen.items() if count == 1),
        unseen={
            name: {label: count for label, count in own.items() if label not in seen} for name, own in others.items()
        },
        near_equal=_near_equal({label for own in classes.values() for label in own}),
        leaks=find_leaks(parts["train"]) if "train" in parts else (),
        lengths={name: _lengths(records) for name, records in parts.items()},
        notes=tuple(dict.fromkeys(note for records in parts.values() for note in records.notes)),
        examples={name: _examples(rows, parts) for name, rows in zip(EXAMPLES, found, strict=True)},
        skipped_examples=tuple(map(str, islice(skipped, NUM_EXAMPLES))),
    )


def _listed(part: str, records: Records) -> pl.DataFrame:
    """part, place (index in the part), row, content, label of every record."""
    labels: pl.Series | pl.Expr = pl.lit(None, pl.String)
    own = (target for target in records.schema.targets if target.kind != "text")  # of which several may be right
    known = [target.name for target in own if target.name in records.frame.columns]
    if known:
        labels = records.frame.select(pl.concat_str(known, separator=" / ", ignore_nulls=True)).to_series()
    columns = {"row": records.rows, "content": records.ids}
    return pl.DataFrame(columns).select(
        pl.lit(part).alias("part"),
        pl.int_range(pl.len()).alias("place"),
        "row",
        "content",
        labels.alias("label"),
    )


def _counts(values: pl.Series) -> dict[str, int]:
    """value -> how often, the most frequent first and equal ones by name; nulls are left out."""
    counts = Counter(dict(values.drop_nulls().value_counts().iter_rows()))
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _class_counts(records: Records) -> dict[str, int]:
    column = records.schema.classes
    if column is None or column.name not in records.frame.columns:
        return {}
    return _counts(records.frame.get_column(column.name))


def _by_part(parts: Mapping[str, Records], counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in parts}


def _near_equal(labels: set[str]) -> tuple[tuple[str, ...], ...]:
    alike: dict[str, list[str]] = {}
    for label in sorted(labels):
        key = "".join(unicodedata.normalize("NFKC", label).casefold().split())
        alike.setdefault(key, []).append(label)
    return tuple(tuple(names) for names in alike.values() if len(names) > 1)


def _lengths(records: Records) -> Lengths:
    """In characters; the bytes of an image or a sound have none."""
    words = [column.name for column in records.schema.inputs if records.frame.schema[column.name] == pl.String]
    columns = [pl.col(name).str.len_chars() for name in words]
    chars = records.frame.select(pl.sum_horizontal(columns or pl.repeat(0, pl.len()))).to_series().to_numpy()
    return Lengths(int(chars.min()), float(np.median(chars)), float(chars.mean()), int(chars.max()))


def _examples(found: pl.DataFrame, parts: Mapping[str, Records]) -> tuple[Example, ...]:
    """The contents of `found`, those with the most records first, then in the order of their first record."""
    listed = found.with_row_index("first").group_by("content").agg(pl.len(), pl.col("first").min())
    chosen = listed.sort("len", "first", descending=[True, False]).head(NUM_EXAMPLES)
    rows = found.join(chosen, on="content", how="semi").group_by("content").agg("part", "place", "row", "label")
    lines = {line["content"]: line for line in rows.iter_rows(named=True)}
    examples = []
    for content, count, _ in chosen.iter_rows():
        line = lines[content]
        records, place = parts[line["part"][0]], line["place"][0]
        text = " | ".join(_words(records.frame.get_column(column.name)[place]) for column in records.schema.inputs)
        labels = Counter(label for label in line["label"] if label is not None)
        where = tuple(zip(line["part"], line["row"], strict=True))[:NUM_ROWS]
        names = tuple(label for label, _ in labels.most_common())
        examples.append(Example(shorten(text, TEXT_CHARS), names, where, count))
    return tuple(examples)


def _words(value: str | bytes | None) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else value or ""


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _listing(labels: Iterable[str], most: int = 10) -> str:
    names = [f"'{shorten(label, 20)}'" for label in labels]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
