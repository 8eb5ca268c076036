"""Does the cost grow with the work and nothing else? Time per token by shape, time and memory by rows, a picture.

    python benchmarks/scale.py --data HEADLINES.csv [--part shapes rows] [--rows 1000 10000 100000 1000000]

shapes: a training step of a 4-layer model from scratch, through Zaowu's loop: batch size, length and width, one
varied at a time, beside the FLOP formula. All texts of a cell are equally long, so that nothing is padding.
rows: tables of headlines that are sampled from HEADLINES.csv (columns title,topic) pair of characters by pair of
characters, all different, each in a process of its own: reading, checking and splitting; looking for problems;
learning the pieces and tokenising; 300 steps of a mini model; and peak memory from start to end.

Every finished cell is a line of --out; a second call goes on where the first one stopped and draws the picture.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.cases import read
from shared.measure import Rows

from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.progress import speaking

BASE = {"batch": 32, "length": 64, "width": 256}
SHAPES = {
    "batch": (1, 4, 16, 64, 256),
    "length": (16, 32, 64, 128, 256, 512),
    "width": (64, 128, 256, 512, 768),
}
LAYERS, HEAD_DIM, PIECES, WARM = 4, 32, 2000, 3
CHUNK = 100_000  # rows sampled at once
MOST_MB = 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="columns title and topic")
    parser.add_argument("--part", nargs="*", choices=("shapes", "rows"), default=["shapes", "rows"])
    parser.add_argument("--out", type=Path, default=Path("runs/scale.jsonl"))
    parser.add_argument("--picture", type=Path, default=Path("runs/scale.svg"), help="ends in .svg or .png")
    parser.add_argument("--work", type=Path, default=Path("runs/scale-work"), help="for the sampled tables")
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=300, help="rows: steps of training")
    parser.add_argument("--shape-steps", type=int, default=10, help="shapes: steps that count")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(work_on(args.data, args.steps, args.threads)))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    out = Rows(args.out)
    shapes = list(all_shapes(out, args)) if "shapes" in args.part else []
    rows = list(all_rows(out, args)) if "rows" in args.part else []
    show(shapes, rows)
    draw(shapes, rows, args.picture)


# ------------------------------------------------------------------------------------------------------------ shapes


def all_shapes(out: Rows, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for varied, values in SHAPES.items():
        for value in values:
            shape = {**BASE, varied: value}
            key = {"part": "shapes", "varied": varied, **shape, "threads": args.threads, "steps": args.shape_steps}
            yield out.measured(key, partial(one_shape, **shape, steps=args.shape_steps, threads=args.threads))


def one_shape(*, batch: int, length: int, width: int, steps: int, threads: int) -> dict[str, Any]:
    """Microseconds a token of a training step, median over the steps, and what the formula counts for it."""
    import torch

    from zaowu.config import AttentionConfig, ModelConfig, TrunkConfig
    from zaowu.inputs import Inputs, Item, text
    from zaowu.inputs.text.codec import Codec
    from zaowu.model import Model
    from zaowu.targets.category import Category
    from zaowu.train.labelled import Part, train

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    alphabet = [chr(0x4E00 + number) for number in range(PIECES)]
    codec = Codec.train([" ".join(alphabet)] * 2, num_pieces=PIECES)
    labels = [f"class {number % 10}" for number in range(max(10, batch * (steps + WARM)))]
    source = Inputs({"text": text.Input(["title"], codec)})
    trunk = TrunkConfig(
        dim=width, num_layers=LAYERS, ffn_dim=4 * width, attention=AttentionConfig(num_heads=width // HEAD_DIM)
    )
    model = Model(source.groups, {"topic": Category.fit(labels)}, ModelConfig(trunk=trunk))
    model.initialise(0)
    num = batch * (steps + WARM)
    ids = rng.integers(5, codec.num_pieces, (num, length), dtype=np.int32)
    items = [Item(record=i, features={"ids": own}) for i, own in enumerate(ids)]
    part = Part(items=items, labels={"topic": labels[:num]}, ids=np.arange(num, dtype=np.uint64))
    config = TrainConfig(epochs=1, batch_size=batch, lr=1e-4, warmup=0.06)
    with speaking(quiet=True), measure.step_ends() as ends:
        train(model, source, part, None, config)
    seconds = float(np.median(np.diff(ends[WARM - 1 :])))
    flops = measure.encoder_flops([length] * batch, layers=LAYERS, dim=width, ffn_dim=4 * width, outputs=10)
    tokens = batch * length
    return {
        "us_per_token": round(1e6 * seconds / tokens, 1),
        "mflop_per_token": round(flops / tokens / 1e6, 3),
        "gflops": round(flops / seconds / 1e9, 1),
    }


# -------------------------------------------------------------------------------------------------------------- rows


def all_rows(out: Rows, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for rows in args.rows:
        key = {"part": "rows", "rows": rows, "threads": args.threads, "steps": args.steps}
        yield out.measured(key, partial(one_table, rows, args))


def one_table(rows: int, args: argparse.Namespace) -> dict[str, Any]:
    table = args.work / f"headlines-{rows}.csv"
    if not table.is_file():
        sample(args.data, table, rows)
    command = [sys.executable, __file__, "--child", "--data", str(table)]
    command += ["--steps", str(args.steps), "--threads", str(args.threads)]
    done = measure.succeeded(command)
    table.unlink()
    return {**json.loads(done.output), "mb": round(done.mb, 1), "process_seconds": round(done.seconds, 2)}


def sample(source: Path, table: Path, rows: int) -> None:
    """Writes `rows` different headlines: lengths, first characters and topics as in `source`, then character by
    character one that follows the last one somewhere in it."""
    given = read(source)
    titles, topics = given.values("title"), given.values("topic")
    alphabet = sorted({character for title in titles for character in title})
    code = {character: number for number, character in enumerate(alphabet)}
    pairs = np.array([(code[a], code[b]) for title in titles for a, b in pairwise(title)])
    pairs = np.concatenate([pairs, [(code[title[-1]], code[title[0]]) for title in titles]])  # none ends the walk
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    count = np.bincount(pairs[:, 0], minlength=len(alphabet))
    start = np.cumsum(count) - count
    letters, rng, seen = np.array(alphabet), np.random.default_rng(0), set[str]()
    fresh = table.with_suffix(".new")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("title", "topic"))
        while len(seen) < rows:
            origin = rng.integers(len(titles), size=min(CHUNK, rows - len(seen)))
            lengths = np.array([len(titles[place]) for place in origin])
            now = np.array([code[titles[place][0]] for place in origin])
            walk = [now]
            for _ in range(int(lengths.max()) - 1):
                now = pairs[start[now] + (rng.random(len(now)) * count[now]).astype(np.int64), 1]
                walk.append(now)
            for own, length, place in zip(letters[np.stack(walk, 1)], lengths, origin, strict=True):
                title = "".join(own[:length]).strip()
                title = title if len(title) > 3 and title not in seen else f"{title} {len(seen)}"
                if title not in seen:
                    seen.add(title)
                    writer.writerow((title, topics[place]))
    fresh.replace(table)


def work_on(table: Path, steps: int, threads: int) -> dict[str, Any]:
    """What `zaowu fit` does with a table up to so many steps, without the cheap methods; the seconds of each phase."""
    from zaowu.inputs import guessers
    from zaowu.learn import learn
    from zaowu.records.findings import find
    from zaowu.records.prepare import prepare

    batch_size = 32
    with speaking(quiet=True):
        clock = [time.perf_counter()]
        prepared = prepare(str(table), DataConfig(target=("topic",)), guessers=guessers(), cross_validate_below=0)
        clock.append(time.perf_counter())
        find(prepared.parts)
        clock.append(time.perf_counter())
        epochs = 1 + steps * batch_size // len(prepared.train)
        train = TrainConfig(epochs=epochs, batch_size=batch_size, lr=1e-3, threads=threads)
        config = FitConfig(text=TextConfig(base="none", size="mini"), train=train)
        with measure.step_ends(stop_after=steps) as ends:
            learn(prepared.train, None, config)
    step = float(np.median(np.diff(ends)))
    return {
        "seconds": {
            "read, check, split": round(clock[1] - clock[0], 3),
            "find problems": round(clock[2] - clock[1], 3),
            "pieces and tokens": round(ends[0] - step - clock[2], 3),
            "steps": round(ends[-1] - ends[0] + step, 3),
        },
        "ms_per_step": round(1000 * step, 3),
    }


# ----------------------------------------------------------------------------------------------------------- results


def show(shapes: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    if shapes:
        print(f"\n{'varied':<8}{'batch':>7}{'length':>8}{'width':>7}{'µs/token':>10}{'MFLOP/token':>13}{'GFLOP/s':>9}")
    for cell in shapes:
        sizes = f"{cell['batch']:>7}{cell['length']:>8}{cell['width']:>7}"
        print(
            f"{cell['varied']:<8}{sizes}{cell['us_per_token']:>10,.1f}{cell['mflop_per_token']:>13.2f}"
            f"{cell['gflops']:>9.0f}"
        )
    if rows:
        phases = list(rows[0]["seconds"])
        print(f"\n{'rows':>10}" + "".join(f"{phase + ', s':>23}" for phase in phases) + f"{'ms/step':>9}{'MB':>8}")
    for cell in rows:
        seconds = "".join(f"{value:>23.2f}" for value in cell["seconds"].values())
        print(f"{cell['rows']:>10,}{seconds}{cell['ms_per_step']:>9.1f}{cell['mb']:>8,.0f}")
    if rows:
        print(
            f"memory at {rows[-1]['rows']:,} rows: {rows[-1]['mb']:,.0f} MB; asked for: under {MOST_MB:,}", flush=True
        )


def draw(shapes: list[dict[str, Any]], rows: list[dict[str, Any]], path: Path) -> None:
    """Each shape against the formula at one rate (the median of all cells), and the tables: seconds, steps, memory."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    if shapes:
        rate = float(np.median([cell["gflops"] for cell in shapes]))
        for axis, varied in zip(axes[0], SHAPES, strict=True):
            cells = [cell for cell in shapes if cell["varied"] == varied]
            sizes = [cell[varied] for cell in cells]
            axis.plot(sizes, [cell["us_per_token"] for cell in cells], "o-", label="measured")
            formula = [1e3 * cell["mflop_per_token"] / rate for cell in cells]
            axis.plot(sizes, formula, "--", label=f"FLOP formula at {rate:.0f} GFLOP/s")
            _finish(axis, sizes, f"{varied}, the rest as {_rest(varied)}", "µs per token", log=varied == "width")
    if rows:
        sizes = [cell["rows"] for cell in rows]
        for phase in rows[0]["seconds"]:
            axes[1][0].plot(sizes, [cell["seconds"][phase] for cell in rows], "o-", label=phase)
        axes[1][1].plot(sizes, [cell["ms_per_step"] for cell in rows], "o-", label="median step")
        axes[1][2].plot(sizes, [cell["mb"] for cell in rows], "o-", label="peak of the process")
        axes[1][2].axhline(MOST_MB, linestyle=":", color="grey", label="most allowed")
        for axis, unit in zip(axes[1], ("s", "ms", "MB"), strict=True):
            _finish(axis, sizes, "rows", unit, log=unit == "s")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    print(f"picture: {path}", flush=True)


def _finish(axis: Any, sizes: list[int], x: str, y: str, *, log: bool) -> None:
    """Names and ticks. log: the vertical axis too; otherwise it begins at 0, so that what is flat looks flat."""
    axis.set(xscale="log", xlabel=x, ylabel=y)
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    if log:
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.legend(fontsize="small")


def _rest(varied: str) -> str:
    return ", ".join(f"{name} {value}" for name, value in BASE.items() if name != varied)


if __name__ == "__main__":
    main()
