"""Prediction beside transformers' `pipeline` and plain torch, on the weights of one saved run.

    python benchmarks/predict.py --part speed    [--rows 1000] [--rounds 5]
    python benchmarks/predict.py --part latency  [--calls 50]
    python benchmarks/predict.py --part cold     [--times 7]
    python benchmarks/predict.py --part stream   [--stream-rows 5000000]

The texts are sentences of 5 to 60 English words, drawn from the seed; a label says which of four subjects some of
the words belong to. `zaowu fit` learns that on MiniLM 6 x 384 with `--head first`, and the folder that it saves is
what transformers opens as a BertForSequenceClassification: both sides multiply the same numbers.

speed: texts per second of `pipeline` (at the batch size and in the precision that are its best in the round that does
not count), of torch in fp32 and bf16 on batches of 32 sorted by length, and of `Run.predict`; in turn, medians; how
often the labels agree, and the accuracy of each. latency: one text at a time, in turn. cold: a new process to its
first answer, and one that only imports torch. stream: files of N/100, N/10 and N rows through the command line with
a small model: memory, rows in their order, and one SIGKILL in the middle.

Every finished cell is a line of --out; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.measure import Rows, Spread

SUBJECTS = {
    "sea": "ocean ship harbour wave sailor anchor island storm coast fish net captain tide reef deck shore whale sail",
    "kitchen": "bread butter oven spoon recipe flour sugar salt soup dinner pan plate onion cheese pepper knife cup",
    "law": "court judge trial lawyer witness crime police prison evidence verdict jury appeal guilty statute fine oath",
    "music": "song piano guitar concert melody singer drum rhythm orchestra violin album chorus band tune stage opera",
}
COMMON = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than into
them can only other time new some could these two may first then do any like my now over such our man me even most made
after also did many off before must well back through years where much your way down should because long each just state
those people too mr little good world make very year still see work life get here between being under never day same
another know while last might us great old since against go came right used take three himself few house use during
without again place around however small found mrs thought went say part once general high upon school every does got
united left number course war until always away something fact water though less public put think almost hand enough far
took head yet government system set better told nothing night end why find going look asked later point knew city next
"""
SHARE = 0.12  # of a sentence's words that belong to its subject
BASE = "minilm-l6-en"
BATCHES = (1, 8, 32, 64)
CLI = "from zaowu.cli import main; main()"
PIPELINE = """
import sys
from transformers import pipeline
print(pipeline("text-classification", model=sys.argv[1])(sys.argv[2]))
"""


def main() -> None:
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    {"speed": speed, "latency": latency, "cold": cold, "stream": stream}[args.part](args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("speed", "latency", "cold", "stream"), default="speed")
    parser.add_argument("--out", type=Path, default=Path("runs/predict.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/predict-work"), help="for the run and large files")
    parser.add_argument("--base", default=BASE, help='"tiny" tries the script with a small random one')
    parser.add_argument("--fit-rows", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1000, help="speed: texts of a turn")
    parser.add_argument("--rounds", type=int, default=5, help="speed: rounds that count")
    parser.add_argument("--calls", type=int, default=50, help="latency")
    parser.add_argument("--times", type=int, default=7, help="cold: starts of each")
    parser.add_argument("--stream-rows", type=int, default=5_000_000)
    return parser.parse_args()


def sentences(rows: int, *, seed: int) -> tuple[list[str], list[str]]:
    """Texts of 5 to 60 words and the subject of each."""
    rng = random.Random(seed)
    common, subjects = COMMON.split(), {name: words.split() for name, words in SUBJECTS.items()}
    texts, labels = [], []
    for _ in range(rows):
        label = rng.choice(list(subjects))
        words = rng.choices(common, k=rng.randint(5, 60))
        for place in range(len(words)):
            if rng.random() < SHARE:
                words[place] = rng.choice(subjects[label])
        texts.append(" ".join(words))
        labels.append(label)
    return texts, labels


def saved_run(args: argparse.Namespace, *, small: bool = False) -> Path:
    """The folder of the run, fitted once. small: on a random BERT of 1 x 32, for what is not about the model."""
    import zaowu

    name = "small" if small else Path(args.base).name
    folder = args.work / f"run-{name}"
    if not (folder / "zaowu.json").is_file():
        texts, labels = sentences(args.fit_rows, seed=1)
        base = args.base
        if small or base == "tiny":
            from shared.cases import write_random

            base, layers = str(args.work / f"base-{name}"), 1 if small else 2
            shutil.rmtree(base, ignore_errors=True)
            Path(base).mkdir()
            write_random(texts, Path(base), pieces=1000, layers=layers, dim=32, heads=2)
        test = args.work / "test.csv"
        write_csv(test, *sentences(200, seed=2))
        zaowu.fit(
            {"text": texts, "label": labels},
            target="label",
            test=str(test),
            base=base,
            head="first",
            epochs=2,
            threads=args.threads,
            out=folder,
            overwrite=True,
            quiet=True,
        )
    return folder


