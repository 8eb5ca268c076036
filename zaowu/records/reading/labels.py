"""Labels that stand in no column: in the names of folders and files, before a text, spread over 0/1 columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from zaowu.errors import UserError
from zaowu.records import names, numbers
from zaowu.records.reading import archives, encoding as encodings, legacy
from zaowu.records.reading.encoding import MARK
from zaowu.records.records import BadRow, Table

PREFIX = "__label__"
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
MEDIA = dict.fromkeys(IMAGES, "image") | dict.fromkeys(SOUNDS, "audio")
_FASTTEXT = re.compile(PREFIX + r"[^\s,;]+(\s|$)")
LEAST_COLUMNS = 3  # of 0 and 1; two may as well be two features
NUM_JUDGED = 1000
_NUMBERED = re.compile(r"(.*[^\W\d_])[\s_.\-]*[(（]?\d+[)）]?")  # pos_001, 体育-1, news (3)


def read_folder(folder: Path, *, source: str) -> Table:
    """A folder of .txt files: columns `text`, `label`, `file`; of images or recordings: `image` or `audio`, `label`.

    The label is the name of the sub-folder that a file is in; without sub-folders it is what stands before the
    number in the file's name, as in `pos_001.txt`. Raises UserError where there is neither.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not classes and not files:
        raise UserError(f"{source}: the folder is empty.")
    if (found := _read_media(folder, classes, source)) is not None:
        return found
    texts = [path for name in classes for path in sorted(name.glob("*.txt")) if path.is_file()]
    given = [path.parent.name for path in texts]
    stray = [path for path in files if path.suffix.lower() == ".txt"]
    notes: tuple[str, ...] = ()
    if not texts and (by_name := _labels_of_names([path.stem for path in stray])):
        texts, given, stray = stray, by_name, []
        few = ", ".join(list(dict.fromkeys(given))[:5])
        notes = (f"The labels are what the files' names begin with: {few}{', …' if len(set(given)) > 5 else ''}.",)
    if not texts:
        raise UserError(f"{source}: expected one sub-folder of .txt files per class, got none.{_hint(classes, files)}")
    if stray:
        notes = (f"{len(stray)} .txt files that are in no sub-folder are passed over.",)
    contents = [path.read_bytes() for path in texts]
    foreign = [data for data in contents if encodings.decoded(data, None) is None][:NUM_JUDGED]
    other = legacy.guess(foreign) if foreign else None
    values: list[tuple[str, str, str]] = []
    rows: list[int] = []
    bad: list[BadRow] = []
    for row, (path, label, data) in enumerate(zip(texts, given, contents, strict=True), start=1):
        text = encodings.decoded(data, other)
        if text is None:
            problem = "expected UTF-8 or GB18030 text, got bytes that are neither"
            bad.append(BadRow(str(path), row, None, problem))
        else:
            values.append((text, label, str(path.relative_to(folder))))
            rows.append(row)
    frame = pl.DataFrame(values, schema=dict.fromkeys(("text", "label", "file"), pl.String), orient="row")
    return Table(frame, np.array(rows, np.int64), source, notes, tuple(bad))


def _read_media(folder: Path, classes: Sequence[Path], source: str) -> Table | None:
    """One sub-folder of images or recordings per class: their paths and labels. None where neither is there."""
    files = [path for name in classes for path in sorted(name.rglob("*")) if path.is_file() and path.name[0] != "."]
    kinds = Counter(MEDIA[path.suffix.lower()] for path in files if path.suffix.lower() in MEDIA)
    if not kinds or sum(path.suffix.lower() == ".txt" for path in files) > kinds.total():
        return None
    kind = kinds.most_common(1)[0][0]
    chosen = [path for path in files if MEDIA.get(path.suffix.lower()) == kind]
    values = [(str(path.relative_to(folder)), path.relative_to(folder).parts[0]) for path in chosen]
    frame = pl.DataFrame(values, schema={kind: pl.String, "label": pl.String}, orient="row")
    other = len(files) - len(chosen)
    notes = (f"{other} files that are no {kind} by their names are passed over.",) if other else ()
    return Table(frame, np.arange(1, len(values) + 1), source, notes)


def _hint(classes: Sequence[Path], files: Sequence[Path]) -> str:
    tables = [path for path in files if path.suffix.lower() in archives.TABLES]
    if tables:
        return f" Did you mean {tables[0]}?"
    deeper = next((path for name in classes for path in name.glob("*/*.txt")), None)
    return f" Did you mean {deeper.parent.parent}?" if deeper else ""


def _labels_of_names(stems: Sequence[str]) -> list[str]:
    """The label in each name, or nothing unless all names have one, and each label two files on average."""
    shapes = [_NUMBERED.fullmatch(stem) for stem in stems]
    found = [shape[1] for shape in shapes if shape]
    return found if len(found) == len(stems) and 2 <= len(set(found)) <= len(found) / 2 else []


def is_fasttext(sample: str) -> bool:
    """Whether nearly every line of `sample` begins with a label as fastText writes it: with white space after it."""
    lines = [line for line in sample.split("\n")[:NUM_JUDGED] if line.strip()]
    return bool(lines) and sum(_FASTTEXT.match(line) is not None for line in lines) >= 0.95 * len(lines)


