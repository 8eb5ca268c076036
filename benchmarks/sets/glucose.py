"""A person's blood sugar, a reading each five minutes for half a year: the public-domain set of bokeh-sampledata.

The question: from the readings of the last two hours, what will be the mean of the next half hour, and will it be
above 180 mg/dl? Windows are half an hour apart; the last fifth of the time is scored on, and the tenth before it
chooses. No window of one side reaches into another side's time.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sets import fetch
from zaowu.errors import UserError

VERSION = "2026.1"
SHA256 = "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f"
FILE = "CGM.csv.gz"
LICENCE = "public domain"
PAST, NEXT = timedelta(hours=2), timedelta(minutes=30)
LEAST_PAST, LEAST_NEXT = 18, 4  # readings, of 24 and 6
HIGH = 180.0  # mg/dl
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}  # of the time, in this order

Reading = tuple[datetime, float, float | None]  # when, glucose in mg/dl, the sensor's current in nA


@dataclass(frozen=True)
class Window:
    """when: of its last reading. readings: a cell of a series (minutes, glucose and the sensor's current).

    last: glucose at that moment, what the simplest forecast says. mean: of the half hour that follows.
    """

    when: datetime
    readings: str
    last: float
    mean: float

    @property
    def is_high(self) -> bool:
        return self.mean > HIGH


def parse(text: str) -> list[Reading]:
    """The readings in the order of time, the first of each moment. Raises UserError."""
    found: dict[datetime, Reading] = {}
    for row in csv.DictReader(io.StringIO(text)):
        try:
            when, glucose = datetime.fromisoformat(row["datetime"]), float(row["glucose"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{FILE}: expected the columns isig, datetime and glucose, got {row}.") from None
        current = row.get("isig") or ""
        found.setdefault(when, (when, glucose, float(current) if current.replace(".", "", 1).isdigit() else None))
    return [found[when] for when in sorted(found)]


def windows(readings: list[Reading]) -> list[Window]:
    """Every half hour one, where enough readings lie before and behind it."""
    found = []
    begin, due = 0, datetime.min
    for place, (now, glucose, _) in enumerate(readings):
        while readings[begin][0] <= now - PAST:
            begin += 1
        if now < due or place + 1 - begin < LEAST_PAST:
            continue
        later = []
        for when, value, _ in readings[place + 1 :]:
            if when > now + NEXT:
                break
            later.append(value)
        if len(later) < LEAST_NEXT:
            continue
        due = now + NEXT
        past = readings[begin : place + 1]
        minutes = [round((when - now + PAST).total_seconds() / 60, 2) for when, _, _ in past]
        channels = {"glucose": [value for _, value, _ in past], "current": [current for _, _, current in past]}
        cell = json.dumps({"times": minutes, "channels": channels})
        found.append(Window(now, cell, glucose, sum(later) / len(later)))
    return found


def split(found: list[Window]) -> dict[str, list[Window]]:
    """train, valid and test by time."""
    if not found:
        raise UserError(f"{FILE}: expected a reading each five minutes, got too few for one window.")
    first, whole = found[0].when - PAST, found[-1].when + NEXT - (found[0].when - PAST)
    sides, begin = {}, first
    for side, share in SHARES.items():
        end = begin + whole * share
        sides[side] = [window for window in found if begin <= window.when - PAST and window.when + NEXT <= end]
        begin = end
    return sides


def load(data: Path | None, work: Path) -> dict[str, list[Window]]:
    """data: CGM.csv.gz or the wheel that holds it; None fetches the wheel into `work`."""
    path = fetch.pypi("bokeh-sampledata", VERSION, sha256=SHA256, work=work) if data is None else data
    try:
        packed = path.read_bytes()
        if path.suffix == ".whl":
            with zipfile.ZipFile(io.BytesIO(packed)) as wheel:
                packed = wheel.read(f"bokeh_sampledata/_data/{FILE}")
        text = gzip.decompress(packed).decode("utf-8")
    except (OSError, EOFError, KeyError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error) as problem:
        raise UserError(f"{path}: expected {FILE} or the wheel that holds it ({problem}).") from None
    return split(windows(parse(text)))
