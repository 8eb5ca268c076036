"""Chinese questions on a context, CMRC 2018; all questions on one context are on one side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from writing import Scores, Work, fitted, parted

MINUTES = 60.0
SHOWN = ("f1", "exact_match")
SIDES = ("ours",)
GOAL = "F1 at least 15 points above the best sliding window"
FILES = ("cmrc2018_trial.json", "cmrc2018_train.json")


def cell(side: str, work: Work) -> dict[str, Any]:
    train, test = sides(work)
    return fitted(train, test, "answer", work)[1]


def sides(work: Work) -> tuple[Path, Path]:
    """Two files of SQuAD's layout, without the questions that have no words."""
    whole = json.loads(work.file(*FILES).read_text("utf-8"))
    paragraphs = [own for article in whole["data"] for own in article["paragraphs"]]
    paragraphs = [{**own, "qas": [one for one in own["qas"] if one["question"].strip()]} for own in paragraphs]
    work.folder.mkdir(parents=True, exist_ok=True)
    paths = work.folder / "train.json", work.folder / "test.json"
    for path, own in zip(paths, parted(paragraphs, "context", work), strict=True):
        path.write_text(json.dumps({"data": [{"paragraphs": own}]}, ensure_ascii=False), encoding="utf-8")
    return paths


def reached(found: dict[str, Scores]) -> bool:
    return found["ours"]["f1"][0] - found["sliding_window"]["f1"][0] >= 0.15
