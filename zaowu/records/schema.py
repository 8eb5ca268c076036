"""What each column of a table is taken for, why, and how a person says otherwise.

Inputs are not known here: a kind of input comes with a function that says why a column is of that kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from zaowu.errors import UserError, nearest, shorten
from zaowu.records import names
from zaowu.records.records import Column, Schema, Table

Guesser = Callable[[pl.Series], str | None]
ROLES = ("input", "target", "group", "slice", "ignored")
TARGET_KINDS = ("category",)
NUM_SAMPLED = 5000  # values that decide a column's kind
MAX_CLASSES = 50  # that a guessed target may have, or one in 20 rows
_NUMBER = r"^[-+]?(\d+|\d{1,3}(,\d{3})+)?(\.\d+)?([eE][-+]?\d+)?%?$"
_DATE = r"^\d{2,4}[-/.年]\d{1,2}([-/.月]\d{1,4}日?)?([T ]\d{1,2}:\d{2}.*)?$"
_CODE = r"^[A-Za-z0-9_\-./:#]*\d[A-Za-z0-9_\-./:#]*$"
_LINK = r"^(https?://|www\.)\S+$"


@dataclass(frozen=True)
class Facts:
    """What is counted of one column: its values that are not empty, how many of them are different, and the first few.

    sample: stripped strings.
    """

    series: pl.Series
    total: int
    different: int
    sample: pl.Series

    @classmethod
    def of(cls, series: pl.Series) -> Facts:
        values = as_strings(series).drop_nulls().str.strip_chars()
        values = values.filter(values != "")
        return cls(series, len(values), values.n_unique(), values.head(NUM_SAMPLED))

    @property
    def name(self) -> str:
        return self.series.name

    def share(self, pattern: str) -> float:
        """The share of the sample that matches `pattern`."""
        return float(self.sample.str.contains(pattern).mean() or 0)  # type: ignore[arg-type]


def as_strings(series: pl.Series) -> pl.Series:
    """A column as strings, whatever it holds; whole numbers without a decimal point, missing values null."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
        is_whole = (series == series.round()) & (series.abs() < 2**53)
        return series.cast(pl.Int64 if is_whole.fill_null(True).all() else series.dtype).cast(pl.String)
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return pl.Series(series.name, [None if value is None else str(value) for value in series.to_list()], pl.String)
    return series.cast(pl.String)


def guess(
    table: Table,
    *,
    guessers: Mapping[str, Guesser],
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    group: str | None = None,
    slices: Sequence[str] = (),
) -> Schema:
    """The role and kind of every column.

    guessers: kind of input -> the reason why a column is of that kind, or None. What else is given is what the
    person has said: the target, kinds by column name, columns to ignore, to group by, to report by.
    Raises UserError for a name that is not in the table, when no column or more than one could be the target,
    and when no column is an input.
    """
    columns = dict(columns or {})
    chosen = _choices(table, target=target, columns=columns, ignore=ignore, group=group, slices=slices)
    for name, kind in columns.items():
        known = TARGET_KINDS if name == target else tuple(guessers)
        if kind not in known:
            hint = nearest(kind, known)
            raise UserError(f"--column {name}: kind '{kind}' is not one of {', '.join(known)}.{hint}")
    facts = {series.name: Facts.of(series) for series in table.frame.iter_columns()}
    kinds = {name: _kind(fact, guessers) for name, fact in facts.items()}
    twins: tuple[str, ...] = ()
    if target is None:
        free = [fact for name, fact in facts.items() if name not in chosen]
        target, reason, twins = _find_target(free, kinds, table)
        chosen[target] = Column(target, "target", "category", reason)
    else:
        reason = f"{facts[target].different:,} different values, named as the target"
        chosen[target] = Column(target, "target", columns.get(target, "category"), reason)
    for name in twins:
        chosen[name] = Column(name, "ignored", kinds[name][0], f"says the same as '{target}'")
    for name in ignore:
        chosen[name] = Column(name, "ignored", kinds[name][0], "named to be ignored")
    found = [chosen.get(name) or _column(name, *kinds[name], guessers) for name in facts]
    if not any(column.role == "input" for column in found):
        # In a small table texts may be few enough to look like categories.
        found = [
            _repeated_input(facts[column.name], guessers) or column if column.name not in chosen else column
            for column in found
        ]
    if not any(column.role == "input" for column in found):
        raise UserError(_no_input(table, found, guessers))
    return Schema(tuple(found))


def _choices(
    table: Table,
    *,
    target: str | None,
    columns: Mapping[str, str],
    ignore: Sequence[str],
    group: str | None,
    slices: Sequence[str],
) -> dict[str, Column]:
    """The columns that the person has spoken of, by name; the target is only checked."""
    wishes = [("--target", target, "", "", "")] if target is not None else []
    wishes += [
        ("--column", name, "input", kind, "named as an input") for name, kind in columns.items() if name != target
    ]
    wishes += [("--ignore", name, "ignored", "", "named to be ignored") for name in ignore]
    wishes += [("--group", group, "group", "id", "named as the group")] if group is not None else []
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
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return "other", "neither text nor a number"
    if dtype.is_temporal() or fact.share(_DATE) >= 0.95:
        return "date", "dates"
    has_id_name = names.has_one_of(fact.name, names.IDS)
    is_unique = different >= 0.99 * total and total > 1
    if is_unique and names.is_one_of(fact.name, names.IDS):
        return "id", "all different, named like an id"
    if dtype.is_numeric() or fact.share(_NUMBER) >= 0.95:
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
    for kind, guesser in guessers.items():
        if reason := guesser(fact.series):
            return kind, reason
    return "other", "neither text nor anything else that is known"


