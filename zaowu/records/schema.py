"""What each column of a table is taken for, why, and how a person says otherwise.

Inputs are not known here: a kind of input comes with a function that says why a column is of that kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import answers, dates, names, numbers
from zaowu.records.answers import MAX_CLASSES, quoted
from zaowu.records.facts import Facts, as_strings
from zaowu.records.records import Column, Schema, Table

Guesser = Callable[[pl.Series], str | None]
LAST = "text"  # is asked when nothing else knows a column; the other kinds are strict, and asked first
ROLES = ("input", "target", "weight", "group", "slice", "ignored")
_CODE = r"^[A-Za-z0-9_\-./:#]*\d[A-Za-z0-9_\-./:#]*$"
_LINK = r"^(https?://|www\.)\S+$"


def guess(
    table: Table,
    *,
    guessers: Mapping[str, Guesser],
    target: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    group: str | None = None,
    slices: Sequence[str] = (),
    weight: str | None = None,
) -> Schema:
    """The role and kind of every column.

    guessers: kind of input -> the reason why a column is of that kind, or None. What else is given is what the
    person has said: the targets, kinds by column name, columns to ignore, to group by, to report by, to weigh by.
    Raises UserError for a name that is not in the table, when no column or more than one could be the target,
    and when no column is an input.
    """
    columns = dict(columns or {})
    chosen = _choices(table, target=target, columns=columns, ignore=ignore, group=group, slices=slices, weight=weight)
    for name, kind in columns.items():
        known = answers.KINDS if name in target else tuple(guessers)
        if kind not in known:
            hint = nearest(kind, known)
            raise UserError(f"--column {name}: kind '{kind}' is not one of {', '.join(known)}.{hint}")
    facts = {series.name: Facts.of(series) for series in table.frame.iter_columns()}
    kinds = {name: _kind(fact, guessers) for name, fact in facts.items()}
    twins: tuple[str, ...] = ()
    if target:
        for name in target:
            kind, reason = answers.kind_of_answer(facts[name])
            chosen[name] = Column(name, "target", columns.get(name, kind), f"{reason}, named as the target")
    else:
        free = [fact for name, fact in facts.items() if name not in chosen]
        first, reason, twins = answers.find_target(free, kinds, table)
        chosen[first] = Column(first, "target", answers.kind_of_answer(facts[first])[0], reason)
    for name in twins:
        chosen[name] = Column(name, "ignored", kinds[name][0], f"says the same as '{first}'")
    for name in ignore:
        chosen[name] = Column(name, "ignored", kinds[name][0], "named to be ignored")
    found = [chosen.get(name) or _column(name, *kinds[name], guessers) for name in facts]
    if not any(column.role == "input" and column.kind != "category" for column in found):
        # In a small table texts may be few enough to look like categories.
        found = [
            _repeated_text(facts[column.name], guessers) or column if column.name not in chosen else column
            for column in found
        ]
    if not any(column.role == "input" for column in found):
        raise UserError(_no_input(table, found, guessers))
    return Schema(tuple(found))


def _choices(
    table: Table,
    *,
    target: Sequence[str],
    columns: Mapping[str, str],
    ignore: Sequence[str],
    group: str | None,
    slices: Sequence[str],
    weight: str | None,
) -> dict[str, Column]:
    """The columns that the person has spoken of, by name; the targets are only checked."""
    wishes = [("--target", name, "", "", "") for name in target]
    wishes += [
        ("--column", name, "input", kind, "named as an input") for name, kind in columns.items() if name not in target
    ]
    wishes += [("--ignore", name, "ignored", "", "named to be ignored") for name in ignore]
    wishes += [("--group", group, "group", "id", "named as the group")] if group is not None else []
    wishes += [("--weight", weight, "weight", "number", "named as the weight")] if weight is not None else []
    wishes += [("--slice", name, "slice", "category", "named as a slice of the report") for name in slices]
    chosen: dict[str, Column] = {}
    said: dict[str, str] = {}
    for option, name, role, kind, reason in wishes:
        if name not in table.frame.columns:
            hint = (
                nearest(name, table.frame.columns)
                or f" Its columns are {shorten(', '.join(table.frame.columns), 200)}."
            )
            raise UserError(f"{table.source}: there is no column '{shorten(name)}' as {option} says.{hint}")
        if said.get(name) == option:
            raise UserError(f"{option} {quoted(name)} is given twice.")
        if name in said:
            raise UserError(f"column '{name}' cannot be both {said[name]} and {option}.")
        said[name] = option
        if role:
            chosen[name] = Column(name, role, kind, reason)
    return chosen


def _kind(fact: Facts, guessers: Mapping[str, Guesser]) -> tuple[str, str]:
    """(kind, reason) of one column by its values and name alone."""
    total, different = fact.total, fact.different
    dtype = fact.series.dtype
    if not total:
        return "empty", "no values"
    for kind, guesser in guessers.items():
        if kind != LAST and (reason := guesser(fact.series)):
            return kind, reason
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return "other", "neither text nor a number"
    looks_numeric = dtype.is_numeric() or numbers.share(fact.telling) >= 0.95  # 1999.5 is no month of May
    if dtype.is_temporal() or (not looks_numeric and dates.share(fact.telling) >= 0.95):
        return "date", "dates"
    has_id_name = names.has_one_of(fact.name, names.IDS)
    is_unique = different >= 0.99 * total and total > 1
    if is_unique and names.is_one_of(fact.name, names.IDS):
        return "id", "all different, named like an id"
    if looks_numeric:
        if is_unique and (has_id_name or _is_count(fact.series)):
            return "id", "whole numbers that are all different"
        return "number", f"{different:,} different numbers"
    if fact.share(_LINK) >= 0.95:
        return "id", "links"
    if is_unique and fact.share(_CODE) >= (0.5 if has_id_name else 0.95) and fact.share(r"\s") < 0.05:
        return "id", "short codes that are all different"
    is_short = float(fact.sample.str.len_chars().median() or 0) <= 24  # type: ignore[arg-type]
    if is_short and different * 2 <= total and different <= max(MAX_CLASSES, total // 20):
        return "category", f"{different:,} different short {'value' if different == 1 else 'values'}"
    if LAST in guessers and (reason := guessers[LAST](fact.series)):
        return LAST, reason
    return "other", "neither text nor anything else that is known"


def _is_count(series: pl.Series) -> bool:
    """Whether values are 0, 1, 2, ... or another row of whole numbers that goes up by one."""
    whole = as_strings(series).str.strip_chars().cast(pl.Int64, strict=False)
    return whole.null_count() == 0 and bool((whole.diff().drop_nulls() == 1).all())


def _column(name: str, kind: str, reason: str, guessers: Mapping[str, Guesser]) -> Column:
    return Column(name, "input" if kind in guessers else "ignored", kind, reason)


def _repeated_text(fact: Facts, guessers: Mapping[str, Guesser]) -> Column | None:
    reason = guessers[LAST](fact.series) if LAST in guessers else None
    return None if reason is None else Column(fact.name, "input", LAST, reason)


def _no_input(table: Table, found: Iterable[Column], guessers: Mapping[str, Guesser]) -> str:
    rest = [column for column in found if column.role == "ignored"]
    seen = ", ".join(f"{shorten(column.name, 30)} ({column.kind}: {column.reason})" for column in rest[:8])
    if not rest:
        told = f"{table.source}: there is no column to learn from beside the target."
        if any(column.role == "target" and column.kind == "text" for column in found):
            told += " To learn how its texts go on by themselves, use 'zaowu pretrain --objective causal'."
        return told
    kind = LAST if LAST in guessers else next(iter(guessers), LAST)
    return (
        f"{table.source}: no column looks like one to learn from: {seen}. "
        f"Say which one is, such as --column {quoted(rest[0].name)}:kind={kind}."
    )


def parse_column(option: str) -> tuple[str, dict[str, str]]:
    """`title:kind=text,stem=patch` -> ("title", {"kind": "text", "stem": "patch"}). UserError for anything else."""
    shape = re.fullmatch(r"(.*):(\s*\w+\s*=.*)", option, re.DOTALL)
    expected = f"--column: expected NAME:setting=value, such as title:kind=text, got '{shorten(option)}'."
    if not shape or not shape[1].strip():
        raise UserError(expected)
    settings: dict[str, str] = {}
    for part in shape[2].split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UserError(expected)
        if key in settings:
            raise UserError(f"--column {shorten(shape[1])}: '{key}' is given twice.")
        settings[key] = value
    return shape[1].strip(), settings


def column_choices(columns: Mapping[str, Any] | Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is said of columns -> `columns`, name -> kind, and `column_settings`, name -> its other settings.

    columns: name -> kind, or name -> settings, or `photo:kind=image,stem=patch` options. Raises UserError.
    """
    given = list(columns.items()) if isinstance(columns, Mapping) else [parse_column(option) for option in columns]
    kinds: dict[str, str] = {}
    others: dict[str, dict[str, str]] = {}
    for name, said in given:
        settings = {"kind": said} if isinstance(said, str) else said
        if name in kinds or name in others:
            raise UserError(f"--column {shorten(name)} is given twice.")
        if not isinstance(settings, Mapping) or not settings:
            raise UserError(f"--column {shorten(name)}: expected a kind or settings, got {shorten(said)}.")
        if "kind" in settings:
            kinds[name] = str(settings["kind"])
        if rest := {key: str(value) for key, value in settings.items() if key != "kind"}:
            others[name] = rest
    return {"columns": kinds, "column_settings": others}


