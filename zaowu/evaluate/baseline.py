"""The cheap methods beside the model: the majority class, and TF-IDF with a linear classifier at its best.

They learn from training rows and are tuned on validation rows, or within training; test rows choose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zaowu import targets
from zaowu.errors import UserError, shorten
from zaowu.evaluate.linear import Linear, Trial, best_scale, choose_linear, fit_linear
from zaowu.inputs.text.tfidf import MAX_CHARACTERS as LONGEST, TfidfFeatures
from zaowu.progress import note
from zaowu.targets.category import Category, CategoryPrediction

MAJORITY, TFIDF = "majority", "tfidf_linear"  # the names of the two, everywhere
MAX_ROWS = 200_000
MAX_CHARACTERS = 20_000_000
MAX_FEATURES = 300_000
MAX_WEIGHTS = 20_000_000  # features x classes
ENOUGH_VALID = 200  # fewer validation rows choose badly: training is split against itself instead
NUM_FOLDS = 4
TUNING_ROWS = 20_000
MANY_ROWS = 4_000  # from here on one fold is enough to choose by
PORTION = 50_000  # rows that are turned into features at a time

Texts = Mapping[str, Sequence[str]]  # text column -> N texts


@dataclass(frozen=True)
class Baselines:
    """Both methods, fitted. features: text column -> its features, side by side in this order.

    shares: (C,) float32, of the classes in training. rows: how many rows the linear model was fitted on.
    """

    target: Category
    features: dict[str, TfidfFeatures]
    shares: np.ndarray
    linear: Linear
    rows: int

    def predict(self, inputs: Texts) -> dict[str, CategoryPrediction]:
        """Name of the method -> its answers. Columns that it was not fitted on are not looked at."""
        num_rows = len(inputs[next(iter(self.features))])
        logits = np.empty((num_rows, len(self.shares)), np.float32)
        for start in range(0, num_rows, PORTION):
            part = {name: inputs[name][start : start + PORTION] for name in self.features}
            logits[start : start + PORTION] = self.linear.logits(_matrix(self.features, part))
        return {
            MAJORITY: CategoryPrediction(np.tile(self.shares, (num_rows, 1)), self.target.classes),
            TFIDF: self.target.decode(logits),
        }

    def save(self, folder: Path) -> None:
        """Writes `baseline.safetensors` and `baseline.json` into the folder."""
        from safetensors.numpy import save_file

        tensors = {"shares": self.shares, "weight": self.linear.weight, "bias": self.linear.bias}
        columns = []
        for number, (name, features) in enumerate(self.features.items()):
            vocabularies, idf = features.state()
            columns.append({"name": name, "vocabularies": vocabularies})
            tensors |= {f"idf.{number}.{view}": array for view, array in idf.items()}
        state = {
            "target": {"name": self.target.name, "state": self.target.state()},
            "scale": self.linear.scale,
            "strength": self.linear.strength,
            "rows": self.rows,
            "columns": columns,
        }
        save_file(tensors, folder / "baseline.safetensors")
        (folder / "baseline.json").write_text(json.dumps(state), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Baselines:
        """What `save` wrote. Raises UserError for a missing, damaged or made-up file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / "baseline.safetensors"
        try:
            tensors = load_file(path)
            path = folder / "baseline.json"
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, SafetensorError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({shorten(error, 200)}). Fit again to mend it.") from None
        return _from_state(state, tensors, where=str(path))


def fit_baselines(
    inputs: Texts,
    target: Category,
    labels: Sequence[str],
    valid: tuple[Texts, Sequence[str]] | None = None,
    *,
    seed: int = 0,
) -> Baselines:
    """Fits both methods on training rows; those whose label the target does not know are left out.

    inputs: at least one text column. labels: N labels. valid: texts and labels of the validation rows.
    More rows than the linear model can take in about two minutes are thinned out by chance, which a note says.
    """
    codes = target.encode(labels)
    counts = np.bincount(codes[codes >= 0], minlength=target.num_classes)
    assert counts.any(), "no training row has a label that the target knows"
    rows = _thinned(np.flatnonzero(codes >= 0), inputs, seed=seed)
    inputs, codes = _take(inputs, rows), codes[rows]
    features, matrix = _fit_features(inputs, target)
    some = np.random.default_rng(seed).permutation(len(rows))[:TUNING_ROWS]
    held = None if valid is None else _known(valid, target)
    if held is None:
        trials = _trials_within(_take(inputs, some), codes[some], target)
    else:
        held_matrix, held_codes = _matrix(features, held[0]), held[1]
        trials = [Trial(matrix[some], codes[some], held_matrix, held_codes)]
    strength, scale = choose_linear(trials, target, seed=seed)
    linear = fit_linear(matrix, codes, target, strength=strength, scale=scale, seed=seed)
    if held is not None and len(some) < len(rows):
        linear = replace(linear, scale=best_scale(linear.logits(held_matrix) / scale, held_codes, target))
    return Baselines(target, features, (counts / counts.sum()).astype(np.float32), linear, len(rows))


