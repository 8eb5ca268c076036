"""Spoken digits (Free Spoken Digit Dataset), beside a support vector machine on statistics of the spectrogram.

takes: takes 5 to 9 of every speaker are kept aside, and all speakers are known. speakers: each speaker in turn is kept
aside; the validation rows are of known speakers, since with one speaker less to learn from more would be lost.
"""

from __future__ import annotations

import polars as pl
from shared import references

from applications import Said, Source, Split
from zaowu.tasks.spoken_words import TARGET, read

__all__ = ["TARGET"]
METRIC, GOALS = "accuracy", {"takes": 0.97}
KEPT_ASIDE = range(5, 10)  # takes


def splits(source: Source) -> dict[str, Split]:
    frame = read(source.file("speech_digits", "recordings_take5_49.zip"))
    found = {"takes": _parted(frame, pl.col("take").is_in(list(KEPT_ASIDE)))}
    for speaker in frame["speaker"].unique().sort():
        found[f"speakers {speaker}"] = _parted(frame, pl.col("speaker") == speaker)
    return found


def _parted(frame: pl.DataFrame, is_test: pl.Expr) -> Split:
    columns = ["sound", TARGET]
    return Split(frame.filter(~is_test).select(columns), frame.filter(is_test).select(columns))


def reference(split: Split, seed: int) -> Said:
    from zaowu.inputs.audio.statistics import BaselineFeatures

    features, train = BaselineFeatures.fit(split.train["sound"].to_list())
    test = features.transform(split.test["sound"].to_list())
    model = references.support_vectors(train.toarray(), split.train[TARGET].to_list())
    return Said(model.predict(test.toarray()).tolist())