def read_fasttext(blocks: Iterable[bytes], *, source: str, encoding: str, expect: Collection[str]) -> Table:
    """`__label__sports the text` on each line: columns `text`, `label`; `tags` as JSON where a line has several.

    blocks: UTF-8 in whole lines. encoding: its name for bad rows. expect: as for `one_hot`.
    """
    texts: list[str | None] = []
    found: list[list[str]] = []
    rows: list[int] = []
    bad: list[BadRow] = []
    row = 0
    for block in blocks:
        for line in block.decode().split("\n")[:-1]:
            row += 1
            if MARK in line:
                bad.append(BadRow(source, row, None, f"expected {encoding} text, got other bytes"))
                continue
            rest, labels = line.strip(), []
            while rest.startswith(PREFIX):
                head, *below = rest.split(None, 1)
                labels.append(head.removeprefix(PREFIX).rstrip(","))
                rest = below[0].lstrip(", ") if below else ""
            if rest or labels:
                texts.append(rest or None)
                found.append(labels)
                rows.append(row)
    is_single = "label" in expect or ("tags" not in expect and all(len(labels) <= 1 for labels in found))
    answers = [labels[0] if len(labels) == 1 else None for labels in found] if is_single else map(_json, found)
    name = "label" if is_single else "tags"
    frame = pl.DataFrame({"text": texts, name: list(answers)}, schema=dict.fromkeys(("text", name), pl.String))
    note = f"Lines begin with fastText's {PREFIX}: the columns are called text and {name}."
    return Table(frame, np.array(rows, np.int64), source, (note,), tuple(bad))


def without_prefix(table: Table) -> Table:
    """Columns whose every value begins with `__label__`, without it."""
    columns = table.frame.select(pl.col(pl.String)).iter_columns()
    begin = [column for column in columns if column.head(NUM_JUDGED).str.starts_with(PREFIX).any()]
    found = [column.name for column in begin if column.drop_nulls().str.starts_with(PREFIX).all()]
    if not found:
        return table
    note = f"fastText's {PREFIX} is taken off the values of {', '.join(found)}."
    frame = table.frame.with_columns(pl.col(found).str.strip_prefix(PREFIX))
    return replace(table, frame=frame, notes=(*table.notes, note))


def one_hot(table: Table, *, expect: Collection[str] = ()) -> Table:
    """0/1 columns that say one thing become one column: `label` when every row has exactly one 1, else `tags`, JSON.

    They do when at least three stand side by side, hold nothing but 0 and 1, and every other column is a text or an
    id: beside a column that could be the answer, or beside other features, they are left as they are.
    expect: columns that a model was trained on. They decide, so that a file's few rows cannot: with `tags` among them
    it is `tags`, with `label` it is `label` (empty in rows without exactly one 1), with the columns themselves none.
    """
    frame = table.frame
    run = [name for name in frame.columns if _is_binary(frame[name])]
    places = [frame.columns.index(name) for name in run]
    if len(run) < LEAST_COLUMNS or places != list(range(places[0], places[0] + len(run))) or set(run) & set(expect):
        return table
    others = [column for column in frame.iter_columns() if column.name not in run]
    kinds = [_is_text(column) for column in others]
    if not any(kinds) or not all(
        is_text or names.is_one_of(column.name, names.IDS) for column, is_text in zip(others, kinds, strict=True)
    ):
        return table
    if any(
        names.is_one_of(column.name, names.LABELS) or names.has_one_of(column.name, names.LABELS) for column in others
    ):
        return table
    ones = frame.select(pl.col(name).cast(pl.String).is_in(["1", "true"]) for name in run)
    count = ones.sum_horizontal()
    is_single = "label" in expect or ("tags" not in expect and bool((count == 1).all()))
    answer: pl.Expr
    if is_single:
        answer = pl.when(count == 1).then(pl.coalesce(pl.when(pl.col(name)).then(pl.lit(name)) for name in run))
        note = f"each row has one 1 among {len(run)} columns, which become the column 'label'"
    else:
        each = [pl.when(pl.col(name)).then(pl.lit(json.dumps(name, ensure_ascii=False))) for name in run]
        answer = pl.concat_str(pl.lit("["), pl.concat_str(each, separator=", ", ignore_nulls=True), pl.lit("]"))
        note = f"{len(run)} columns hold nothing but 0 and 1 and become the column 'tags'"
    name = "label" if is_single else "tags"
    columns = [column for column in frame.get_columns() if column.name not in run]
    columns.insert(places[0], ones.select(answer.alias(name)).to_series())
    few = ", ".join(run[:5]) + (", …" if len(run) > 5 else "")
    return replace(table, frame=pl.DataFrame(columns), notes=(*table.notes, f"{note[0].upper()}{note[1:]} ({few})."))


def _is_binary(column: pl.Series) -> bool:
    if column.dtype == pl.Boolean:
        return column.null_count() == 0
    if not (column.dtype.is_integer() or column.dtype == pl.String) or column.null_count():
        return False
    values = ["0", "1"] if column.dtype == pl.String else [0, 1]
    return bool(column.head(NUM_JUDGED).is_in(values).all()) and bool(column.is_in(values).all())


def _is_text(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    sample = column.head(NUM_JUDGED).drop_nulls()
    is_long = float(sample.str.len_chars().median() or 0) >= 4  # type: ignore[arg-type]
    return is_long and sample.n_unique() * 2 > len(sample) and numbers.share(sample) < 0.5


def _json(labels: Sequence[str]) -> str:
    return json.dumps(list(Counter(labels)), ensure_ascii=False)
