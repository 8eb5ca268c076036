"""Predictions for a large file: portion by portion, each on disk before the next, so that a kill loses one portion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from zaowu.errors import UserError
from zaowu.progress import note
from zaowu.records import stream
from zaowu.records.facts import as_strings
from zaowu.run import Run
from zaowu.run.folder import MANIFEST, writing

FORMATS = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}


def predict_to_file(run: Run, source: Any, out: Path, *, top: int) -> tuple[int, tuple[str, ...]]:
    """Writes every row of `source` with its answers to `out`, in order. Returns the rows and what to warn of.

    Portions wait in a hidden folder beside `out` until all are there; the same call after a kill goes on with the
    first that is missing. Raises UserError for a file or columns that cannot be used; `out` is whole or untouched.
    """
    parts = out.with_name(f".{out.name}.parts")
    identity = _identity(run, source, top)
    with writing(out):
        _begin(parts, identity)
    num_rows, warnings = 0, dict[str, None]()
    suffix = out.suffix.lower()
    for number, table in enumerate(stream.portions(source, expect=(*run.source.columns, *run.targets))):
        place = parts / f"{number:06d}{suffix}"
        first, num_rows = num_rows + 1, num_rows + table.frame.height
        if place.is_file():
            continue
        note(f"Rows {first:,} to {num_rows:,}.")
        found = run.predict(table)
        warnings |= dict.fromkeys(found.warnings)
        with writing(out):
            write_frame(found.to_frame(top=top), place, header=number == 0)
    with writing(out):
        fresh = out.with_name(f".{out.name}.new")
        _join(sorted(parts.glob(f"*{suffix}")), fresh)
        fresh.replace(out)
        shutil.rmtree(parts, ignore_errors=True)
    return num_rows, tuple(warnings)


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


def _identity(run: Run, source: Any, top: int) -> dict[str, Any]:
    """What the portions belong to: with another model, file or choice they are made again."""
    stat = Path(source).stat()
    assert run.folder is not None
    manifest = json.loads((run.folder / MANIFEST).read_text("utf-8"))
    size = {"bytes": stat.st_size, "changed": stat.st_mtime_ns, "portion": stream.PORTION}
    return {"source": str(Path(source).absolute()), "top": top, "model": manifest["files"], **size}


def _begin(parts: Path, identity: dict[str, Any]) -> None:
    known = parts / "identity.json"
    if known.is_file() and known.read_text("utf-8") == json.dumps(identity):
        note(f"Going on behind the {len(list(parts.iterdir())) - 1} portions that are there already.")
        return
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    known.write_text(json.dumps(identity), "utf-8")


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
