"""Contents of the other kinds of answer: a number, tags, and several answers of one model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import report_samples as samples

from zaowu.report.content import AnswerContent, ReportContent


def number_evaluation(*, rows: int = 400, error: float, seed: int = 0) -> dict[str, Any]:
    """The plain form of an evaluation of prices, whose answers are off by about `error`."""
    rng = np.random.default_rng(seed)
    truth = rng.lognormal(10.5, 0.5, rows)
    predicted = truth + rng.normal(0, error, rows)
    errors = truth - predicted
    mae, rmse = float(np.abs(errors).mean()), float(np.sqrt(np.square(errors).mean()))
    r2 = 1 - float(np.square(errors).mean() / truth.var())
    counts, edges = np.histogram(errors, 25)
    return {
        "kind": "number",
        "rows": rows,
        "mae": mae,
        "rmse": rmse,
        "r2": r2,
        "intervals": {
            "mae": [0.93 * mae, 1.07 * mae],
            "rmse": [0.94 * rmse, 1.06 * rmse],
            "r2": [r2 - 0.03, r2 + 0.03],
        },
        "points": [[float(a), float(b)] for a, b in zip(truth, predicted, strict=True)],
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "coverage": 0.913,
        "scale": "log",
    }


def number_answer(**changes: Any) -> AnswerContent:
    """Prices in yuan, better than the baseline by an eighth."""
    ours, base, mean = (number_evaluation(error=error) for error in (3500.0, 4000.0, 14_000.0))
    lead = ours["mae"] - base["mae"]
    answer = AnswerContent(
        target="价格",
        kind="number",
        evaluation=ours,
        baselines={"mean": mean, "tfidf_linear": base},
        comparison={
            "tfidf_linear": {"value": lead, "low": lead - 150.0, "high": lead + 150.0},
            "mean": {"value": ours["mae"] - mean["mae"], "low": -12_000.0, "high": -7000.0},
        },
        mistakes=[
            {
                "row": 7 + i,
                "text": text,
                "truth": "88,000",
                "predicted": "31,200 (24,000 to 40,500)",
                "confidence": None,
            }
            for i, text in enumerate(samples.HEADLINES)
        ],
        predictions=[
            {"text": text, "predicted": f"{21 + i},500 (18,000 to 26,100)", "confidence": None}
            for i, text in enumerate(samples.HEADLINES[:5])
        ],
        slices=[{**row, "score": 3000.0, "low": 2500.0 + i, "high": 3600.0} for i, row in enumerate(samples.LENGTHS)],
    )
    return dataclasses.replace(answer, **changes)


TAGS = ["体育", "电竞", "手机", "财经", "人物"]


def tags_evaluation(*, right: float, rows: int = 500, seed: int = 0) -> dict[str, Any]:
    """The plain form of an evaluation of tags, each given as it should be with the probability `right`."""
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, len(TAGS))) < np.array([0.5, 0.3, 0.3, 0.2, 0.05])
    given = np.where(rng.random(truth.shape) < right, truth, ~truth)
    both, support, chosen = (truth & given).sum(0), truth.sum(0), given.sum(0)
    f1 = 2 * both / (support + chosen)
    micro = float(2 * both.sum() / (support.sum() + chosen.sum()))
    exact = float((truth == given).all(axis=1).mean())
    values = {"micro_f1": micro, "macro_f1": float(f1.mean()), "exact_match": exact, "ranking": 0.93, "log_loss": 0.31}
    return {
        "kind": "tags",
        "rows": rows,
        **values,
        "intervals": {name: [max(0.0, value - 0.02), value + 0.02] for name, value in values.items()},
        "tags": TAGS,
        "per_class": [
            {
                "label": tag,
                "precision": float(both[c] / chosen[c]),
                "recall": float(both[c] / support[c]),
                "f1": float(f1[c]),
                "support": int(support[c]),
                "predicted": int(chosen[c]),
                "threshold": 0.4,
            }
            for c, tag in enumerate(TAGS)
        ],
        "unseen": {"星座": 2},
        "mean_true": float(truth.sum(1).mean()),
        "mean_predicted": float(given.sum(1).mean()),
    }


def tags_answer(**changes: Any) -> AnswerContent:
    """Tags of headlines: no win over the baseline beyond noise."""
    ours, base, common = (tags_evaluation(right=right) for right in (0.9, 0.895, 0.6))
    answer = AnswerContent(
        target="标签",
        kind="tags",
        evaluation=ours,
        baselines={"common_tags": common, "tfidf_linear": base},
        comparison={
            "tfidf_linear": {"value": ours["micro_f1"] - base["micro_f1"], "low": -0.01, "high": 0.02},
            "common_tags": {"value": ours["micro_f1"] - common["micro_f1"], "low": 0.3, "high": 0.4},
        },
        mistakes=[
            {"row": 7 + i, "text": text, "truth": "体育, 电竞", "predicted": "(none)", "confidence": None}
            for i, text in enumerate(samples.HEADLINES)
        ],
        predictions=[{"text": text, "predicted": "体育, 手机", "confidence": None} for text in samples.HEADLINES[:5]],
        slices=samples.LENGTHS,
    )
    return dataclasses.replace(answer, **changes)


def number(**changes: Any) -> ReportContent:
    """Prices alone, from cross-validation, without validation scores."""
    content = samples.topics(title="houses.csv: 价格", scored_on="5-fold cross-validation", answers=[number_answer()])
    del content.findings["class_counts"]
    content.columns[1] = {"name": "价格", "role": "target", "kind": "number", "reason": "312 different numbers"}
    content.history = [
        {**point, "valid": {"mae": 900.0 / point["epoch"], "rmse": 1200.0, "r2": 0.1 * point["epoch"]}}
        for point in content.history
    ]
    return samples.change(content, changes)


def tags(**changes: Any) -> ReportContent:
    content = samples.topics(title="news.csv: 标签", answers=[tags_answer()])
    content.columns[1] = {"name": "标签", "role": "target", "kind": "tags", "reason": "lists"}
    content.history = [{**point, "valid": {"micro_f1": 0.5, "log_loss": 0.4}} for point in content.history]
    return samples.change(content, changes)


def several(**changes: Any) -> ReportContent:
    """A class, a number and tags that one model gives together; rows are weighed."""
    content = samples.topics(title="news.csv: topic, 价格, 标签")
    content.answers += [number_answer(), tags_answer()]
    content.columns.append({"name": "可信度", "role": "weight", "kind": "number", "reason": "named as the weight"})
    content.history = [
        {**point, "valid": {"topic: macro_f1": 0.7, "价格: r2": 0.5, "价格: mae": 9.0, "标签: micro_f1": 0.6}}
        for point in content.history
    ]
    return samples.change(content, changes)
