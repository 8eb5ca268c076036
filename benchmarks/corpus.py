"""Does the memory of reading and tokenising a corpus grow with it? Bytes, tokens, seconds, MB/s and peak memory.

    python benchmarks/corpus.py --data TEXTS [--gb 1] [--pieces wordpiece bpe]

TEXTS is a text file, or a folder of what `zaowu pretrain` reads. From its pairs of characters and what follows them
(a 3-gram model) distinct paragraphs are sampled, ten to a document, as .jsonl files: a tenth, three tenths and all of
--gb (10^9 bytes). A process of its own learns the pieces from a bounded sample, and another one reads and tokenises
with them; each one's peak memory is looked at every 20 ms. That of the second must not grow.

Every finished cell is a line of --out; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.measure import Rows

from zaowu.progress import speaking

SHARES = (0.1, 0.3, 1.0)
WALKERS, PARAGRAPHS, LONGEST, SHORTEST = 4000, 10, 240, 40  # documents sampled at once; paragraphs; characters
FILE_BYTES = 50_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a text file, or a folder of them")
    parser.add_argument("--gb", type=float, default=1.0, help="the largest corpus, in 10^9 bytes")
    parser.add_argument("--pieces", nargs="*", choices=("wordpiece", "bpe", "unigram"), default=["wordpiece"])
    parser.add_argument("--out", type=Path, default=Path("runs/corpus.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/corpus-work"), help="for the sampled corpora")
    parser.add_argument("--child", choices=("learn", "read"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        with speaking(quiet=True):
            print(json.dumps({"learn": learn, "read": read}[args.child](args.data, args.work, args.pieces[0])))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    out = Rows(args.out)
    cells = [
        out.measured({"gb": round(share * args.gb, 6), "pieces": kind}, partial(one, share * args.gb, kind, args))
        for share in SHARES
        for kind in args.pieces
    ]
    show(cells)


def one(gb: float, kind: str, args: argparse.Namespace) -> dict[str, Any]:
    folder = args.work / f"corpus-{gb:g}"
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        sample(args.data, fresh, int(gb * 1e9))
        fresh.rename(folder)
    work = args.work / f"shards-{gb:g}-{kind}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    found: dict[str, Any] = {}
    for step in ("learn", "read"):
        command = [sys.executable, __file__, "--child", step, "--data", str(folder), "--work", str(work)]
        done = measure.succeeded([*command, "--pieces", kind])
        found |= {**json.loads(done.output), f"{step}_mb": round(done.mb, 1)}
    shutil.rmtree(work)
    return found


def learn(data: Path, work: Path, kind: str) -> dict[str, Any]:
    from zaowu.config import CorpusConfig
    from zaowu.inputs.text import learn_pieces
    from zaowu.records.corpus import documents, sample as sampled

    begin = time.perf_counter()
    corpus = documents([(str(data), 1.0)], CorpusConfig())
    texts = sampled(corpus, learn_pieces.SAMPLE_MB[kind])
    codec = learn_pieces.learn(texts, kind=kind)  # type: ignore[arg-type]
    codec.save(work)
    return {"learn_seconds": round(time.perf_counter() - begin, 2)}


def read(data: Path, work: Path, kind: str) -> dict[str, Any]:
    from zaowu.batching.shards import build
    from zaowu.config import CorpusConfig
    from zaowu.inputs.text.codec import Codec
    from zaowu.records.corpus import documents

    begin = time.perf_counter()
    corpus = documents([(str(data), 1.0)], CorpusConfig(pieces=kind))  # type: ignore[arg-type]
    shards = build(corpus, Codec.from_folder(work), work)
    assert shards is not None
    return {
        "bytes": corpus.bytes,
        "documents": corpus.counts.documents,
        "duplicates": corpus.counts.duplicates,
        "tokens": shards.num_tokens("train") + shards.num_tokens("valid"),
        "seconds": round(time.perf_counter() - begin, 2),
    }


# ----------------------------------------------------------------------------------------------------------- samples


def sample(source: Path, folder: Path, num_bytes: int) -> None:
    """Writes documents of sampled paragraphs, {"text": ...} a line, until there are so many bytes."""
    from zaowu.config import CorpusConfig
    from zaowu.records.corpus import documents

    with speaking(quiet=True):
        config = CorpusConfig(held_out=0)
        given = "\n".join(text for own in documents([(str(source), 1.0)], config) for text in own.paragraphs)
    folder.mkdir()
    rng, left = np.random.default_rng(0), num_bytes
    texts = walks(given, rng)
    for number in range(1 + num_bytes // FILE_BYTES):
        with (folder / f"{number:05d}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            room = min(left, FILE_BYTES)
            while room > 0:
                line = json.dumps({"text": next(texts)}, ensure_ascii=False) + "\n"
                file.write(line)
                room -= len(line.encode())
        left -= FILE_BYTES
        if left <= 0:
            break


def walks(given: str, rng: np.random.Generator) -> Iterator[str]:
    """Documents without end: every character follows the two before it as it does somewhere in `given`.

    A walk stands at a place of `given`; any place with the same two characters is as likely as often it occurs, and
    the walk goes on behind that.
    """
    codes = np.frombuffer(given.encode("utf-32-le"), np.uint32)
    num = len(codes)
    pairs = codes.astype(np.int64) << 21 | np.roll(codes, -1)
    _, group, count = np.unique(pairs, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    start = np.cumsum(count) - count
    while True:
        now = rng.integers(num, size=WALKERS)
        steps = []
        for _ in range(PARAGRAPHS * LONGEST):
            own = group[now]
            place = order[start[own] + (rng.random(WALKERS) * count[own]).astype(np.int64)]
            steps.append(codes[(place + 2) % num])
            now = (place + 1) % num
        lengths = rng.integers(SHORTEST, LONGEST, (WALKERS, PARAGRAPHS))
        for walk, each in zip(np.stack(steps, 1), lengths, strict=True):
            text = walk.tobytes().decode("utf-32-le").replace("\n", "。")
            ends = np.cumsum(each).tolist()
            yield "\n\n".join(text[begin:end] for begin, end in zip([0, *ends], ends, strict=False))


# ----------------------------------------------------------------------------------------------------------- results


def show(cells: list[dict[str, Any]]) -> None:
    print(
        f"\n{'pieces':<11}{'bytes':>15}{'documents':>11}{'duplicates':>12}{'tokens':>14}{'s':>9}{'MB/s':>7}"
        f"{'peak MB':>9}{'learn s':>9}{'peak MB':>9}"
    )
    for cell in cells:
        print(
            f"{cell['pieces']:<11}{cell['bytes']:>15,}{cell['documents']:>11,}{cell['duplicates']:>12,}"
            f"{cell['tokens']:>14,}{cell['seconds']:>9.1f}{cell['bytes'] / cell['seconds'] / 1e6:>7.2f}"
            f"{cell['read_mb']:>9,.0f}{cell['learn_seconds']:>9.1f}{cell['learn_mb']:>9,.0f}"
        )
    for kind in dict.fromkeys(cell["pieces"] for cell in cells):
        own = [cell for cell in cells if cell["pieces"] == kind]
        grown = own[-1]["read_mb"] - own[0]["read_mb"]
        factor = own[-1]["bytes"] / own[0]["bytes"]
        print(f"{kind}: {factor:.0f} times the text takes {grown:+,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
