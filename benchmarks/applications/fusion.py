"""A film's mean rating from its title, genres and year together (MovieLens 100k), beside each column alone.

The reference is ridge regression on TF-IDF of the title, the genres and the year.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sets import movies
from shared import references

from applications import Said, Source, Split

TARGET, METRIC = "rating", "mae"
ALONE = ("title", "genres", "year")
COLUMNS = {"genres": "text"}  # several words in a cell: as a category every combination would be one more value


def splits(source: Source) -> dict[str, Split]:
    sides = movies.load(source.package("recbole", movies.VERSION, movies.SHA256))
    return {"test": Split(sides["train"], sides["test"])}


def reference(split: Split, seed: int) -> Said:
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    titles = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit(split.train["title"].to_list())
    genres = CountVectorizer(binary=True, token_pattern=r"\S+").fit(split.train["genres"].to_list())
    middle, width = split.train["year"].mean(), split.train["year"].std()

    def matrix(frame: pl.DataFrame) -> sparse.csr_matrix:
        years = ((frame["year"].to_numpy() - middle) / width)[:, None]
        both = titles.transform(frame["title"].to_list()), genres.transform(frame["genres"].to_list())
        return sparse.hstack([*both, years, np.square(years)], format="csr")

    model = references.ridge(matrix(split.train), split.train[TARGET].to_list())
    return Said(model.predict(matrix(split.test)).tolist())
