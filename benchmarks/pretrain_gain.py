"""Does pre-training pay? One small model and one large base, fine-tuned on ten-topic headlines with and without it.

    python benchmarks/bench_data.py --out runs/bench --corpora
    python benchmarks/pretrain_gain.py --data HEADLINES.csv --corpora runs/bench/corpora.jsonl --minutes 60
        [--only scratch mlm] [--labels 1000 8000] [--seeds 3]

HEADLINES.csv has the columns title,topic. The rows with the lowest hashes are the test rows, the same for all; none of
them is in any corpus. All other rows are the training headlines: of the first so many the labels are used.

scratch    the small model, 4 x 256, from fresh weights, with pieces of the labelled rows as `fit` learns them
mlm+nsp    the same, 5,339,136 weights with 8,000 pieces (`fit` drops those that no headline may need), after MLM and
           next sentences on the corpora and the unlabelled training headlines
mlm        the same after MLM alone on the same text: does NSP help?
base       multilingual-e5-small
base+mlm   the same after continued MLM on the unlabelled training headlines

The poems are left out: they are in the traditional script, and with them the characters alone are over 8,000 pieces.
Pre-training is `zaowu pretrain` with its rule, each at most `--minutes`; `--pretrainings` counts those of different
seeds, which the seeds of fine-tuning use in turn. Fine-tuning is `fit` with its rule: a tenth of the labelled rows
chooses the epoch; batch size, rate and epochs hang on the number of rows and on whether there is a base (from scratch
1e-3 and 30 or 12 epochs, with a base 1e-4 and 5 or 10). All else is the same. `--lrs` tries these rates instead, for
all small models alike, and takes each one's best by the validation rows.

Every finished cell is a line of --out; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sets.rows import same
from shared.cases import read
from shared.measure import Lead, Rows, machine

from zaowu.batching.order import chance
from zaowu.config import FitConfig, TextConfig, TrainConfig
from zaowu.progress import speaking
from zaowu.records.records import Records
from zaowu.records.split import split_off

SMALL = {"scratch": None, "mlm+nsp": "mlm+nsp", "mlm": "mlm"}  # start -> objective
LARGE = {"base": None, "base+mlm": "mlm"}
STARTS = {**SMALL, **LARGE}
PAIRS = (("mlm+nsp", "scratch"), ("mlm", "scratch"), ("mlm+nsp", "mlm"), ("base+mlm", "base"))
GAIN = 5.0  # points that are asked for, pre-trained minus from scratch, at the smallest number of labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="columns title and topic")
    parser.add_argument("--corpora", type=Path, required=True, help="what bench_data.py --corpora wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrain-gain.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain-gain"), help="for the corpora and the bases")
    parser.add_argument("--only", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--labels", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--pretrainings", type=int, default=1, help="of every kind, each with a seed of its own")
    parser.add_argument("--minutes", type=float, default=60.0, help="of one pre-training, at most")
    parser.add_argument("--lrs", type=float, nargs="+", help="of the small models; default: fit's rule")
    parser.add_argument("--base", default=TextConfig.base, help="the large base")
    parser.add_argument("--size", default="small", help="of the small model")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--leave-out", nargs="*", default=["poems"], help="sources of the corpora")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with speaking(quiet=True):
        texts = Texts.of(args)
        rows = [row for start in args.only for row in cells(start, texts, args)]
    summarise(rows, args)


# -------------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class Texts:
    """train: all rows that are not for testing, in the order in which they get labels. corpora, headlines: .jsonl."""

    train: Records
    test: Records
    corpora: Path
    headlines: Path

    @classmethod
    def of(cls, args: argparse.Namespace) -> Texts:
        records = read(args.data)
        _, first = np.unique(records.ids, return_index=True)
        order = first[np.argsort(chance(records.ids[first], seed=0, epoch=0))]
        test, train = records.take(order[: args.test_rows]), records.take(order[args.test_rows :])
        held = {same(title) for title in test.values("title")}
        train = train.take(np.array([same(title) not in held for title in train.values("title")]))
        assert len(train) >= min(args.labels), f"{len(records)} rows: too few are left beside {len(test)} test rows"
        args.work.mkdir(parents=True, exist_ok=True)
        corpora, headlines = args.work / "corpora.jsonl", args.work / "headlines.jsonl"
        with args.corpora.open(encoding="utf-8") as file:
            documents = (document for document in map(json.loads, file) if document.get("source") not in args.leave_out)
            write_without(corpora, (document["text"] for document in documents), held)
        write_without(headlines, train.values("title"), held)
        return cls(train, test, corpora, headlines)

    def sources(self, start: str) -> list[Path]:
        return [self.headlines] if start in LARGE else [self.corpora, self.headlines]


def write_without(path: Path, texts: Any, held: set[str]) -> None:
    """A document a line, without the paragraphs that are test headlines."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        for text in texts:
            kept = [paragraph for paragraph in text.split("\n\n") if same(paragraph) not in held]
            if kept:
                file.write(json.dumps({"text": "\n\n".join(kept)}, ensure_ascii=False) + "\n")
    fresh.replace(path)


