"""Breast cancer (scikit-learn), 5 folds, beside tuned gradient boosting."""

from __future__ import annotations

from shared import references

from applications import Said, Source, Split, in_folds
from zaowu.tasks.disease_risk import TARGET, read

__all__ = ["TARGET"]
METRIC, POSITIVE, STOCHASTIC = "auc", "malignant", True


def splits(source: Source) -> dict[str, Split]:
    return in_folds(read(), TARGET)


def reference(split: Split, seed: int) -> Said:
    found = references.boosting(split.train, TARGET, seed=seed)
    return Said(found.scores(split.test, POSITIVE), figures={"chosen": found.chosen})
