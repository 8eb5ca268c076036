"""A shape in an image and a word in a caption that only together say the answer, beside each column alone.

The reference is gradient boosting on the main directions of HOG and the words of the caption.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sets import shape_and_word

from applications import Said, Source, Split

TARGET, METRIC = "answer", "accuracy"
ALONE = ("image", "caption")
ROWS = {"train": 2000, "test": 500}
DIRECTIONS = 20


def splits(source: Source) -> dict[str, Split]:
    sides = [shape_and_word.make(rows, seed=seed) for seed, rows in enumerate(ROWS.values())]
    return {"test": Split(*sides)}


def reference(split: Split, seed: int) -> Said:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import CountVectorizer

    from zaowu.inputs.image import BaselineFeatures

    features, matrix = BaselineFeatures.fit(split.train["image"].to_list())
    main = PCA(min(DIRECTIONS, len(split.train)), random_state=0).fit(matrix.toarray())
    words = CountVectorizer(binary=True, min_df=2).fit(split.train["caption"].to_list())

    def both(frame: pl.DataFrame) -> np.ndarray:
        shapes = main.transform(features.transform(frame["image"].to_list()).toarray())
        return np.concatenate((shapes, words.transform(frame["caption"].to_list()).toarray()), axis=1)

    model = HistGradientBoostingClassifier(max_iter=300, early_stopping=False, random_state=seed)
    return Said(model.fit(both(split.train), split.train[TARGET].to_list()).predict(both(split.test)).tolist())
