"""Poems of the Complete Tang Poems (traditional script) -> their poet, from the npm package chinese-poetry."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

from sets import fetch
from sets.rows import Row, Source, TextSet, clean, sample, split, unique

VERSION = "2.0.1"
SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"
# Poets of one collection, hence of one edition and one spelling: only the writing tells them apart.
POETS = ("白居易", "杜甫", "李白", "元稹", "劉禹錫", "齊己", "貫休", "李商隱")
MIN_CHARACTERS, MAX_CHARACTERS = 20, 400
PER_POET = 563  # the least prolific has about 600


def build(work: Path) -> TextSet:
    """`poems`: the lines of a poem without its title, eight poets in about equal parts."""
    archive = fetch.npm("chinese-poetry", VERSION, sha256=SHA256, work=work)
    rows: list[Row] = []
    with tarfile.open(archive) as tar:  # read in place: nothing is unpacked
        members = [m for m in tar if re.search(r"/quantangshi/poet\.tang\.\d+\.json$", m.name)]
        for member in sorted(members, key=lambda m: m.name):
            file = tar.extractfile(member)
            assert file is not None
            for poem in json.load(file):
                text = clean("".join(poem["paragraphs"]))
                # Gaps and editors' notes differ from poet to poet and are no part of the writing.
                marred = re.search(r"[□（）()\[\]〔〕{}/?]", text)
                if MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS and not marred:
                    rows.append((text, poem["author"]))
    # A poem under two names is nobody's, so duplicates are looked for among all poets.
    ours = [row for row in unique(rows) if row[1] in POETS]
    train, test = split(sample(ours, PER_POET, per_label=True), train=3000, test=1500)
    source = Source("npm chinese-poetry", VERSION, "MIT")
    return TextSet("poems", "tuning", "poem in classical Chinese -> poet", source, train, test)
