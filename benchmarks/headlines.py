"""Ten-topic Chinese headlines, 5 folds: the base, a model from scratch, and TF-IDF with a linear model.

    python benchmarks/headlines.py --data HEADLINES.csv --out runs/headlines.jsonl [--folds 0 1] [--threads 2]

HEADLINES.csv has the columns title,topic. Every fold's test rows are seen by nothing but the score; a tenth of the
training rows chooses the epoch and the baseline's strength. Every row is written as it finishes; a second call goes
on where the first one stopped and prints the table with the paired 95 % interval over all test rows.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from shared.measure import Rows

from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.evaluate.baseline import TFIDF, fit_baselines
from zaowu.inputs import guessers
from zaowu.learn import learn
from zaowu.metrics import paired_interval
from zaowu.records.prepare import prepare
from zaowu.records.records import Records
from zaowu.records.split import folds, split_off
from zaowu.targets.category import Category

METHODS = ("tfidf", "scratch", "base")
NUM_FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/headlines.jsonl"))
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(NUM_FOLDS)))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    out = Rows(args.out)
    records = prepare(str(args.data), DataConfig(target=("topic",)), guessers=guessers()).whole
    places = folds(records, NUM_FOLDS)
    for fold in args.folds:
        for method in args.methods:
            if out.find(fold=fold, method=method):
                continue
            row = {"fold": fold, "method": method, **measure(method, records, places, fold, args.threads)}
            out.append(row)
            print(f"fold {fold} {method}: {row['accuracy']:.2%} in {row['seconds']:.0f} s", flush=True)
    summarise(out.read())


def measure(method: str, records: Records, places: np.ndarray, fold: int, threads: int) -> dict:
    """Fits on the other folds and answers for this one. right: one digit per test row, in the file's order."""
    outer, test = records.take(places != fold), records.take(places == fold)
    sides = split_off(outer)
    train, valid = outer.take(sides.train), outer.take(sides.valid)
    labels = test.values("topic")
    start = time.monotonic()
    if method == "tfidf":
        found = fit_baselines(
            {"title": train.values("title")},
            {"topic": Category.fit(train.values("topic"))},
            {"topic": train.values("topic")},
            ({"title": valid.values("title")}, {"topic": valid.values("topic")}),
        )
        predicted = found.predict({"title": test.values("title")})["topic"][TFIDF].labels
        seconds = time.monotonic() - start
    else:
        text = replace(TextConfig(), base="none") if method == "scratch" else TextConfig()
        learned = learn(train, valid, FitConfig(text=text, train=TrainConfig(threads=threads)))
        seconds = time.monotonic() - start
        predicted = learned.predict(test)["topic"].labels
    right = [int(one == other) for one, other in zip(predicted, labels, strict=True)]
    return {
        "accuracy": sum(right) / len(right),
        "seconds": round(seconds, 1),
        "threads": threads,
        "right": "".join(map(str, right)),
    }


def summarise(found: list[dict]) -> None:
    """The table over the folds that all methods have, and the paired intervals over their test rows."""
    by = {(row["fold"], row["method"]): row for row in found}
    methods = [name for name in METHODS if any(method == name for _, method in by)]
    common = [fold for fold in range(NUM_FOLDS) if all((fold, method) in by for method in methods)]
    print(f"folds {common}")
    right = {}
    for method in methods:
        own = [by[fold, method] for fold in common]
        if not own:
            return
        right[method] = np.array([int(digit) for row in own for digit in row["right"]])
        accuracies = ", ".join(f"{row['accuracy']:.1%}" for row in own)
        seconds = np.median([row["seconds"] for row in own])
        print(f"{method:<8} {right[method].mean():.2%}  ({accuracies})  median {seconds:.0f} s a fit")
    for method in methods[1:]:
        low, high = paired_interval(right[method], right["tfidf"])
        lead = right[method].mean() - right["tfidf"].mean()
        print(f"{method} minus tfidf: {100 * lead:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})")


if __name__ == "__main__":
    main()
