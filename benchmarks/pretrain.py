"""Pre-training: Zaowu beside transformers' Trainer with its collator for masked language models, and what it costs.

    python benchmarks/pretrain.py --data CORPUS --part speed  [--rounds 5] [--steps 25]
    python benchmarks/pretrain.py --data CORPUS --part tokens [--tokens 500000 2000000 5000000]
    python benchmarks/pretrain.py --data CORPUS --part length [--lengths 64 128 256 512 1024 2048]

CORPUS is a file or folder of text as `zaowu pretrain` reads it (.txt, .jsonl, ...; `bench_data.py --corpora` writes
one), or a .csv file, whose column `text` or `title`, or else its first one, is read, a document a row.

speed: 6 x 384 with fresh weights, 12 heads, 21,128 pieces; a step reads 32 rows of 128 tokens and guesses 15 % of them.
One process, both sides in turn, on the same tokens in the same order; medians over the rounds, the ratio to the faster
of the Trainer's fp32 and bf16 (and of its two attention kernels), and the share of the processor's matrix product peak,
measured in the same run. The first steps of every turn warm up and are not counted, nor is the first round. Real tokens
count, padding does not; the Trainer's rows are full. Waiting is the time that the loop spends on the making of batches,
which it does between its steps, and on the plan of a shard, shared out over the shard's batches.
tokens: Zaowu's loop from its first step until so many tokens are read: is the time linear?
length: a step of Zaowu's loop on rows of one document each, at the same tokens a step, beside the FLOP formula.

Every finished cell is a line of --out; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from peers.masked import SHAPES, MaskedSides, Shape, Watched, Work, base_folder, hiding, ours, settings, tokenised
from peers.sides import OURS, TRAINERS, WARM
from shared import measure
from shared.measure import Rows, Spread

from zaowu.errors import UserError
from zaowu.progress import speaking

RATIO, AIM, SHARE, MOST_PADDING, MOST_WAITING = 2.0, 2.4, 0.6, 0.03, 0.02  # what is asked for
NAMES = ("text", "title")  # columns of a .csv, the first that is there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a file or folder of text")
    parser.add_argument("--part", choices=("speed", "tokens", "length"), default="speed")
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrain.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain-work"), help="for pieces, weights and shards")
    parser.add_argument("--picture", type=Path, default=Path("runs/pretrain-length.svg"), help="ends in .svg or .png")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="speed: rounds that count")
    parser.add_argument("--steps", type=int, default=25, help="speed: counted steps of a turn")
    parser.add_argument("--tokens", type=int, nargs="+", default=[500_000, 2_000_000, 5_000_000])
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--length-steps", type=int, default=10, help="length: steps that count")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[args.shape]
    with speaking(quiet=True):
        data = as_text(args.data, args.work)
        folder = base_folder(shape, data, args.work)
        {"speed": speed, "tokens": by_tokens, "length": by_length}[args.part](shape, data, folder, args)


def as_text(data: Path, work: Path) -> Path:
    """The corpus as `pretrain` reads it: a table becomes rows of .jsonl under `work`."""
    if data.suffix != ".csv":
        return data
    path = work / f"{data.stem}.jsonl"
    with data.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or []
        column = next((name for name in (*NAMES, *names) if name in names), None)
        if column is None:
            raise UserError(f"{data}: expected a table with a header, got an empty file.")
        path.write_text("".join(json.dumps({"text": row[column]}) + "\n" for row in reader), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------------------- speed


def speed(shape: Shape, data: Path, folder: Path, args: argparse.Namespace) -> None:
    """Measures the rounds that are not in the file yet, then prints the table over all of them."""
    out = Rows(args.out)
    key = {"part": "speed", "data": args.data.name, "shape": shape.name, "threads": args.threads, "steps": args.steps}
    missing = [number for number in range(1, args.rounds + 1) if not out.find(**key, round=number)]
    if missing:
        sides = MaskedSides(shape, folder, tokenised(data, folder, args.work), args.steps)
        sides.warm_up(out.find(**key, round=0) or {}, lambda row: out.append({**key, "round": 0, **row}))
        for number in missing:
            out.measured({**key, "round": number}, partial(sides.round, number))
    print_speed(shape, [row for number in range(1, args.rounds + 1) if (row := out.find(**key, round=number))])


def print_speed(shape: Shape, rows: Sequence[dict[str, Any]]) -> None:
    """Medians over the rounds, the ratio within each round to the faster Trainer, and shares of the peak."""
    peak = {dtype: max(row["peak_gflops"][dtype] for row in rows) for dtype in ("float32", "bfloat16")}
    work = float(np.mean([row["mflop_per_token"] for row in rows])) / 1e3
    sizes = f"{shape.layers} x {shape.dim}, {shape.rows} x {shape.length} tokens a step"
    print(f"\n{sizes}, {rows[0]['threads']} threads, {len(rows)} rounds of {rows[0]['steps']} steps")
    print(f"matrix product peak: fp32 {peak['float32']:.0f}, bf16 {peak['bfloat16']:.0f} GFLOP/s")
    print(f"{'':<14}{'tokens/s: median (range)':<30}{'GFLOP/s':>9}{'of fp32':>9}{'of bf16':>9}")
    medians = {}
    for name in (OURS, *TRAINERS):
        spread = Spread.of([row["rates"][name] for row in rows])
        medians[name] = spread.median
        rate = spread.median * work
        print(f"{name:<14}{spread!s:<30}{rate:>9.0f}{rate / peak['float32']:>9.0%}{rate / peak['bfloat16']:>9.0%}")
    faster = max(TRAINERS, key=medians.__getitem__)
    ratio = Spread.of([row["rates"][OURS] / row["rates"][faster] for row in rows])
    middle = {name: float(np.median([row[name] for row in rows])) for name in ("padding", "waiting", "planning")}
    making, planning = middle["waiting"], middle["planning"]
    print(f"zaowu ({rows[0]['ours_in']}) / {faster}: {ratio}; asked for: {RATIO}, {AIM} the aim")
    print(f"of the bf16 peak: {medians[OURS] * work / peak['bfloat16']:.0%}; asked for: {SHARE:.0%}")
    print(f"padding: {middle['padding']:.2%} of the places; asked for: under {MOST_PADDING:.0%}")
    parts = f"{making:.2%} making batches, {planning:.2%} planning"
    print(f"waiting for data: {making + planning:.2%} of the time ({parts}); asked for: under {MOST_WAITING:.0%}")


# ------------------------------------------------------------------------------------------------------------ tokens


def by_tokens(shape: Shape, data: Path, folder: Path, args: argparse.Namespace) -> None:
    """Seconds of a whole training, for each number of tokens."""
    out = Rows(args.out)
    cells = []
    for tokens in args.tokens:
        key = {"part": "tokens", "data": args.data.name, "shape": shape.name, "threads": args.threads, "asked": tokens}
        cells.append(out.measured(key, partial(train_tokens, shape, data, folder, args.work, tokens)))
    print(f"\n{shape.layers} x {shape.dim}, rows of {shape.length} tokens, {args.threads} threads")
    print(f"{'tokens':>12}{'steps':>8}{'seconds':>10}{'µs/token':>10}{'of the first':>14}")
    first = cells[0]["us_per_token"]
    for cell in cells:
        own = cell["us_per_token"]
        print(f"{cell['tokens']:>12,}{cell['steps']:>8,}{cell['seconds']:>10.1f}{own:>10.1f}{own / first:>14.2f}")


def train_tokens(shape: Shape, data: Path, folder: Path, work: Path, tokens: int) -> dict[str, Any]:
    """The loop from its first step to its last, plans and all; the corpus is read again where it is shorter."""
    from zaowu.train import loop
    from zaowu.train.corpus import CorpusFeed

    shards = tokenised(data, folder, work)
    objectives = hiding(folder, length=shape.length)
    model = ours(folder, objectives)
    start = time.perf_counter()
    feed = CorpusFeed(shards, objectives, batch_tokens=shape.tokens)
    training = loop.train(model, feed, None, settings(None, tokens=tokens))
    seconds = time.perf_counter() - start
    return {
        "tokens": training.num_tokens,
        "steps": training.num_steps,
        "seconds": round(seconds, 2),
        "us_per_token": round(1e6 * seconds / training.num_tokens, 2),
        "tokens_per_epoch": feed.epoch_tokens(0),
    }


# ------------------------------------------------------------------------------------------------------------ length


def by_length(shape: Shape, data: Path, folder: Path, args: argparse.Namespace) -> None:
    out = Rows(args.out)
    cells = []
    for length in args.lengths:
        rows = max(1, shape.tokens // length)
        key = {"part": "length", "data": args.data.name, "shape": shape.name, "length": length, "rows": rows}
        key |= {"threads": args.threads, "steps": args.length_steps}
        cells.append(out.measured(key, partial(one_length, shape, folder, length, rows, args.length_steps)))
    rate = float(np.median([cell["gflops"] for cell in cells]))
    print(f"\n{shape.layers} x {shape.dim}, about {shape.tokens:,} tokens a step, {args.threads} threads")
    print(f"{'length':>8}{'rows':>6}{'µs/token':>10}{'MFLOP/token':>13}{'GFLOP/s':>9}{'formula, µs':>13}{'ratio':>7}")
    for cell in cells:
        formula = 1e3 * cell["mflop_per_token"] / rate
        print(
            f"{cell['length']:>8,}{cell['rows']:>6}{cell['us_per_token']:>10.1f}{cell['mflop_per_token']:>13.1f}"
            f"{cell['gflops']:>9.0f}{formula:>13.1f}{cell['us_per_token'] / formula:>7.2f}"
        )
    draw(shape, cells, rate, args.picture)


def one_length(shape: Shape, folder: Path, length: int, rows: int, steps: int) -> dict[str, Any]:
    """Microseconds a token of a step, median over the steps. Every row is one document that fills it."""
    from zaowu.learn import read_base
    from zaowu.train import loop
    from zaowu.train.corpus import CorpusFeed

    objectives = hiding(folder, length=length)
    trunk = read_base(folder).trunk
    trunk = replace(trunk, positions=replace(trunk.positions, max_positions=length))
    model = ours(folder, objectives, trunk=trunk)
    shards = full_rows(rows * (WARM + steps), length, pieces=shape.pieces)
    feed = CorpusFeed(shards, objectives, batch_tokens=rows * length)
    with measure.step_ends() as ends:
        loop.train(model, Watched(feed, 0, WARM + steps), None, settings(WARM + steps))
    seconds = float(np.median(np.diff(ends[WARM - 1 :])))
    work = Work.of([feed.batch(0, place) for place in range(WARM, WARM + steps)])
    assert work.places == work.tokens == steps * rows * length, "a row is not full"
    flops = work.flops(trunk, shape.pieces) / steps
    return {
        "us_per_token": round(1e6 * seconds / (rows * length), 2),
        "mflop_per_token": round(flops / (rows * length) / 1e6, 3),
        "gflops": round(flops / seconds / 1e9, 1),
    }


def full_rows(num: int, length: int, *, pieces: int) -> Any:
    """A corpus of one shard: documents of random pieces, each of which fills a row beside its two special ones."""
    from zaowu.batching.shards import Shard

    own = length - 2
    bounds = np.arange(num + 1, dtype=np.int64) * own
    shard = Shard(
        tokens=np.random.default_rng(0).integers(5, pieces, num * own).astype(np.uint16),
        documents=bounds,
        sentences=bounds,
        ids=np.arange(num, dtype=np.uint64),
        sources=np.zeros(num, np.uint8),
    )
    return SimpleNamespace(train=[shard], valid=[], open=lambda entry: entry)


def draw(shape: Shape, cells: Sequence[dict[str, Any]], rate: float, path: Path) -> None:
    """What a token takes by length, beside the formula at one rate: the median of all lengths."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    lengths = [cell["length"] for cell in cells]
    axis.plot(lengths, [cell["us_per_token"] for cell in cells], "o-", label="measured")
    formula = [1e3 * cell["mflop_per_token"] / rate for cell in cells]
    axis.plot(lengths, formula, "--", label=f"FLOP formula at {rate:.0f} GFLOP/s")
    axis.set(xscale="log", xlabel=f"tokens of a row ({shape.tokens:,} in a step)", ylabel="µs per token")
    axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    print(f"picture: {path}", flush=True)


if __name__ == "__main__":
    main()