def write_csv(path: Path, texts: list[str], labels: list[str]) -> None:
    rows = "".join(f"{text},{label}\n" for text, label in zip(texts, labels, strict=True))
    path.write_text(f"text,label\n{rows}", "utf-8")


# ------------------------------------------------------------------------------------------------- speed and latency


class Sides:
    """The saved run opened by Zaowu and by transformers. Each side is a function from texts to labels."""

    def __init__(self, folder: Path, threads: int) -> None:
        import torch
        import transformers

        import zaowu

        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.models = {
            dtype: transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=getattr(torch, dtype)
            ).eval()
            for dtype in ("float32", "bfloat16")
        }
        self.pipelines = {
            dtype: transformers.pipeline("text-classification", model=model, tokenizer=self.tokenizer, device="cpu")
            for dtype, model in self.models.items()
        }
        self.run = zaowu.load(folder)

    def zaowu(self, texts: list[str]) -> list[str]:
        return list(self.run.predict(texts).prediction.labels)

    def pipeline(self, texts: list[str], *, dtype: str, batch_size: int) -> list[str]:
        return [found["label"] for found in self.pipelines[dtype](texts, batch_size=batch_size)]

    def torch(self, texts: list[str], *, dtype: str, batch_size: int = 32) -> list[str]:
        """What a careful person writes by hand: tokenise at once, sort by length, pad each batch to its longest."""
        import torch

        model, ids = self.models[dtype], self.tokenizer(texts)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        labels = [""] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                index = order[start : start + batch_size]
                batch = self.tokenizer.pad({"input_ids": [ids[i] for i in index]}, return_tensors="pt")
                for i, place in zip(index, model(**batch).logits.argmax(-1).tolist(), strict=True):
                    labels[i] = model.config.id2label[place]
        return labels


