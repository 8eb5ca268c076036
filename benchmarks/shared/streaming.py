"""The part `stream` of `predict.py`: large files through the command line, their memory, their order, and a kill."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from shared import measure
from shared.measure import Rows
from zaowu.records.stream import LARGE_BYTES, PORTION

CLI = "from zaowu.cli import main; main()"
NOTE = "what else stands in a row of somebody's table: an address, a remark, a date, and all of it must come out"
WORDS = ("ship", "bread", "judge", "piano", "the", "of", "and", "wave", "soup", "trial", "song")
SAME = 1000  # rows at either end whose answers are compared with those of a call in Python


def stream(run: Path, out: Rows, work: Path, rows: int, threads: int) -> None:
    """N/100, N/10 and N rows, the last one with a SIGKILL in the middle and a second call that goes on."""
    cells = []
    for size in (rows // 100, rows // 10, rows):
        key = {"part": "stream", "rows": size, "threads": threads, "killed": size == rows}
        cells.append(out.measured(key, partial(one, run, work, size, threads, killed=size == rows)))
    print(f"{'rows':>12}{'file, MB':>10}{'peak, MB':>10}{'rows/s':>10}{'in portions':>13}{'in order':>10}")
    for cell in cells:
        print(
            f"{cell['rows']:>12,}{cell['file_mb']:>10.0f}{cell['mb']:>10.0f}{cell['rows'] / cell['seconds']:>10,.0f}"
            f"{cell['large']!s:>13}{cell['in_order']!s:>10}"
        )
    last, before = cells[-1], cells[-2]
    print(
        f"killed with {last['kept']} portions of {PORTION:,} rows done, which the second call kept: {last['resumed']}"
    )
    print(f"memory at {last['rows']:,} rows / at {before['rows']:,}: {last['mb'] / before['mb']:.2f}", flush=True)


def one(run: Path, work: Path, rows: int, threads: int, *, killed: bool) -> dict[str, Any]:
    """Predicts a file of so many rows; what it took, and whether every row came out in its place."""
    source, answers = work / f"{rows}.csv", work / f"{rows}-answers.csv"
    write(source, rows)
    parts = answers.with_name(f".{answers.name}.parts")
    answers.unlink(missing_ok=True)
    command = [sys.executable, "-c", CLI, "predict", str(run), str(source), "--out", str(answers), "--quiet"]
    command += ["--threads", str(threads)]
    row: dict[str, Any] = {"file_mb": source.stat().st_size / 1e6, "large": source.stat().st_size > LARGE_BYTES}
    before = None
    if killed and row["large"]:
        half = max(1, rows // PORTION // 2)
        before = measure.finished(command, kill_when=lambda: len(done(parts)) >= half)
        kept = done(parts)
        row |= {"kept": len(kept), "code": before.code}
        last = measure.finished(command, kill_when=partial(follow, parts, kept, seen := set()))
        row["resumed"] = before.code == -9 and seen == set(kept.items())
    else:
        row |= {"kept": 0, "resumed": None}
        last = measure.finished(command)
    assert last.code == 0, f"exit status {last.code}"
    seconds = last.seconds + (before.seconds if before else 0.0)
    most = max(last.mb, before.mb if before else 0.0)
    row |= {"seconds": round(seconds, 2), "mb": round(most, 1), "in_order": in_order(run, source, answers)}
    answers.unlink()
    source.unlink()
    return row


def done(parts: Path) -> dict[str, int]:
    """The portions that are whole, and when each was written (ns)."""
    found = {}
    with suppress(FileNotFoundError):  # just joined and taken away
        for path in parts.glob("[0-9]*.csv"):
            found[path.name] = path.stat().st_mtime_ns
    return found


def follow(parts: Path, kept: dict[str, int], seen: set[tuple[str, int]]) -> bool:
    """Looks at the portions that were kept while the second call runs: `seen` ends as all versions there were."""
    seen.update((name, time) for name, time in done(parts).items() if name in kept)
    return False


def write(path: Path, rows: int) -> None:
    """A table with a number, a short text that is read, and a long note that is only carried along."""
    if path.is_file():
        return
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write("id,text,note\n")
        for number in range(rows):
            words = " ".join(WORDS[number // 11**place % 11] for place in range(4))
            file.write(f'{number},{words} {number},"{NOTE}"\n')
    fresh.replace(path)


def in_order(run: Path, source: Path, answers: Path) -> bool:
    """Whether the answers' rows are the source's, in its order, and those at both ends are what Python answers."""
    import zaowu

    columns = ["id", "text", "predicted_label"]
    found = pl.read_csv(answers, columns=columns)
    given = pl.read_csv(source, columns=columns[:2])
    if not found.select(columns[:2]).equals(given):
        return False
    ends = pl.concat([found.head(SAME), found.tail(SAME)])
    expected = zaowu.load(run).predict(ends.get_column("text").to_list()).prediction.labels
    same = sum(one == other for one, other in zip(ends.get_column("predicted_label"), expected, strict=True))
    return same >= 0.995 * len(ends)  # other batches round otherwise, which may turn a tie
