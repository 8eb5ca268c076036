"""English -> Chinese, Tatoeba's pairs; all versions of one English sentence are on one side."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from writing import Scores, Work, fitted, keep_texts, kept, parted

MINUTES = 90.0
SHOWN = ("bleu", "chrf", "rouge_l", "exact_match", "length_ratio")
SIDES = ("ours", "marian")
GOAL = "BLEU 8 points above the nearest training answer (18 the aim), and Marian in the same time not better"
FILES = ("cmn.tsv", "cmn.txt")


def cell(side: str, work: Work) -> dict[str, Any]:
    if side == "ours":
        lines = work.file(*FILES).read_text("utf-8-sig").splitlines()
        rows = [dict(zip(("en", "zh"), line.split("\t"), strict=False)) for line in lines if "\t" in line]
        run, found = fitted(*kept(parted(rows, "en", work), work), "zh", work)
        keep_texts(run.predict(work.folder / "test.csv").prediction.texts, work)
        return found
    return beside_ours(work)


def beside_ours(work: Work) -> dict[str, Any]:
    """Marian by the Trainer on the same files with the same pieces, and ours minus it on the same rows."""
    from peers import marian

    from zaowu.targets.text import scores

    ours = work.of("ours")
    train, test = (pl.read_csv(ours / f"{name}.csv") for name in ("train", "test"))
    work.folder.mkdir(parents=True, exist_ok=True)
    texts, more = marian.written(ours / "run", train, test, "en", "zh", minutes=work.minutes, seed=work.seed)
    keep_texts(texts, work)
    truth, sources = test["zh"].to_list(), test["en"].to_list()
    found = scores.score_texts(texts, truth, sources)
    own = json.loads((ours / "texts.json").read_text("utf-8"))
    leads = scores.differences(own, texts, truth, sources)
    plain = {name: [score.value, score.low, score.high] for name, score in found.items()}
    lead = {name: [score.value, score.low, score.high] for name, score in leads.items()}
    return {"scores": plain, "ours_minus": lead, "test": len(test), **more}


def reached(found: dict[str, Scores]) -> bool:
    ours, near = found["ours"]["bleu"][0], found["nearest_answer"]["bleu"][0]
    return ours - near >= 0.08 and ours >= found.get("marian", {"bleu": [0.0]})["bleu"][0]
