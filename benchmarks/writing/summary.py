"""Abstract -> title of Chinese papers (CSL)."""

from __future__ import annotations

from typing import Any

from writing import Scores, Work, fitted, keep_texts, kept, parted

MINUTES = 30.0
SHOWN = ("rouge_l", "rouge_1", "rouge_2", "chrf", "length_ratio", "repetition")
SIDES = ("ours",)
GOAL = "ROUGE-L (by characters) above the lead sentence and the nearest title"
FILES = ("csl_ts_dev.tsv", "csl_ts_train.tsv")


def cell(side: str, work: Work) -> dict[str, Any]:
    lines = work.file(*FILES).read_text("utf-8-sig").splitlines()
    parts = [line.split("\t")[-2:] for line in lines if line.count("\t")]
    rows = [{"abstract": abstract, "title": title} for abstract, title in parts]
    run, found = fitted(*kept(parted(rows, "abstract", work), work), "title", work)
    keep_texts(run.predict(work.folder / "test.csv").prediction.texts, work)
    return found


def reached(found: dict[str, Scores]) -> bool:
    ours = found["ours"]["rouge_l"][0]
    return all(ours > found[name]["rouge_l"][0] for name in ("lead_sentence", "nearest_answer"))