def _is_count(series: pl.Series) -> bool:
    """Whether values are 0, 1, 2, ... or another row of whole numbers that goes up by one."""
    numbers = as_strings(series).str.strip_chars().cast(pl.Int64, strict=False)
    return numbers.null_count() == 0 and bool((numbers.diff().drop_nulls() == 1).all())


def _column(name: str, kind: str, reason: str, guessers: Mapping[str, Guesser]) -> Column:
    return Column(name, "input" if kind in guessers else "ignored", kind, reason)


def _repeated_input(fact: Facts, guessers: Mapping[str, Guesser]) -> Column | None:
    for kind, guesser in guessers.items():
        if reason := guesser(fact.series):
            return Column(fact.name, "input", kind, reason)
    return None


def _find_target(
    free: Sequence[Facts], kinds: Mapping[str, tuple[str, str]], table: Table
) -> tuple[str, str, tuple[str, ...]]:
    """(name, reason, columns that say the same) of the column that looks like the answer."""
    most = max(MAX_CLASSES, table.frame.height // 20)
    last = table.frame.columns[-1]
    best: list[Facts] = []
    best_rank, why = 0, ""
    for fact in free:
        if not 2 <= fact.different <= most or kinds[fact.name][0] in ("date", "id"):
            continue
        if names.is_one_of(fact.name, names.LABELS):
            rank, reason = 3, "label-like name"
        elif names.has_one_of(fact.name, names.LABELS):
            rank, reason = 2, "label-like name"
        elif fact.name == last and fact.different * 2 <= fact.total:
            rank, reason = 1, "in the last place"
        else:
            continue
        if rank > best_rank:
            best, best_rank, why = [], rank, reason
        if rank == best_rank:
            best.append(fact)
    if not best:
        raise UserError(_no_target(free, most, table))
    # A name and a number of the same classes are one answer: the words are kept.
    best.sort(key=lambda fact: kinds[fact.name][0] == "number")
    first, others = best[0], best[1:]
    for other in others:
        if not _same(first, other):
            raise UserError(
                f"{table.source}: both '{first.name}' and '{other.name}' could be the target. "
                f"Choose one: --target {_quoted(first.name)} or --target {_quoted(other.name)}."
            )
    return first.name, f"{first.different:,} different values, {why}", tuple(other.name for other in others)


def _same(one: Facts, other: Facts) -> bool:
    pairs = pl.DataFrame({"one": as_strings(one.series), "other": as_strings(other.series)}).n_unique()
    return pairs == one.series.n_unique() == other.series.n_unique()


def _quoted(name: str) -> str:
    return f"'{name}'" if re.search(r"[^\w.\-]", name) else name


def _no_target(free: Sequence[Facts], most: int, table: Table) -> str:
    named = [fact for fact in free if names.is_one_of(fact.name, names.LABELS) and fact.total]
    if named and named[0].different == 1:
        return (
            f"{table.source}, column '{named[0].name}': every label is '{shorten(named[0].sample[0])}', so there is "
            "nothing to tell apart. Give rows of at least 2 classes, or choose another column with --target."
        )
    counts = ", ".join(f"{shorten(fact.name, 30)} ({fact.different:,})" for fact in free[:12])
    more = ", …" if len(free) > 12 else ""
    return (
        f"{table.source}: no column looks like the target, which has 2 to {most:,} different values and a label-like "
        f"name or the last place. Choose one with --target; different values: {counts or 'no column is left'}{more}."
    )


def _no_input(table: Table, found: Iterable[Column], guessers: Mapping[str, Guesser]) -> str:
    rest = [column for column in found if column.role == "ignored"]
    seen = ", ".join(f"{shorten(column.name, 30)} ({column.kind}: {column.reason})" for column in rest[:8])
    if not rest:
        return f"{table.source}: there is no column to learn from beside the target."
    kind = next(iter(guessers), "text")
    return (
        f"{table.source}: no column looks like one to learn from: {seen}. "
        f"Say which one is, such as --column {_quoted(rest[0].name)}:kind={kind}."
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


def column_kinds(columns: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """name -> kind, from such a mapping or from `title:kind=text` options. Raises UserError."""
    if isinstance(columns, Mapping):
        return dict(columns)
    kinds: dict[str, str] = {}
    for name, settings in map(parse_column, columns):
        if set(settings) != {"kind"}:
            raise UserError(f"--column {shorten(name)}: expected kind=..., got {', '.join(sorted(settings))}.")
        if name in kinds:
            raise UserError(f"--column {shorten(name)} is given twice.")
        kinds[name] = settings["kind"]
    return kinds


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
    if len(schema.named("target")) > 1 or not schema.inputs:
        raise UserError(f"{where}: expected at least one input and at most one target among the columns.")
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
