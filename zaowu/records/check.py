"""A table whose columns are understood -> records that can be used; the others are named and counted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import bad_rows, numbers, spans
from zaowu.records.answers import MAX_CLASSES, ROWS_PER_CLASS
from zaowu.records.facts import as_strings
from zaowu.records.identity import content_ids
from zaowu.records.records import BadRow, Cleaned, Column, Records, Schema, Table

Cleaner = Callable[[pl.Series, Path | None], Cleaned]

NO_TEXT = "expected a text, got nothing"
NOTHING = "expected something to learn from, got nothing"
NO_LABEL = "expected a label, got nothing"
NO_NUMBER = "expected a number, got none"
NO_WEIGHT = "expected a weight from 0, got none"
BLANK = r"^[\s\u200b-\u200d\u2060\ufeff]*$"  # what nobody can see, zero-width characters included
FEW = 64


def clean(
    table: Table,
    schema: Schema,
    *,
    on_bad_row: str | None = None,
    need_target: bool = True,
    min_classes: int = 2,
    is_portion: bool = False,
    cleaners: Mapping[str, Cleaner] | None = None,
) -> Records:
    """The usable records of `table`, with the schema's columns only.

    on_bad_row: rows without any text or without a label are skipped and kept in `skipped` (None or "skip"), or
    stop with a UserError that names them ("stop"). need_target: without it the targets' columns may be absent and
    their values missing (null). min_classes: different labels that there must be; 1 for a file to be scored.
    With several targets a record needs a label for one of them. is_portion: of a larger table, and may hold no usable
    row. cleaners: kind of input -> how its columns are made usable; those of other kinds are text.

    Labels lose white space at their ends and become NFC; numbers are read as people write them; nothing else about
    them is changed.
    Raises UserError for a column that is absent, for no usable row, too few classes, or a target that is a text.
    """
    bad_rows.checked(on_bad_row)
    frame = _selected(table, schema, need_target=need_target)
    targets = [column for column in schema.targets if column.name in frame.columns]
    notes: list[str] = []
    usable = clean_inputs(frame, schema, table.folder, cleaners or {})
    frame, blank, problems = frame.with_columns(usable.values), usable.blank, usable.problems
    unlabelled = np.full(frame.height, bool(targets) and need_target)
    for column in targets:
        labels, told = _clean_labels(frame.get_column(column.name), column.kind)
        if column.kind in spans.KINDS:
            problems = _misplaced(labels, column, frame, schema) | problems
        frame = frame.with_columns(labels)
        notes += told
        unlabelled &= labels.is_null().to_numpy()
    weights, weightless = _weights(frame, schema)
    broken = np.isin(np.arange(frame.height), list(problems))
    unusable = _bad_rows(table, blank, unlabelled, weightless, schema, problems)
    if unusable and on_bad_row == "stop":
        raise bad_rows.refusal(unusable)
    keep = ~(blank | unlabelled | weightless | broken)
    if not keep.any() and not is_portion:
        raise UserError(_nothing_left(table, blank, unlabelled, weightless, schema, unusable))
    frame = frame.filter(keep)
    for column in targets if need_target and not is_portion else ():
        labels = frame.get_column(column.name).drop_nulls()
        if labels.is_empty():
            what = "numbers" if column.kind == "number" else "labels"
            raise UserError(f"{table.source}, column '{column.name}': expected {what}, got none.")
        if column.kind == "category":
            _check_classes(labels, table, schema, min_classes)
    kept = np.flatnonzero(keep).tolist()
    ids = content_ids([[own[row] or "" for row in kept] for own in usable.contents])
    return Records(
        frame=frame,
        rows=table.rows[keep],
        ids=ids,
        groups=_groups(frame, schema, ids),
        weights=None if weights is None else weights[keep],
        source=table.source,
        schema=schema,
        skipped=(*table.bad_rows, *unusable),
        notes=tuple(notes),
    )


def _selected(table: Table, schema: Schema, *, need_target: bool) -> pl.DataFrame:
    """The schema's columns; inputs, target, group and slices as strings."""
    found = []
    for column in schema.columns:
        if column.name in table.frame.columns:
            series = table.frame.get_column(column.name)
            found.append(series if column.role == "ignored" or _is_raw(series, column) else as_strings(series))
        elif column.role == "input" or (column.role == "target" and need_target):
            hint = nearest(column.name, table.frame.columns)
            hint = hint or f" Its columns are {shorten(', '.join(table.frame.columns), 200)}."
            raise UserError(f"{table.source}: there is no column '{shorten(column.name)}', the {column.role}.{hint}")
    return pl.DataFrame(found)


