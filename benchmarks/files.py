"""Many small image files: memory that does not grow with their number, loading beside training, and the Trainer's pace.

    python benchmarks/files.py [--files 2000 20000] [--images 2000] [--steps 60] [--rounds 3] [--threads 2] [--out FILE]

memory: PNGs of 32 x 32 in two folders; for each number of them a process checks them, another reads them and goes
through two epochs of batches, a third fits the cheap method. Peaks are those of the processes, in MB.
loading, pace: a ViT of 12 x 192 on 64 patches, batches of 32, images of 64 x 64 from PNG files. Zaowu decodes, keeps,
augments and cuts them while it trains: `loading` is the share of a step in which the trunk waits for that, all of which
is processor time too, as nothing loads beside it. The peer is transformers' Trainer with the same ViT on pixels that
were decoded and normalised before, without augmentation: it loads nothing. Sides take turns; medians over rounds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from shared import measure
from shared.measure import Rows, Spread

SIZES = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
SIDE, PATCH, BATCH, WARM = 64, 8, 32, 5
ASKED = 1.3


def main() -> int:
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.cell:
        print(json.dumps(CELLS[args.cell](args)))
        return 0
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    print(json.dumps(measure.machine()))
    out = Rows(args.out)
    for number in args.files:
        for cell in MEMORY:
            out.measured({"cell": cell, "files": number}, lambda c=cell, n=number: in_process(c, args, files=n))
    for number, cell in measure.in_turn(("ours", "trainer"), args.rounds):
        key = {"cell": cell, "round": number, "images": args.images, "steps": args.steps, "threads": args.threads}
        out.measured(key, lambda c=cell: in_process(c, args))
    return report(out, args)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="*", default=[2000, 20_000])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of both sides")
    parser.add_argument("--out", type=Path, default=Path("runs/files.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/files-work"))
    parser.add_argument("--cell", choices=list(CELLS), help=argparse.SUPPRESS)
    return parser.parse_args(given)


def in_process(cell: str, args: argparse.Namespace, *, files: int = 0) -> dict[str, Any]:
    """One cell in a process of its own."""
    command = [sys.executable, __file__, "--cell", cell, "--files", str(files), "--images", str(args.images)]
    command += ["--steps", str(args.steps), "--threads", str(args.threads), "--work", str(args.work)]
    command += ["--precision", args.precision]
    return dict(json.loads(measure.succeeded(command, memory=False).output.splitlines()[-1]))


def report(out: Rows, args: argparse.Namespace) -> int:
    """Prints what was found; 1 where the pace is not what is asked."""
    good = True
    for cell in MEMORY:
        rows = [out.find(cell=cell, files=number) or {} for number in args.files]
        print(f"{cell}: " + ", ".join(f"{row['files']:,} files {row['mb']:.0f} MB" for row in rows))
        if len(rows) > 1:
            more = (rows[-1]["mb"] - rows[0]["mb"]) / (rows[-1]["files"] - rows[0]["files"]) * 1000
            print(
                f"  {more:.2f} kB a file more; an image is {SMALL**2 * 3 / 1000:.1f} kB, of which 512 MB stay at most"
            )
    if args.rounds:
        pace = {
            cell: Spread.of([row["ms"] for row in out.read() if row["cell"] == cell and row.get("steps") == args.steps])
            for cell in ("ours", "trainer")
        }
        loading = [row["loading"] for row in out.read() if row["cell"] == "ours" and row.get("steps") == args.steps]
        ratio = pace["trainer"].median / pace["ours"].median
        good = ratio >= ASKED
        print(f"step: ours {pace['ours']} ms, Trainer {pace['trainer']} ms: {ratio:.2f}x (asked {ASKED}x)")
        print(f"loading: {statistics.median(loading):.1%} of a step, first epoch and later ones together (asked: 10 %)")
    return 0 if good else 1


# ---- what is measured

SMALL = 32  # side of the many


def folder_of(work: Path, number: int, side: int) -> Path:
    """PNGs of smooth noise in two sub-folders, bright and dark."""
    from PIL import Image

    folder = work / f"png-{side}-{number}"
    done = folder.with_suffix(".done")
    chance = np.random.default_rng(0)
    if not done.exists():
        for name in ("bright", "dark"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            small = chance.integers(0, 160, (side // 8, side // 8, 3), np.uint8) + np.uint8(90 * (index % 2))
            stream = io.BytesIO()
            Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
            (folder / ("dark", "bright")[index % 2] / f"{index}.png").write_bytes(stream.getvalue())
        done.touch()
    return folder


def check(args: argparse.Namespace) -> dict[str, float]:
    """`zaowu check`."""
    import zaowu

    folder = folder_of(args.work, args.files[0], SMALL)
    before, start = measure.peak_mb(), time.perf_counter()
    zaowu.check(folder, quiet=True)
    return {"seconds": round(time.perf_counter() - start, 2), "mb": measure.peak_mb(), "mb_before": before}


def features(args: argparse.Namespace) -> dict[str, float]:
    """What `zaowu fit` does with files: reading them, and two epochs of batches."""
    from zaowu.progress import speaking
    from zaowu.train.labelled import LabelledFeed

    folder = folder_of(args.work, args.files[0], SMALL)
    before, start = measure.peak_mb(), time.perf_counter()
    with speaking(quiet=True):
        _, ready = made_ready(folder, args)
    read = time.perf_counter() - start
    feed = LabelledFeed(ready.source, ready.part, ready.targets, batch_size=BATCH, seed=0)
    for epoch in range(2):
        for number in range(feed.num_batches(epoch)):
            feed.batch(epoch, number)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), "reading_s": round(read, 2), "mb": measure.peak_mb(), "mb_before": before}


def cheap(args: argparse.Namespace) -> dict[str, float]:
    """The cheap method of `zaowu fit`, which is fitted on so many rows at most."""
    from zaowu.options import fit_choices
    from zaowu.progress import speaking
    from zaowu.run.folds import cheap_methods

    folder = folder_of(args.work, args.files[0], SMALL)
    before, start = measure.peak_mb(), time.perf_counter()
    with speaking(quiet=True):
        prepared, _ = made_ready(folder, args)
        cheap_methods(prepared.train, prepared.valid, fit_choices(_given(args)), known=prepared.whole)
    return {"seconds": round(time.perf_counter() - start, 2), "mb": measure.peak_mb(), "mb_before": before}


def _given(args: argparse.Namespace, base: str = "none") -> dict[str, Any]:
    """The parameters of `zaowu.fit`."""
    import inspect

    import zaowu

    usual = {name: one.default for name, one in inspect.signature(zaowu.fit).parameters.items()}
    return {**usual, "base": base, "threads": args.threads, "precision": args.precision, "batch_size": BATCH,
            "columns": {}, "column_settings": {}, "epochs": 1}  # fmt: skip


def made_ready(folder: Path, args: argparse.Namespace, base: str = "none") -> Any:
    """What `zaowu fit` prepares before the first step."""
    from zaowu.inputs import cleaners, guessers
    from zaowu.learn import make_ready
    from zaowu.options import fit_choices
    from zaowu.records.prepare import prepare
    from zaowu.train.rule import CROSS_VALIDATE_BELOW

    config = fit_choices(_given(args, base))
    prepared = prepare(folder, config.data, guessers=guessers(), cleaners=cleaners(),
                       cross_validate_below=CROSS_VALIDATE_BELOW)  # fmt: skip
    return prepared, make_ready(prepared.train, prepared.valid, config, known=prepared.whole)


def vit_folder(work: Path) -> Path:
    """A random ViT of the size that is asked about, as transformers writes it."""
    import torch
    import transformers

    folder = work / "vit"
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        config = transformers.ViTConfig(**SIZES, image_size=SIDE, patch_size=PATCH, hidden_dropout_prob=0.0)
        transformers.ViTModel(config).save_pretrained(folder)
    return folder


def ours(args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a step (median), and the share of all steps that making batches took."""
    from zaowu.progress import speaking
    from zaowu.train.labelled import LabelledFeed, train

    folder, vit = folder_of(args.work, args.images, SIDE), vit_folder(args.work)
    with speaking(quiet=True):
        _, ready = made_ready(folder, args, str(vit))
    waited = [0.0, 0.0]  # wall, processor
    batch = LabelledFeed.batch

    def timed(feed: LabelledFeed, epoch: int, number: int) -> Any:
        start, used = time.perf_counter(), time.process_time()
        made = batch(feed, epoch, number)
        waited[0] += time.perf_counter() - start
        waited[1] += time.process_time() - used
        return made

    model = ready.model()
    settings = replace(ready.settings, epochs=1 + args.steps * BATCH // len(ready.part.items), patience=10_000)
    with (
        measure.step_ends(stop_after=args.steps) as ends,
        patch.object(LabelledFeed, "batch", timed),
        speaking(quiet=True),
    ):
        start = time.perf_counter()
        train(model, ready.source, ready.part, None, settings)
    took = ends[-1] - start
    return {
        "ms": 1000 * statistics.median(np.diff(ends)[WARM:].tolist()),
        "loading": max(waited) / took,
        "waited_s": round(waited[0], 3),
        "mb": measure.peak_mb(),
    }


def trainer(args: argparse.Namespace) -> dict[str, float]:
    """The same of transformers' Trainer, which is given pixels."""
    import torch
    import transformers
    from peers.trainer import InOrder, StepClock, make
    from PIL import Image

    paths = sorted(folder_of(args.work, args.images, SIDE).rglob("*.png"))
    order = np.random.default_rng(0).permutation(len(paths))
    needed = [paths[order[index % len(paths)]] for index in range(args.steps * BATCH)]
    pixels = {path: torch.from_numpy(np.asarray(Image.open(path), np.float32) / 127.5 - 1).permute(2, 0, 1)
              for path in set(needed)}  # fmt: skip
    items = [{"pixel_values": pixels[path], "labels": int(path.parent.name == "bright")} for path in needed]
    torch.set_num_threads(args.threads)
    model = transformers.ViTForImageClassification.from_pretrained(
        vit_folder(args.work), num_labels=2, attn_implementation="sdpa"
    )

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }

    clock = StepClock()
    kind, bf16 = InOrder, _is_bf16(args.precision)
    made = make(kind, model, items, args.work, batch_size=BATCH, bf16=bf16, collator=collate, callbacks=[clock])
    made.train()
    return {"ms": 1000 * statistics.median(np.diff(clock.ends)[WARM:].tolist()), "mb": measure.peak_mb()}


def _is_bf16(name: str) -> bool:
    import torch

    from zaowu.trunk import precision

    return precision.choose(name, torch.device("cpu")) == torch.bfloat16


MEMORY = ("check", "features", "cheap")
CELLS = {"check": check, "features": features, "cheap": cheap, "ours": ours, "trainer": trainer}

if __name__ == "__main__":
    sys.exit(main())