def _known(valid: tuple[Texts, Sequence[str]], target: Category) -> tuple[Texts, np.ndarray] | None:
    """Texts and (N,) classes of the validation rows whose label the target knows; None if they are too few."""
    codes = target.encode(valid[1])
    rows = np.flatnonzero(codes >= 0)
    rows = rows[:: 1 + len(rows) // TUNING_ROWS]  # evenly, for a file may be sorted by its labels
    return (_take(valid[0], rows), codes[rows]) if len(rows) >= ENOUGH_VALID else None


def _trials_within(inputs: Texts, codes: np.ndarray, target: Category) -> list[Trial]:
    """Training split against itself: four folds, of many rows only the first. Every class is spread evenly.

    The rows are in random order. Each trial learns its own features. Otherwise it would know the grams of the rows
    that it is judged by, their distances would be shorter than a new text's, and the scale would be too sure.
    """
    folds = np.empty(len(codes), np.int64)
    folds[np.argsort(codes, kind="stable")] = np.arange(len(codes)) % NUM_FOLDS
    trials = []
    for fold in range(min(NUM_FOLDS, len(codes)) if len(codes) < MANY_ROWS else 1):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        features, matrix = _fit_features(_take(inputs, rest), target)
        trials.append(Trial(matrix, codes[rest], _matrix(features, _take(inputs, held)), codes[held]))
    return trials


def _fit_features(inputs: Texts, target: Category) -> tuple[dict[str, TfidfFeatures], Any]:
    most = min(MAX_FEATURES, MAX_WEIGHTS // target.num_classes) // len(inputs)
    features, blocks = {}, []
    for name, texts in inputs.items():
        features[name], block = TfidfFeatures.fit(texts, max_features=most)
        blocks.append(block)
    return features, _stacked(blocks)


def _take(inputs: Texts, rows: np.ndarray) -> Texts:
    return {name: [texts[row] for row in rows] for name, texts in inputs.items()}


def _thinned(rows: np.ndarray, inputs: Texts, *, seed: int) -> np.ndarray:
    """As many of `rows`, in their order, as the linear model can take."""
    total = sum(min(len(text), LONGEST) for texts in inputs.values() for text in texts)
    most = MAX_ROWS
    if total > MAX_CHARACTERS:
        most = min(most, max(1000, len(rows) * MAX_CHARACTERS // total))
    if len(rows) <= most:
        return rows
    note(f"TF-IDF baseline: fitted on {most:,} of {len(rows):,} training rows, drawn by chance, to save time.")
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _matrix(features: Mapping[str, TfidfFeatures], inputs: Texts) -> Any:
    return _stacked([feature.transform(inputs[name]) for name, feature in features.items()])


def _stacked(blocks: list[Any]) -> Any:
    from scipy import sparse

    return sparse.hstack(blocks, format="csr")


def _from_state(state: Any, tensors: dict[str, np.ndarray], *, where: str) -> Baselines:
    names = {"target", "scale", "strength", "rows", "columns"}
    if not isinstance(state, dict) or state.keys() != names:
        raise UserError(f"{where}: expected an object of {', '.join(sorted(names))}, got {shorten(state)}.")
    for name in ("scale", "strength", "rows"):
        if type(state[name]) not in (int, float) or not 0 < state[name] < 1e12:
            raise UserError(f"{where}, '{name}': expected a number above 0, got {shorten(state[name])}.")
    saved = state["target"]
    if not isinstance(saved, dict) or saved.keys() != {"name", "state"}:
        raise UserError(f"{where}, 'target': expected an object of name and state, got {shorten(saved)}.")
    target = targets.load(saved["name"], saved["state"], where=f"{where}, 'target'")
    if not isinstance(state["columns"], list) or not state["columns"]:
        raise UserError(f"{where}, 'columns': expected a list of columns, got {shorten(state['columns'])}.")
    features: dict[str, TfidfFeatures] = {}
    for number, column in enumerate(state["columns"]):
        if not isinstance(column, dict) or column.keys() != {"name", "vocabularies"}:
            raise UserError(f"{where}, 'columns': expected objects of name and vocabularies.")
        if type(column["name"]) is not str or column["name"] in features:
            raise UserError(f"{where}, 'columns': expected different names, got {shorten(column['name'])}.")
        prefix = f"idf.{number}."
        idf = {name[len(prefix) :]: array for name, array in tensors.items() if name.startswith(prefix)}
        features[column["name"]] = TfidfFeatures.from_state(
            column["vocabularies"], idf, where=f"{where}, column '{shorten(column['name'])}'"
        )
    num_features = sum(feature.num_features for feature in features.values())
    shapes = {
        "shares": (target.num_classes,),
        "weight": (target.num_classes, num_features),
        "bias": (target.num_classes,),
    }
    for name, shape in shapes.items():
        array = tensors.get(name)
        if array is None or array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise UserError(f"{where}: its sizes do not fit baseline.safetensors: expected '{name}' of {shape}.")
    linear = Linear(tensors["weight"], tensors["bias"], float(state["scale"]), float(state["strength"]))
    return Baselines(target, features, tensors["shares"], linear, int(state["rows"]))
