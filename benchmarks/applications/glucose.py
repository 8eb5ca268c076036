"""The mean blood sugar of the next half hour from the last two hours (bokeh's CGM), beside ridge regression.

mg/dl; the last fifth of the time is scored on, and the tenth before it chooses. The reference sees the readings on a
grid of five minutes. last_value_mae: of saying that nothing changes, the simplest forecast.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from sets import glucose
from shared import references

from applications import Said, Source, Split

TARGET, METRIC = "mean", "mae"
GRID = np.arange(0, 121, 5)  # minutes


def splits(source: Source) -> dict[str, Split]:
    wheel = source.package("bokeh-sampledata", glucose.VERSION, glucose.SHA256)
    frames = {
        side: pl.DataFrame({"readings": [one.readings for one in found], TARGET: [one.mean for one in found]})
        for side, found in glucose.load(wheel, source.work).items()
    }
    return {"later": Split(frames["train"], frames["test"], frames["valid"])}


def reference(split: Split, seed: int) -> Said:
    matrix = _lags(split.train)
    model = references.ridge(matrix, split.train[TARGET].to_list())
    return Said(model.predict(_lags(split.test)).tolist())


def figures(split: Split, said: Said) -> dict[str, Any]:
    last, truth = _lags(split.test)[:, -1], split.test[TARGET].to_numpy()
    return {"last_value_mae": float(np.abs(last - truth).mean())}


def _lags(frame: pl.DataFrame) -> np.ndarray:
    """(N, 25) glucose every five minutes, on straight lines between readings."""
    cells = [json.loads(cell) for cell in frame["readings"]]
    return np.stack([np.interp(GRID, cell["times"], cell["channels"]["glucose"]) for cell in cells])
