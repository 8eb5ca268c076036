"""Digits of 8 x 8 pixels (scikit-learn), 5 folds, beside a support vector machine on the pixels."""

from __future__ import annotations

from shared import references

from applications import Said, Source, Split, in_folds
from zaowu.tasks.handwriting import TARGET, read

__all__ = ["TARGET"]
METRIC, GOALS = "accuracy", {"folds": 0.98}


def splits(source: Source) -> dict[str, Split]:
    return in_folds(read(), TARGET)


def reference(split: Split, seed: int) -> Said:
    train, test = (
        frame["image"].to_numpy().reshape(len(frame), -1).astype(float) for frame in (split.train, split.test)
    )
    return Said(references.support_vectors(train, split.train[TARGET].to_list()).predict(test).tolist())