@dataclass(frozen=True)
class UsableInputs:
    """The input columns of N rows made usable. contents: of each column (N,). blank: (N,) rows that hold nothing.

    problems: row -> the column of it that cannot be used, and why.
    """

    values: list[pl.Series]
    contents: list[Sequence[str | None]]
    blank: np.ndarray
    problems: dict[int, tuple[Column, str]]


def clean_inputs(
    frame: pl.DataFrame, schema: Schema, folder: Path | None, cleaners: Mapping[str, Cleaner]
) -> UsableInputs:
    """What the model can be given of each row. folder: where paths begin. A column of no known kind is text."""
    values, contents, problems = [], [], dict[int, tuple[Column, str]]()
    blank = np.ones(frame.height, bool)
    for column in schema.inputs:
        series = frame.get_column(column.name)
        cleaned = cleaners.get(column.kind, clean_text)(
            series if _is_raw(series, column) else as_strings(series), folder
        )
        values.append(cleaned.values.alias(column.name))
        contents.append(cleaned.contents)
        blank &= np.fromiter((content is None for content in cleaned.contents), bool, frame.height)
        problems = {row: (column, problem) for row, problem in cleaned.problems.items()} | problems
    return UsableInputs(values, contents, blank, problems)


def _is_raw(series: pl.Series, column: Column) -> bool:
    """Whether it is the input's own affair what stands in the cells: bytes, arrays, objects."""
    is_other = series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object)
    return is_other and column.role == "input" and column.kind not in ("text", "category")


def clean_text(values: pl.Series, folder: Path | None = None) -> Cleaned:
    """Words as they are; where nobody can see any, the content is missing and the value an empty string."""
    if len(values) <= FEW:  # an expression takes longer than so many texts
        few = ["" if text is None else text for text in values.to_list()]
        contents = [None if re.match(BLANK, text) else text for text in few]
        return Cleaned(pl.Series(values.name, few, pl.String), contents)
    texts = values.fill_null("")
    blank = texts.str.contains(BLANK)
    return Cleaned(texts, pl.select(pl.when(~blank).then(texts)).to_series().to_list())


def clean_cells(values: pl.Series, folder: Path | None = None) -> Cleaned:
    """The cells of a table: strings without white space at their ends, null where there is nothing."""
    cells = values.str.strip_chars()
    cells = pl.select(pl.when(~cells.str.contains(BLANK)).then(cells)).to_series()
    return Cleaned(cells, cells.to_list())


def _clean_labels(labels: pl.Series, kind: str) -> tuple[pl.Series, list[str]]:
    """Labels with nothing at their ends, in NFC, null where missing; and a note on what this joined.

    Of a number: Float64, null where there is none.
    """
    if kind == "number":
        return numbers.parse(labels), []
    if kind in spans.KINDS:  # their places are those of the text as it is; an empty cell is no label
        return pl.select(pl.when(~labels.str.contains(BLANK)).then(labels)).to_series().alias(labels.name), []
    if kind == "text":
        texts = labels.str.strip_chars().str.normalize("NFC")
        return pl.select(pl.when(~texts.str.contains(BLANK)).then(texts)).to_series().alias(labels.name), []
    given = [label for label in labels.unique().to_list() if label is not None]
    tidy = {label: unicodedata.normalize("NFC", label.strip()) or None for label in given}
    cleaned = labels.replace_strict(tidy, default=None, return_dtype=pl.String)
    joined = [label for label, name in tidy.items() if name is not None and name != label and name in tidy]
    if not joined:
        return cleaned, []
    count = int(labels.is_in(joined).sum())
    names = ", ".join(f"'{shorten(name, 30)}'" for name in sorted({str(tidy[label]) for label in joined})[:5])
    return cleaned, [f"{count:,} labels differed from others by white space at their ends: counted as {names}."]


def _misplaced(labels: pl.Series, column: Column, frame: pl.DataFrame, schema: Schema) -> dict[int, tuple[Column, str]]:
    """Rows whose answer is not in the text that it should stand in. Row -> the column, and why."""
    texts = {own.name: frame.get_column(own.name).to_list() for own in schema.inputs if own.kind == "text"}
    cells = labels.to_list()
    if not texts or not cells:
        return {}
    searched = texts[spans.searched(column.kind, texts, cells)]
    rows = ((row, cell) for row, cell in enumerate(cells) if cell is not None)
    found = ((row, spans.problem(column.kind, cell, searched[row])) for row, cell in rows)
    return {row: (column, problem) for row, problem in found if problem is not None}


