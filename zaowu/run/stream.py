"""A large file answered or scored: portion by portion, each on disk before the next; a kill loses one portion."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
from safetensors import safe_open
from safetensors.numpy import save_file

from zaowu.bases.cache import home
from zaowu.errors import UserError
from zaowu.progress import note
from zaowu.records import stream
from zaowu.records.facts import as_strings
from zaowu.records.records import Table
from zaowu.run import Answers, Evaluated, Run
from zaowu.run.folder import MANIFEST, writing
from zaowu.targets import as_tensor, from_tensor

NUMBERS = ".safetensors"
FIRST = "000000"
FORMATS = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}


def predict_to_file(run: Run, source: Any, out: Path, *, top: int) -> tuple[int, tuple[str, ...]]:
    """Writes every row of `source` with its answers to `out`, in order. Returns the rows and what to warn of.

    Portions wait in a hidden folder beside `out` until all are there; the same call after a kill goes on with the
    first that is missing. Raises UserError for a file or columns that cannot be used; `out` is whole or untouched.
    """
    parts, suffix, warnings = _parts_of(out), out.suffix.lower(), dict[str, None]()
    num_rows = 0
    with writing(out):
        _begin(parts, _identity(run, source, {"verb": "predict", "top": top}))
    for place, table in _portions(run, source, parts, suffix):
        num_rows += table.frame.height
        if not place.is_file():
            found = run.predict(table)
            warnings |= dict.fromkeys(found.warnings)
            with writing(out):
                write_frame(found.to_frame(top=top), place, header=place.stem == FIRST)
    with writing(out):
        _finish(parts, out)
    return num_rows, tuple(warnings)


def evaluate_file(run: Run, source: Any, *, on_bad_row: str | None = None, out: Path | None = None) -> Evaluated:
    """`run.evaluate` of a large file: of each row a few numbers are kept, and with `out` its line in that file.

    The portions wait beside `out`, without one among the caches. Raises UserError as `run.evaluate` does.
    """
    identity = _identity(run, source, {"verb": "evaluate", "on_bad_row": on_bad_row, "out": str(out)})
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    parts = home() / "portions" / digest[:16] if out is None else _parts_of(out)
    with writing(parts):
        _begin(parts, identity)
    answers, labels = [], dict[Any, Any]()
    for place, table in _portions(run, source, parts, NUMBERS, on_bad_row=on_bad_row):
        if not place.is_file():
            records = run.labelled_records(table, on_bad_row=on_bad_row, is_portion=True)
            found = run.answer(records)
            with writing(parts):
                if out is not None and len(records):
                    rows = place.with_suffix(out.suffix.lower())
                    earlier = [path for path in parts.glob(f"*{rows.suffix}") if path != rows]
                    write_frame(run.predicted(records, found).to_frame(), rows, header=not earlier)
                _save(found, place)
        answers.append(_load(place, labels, run.targets))
    if not any(map(len, answers)):
        shutil.rmtree(parts, ignore_errors=True)
        raise UserError(f"{source}: no row can be used: each lacks a text or a label.")
    evaluated = run.judge([part for part in answers if len(part)])
    with writing(parts):
        if out is not None:
            _finish(parts, out)
        shutil.rmtree(parts, ignore_errors=True)
    return replace(evaluated, skipped=sum(part.skipped for part in answers))


def write_whole(frame: pl.DataFrame, out: Path) -> None:
    """Rows and answers that are in memory, in the format that the name ends in."""
    with writing(out):
        write_frame(frame, out)


def write_frame(frame: pl.DataFrame, path: Path, *, header: bool = True) -> None:
    """Under a temporary name, then renamed. Lists and other nested cells become text in a CSV."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        if path.suffix.lower() == ".csv":
            flat = frame.with_columns(as_strings(series) for series in frame if series.dtype.is_nested())
            flat.write_csv(fresh, include_header=header)
        else:
            getattr(frame, FORMATS[path.suffix.lower()])(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _portions(
    run: Run, source: Any, parts: Path, suffix: str, *, on_bad_row: str | None = None
) -> Iterator[tuple[Path, Table]]:
    """Each portion and the file that its answers belong in; what is there already was answered before a kill."""
    num_rows = 0
    for number, table in enumerate(stream.portions(source, expect=run.expected, on_bad_row=on_bad_row)):
        place = parts / f"{number:06d}{suffix}"
        first, num_rows = num_rows + 1, num_rows + table.frame.height
        if not place.is_file():
            note(f"Rows {first:,} to {num_rows:,}.")
        yield place, table


def _save(answers: Answers, path: Path) -> None:
    """Numbers as they are, each label as the number of its name. Under a temporary name, then renamed."""
    tensors, names = {}, {}
    for place, column in enumerate(answers.labels):
        names[column] = list(dict.fromkeys(answers.labels[column]))
        codes = {label: code for code, label in enumerate(names[column])}
        tensors[f"labels.{place}"] = np.array([codes[label] for label in answers.labels[column]], np.int32)
        tensors[f"outputs.{place}"] = as_tensor(answers.outputs[column])
        if answers.cheap:
            tensors[f"cheap.{place}"] = as_tensor(answers.cheap[column])
    told = {"names": names, "skipped": answers.skipped, "warnings": answers.warnings}
    fresh = path.with_name(f".{path.name}.new")
    save_file(tensors, fresh, metadata={"zaowu": json.dumps(told)})
    fresh.replace(path)


def _load(path: Path, known: dict[Any, Any], targets: Mapping[str, Any]) -> Answers:
    """What `_save` wrote. known: the labels of earlier portions: each name is held once, however many rows have it."""
    with safe_open(path, framework="numpy") as file:
        told = json.loads(file.metadata()["zaowu"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    labels, outputs, cheap = {}, {}, {}
    for place, (column, names) in enumerate(told["names"].items()):
        names = [known.setdefault(name, name) for name in names]
        labels[column] = [names[code] for code in tensors[f"labels.{place}"]]
        outputs[column] = from_tensor(tensors[f"outputs.{place}"], targets[column])
        if f"cheap.{place}" in tensors:
            cheap[column] = from_tensor(tensors[f"cheap.{place}"], targets[column])
    return Answers(labels, outputs, cheap, told["skipped"], tuple(told["warnings"]))


def _parts_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _identity(run: Run, source: Any, choice: dict[str, Any]) -> dict[str, Any]:
    """What the portions belong to: with another model, file or choice they are made again."""
    stat = Path(source).stat()
    model: Any = uuid4().hex  # one that was never saved cannot be known again
    if run.folder is not None:
        model = json.loads((run.folder / MANIFEST).read_text("utf-8"))["files"]
    size = {"bytes": stat.st_size, "changed": stat.st_mtime_ns, "portion": stream.PORTION}
    return {"source": str(Path(source).absolute()), "model": model, **choice, **size}


def _begin(parts: Path, identity: dict[str, Any]) -> None:
    known = parts / "identity.json"
    if known.is_file() and known.read_text("utf-8") == json.dumps(identity):
        note(f"Going on behind the {len({path.stem for path in parts.iterdir()}) - 1} portions that are there already.")
        return
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    known.write_text(json.dumps(identity), "utf-8")


def _finish(parts: Path, out: Path) -> None:
    fresh = out.with_name(f".{out.name}.new")
    _join(sorted(parts.glob(f"*{out.suffix.lower()}")), fresh)
    fresh.replace(out)
    shutil.rmtree(parts, ignore_errors=True)


def _join(places: list[Path], out: Path) -> None:
    """All portions in one file, without holding more than a piece of them."""
    if not places:
        raise UserError(f"{out}: there is no row to predict.")
    if places[0].suffix == ".parquet":
        pl.scan_parquet(places).sink_parquet(out)
        return
    with out.open("wb") as whole:
        for piece in _pieces(places):
            whole.write(piece)


def _pieces(places: list[Path]) -> Iterator[bytes]:
    for place in places:
        with place.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
