"""Contents as a real run would fill them: ten Chinese classes, two, sixty, a class without test rows, nothing."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from zaowu.report.content import AnswerContent, ReportContent

TOPICS = ["体育", "科技", "财经", "股票", "房产", "教育", "时政", "社会", "娱乐", "游戏"]
HEADLINES = [
    "姚明宣布退役，篮协主席亲自送别，球迷在上海体育馆外排起长队",
    "国产手机厂商赞助电竞俱乐部，新机首发价 2,999 元",
    "同步A股首秀：港股缩量回调",
    "60年铁树开花形状似玉米芯（组图）",
    "状元心经：考前一周重点是回顾和整理",
    "发改委治理涉企收费每年为企业减负超百亿",
    "金科西府 名墅天成",
    "布拉特：放球员一条生路吧 FIFA能消化俱乐部的攻击",
    "Apple 发布 iPhone 新机：A19 芯片、120 Hz 屏幕与更长续航",
    "北京单场：阿森纳客场难胜，智能手环记录跑动距离创新高",
]


def evaluation(
    classes: list[str], *, rows: int, right: float, seed: int = 0, missing: str | None = None
) -> dict[str, Any]:
    """The plain form of an evaluation of `rows` simulated predictions, of which about the share `right` is right."""
    rng = np.random.default_rng(seed)
    num = len(classes)
    truth = rng.integers(num, size=rows)
    if missing in classes:
        truth[truth == classes.index(missing)] = (classes.index(missing) + 1) % num
    correct = rng.random(rows) < right
    wrong = (truth + 1 + np.minimum(rng.geometric(0.5, size=rows) - 1, num - 2)) % num
    predicted = np.where(correct, truth, wrong)
    confidence = np.clip(np.where(correct, rng.beta(9, 1, rows), rng.beta(4, 2, rows)), 1 / num, 1)
    matrix = np.zeros((num, num), int)
    np.add.at(matrix, (truth, predicted), 1)
    hits, support, given = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    bins = []
    for left in np.arange(0, 1, 1 / 15):
        inside = (confidence >= left) & (confidence < left + 1 / 15)
        if inside.any():
            bins.append(
                {
                    "rows": int(inside.sum()),
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(correct[inside].mean()),
                }
            )
    accuracy, f1 = float(correct.mean()), 2 * hits / np.maximum(support + given, 1)
    half = 1.96 * (accuracy * (1 - accuracy) / rows) ** 0.5
    error = sum(row["rows"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / rows
    return {
        "kind": "category",
        "rows": rows,
        "accuracy": accuracy,
        "macro_f1": float(f1.mean()),
        "log_loss": 2.2 * (1 - accuracy),
        "calibration_error": error,
        "intervals": {
            "accuracy": [accuracy - half, min(1.0, accuracy + half)],
            "macro_f1": [float(f1.mean()) - 1.1 * half, min(1.0, float(f1.mean()) + 1.1 * half)],
            "log_loss": [2.0 * (1 - accuracy), 2.4 * (1 - accuracy)],
            "calibration_error": [0.7 * error, 1.4 * error],
        },
        "classes": classes,
        "per_class": [
            {
                "label": label,
                "precision": float(hits[i] / max(given[i], 1)),
                "recall": float(hits[i] / max(support[i], 1)),
                "f1": float(f1[i]),
                "support": int(support[i]),
                "predicted": int(given[i]),
            }
            for i, label in enumerate(classes)
        ],
        "confusion": [
            {"truth": classes[i], "predicted": classes[j], "rows": int(matrix[i, j])}
            for i, j in itertools.product(range(num), repeat=2)
            if matrix[i, j]
        ],
        "calibration_bins": bins,
        "unseen": {},
    }


def topics(**changes: Any) -> ReportContent:
    """Ten topics, Chinese, beaten baseline, everything filled in."""
    content = sample(TOPICS, rows=1000, right=0.94, base_right=0.9)
    return change(content, changes)


def binary(**changes: Any) -> ReportContent:
    """体育 or 科技 on few rows: cross-validation, no win over the baseline."""
    content = sample(["体育", "科技"], rows=600, right=0.93, base_right=0.925)
    content.scored_on = "5-fold cross-validation"
    content.splits = [{"side": "all", "rows": 600, "deviation": None}]
    [answer] = content.answers
    assert answer.evaluation is not None
    answer.baselines["tfidf_linear"]["accuracy"] = answer.evaluation["accuracy"] - 0.005
    answer.comparison["tfidf_linear"] = {"value": 0.005, "low": -0.011, "high": 0.021}
    return change(content, changes)


def many_classes(**changes: Any) -> ReportContent:
    """Sixty long English names on 10,000 rows."""
    names = [f"department {i:02d}: purchasing & logistics, region {'ABCDEF'[i % 6]}" for i in range(60)]
    return change(sample(names, rows=10_000, right=0.8, base_right=0.83), changes)


def missing_class(**changes: Any) -> ReportContent:
    """One class has no test row, one label was never seen, and rows of the test file stand in training too."""
    content = sample(TOPICS[:5], rows=300, right=0.9, base_right=0.85, missing="股票")
    [answer] = content.answers
    assert answer.evaluation is not None
    answer.evaluation["unseen"] = {"星座": 3, "彩票": 1}
    content.scored_on = "test file"
    answer.deleaked = evaluation(TOPICS[:5], rows=263, right=0.86, seed=5, missing="股票")
    return change(content, changes)


def empty() -> ReportContent:
    return ReportContent(title="nothing.csv: label")


ANSWER = [field.name for field in dataclasses.fields(AnswerContent)]  # what is said of a target, not of the run


def change(content: ReportContent, changes: dict[str, Any]) -> ReportContent:
    """Sets fields of the content, or of its only answer."""
    for name, value in changes.items():
        holder = content.answers[0] if name in ANSWER else content
        assert hasattr(holder, name), name
        setattr(holder, name, value)
    return content


LENGTHS = [
    {"slice": "length", "value": value, "rows": num, "score": share, "low": share - wide, "high": min(1, share + wide)}
    for value, num, share, wide in [
        ("1–10", 80, 0.86, 0.08),
        ("11–20", 510, 0.945, 0.02),
        ("21–30", 380, 0.95, 0.022),
        ("31+", 30, 0.90, 0.11),
    ]
]


def mistakes(texts: list[str], classes: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "row": 31 + 17 * i,
            "text": text,
            "truth": classes[i % len(classes)],
            "predicted": classes[(i + 1) % len(classes)],
            "confidence": 0.997 - 0.004 * i,
        }
        for i, text in enumerate(texts)
    ]


def sample(
    classes: list[str], *, rows: int, right: float, base_right: float, missing: str | None = None
) -> ReportContent:
    ours = evaluation(classes, rows=rows, right=right, missing=missing)
    base = evaluation(classes, rows=rows, right=base_right, seed=1, missing=missing)
    majority = evaluation(classes, rows=rows, right=1 / len(classes), seed=2, missing=missing)
    lead = ours["accuracy"] - base["accuracy"]
    counts = {label: 900 - 37 * (i % 20) for i, label in enumerate(classes)}
    texts = list(itertools.islice(itertools.cycle(HEADLINES), 40))
    return ReportContent(
        title="news.csv: topic",
        created="2026-11-23T22:48:45+00:00",
        command="zaowu fit news.csv --target topic --seed 7 --out runs/news",
        versions={"zaowu": "0.1.0", "torch": "2.13.0", "tokenizers": "0.23.3", "python": "3.11.9"},
        machine="AMD EPYC, 2 cores, 8 GB; Linux",
        seed=7,
        answers=[
            AnswerContent(
                target="topic",
                evaluation=ours,
                baselines={"majority": majority, "tfidf_linear": base},
                comparison={
                    "tfidf_linear": {"value": lead, "low": lead - 0.014, "high": lead + 0.014},
                    "majority": {"value": ours["accuracy"] - majority["accuracy"], "low": 0.5, "high": 0.9},
                },
                mistakes=mistakes(texts, classes),
                predictions=[
                    {"text": text, "predicted": classes[i % len(classes)], "confidence": 0.99 - 0.07 * i}
                    for i, text in enumerate(texts[:5])
                ],
                slices=LENGTHS
                + [
                    {
                        "slice": "class",
                        "value": row["label"],
                        "rows": row["support"],
                        "score": row["recall"],
                        "low": max(0, row["recall"] - 0.05),
                        "high": min(1, row["recall"] + 0.04),
                    }
                    for row in ours["per_class"]
                    if row["support"]
                ],
            )
        ],
        scored_on="test split",
        columns=[
            {
                "name": "title",
                "role": "input",
                "kind": "text",
                "reason": "words, 20 characters on average, 98% different",
            },
            {
                "name": "topic",
                "role": "target",
                "kind": "category",
                "reason": f"{len(classes)} different values, label-like name",
            },
            {"name": "编号", "role": "ignored", "kind": "id", "reason": "whole numbers that are all different"},
        ],
        notes=["Read as GB18030.", "Columns are separated by tabs."],
        findings={
            "rows": 10 * rows,
            "duplicates_within": 214,
            "duplicates_across": 0,
            "conflicting_labels": 12,
            "class_counts": {
                "train": counts,
                "valid": {label: num // 8 for label, num in counts.items()},
                "test": {row["label"]: row["support"] for row in ours["per_class"]},
            },
            "skipped": {"expected a text, got nothing": 9, "expected a label, got nothing": 4},
            "duplicates": [
                {"text": HEADLINES[0], "rows": [17, 4120]},
                {"text": HEADLINES[2], "rows": list(range(20, 60))},
            ],
            "conflicts": [{"text": HEADLINES[1], "rows": [88, 1291], "labels": ["体育", "科技"]}],
            "near_labels": [["科技", "科技 "]],
        },
        splits=[
            {"side": "train", "rows": 8 * rows, "deviation": 0.0012},
            {"side": "valid", "rows": rows, "deviation": 0.011},
            {"side": "test", "rows": rows, "deviation": 0.0094},
        ],
        lengths={
            "edges": list(range(0, 66, 3)),
            "counts": [round(900 * float(np.exp(-((i - 6) ** 2) / 18))) for i in range(21)],
            "median": 19,
            "longest": 63,
            "limit": 48,
            "over": 7,
            "long": "window",
        },
        unknown_share=0.0004,
        base="multilingual-e5-small",
        licence="MIT",
        num_pieces=30_112,
        num_pieces_before=250_037,
        num_parameters=33_148_000,
        history=[
            {
                "epoch": epoch,
                "step": 250 * epoch,
                "train_loss": 1.4 * 0.55**epoch + 0.05,
                "lr": 2e-4 * (1 - epoch / 6),
                "seconds": 80.0 * epoch,
                "valid": {
                    "accuracy": 0.94 - 0.3 * 0.4**epoch,
                    "macro_f1": 0.935 - 0.33 * 0.4**epoch,
                    "log_loss": 0.2 + 0.9 * 0.4**epoch + 0.012 * epoch,
                    "calibration_error": 0.02,
                },
            }
            for epoch in range(1, 6)
        ],
        best_epoch=4,
        stopped="all 5 epochs done",
        settings={
            "epochs": 5,
            "batch_size": 16,
            "lr": 0.0002,
            "head": "mean",
            "long": "window",
            "precision": "bf16",
            "max_tokens": None,
        },
        timing={
            "read": 0.4,
            "check": 0.7,
            "encode": 1.1,
            "baseline": 9.8,
            "train": 402.0,
            "evaluate": 5.5,
            "total": 421.0,
        },
        train_rows_per_s=99.0,
        predict_rows_per_s=412.0,
        peak_memory_mb=1_310.0,
        model_size_mb=133.0,
    )
