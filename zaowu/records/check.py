"""A table whose columns are understood -> records that can be used; the others are named and counted."""

from __future__ import annotations

import unicodedata

import numpy as np
import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import bad_rows
from zaowu.records.identity import content_ids
from zaowu.records.records import BadRow, Records, Schema, Table
from zaowu.records.schema import as_strings

NO_TEXT = "expected a text, got nothing"
NO_LABEL = "expected a label, got nothing"
BLANK = r"^[\s\u200b-\u200d\u2060\ufeff]*$"  # what nobody can see, zero-width characters included
MANY_CLASSES = 50  # more than these need at least ROWS_PER_CLASS rows each, on average
ROWS_PER_CLASS = 5


def clean(
    table: Table, schema: Schema, *, on_bad_row: str | None = None, need_target: bool = True, min_classes: int = 2
) -> Records:
    """The usable records of `table`, with the schema's columns only.

    on_bad_row: rows without any text or without a label are skipped and kept in `skipped` (None or "skip"), or
    stop with a UserError that names them ("stop"). need_target: without it the target's column may be absent and
    its values missing (null). min_classes: different labels that there must be; 1 for a file to be scored.

    Labels lose white space at their ends and become NFC; nothing else about them is changed.
    Raises UserError for a column that is absent, for no usable row, too few classes, or a target that is a text.
    """
    bad_rows.checked(on_bad_row)
    frame = _selected(table, schema, need_target=need_target)
    target = schema.target if schema.target and schema.target.name in frame.columns else None
    notes: list[str] = []
    blank = np.ones(frame.height, bool)
    for column in schema.inputs:
        texts = frame.get_column(column.name).fill_null("")
        frame = frame.with_columns(texts)
        blank &= texts.str.contains(BLANK).to_numpy()
    unlabelled = np.zeros(frame.height, bool)
    if target:
        labels, notes = _clean_labels(frame.get_column(target.name))
        frame = frame.with_columns(labels)
        if need_target:
            unlabelled = labels.is_null().to_numpy()
    unusable = _bad_rows(table, blank, unlabelled, schema)
    if unusable and on_bad_row == "stop":
        raise bad_rows.refusal(unusable)
    keep = ~(blank | unlabelled)
    if not keep.any():
        raise UserError(_nothing_left(table, blank, unlabelled, schema))
    frame = frame.filter(keep)
    if target and need_target:
        _check_classes(frame.get_column(target.name), table, schema, min_classes)
    ids = content_ids([frame.get_column(column.name) for column in schema.inputs])
    return Records(
        frame=frame,
        rows=table.rows[keep],
        ids=ids,
        groups=_groups(frame, schema, ids),
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
            found.append(series if column.role == "ignored" else as_strings(series))
        elif column.role == "input" or (column.role == "target" and need_target):
            hint = nearest(column.name, table.frame.columns)
            hint = hint or f" Its columns are {shorten(', '.join(table.frame.columns), 200)}."
            raise UserError(f"{table.source}: there is no column '{shorten(column.name)}', the {column.role}.{hint}")
    return pl.DataFrame(found)


def _clean_labels(labels: pl.Series) -> tuple[pl.Series, list[str]]:
    """Labels with nothing at their ends, in NFC, null where missing; and a note on what this joined."""
    given = [label for label in labels.unique().to_list() if label is not None]
    tidy = {label: unicodedata.normalize("NFC", label.strip()) or None for label in given}
    cleaned = labels.replace_strict(tidy, default=None, return_dtype=pl.String)
    joined = [label for label, name in tidy.items() if name is not None and name != label and name in tidy]
    if not joined:
        return cleaned, []
    count = int(labels.is_in(joined).sum())
    names = ", ".join(f"'{shorten(name, 30)}'" for name in sorted({str(tidy[label]) for label in joined})[:5])
    return cleaned, [f"{count:,} labels differed from others by white space at their ends: counted as {names}."]


def _bad_rows(table: Table, blank: np.ndarray, unlabelled: np.ndarray, schema: Schema) -> list[BadRow]:
    """Rows without any text, and rows with a text but no label, in their order."""
    text = ", ".join(column.name for column in schema.inputs)
    label = schema.target.name if schema.target else None
    return [
        BadRow(table.source, int(table.rows[k]), *((text, NO_TEXT) if blank[k] else (label, NO_LABEL)))
        for k in np.flatnonzero(blank | unlabelled)
    ]


def _nothing_left(table: Table, blank: np.ndarray, unlabelled: np.ndarray, schema: Schema) -> str:
    texts = " and ".join(f"'{column.name}'" for column in schema.inputs)
    label = f", {int((unlabelled & ~blank).sum()):,} no label in '{schema.target.name}'" if schema.target else ""
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
    if num_classes > MANY_CLASSES and num_classes * ROWS_PER_CLASS > len(labels) and min_classes > 1:
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
