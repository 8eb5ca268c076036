"""Chest X-rays of 28 x 28 pixels: normal or pneumonia, beside HOG and logistic regression.

A tenth of the training images, by their hash, is the own validation set: it chooses the epoch and the threshold. The
set's `val` is only scored on. The share of pneumonia differs between the two, which is reported, and balanced accuracy
does not hang on it. As context: a published ResNet-18 has an AUC of 0.950 on the official test, which is another set.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from shared import references
from shared.paired import balanced_accuracy, best_threshold

from applications import Said, Source, Split
from zaowu.tasks.medical_image import TARGET, read

__all__ = ["TARGET"]
METRIC, POSITIVE = "auc", "pneumonia"
SHARE = 0.1  # of validation


def splits(source: Source) -> dict[str, Split]:
    sides = read(source.file("pneumonia", "pneumonia_28.npz"))
    place = [int(sha256(image).hexdigest()[:13], 16) / 16**13 for image in sides["train"]["image"]]
    is_valid = pl.Series(place) < SHARE
    return {"val": Split(sides["train"].filter(~is_valid), sides["val"], sides["train"].filter(is_valid))}


def reference(split: Split, seed: int) -> Said:
    from zaowu.inputs.image import BaselineFeatures

    features, train = BaselineFeatures.fit(split.train["image"].to_list())
    model = references.logistic(train.toarray(), split.train[TARGET].to_list(), scoring="roc_auc")
    place = list(model.classes_).index(POSITIVE)
    sides = [features.transform(frame["image"].to_list()).toarray() for frame in (split.test, split.valid)]
    test, valid = (model.predict_proba(matrix)[:, place].tolist() for matrix in sides)
    return Said(test, valid)


def figures(split: Split, said: Said) -> dict[str, Any]:
    """Balanced accuracy at the threshold that is best on the own validation set and at 0.5, and the priors."""
    test, valid = ((frame[TARGET] == POSITIVE).to_numpy() for frame in (split.test, split.valid))
    threshold = best_threshold(valid, np.asarray(said.valid))
    scores = np.asarray(said.test)
    return {
        "balanced_accuracy": balanced_accuracy(test, scores >= threshold),
        "balanced_accuracy_at_half": balanced_accuracy(test, scores >= 0.5),
        "threshold": threshold,
        "prior_train": float((split.train[TARGET] == POSITIVE).mean()),
        "prior_val": float(test.mean()),
        "val_images_in_train": int(split.test["image"].is_in(split.train["image"].to_list()).sum()),
    }