def speed(args: argparse.Namespace) -> None:
    out = Rows(args.out)
    key = {"part": "speed", "base": args.base, "rows": args.rows, "threads": args.threads}
    missing = [number for number in range(1, args.rounds + 1) if not out.find(**key, round=number)]
    if missing:
        sides = Sides(saved_run(args), args.threads)
        texts, labels = sentences(args.rows, seed=3)
        best = out.measured({**key, "round": 0}, partial(best_pipeline, sides, texts[: args.rows // 4]))["best"]
        for number in missing:
            out.measured({**key, "round": number}, partial(one_round, sides, best, texts, labels, number))
    print_speed([row for number in range(1, args.rounds + 1) if (row := out.find(**key, round=number))])


def best_pipeline(sides: Sides, texts: list[str]) -> dict[str, Any]:
    """The batch size and precision at which `pipeline` is fastest; everything else is warmed up on the way."""
    for side in (sides.zaowu, partial(sides.torch, dtype="float32"), partial(sides.torch, dtype="bfloat16")):
        side(texts)
    settings = [{"dtype": dtype, "batch_size": size} for dtype in sides.pipelines for size in BATCHES]
    rates = [len(texts) / timed(partial(sides.pipeline, **setting), texts)[0] for setting in settings]
    tried = {f"{s['dtype']} {s['batch_size']}": round(rate, 2) for s, rate in zip(settings, rates, strict=True)}
    return {"best": settings[int(np.argmax(rates))], "pipeline_rates": tried, **measure.machine()}


def timed(side: Callable[[list[str]], list[str]], texts: list[str]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    labels = side(texts)
    return time.perf_counter() - start, labels


def one_round(sides: Sides, best: dict[str, Any], texts: list[str], labels: list[str], number: int) -> dict[str, Any]:
    """Texts per second of each side, its accuracy, and the share of labels that are those of torch in fp32."""
    contenders = {
        "zaowu": sides.zaowu,
        "pipeline": partial(sides.pipeline, **best),
        "torch float32": partial(sides.torch, dtype="float32"),
        "torch bfloat16": partial(sides.torch, dtype="bfloat16"),
    }
    found = {}
    for turn, name in measure.in_turn(list(contenders), number + 1):
        if turn == number:
            found[name] = timed(contenders[name], texts)
    exact, truth = np.array(found["torch float32"][1]), np.array(labels)
    row: dict[str, Any] = {"rates": {name: round(len(texts) / seconds, 2) for name, (seconds, _) in found.items()}}
    row["agree"] = {name: float(np.mean(np.array(given) == exact)) for name, (_, given) in found.items()}
    row["accuracy"] = {name: float(np.mean(np.array(given) == truth)) for name, (_, given) in found.items()}
    row["agree"]["zaowu and pipeline"] = float(np.mean(np.array(found["zaowu"][1]) == np.array(found["pipeline"][1])))
    right = {name: np.array(given) == truth for name, (_, given) in found.items()}
    from zaowu.metrics import paired_interval

    row["interval"] = [round(end, 5) for end in paired_interval(right["zaowu"], right["torch float32"])]
    return row


def print_speed(rows: list[dict[str, Any]]) -> None:
    print(f"\n{rows[0]['base']}, {rows[0]['rows']} texts, {rows[0]['threads']} threads, {len(rows)} rounds")
    print(f"{'':<16}{'texts/s: median (range)':<30}{'accuracy':>9}{'labels as torch fp32':>22}")
    for name in rows[0]["rates"]:
        spread = Spread.of([row["rates"][name] for row in rows])
        print(f"{name:<16}{spread!s:<30}{rows[0]['accuracy'][name]:>9.2%}{rows[0]['agree'][name]:>22.2%}")
    for name, asked in (("pipeline", "2.7, 3.5 the aim"), ("torch float32", "1.5")):
        ratio = Spread.of([row["rates"]["zaowu"] / row["rates"][name] for row in rows])
        print(f"zaowu / {name}: {ratio}; asked for: {asked}")
    low, high = rows[0]["interval"]
    print(f"labels of zaowu and pipeline agree: {rows[0]['agree']['zaowu and pipeline']:.2%}; asked for: 99.5 %")
    print(f"accuracy, zaowu minus torch fp32: 95 % interval {100 * low:+.2f} to {100 * high:+.2f} points", flush=True)


def latency(args: argparse.Namespace) -> None:
    """Milliseconds for one text, the sides in turn on every text; the first five texts warm up."""
    out = Rows(args.out)
    key = {"part": "latency", "base": args.base, "calls": args.calls, "threads": args.threads}

    def calls() -> dict[str, Any]:
        sides = Sides(saved_run(args), args.threads)
        contenders = {
            "zaowu": sides.zaowu,
            "pipeline float32": partial(sides.pipeline, dtype="float32", batch_size=1),
            "pipeline bfloat16": partial(sides.pipeline, dtype="bfloat16", batch_size=1),
        }
        texts, _ = sentences(args.calls + 5, seed=4)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for number, name in measure.in_turn(list(contenders), len(texts)):
            taken[name].append(1000 * timed(contenders[name], [texts[number]])[0])
        spreads = {name: Spread.of(own[5:]) for name, own in taken.items()}
        return {"ms": {name: [s.median, s.low, s.high] for name, s in spreads.items()}, **measure.machine()}

    found = out.measured(key, calls)["ms"]
    for name, (median, low, high) in found.items():
        print(f"{name:<20} median {median:.1f} ms ({low:.1f} to {high:.1f})")
    best = min(found["pipeline float32"][0], found["pipeline bfloat16"][0])
    print(f"zaowu / pipeline: {found['zaowu'][0] / best:.2f}; asked for: 0.5", flush=True)


def cold(args: argparse.Namespace) -> None:
    """Seconds of whole processes, in turn: to Zaowu's first answer, to `pipeline`'s, and of torch's import alone."""
    out, folder = Rows(args.out), saved_run(args)
    text = sentences(1, seed=5)[0][0]
    threads = ["--threads", str(args.threads)]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "zaowu": [sys.executable, "-c", CLI, "predict", str(folder), text, "--quiet", *threads],
        "pipeline": [sys.executable, "-c", PIPELINE, str(folder), text],
    }
    rows = []
    for number in range(args.times):
        key = {"part": "cold", "base": args.base, "round": number, "threads": args.threads}
        rows.append(out.measured(key, partial(starts, commands, number)))
    taken = {name: Spread.of([row["seconds"][name] for row in rows]) for name in commands}
    for name, spread in taken.items():
        print(f"{name:<14} {spread} s")
    beside = Spread.of([row["seconds"]["zaowu"] - row["seconds"]["import torch"] for row in rows])
    print(f"beside torch's import: {beside} s, asked for: 1.2; in all: {taken['zaowu'].median:.2f} s, asked for: 2.4")


def starts(commands: dict[str, list[str]], number: int) -> dict[str, Any]:
    turns = [name for turn, name in measure.in_turn(list(commands), number + 1) if turn == number]
    return {"seconds": {name: round(measure.succeeded(commands[name], memory=False).seconds, 4) for name in turns}}


def stream(args: argparse.Namespace) -> None:
    from shared.streaming import stream as measured_stream

    measured_stream(saved_run(args, small=True), Rows(args.out), args.work, args.stream_rows, args.threads)


if __name__ == "__main__":
    main()
