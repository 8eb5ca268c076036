"""One file per modality: raw value -> features (numpy) -> vectors (an embedder).

A modality is a module of this folder with
    guess(values: polars.Series) -> str | None      why the column is of this kind, or None
    Input                                           the class below, by duck typing

An `Input` stands for one group of columns and offers
    Input.fit(values, ...) -> Input                 learns from training values only
    features(values) -> list of Item                unpadded numpy features
    specs: dict[str, Feature]                       shape, dtype and pad value of each feature
    embedder(dim) -> torch.nn.Module                features of a batch -> (B, T, D)
    state() / Input.from_state(state, folder)       what it learned, as plain data and files
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zaowu import listing


@dataclass(frozen=True)
class Feature:
    """What one feature of a record looks like before padding: (T, *shape) of `dtype`."""

    dtype: type
    pad: float
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Item:
    """One piece of work for the model: a record, or one window of a long one.

    features: name -> (T, ...) numpy. record: its index among the values given. share: its part of the record.
    """

    features: dict[str, np.ndarray]
    record: int
    share: float = 1.0

    @property
    def length(self) -> int:
        return len(next(iter(self.features.values())))


@dataclass(frozen=True)
class Shown:
    """One record's value for a reader. words: at most 400 characters. picture, sound: data URIs, "" where none."""

    words: str
    picture: str = ""
    sound: str = ""


def guessers() -> dict[str, Callable]:
    """kind -> the function that says why a column is of that kind, or None; tables are known without one."""
    package = sys.modules[__name__]
    modules = {name: listing.load(package, name, where="inputs") for name in listing.names(package)}
    return {name: module.guess for name, module in modules.items() if hasattr(module, "guess")}