# ------------------------------------------------------------------------------------------------------------- cells


def cells(start: str, texts: Texts, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one way to start: every number of labels, seed and rate."""
    out, found = Rows(args.out), []
    for labels in args.labels:
        for seed in range(args.seeds):
            base = pretrained(start, seed % args.pretrainings, texts, args, out) if STARTS[start] else {}
            for lr in (args.lrs or [None]) if start in SMALL else [None]:
                key = {"part": "fit", "start": start, "labels": labels, "seed": seed, "lr": lr, **shared(start, args)}
                key |= {"test_rows": len(texts.test), "pretrained": base.get("made")}
                work = partial(fine_tune, start, base.get("folder"), labels, seed, lr, texts, args)
                found.append(out.measured(key, work))
    return found


def shared(start: str, args: argparse.Namespace) -> dict[str, Any]:
    """What else tells one cell from another."""
    if start in LARGE:
        return {"data": args.data.name, "base": args.base, "threads": args.threads}
    return {"data": args.data.name, "size": args.size, "vocab_size": args.vocab_size, "threads": args.threads}


def pretrained(start: str, seed: int, texts: Texts, args: argparse.Namespace, out: Rows) -> dict[str, Any]:
    """The row of a pre-training, with its folder; one that was stopped goes on."""
    content = hashlib.sha256(b"".join(path.read_bytes() for path in texts.sources(start))).hexdigest()[:12]
    key = {"part": "pretrain", "start": start, "seed": seed, "minutes": args.minutes, "text": content}
    key |= shared(start, args)
    made = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    folder = args.work / f"{start}-{made}"
    work = partial(pretrain, start, seed, folder, texts, args)
    if out.find(**key) and not (folder / "model.safetensors").is_file():
        work()  # its row is known, its folder was taken away
    return {**out.measured(key, work), "made": made, "folder": folder}


def pretrain(start: str, seed: int, folder: Path, texts: Texts, args: argparse.Namespace) -> dict[str, Any]:
    from zaowu.run.folder import partial as unfinished
    from zaowu.train.checkpoint import Checkpoint
    from zaowu.verbs.pretrain import pretrain as made_by

    fresh = {"size": args.size, "vocab_size": args.vocab_size} if start in SMALL else {"base": args.base}
    done = made_by(
        texts.sources(start),
        objective=STARTS[start],
        **fresh,
        time_limit=60 * args.minutes,
        seed=seed,
        threads=args.threads,
        out=folder,
        resume=Checkpoint(unfinished(folder)).exists,
        overwrite=True,
        quiet=True,
        lang="en",
    )
    assert done is not None
    told = done.summary()
    names = ("parameters", "pieces", "tokens", "seconds", "before", "after", "reason")
    return {name: told[name] for name in names} | {"corpus": done.content.corpus, **machine()}


def fine_tune(
    start: str, base: Path | None, labels: int, seed: int, lr: float | None, texts: Texts, args: argparse.Namespace
) -> dict[str, Any]:
    """right: one digit a test row, for intervals over the same rows."""
    from zaowu.learn import learn

    labelled = texts.train.take(np.arange(min(labels, len(texts.train))))
    sides = split_off(labelled)
    if start == "scratch":
        text = TextConfig(base="none", size=args.size, num_pieces=args.vocab_size)
    else:
        text = replace(TextConfig(), base=str(base or args.base))
    config = FitConfig(text=text, train=TrainConfig(seed=seed, threads=args.threads, lr=lr))
    begin = time.monotonic()
    learned = learn(labelled.take(sides.train), labelled.take(sides.valid), config)
    seconds = time.monotonic() - begin
    right = np.array(learned.predict(texts.test)["topic"].labels) == np.array(texts.test.values("topic"))
    rule = learned.config
    return {
        "accuracy": float(right.mean()),
        "valid": learned.training.best.valid["accuracy"],
        "parameters": learned.model.num_parameters,
        "pieces": learned.source.text.codec.num_pieces,
        "rule": {"lr": rule.lr, "epochs": rule.epochs, "batch_size": rule.batch_size},
        "best_epoch": learned.training.best.epoch,
        "seconds": round(seconds, 1),
        "right": "".join(str(int(hit)) for hit in right),
    }


# ----------------------------------------------------------------------------------------------------------- results


def summarise(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """A table of all starts, then the differences that pre-training makes, over the same rows and seeds."""
    for row in Rows(args.out).read():
        if row["part"] == "pretrain" and row["start"] in args.only and row["minutes"] == args.minutes:
            scores = f"perplexity {row['after']['perplexity']:,.1f}" if row["after"] else "nothing held out"
            print(
                f"{row['start']}, seed {row['seed']}, pre-trained: {row['parameters']:,} weights, {row['pieces']:,} "
                f"pieces, {row['tokens']:,} tokens in {row['seconds']:.0f} s ({row['reason']}), {scores}"
            )
    print(
        f"\n{'labels':>7}  {'start':<9}{'weights':>12}{'accuracy':>10}   each seed; rate, epochs, batch; seconds a fit"
    )
    chosen = {}
    for labels in args.labels:
        for start in args.only:
            own = best([row for row in rows if (row["labels"], row["start"]) == (labels, start)])
            chosen[labels, start] = own
            mean = statistics.mean(row["accuracy"] for row in own)
            each = ", ".join(f"{row['accuracy']:.2%}" for row in own)
            rule, seconds = own[0]["rule"], statistics.median(row["seconds"] for row in own)
            how = f"{rule['lr']:g}, {rule['epochs']}, {rule['batch_size']}; {seconds:.0f} s"
            print(f"{labels:>7,}  {start:<9}{own[0]['parameters']:>12,}{mean:>10.2%}   {each}; {how}")
    for labels in args.labels:
        for one, other in PAIRS:
            if {one, other} <= set(args.only):
                right = ([row["right"] for row in chosen[labels, start]] for start in (one, other))
                lead = Lead.of(*right)
                asked = f"; asked for: at least {GAIN:g}" if other == "scratch" and labels == min(args.labels) else ""
                noise = "; this may be noise" if lead.is_noise else ""
                print(f"{labels:,} labels, {one} minus {other}: {lead}{noise}{asked}", flush=True)


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The seeds of the rate that is best on the validation rows."""
    rates: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        rates.setdefault(row["lr"], []).append(row)
    return max(rates.values(), key=lambda own: statistics.mean(row["valid"] for row in own))


if __name__ == "__main__":
    main()
