"""A source and what was said about it -> records on their sides, ready to learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from zaowu.config import DataConfig
from zaowu.errors import UserError
from zaowu.records import schema as schemas
from zaowu.records.check import Cleaner, clean
from zaowu.records.long_series import gather
from zaowu.records.read import read
from zaowu.records.records import Records, Schema, Table
from zaowu.records.schema import Guesser
from zaowu.records.split import folds, split, split_off

NUM_FOLDS = 5


@dataclass(frozen=True)
class Prepared:
    """Records with their places. Exactly one of `test` and `folds` says what the score comes from.

    whole: all records of the main source, in its order. train, valid: what the final model learns from and what
    chooses its epoch (None: nothing does). test: what it is scored on. folds: (N,) fold of each record of `whole`.
    deviation: side -> largest difference of a class's share from its share of all.
    """

    table: Table
    schema: Schema
    whole: Records
    train: Records
    valid: Records | None
    test: Records | None
    folds: np.ndarray | None
    deviation: dict[str, float]
    scored_on: str

    @property
    def parts(self) -> dict[str, Records]:
        sides = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: records for name, records in sides.items() if records is not None}


def prepare(
    source: Any,
    data: DataConfig,
    *,
    guessers: Mapping[str, Guesser],
    cleaners: Mapping[str, Cleaner] | None = None,
    cross_validate_below: int = 1000,
    spread: Callable[[Table], Table] | None = None,
) -> Prepared:
    """Reads, guesses, cleans and splits. Below `cross_validate_below` records, and without a test file, all of them
    train the final model and the score comes from folds. spread: makes records of a table whose rows are none.

    Raises UserError for whatever cannot be used.
    """
    table = source if isinstance(source, Table) else read(source, on_bad_row=data.on_bad_row)
    table = gathered(table if spread is None else spread(table), data)
    group, kinds = _told(table, data)
    schema = schemas.guess(
        table,
        guessers=guessers,
        target=data.target,
        columns={**kinds, **data.columns},
        ignore=data.ignore,
        group=group,
        slices=data.slices,
        weight=data.weight,
    )
    whole = clean(table, schema, on_bad_row=data.on_bad_row, cleaners=cleaners)
    test = _other(data.test, whole, data, cleaners, spread) if data.test else None
    valid = _other(data.valid, whole, data, cleaners, spread) if data.valid else None
    prepared = partial(Prepared, table=table, schema=schema, whole=whole)
    if test is None and valid is None and len(whole) < cross_validate_below:
        places = folds(whole, NUM_FOLDS)
        if len(np.unique(places)) < 2:
            raise UserError(f"{table.source}: all rows are one group, so nothing is left to score on.")
        scored_on = f"{NUM_FOLDS}-fold cross-validation"
        return prepared(train=whole, valid=None, test=None, folds=places, deviation={}, scored_on=scored_on)
    if test is not None:
        if valid is None and len(whole) >= cross_validate_below:
            sides = split_off(whole)
            train, valid = whole.take(sides.train), whole.take(sides.valid)
            return prepared(
                train=train,
                valid=valid,
                test=test,
                folds=None,
                deviation=sides.deviation,
                scored_on="test file",
            )
        return prepared(train=whole, valid=valid, test=test, folds=None, deviation={}, scored_on="test file")
    sides = split(whole, shares=(0.9, 0.0, 0.1)) if valid is not None else split(whole)
    return prepared(
        train=whole.take(sides.train),
        valid=whole.take(sides.valid) if valid is None else valid,
        test=whole.take(sides.test),
        folds=None,
        deviation=sides.deviation,
        scored_on="test split",
    )


def _told(table: Table, data: DataConfig) -> tuple[str | None, dict[str, str]]:
    """The column to group by and the kinds of columns, where the layout of the file says so and the person does not."""
    taken = {*data.target, *data.columns, *data.ignore, *data.slices, data.weight, data.group}
    group = table.group if table.group and table.group not in taken else None
    return data.group or group, {name: kind for name, kind in table.kinds.items() if name not in taken}


def gathered(table: Table, data: DataConfig, *, channels: Sequence[str] | None = None) -> Table:
    """One row per series, where `data` says which rows are measurements of one.

    channels: those that a model was trained on.
    """
    if data.series_id is None:
        if data.time is not None:
            raise UserError("--time: says when a measurement was made; give --series-id too, which says of what.")
        return table
    target = [name for name in data.target if name in table.frame.columns]
    return gather(table, series_id=data.series_id, time=data.time, target=target, channels=channels)


def _other(
    path: str,
    whole: Records,
    data: DataConfig,
    cleaners: Mapping[str, Cleaner] | None,
    spread: Callable[[Table], Table] | None,
) -> Records:
    """A validation or test file, read as the main source was; labels that training never saw are kept."""
    wanted = {column.name for column in (*whole.schema.inputs, *whole.schema.targets)}
    table = read(path, on_bad_row=data.on_bad_row, expect=wanted)
    table = gathered(table if spread is None else spread(table), data)
    missing = wanted - set(table.frame.columns)
    if missing:
        raise UserError(
            f"{table.source}: expected the columns of {whole.source}, '{sorted(missing)[0]}' is missing; "
            f"it has {', '.join(table.frame.columns)}."
        )
    return clean(table, whole.schema, on_bad_row=data.on_bad_row, min_classes=1, cleaners=cleaners)