def to_plain(schema: Schema) -> list[dict[str, str]]:
    """The schema as JSON-ready data."""
    return [asdict(column) for column in schema.columns]


def from_plain(data: Any, where: str) -> Schema:
    """The strict inverse of `to_plain`. `where`: the file that the data came from. Raises UserError."""
    if not isinstance(data, list):
        raise UserError(f"{where}: expected a list of columns, got {type(data).__name__}.")
    fields = set(Column.__dataclass_fields__)
    columns = []
    for item in data:
        is_whole = isinstance(item, dict) and set(item) == fields
        if not is_whole or not all(isinstance(value, str) for value in item.values()):
            raise UserError(f"{where}: expected a column's {', '.join(sorted(fields))}, got {shorten(item)}.")
        if item["role"] not in ROLES:
            raise UserError(f"{where}: column '{shorten(item['name'])}' has no such role as '{shorten(item['role'])}'.")
        columns.append(Column(**item))
    schema = Schema(tuple(columns))
    if len({column.name for column in columns}) < len(columns):
        raise UserError(f"{where}: two columns have one name.")
    if not schema.inputs:
        raise UserError(f"{where}: expected at least one input among the columns.")
    for column in schema.targets:
        if column.kind not in answers.KINDS:
            raise UserError(f"{where}: column '{shorten(column.name)}' has no such kind of answer as '{column.kind}'.")
    return schema


def describe(schema: Schema, table: Table) -> list[tuple[str, str, str, str, str, str]]:
    """One line per column: name, role, kind, different values, an example, the reason."""
    lines = []
    for column in schema.columns:
        if column.name in table.frame.columns:
            fact = Facts.of(table.frame.get_column(column.name))
            count, example = f"{fact.different:,}", shorten(fact.sample[0], 30) if fact.total else ""
        else:
            count, example = "", ""
        lines.append((column.name, column.role, column.kind, count, example, column.reason))
    return lines