def _weights(frame: pl.DataFrame, schema: Schema) -> tuple[np.ndarray | None, np.ndarray]:
    """(N,) float32 weights where there is such a column, and (N,) bool: which of them are no number from 0."""
    column = next((column for column in schema.named("weight") if column.name in frame.columns), None)
    if column is None:
        return None, np.zeros(frame.height, bool)
    weights = numbers.parse(frame.get_column(column.name)).fill_null(-1.0).to_numpy()
    return weights.astype(np.float32), weights < 0


def _bad_rows(
    table: Table,
    blank: np.ndarray,
    unlabelled: np.ndarray,
    weightless: np.ndarray,
    schema: Schema,
    problems: Mapping[int, tuple[Column, str]],
) -> list[BadRow]:
    """Rows with an input that cannot be read, without any, with one but no label, or with no fault but no weight."""
    nothing = NO_TEXT if all(column.kind == "text" for column in schema.inputs) else NOTHING
    text = ", ".join(column.name for column in schema.inputs)
    label = ", ".join(column.name for column in schema.targets) or None
    is_number = all(column.kind == "number" for column in schema.targets)
    weight = next((column.name for column in schema.named("weight")), None)
    found = []
    broken = np.isin(np.arange(len(blank)), list(problems))
    for k in np.flatnonzero(blank | unlabelled | weightless | broken).tolist():
        column, problem = (text, nothing) if blank[k] else (label, NO_NUMBER if is_number else NO_LABEL)
        if k in problems:
            column, problem = problems[k][0].name, problems[k][1]
        elif not blank[k] and not unlabelled[k]:
            column, problem = weight, NO_WEIGHT
        found.append(table.bad(int(k), column, problem))
    return found


def _nothing_left(
    table: Table,
    blank: np.ndarray,
    unlabelled: np.ndarray,
    weightless: np.ndarray,
    schema: Schema,
    unusable: Sequence[BadRow],
) -> str:
    if all(bad.problem not in (NO_TEXT, NO_LABEL, NO_NUMBER, NO_WEIGHT) for bad in unusable):
        return f"{table.source}: none of the {len(blank):,} rows can be used. The first: {unusable[0]}."
    texts = " and ".join(f"'{column.name}'" for column in schema.inputs)
    names = ", ".join(f"'{column.name}'" for column in schema.targets)
    what = "number" if all(column.kind == "number" for column in schema.targets) else "label"
    label = f", {int((unlabelled & ~blank).sum()):,} no {what} in {names}" if names else ""
    weight = ", ".join(f"'{column.name}'" for column in schema.named("weight"))
    lacking = int((weightless & ~blank & ~unlabelled).sum())
    label += f", {lacking:,} no weight from 0 in {weight}" if lacking else ""
    return (
        f"{table.source}: none of the {len(blank):,} rows can be used: "
        f"{int(blank.sum()):,} have no text in {texts}{label}."
    )


def _check_classes(labels: pl.Series, table: Table, schema: Schema, min_classes: int) -> None:
    num_classes = labels.n_unique()
    if num_classes < min_classes:
        raise UserError(
            f"{table.source}, column '{labels.name}': every label is '{shorten(labels[0])}', so there is nothing to "
            f"tell apart. Give rows of at least {min_classes} classes, or choose another column with --target."
        )
    if num_classes > MAX_CLASSES and num_classes * ROWS_PER_CLASS > len(labels) and min_classes > 1:
        others = [column.name for column in schema.columns if column.role == "ignored" and column.kind == "category"]
        hint = f", such as --target {others[0]}" if others else " with --target"
        raise UserError(
            f"{table.source}, column '{labels.name}': expected classes, got {num_classes:,} different labels in "
            f"{len(labels):,} rows, fewer than {ROWS_PER_CLASS} rows each. Choose another target{hint}."
        )


def _groups(frame: pl.DataFrame, schema: Schema, ids: np.ndarray) -> np.ndarray:
    """(N,) uint64: the hash of the group column; a record without a group is its own."""
    group = next(iter(schema.named("group")), None)
    if group is None or group.name not in frame.columns:
        return ids
    values = frame.get_column(group.name).fill_null("")
    return np.where(values.str.contains(BLANK).to_numpy(), ids, content_ids([values]))
