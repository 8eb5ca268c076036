"""Which column is the answer, and what kind of answer it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from zaowu.errors import UserError, shorten
from zaowu.records import names, numbers, spans
from zaowu.records.facts import Facts, as_strings
from zaowu.records.records import Table

KINDS = ("category", "tags", "number", "span", "entities", "text")
MAX_CLASSES = 50  # that a guessed target may have, or one in 20 rows
ROWS_PER_CLASS = 5  # on average, where there are more classes than that
FEW_NUMBERS = 20  # so many different whole numbers may be classes: stars, grades
SEPARATED = r"[;；|、,，]"


def kind_of_answer(fact: Facts) -> tuple[str, str]:
    """(kind, reason) of a column that is to be answered."""
    if kind := spans.kind_of_cells(fact.sample.to_list()):
        return kind, "answers with their places in a text" if kind == "span" else "places in a text with labels"
    if fact.share(r"^\s*\[.*\]\s*$") >= 0.95:
        return "tags", "lists"
    if numbers.share(fact.telling) >= 0.95:
        # Whole numbers may be the ids of classes, as many as a guessed target may have; amounts are so by their name.
        most = FEW_NUMBERS if names.is_one_of(fact.name, names.AMOUNTS) else max(MAX_CLASSES, fact.total // 20)
        has_decimals = fact.share(r"\d[.．]\d") > 0
        if fact.different > most or (has_decimals and fact.different > FEW_NUMBERS // 2):
            return "number", f"{fact.different:,} different numbers"
    elif _are_joined_tags(fact):
        return "tags", "words joined by signs, the same ones again and again"
    elif _are_texts(fact):
        return "text", f"{fact.different:,} different texts"
    return "category", f"{fact.different:,} different values"


def _are_texts(fact: Facts) -> bool:
    """Whether values are words in a row, too many different ones to be classes."""
    if fact.different <= MAX_CLASSES or fact.different * ROWS_PER_CLASS <= fact.total:
        return False
    if names.is_one_of(fact.name, names.CLASSES):
        return False
    han = fact.sample.str.count_matches(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]") >= 2
    words = (fact.sample.str.count_matches(r"\S+") >= 2) & (fact.sample.str.count_matches(r"\p{L}") >= 2)
    return float((han | words).mean() or 0) >= 0.5  # type: ignore[arg-type]


def _are_joined_tags(fact: Facts) -> bool:
    """Whether values are built from fewer parts than there are values: 体育;科技, 科技;财经, 体育."""
    if not (names.is_one_of(fact.name, names.TAGS) or names.has_one_of(fact.name, names.TAGS)):
        return False
    joined = fact.sample.filter(fact.sample.str.contains(SEPARATED))
    if len(joined) < 0.1 * fact.total:
        return False
    parts = fact.sample.str.replace_all(SEPARATED, ";").str.split(";").explode().str.strip_chars()
    parts = parts.filter(parts != "")
    return parts.n_unique() * 2 <= len(parts) and parts.n_unique() < max(fact.different, MAX_CLASSES)


def find_target(
    free: Sequence[Facts], kinds: Mapping[str, tuple[str, str]], table: Table
) -> tuple[str, str, tuple[str, ...]]:
    """(name, reason, columns that say the same) of the column that looks like the answer."""
    most = max(MAX_CLASSES, table.frame.height // 20)
    last = table.frame.columns[-1]
    best: list[Facts] = []
    best_rank, why = 0, ""
    for fact in free:
        if fact.different < 2 or kinds[fact.name][0] in ("date", "id"):
            continue
        if kind_of_answer(fact)[0] in spans.KINDS:
            rank, reason = 4, "places in a text"
            if best_rank < rank:
                best, best_rank, why = [], rank, reason
            best.append(fact)
            continue
        if fact.different > most and not _may_be_many(fact, is_last=fact.name == last):
            continue
        if names.is_one_of(fact.name, names.LABELS):
            rank, reason = 3, "label-like name"
        elif names.has_one_of(fact.name, names.LABELS):
            rank, reason = 2, "label-like name"
        elif fact.name == last and (fact.different * 2 <= fact.total or fact.different > most):
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
                f"Choose one: --target {quoted(first.name)} or --target {quoted(other.name)}."
            )
    return first.name, f"{first.different:,} different values, {why}", tuple(other.name for other in others)


def _may_be_many(fact: Facts, *, is_last: bool) -> bool:
    """Whether an answer with more different values than classes can have is one of tags, or a number."""
    kind, _ = kind_of_answer(fact)
    if kind == "number":
        return names.is_one_of(fact.name, names.LABELS) or (is_last and names.is_one_of(fact.name, names.AMOUNTS))
    return kind == "tags"


def _same(one: Facts, other: Facts) -> bool:
    pairs = pl.DataFrame({"one": as_strings(one.series), "other": as_strings(other.series)}).n_unique()
    return pairs == one.series.n_unique() == other.series.n_unique()


def quoted(name: str) -> str:
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
