"""Gradient boosting: the cheap method to beat on tables. Shallow trees, each fitted to what those before it missed.

The trees are scikit-learn's `DecisionTreeRegressor`, whose arrays are public; the few lines of boosting around them
are ours. scikit-learn's own boosters will not do: the trees of the fast one (by histograms) are private, and the one
whose trees are public grows one tree per class and round. Here one tree answers for all classes or tags, with a
vector in each leaf. With one output the result is that of scikit-learn's `GradientBoosting...`, which a test holds.

Sources: Friedman 2001 (gradient boosting, Newton steps in the leaves); Chen and Guestrin 2016 (the ridge on them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.progress import Bar, note
from zaowu.targets import answered

BOOSTING = "boosting"  # the name of the method, everywhere
RATE = 0.1
DEPTHS = (2, 3)  # of equals the first is taken
MAX_DEPTH = 8  # of a saved one
MAX_TREES = 200
PATIENCE = 15  # trees without a gain on held rows before stopping
SHARE = 0.5  # of the columns that a split may choose from
LEAST_LEAF = 5  # rows
RIDGE = 1.0
NUM_FOLDS = 4
MANY_ROWS = 4_000  # from here on one fold is enough to choose by
MAX_CELLS = 400_000  # rows x columns x (1 + outputs / 8): about a minute
MAX_NODES = 2_000_000
PORTION = 2_000_000  # numbers that are looked at together
LEAST_HESSIAN = 1e-9


@dataclass(frozen=True)
class Boosted:
    """A sum of trees. base: (K,) float32, what is said before the first tree; K is 1 for two classes.

    All trees lie below one another. feature, left, right: (S,) int32; threshold: (S,) float32; value: (S, K) float32.
    A row goes left where its feature is at most the threshold; a leaf leads to itself. roots: (trees,) int32.
    depth: steps that reach every leaf. num_outputs: of the target.
    """

    base: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    depth: int
    num_features: int
    num_outputs: int

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """(N, F) float32 features -> (N, K) float64."""
        found = np.tile(self.base.astype(np.float64), (len(matrix), 1))
        if not len(self.roots):
            return found
        rows_at_once = max(1, PORTION // (len(self.roots) * self.value.shape[1]))
        for start in range(0, len(matrix), rows_at_once):
            part = matrix[start : start + rows_at_once]
            rows = np.arange(len(part))[:, None]
            node = np.broadcast_to(self.roots, (len(part), len(self.roots)))  # (n, trees)
            for _ in range(self.depth):
                goes_left = part[rows, self.feature[node]] <= self.threshold[node]
                node = np.where(goes_left, self.left[node], self.right[node])
            found[start : start + len(part)] += self.value[node].sum(axis=1, dtype=np.float64)
        return found

    def outputs(self, matrix: np.ndarray) -> np.ndarray:
        """(N, F) float32 features -> (N, num_outputs) float32, as the target decodes them."""
        return _spread(self.scores(matrix), self.num_outputs)

    def state(self) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        """Plain numbers, and the arrays for a safetensors file."""
        sizes = {"depth": self.depth, "num_features": self.num_features, "num_outputs": self.num_outputs}
        return sizes, {name: getattr(self, name) for name in ("base", *NODES, "value", "roots")}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> Boosted:
        """The strict inverse of `state`. Raises UserError naming `where` for arrays that do not fit together."""
        if not isinstance(plain, dict) or plain.keys() != {"depth", "num_features", "num_outputs"}:
            raise UserError(f"{where}: expected depth, num_features and num_outputs, got {shorten(plain)}.")
        most = {"depth": MAX_DEPTH, "num_features": 10_000_000, "num_outputs": 100_000}
        if not all(type(plain[name]) is int and 0 <= plain[name] <= limit for name, limit in most.items()):
            raise UserError(f"{where}: expected sizes of at most {shorten(most)}, got {shorten(plain)}.")
        width = plain["num_outputs"]
        found: dict[str, Any] = {}
        for name in ("base", *NODES, "value", "roots"):
            array, dtype = arrays.get(name), np.float32 if name in ("base", "threshold", "value") else np.int32
            if array is None or array.dtype != dtype or array.ndim != 1 + (name == "value"):
                raise UserError(f"{where}, '{name}': expected an array of {dtype.__name__}.")
            found[name] = array
        num, roots = len(found["feature"]), found["roots"]
        if len(found["base"]) not in ((1, 2) if width == 2 else (width,)) or num > MAX_NODES:
            raise UserError(f"{where}: its sizes do not fit {width} outputs.")
        if any(len(found[name]) != num for name in NODES) or found["value"].shape != (num, len(found["base"])):
            raise UserError(f"{where}: its trees are arrays of different length.")
        inside = all(((found[name] >= 0) & (found[name] < num)).all() for name in ("left", "right", "roots"))
        features_fit = ((found["feature"] >= 0) & (found["feature"] < max(1, plain["num_features"]))).all()
        finite = all(np.isfinite(found[name]).all() for name in ("base", "threshold", "value"))
        if not (inside and features_fit and finite and len(roots) <= MAX_TREES):
            raise UserError(f"{where}: its trees point at nodes or columns that are not there.")
        return cls(**found, **plain)


NODES = ("feature", "threshold", "left", "right")


def fit_boosted(
    matrix: np.ndarray,
    answers: np.ndarray,
    target: Any,
    *,
    seed: int,
    held: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Boosted, Any]:
    """Boosting with the depth and the number of trees that are best on held rows, fitted on all rows; and the target
    with what the held rows say of thresholds.

    matrix: (N, F) float32 without NaN. answers: as the target's `features` gives them; rows without one are left out.
    held: matrix and answers of validation rows; None: training is split against itself. More rows than can be
    fitted in about a minute are thinned out by chance, which a note says.
    """
    matrix, answers = _known(matrix, answers)
    assert len(matrix), "a target has no answer that it knows"
    most = max(500, int(MAX_CELLS / max(1, matrix.shape[1]) / (1 + target.num_outputs / 8)))
    if len(matrix) > most:
        note(f"Gradient boosting: fitted on {most:,} of {len(matrix):,} training rows, drawn by chance, to save time.")
        rows = np.sort(np.random.default_rng(seed).choice(len(matrix), most, replace=False))
        matrix, answers = matrix[rows], answers[rows]
    if matrix.shape[1] == 0 or len(matrix) < 2 * NUM_FOLDS:
        return _Booster(target, answers, depth=1, seed=seed).boosted(matrix.shape[1]), target
    if held is not None:
        trials = [(matrix, answers, *_known(*held))]
    else:
        folds = _folds(answers, seed=seed)
        many = len(matrix) >= MANY_ROWS
        trials = [
            (matrix[folds != k], answers[folds != k], matrix[folds == k], answers[folds == k])
            for k in range(1 if many else NUM_FOLDS)
        ]
    held_answers = np.concatenate([trial[3] for trial in trials])
    best: tuple[float, int, int, np.ndarray] | None = None
    with Bar("boosting baseline", len(DEPTHS) + 1) as bar:
        for depth in DEPTHS:
            loss, num_trees, outputs = _tried(trials, held_answers, target, depth=depth, seed=seed)
            bar.advance()
            if best is None or loss < best[0]:
                best = (loss, depth, num_trees, outputs)
        assert best is not None
        _, depth, num_trees, outputs = best
        booster = _Booster(target, answers, depth=depth, seed=seed)
        for _ in range(num_trees):
            booster.grow(matrix)
    return booster.boosted(matrix.shape[1]), target.tuned(outputs, held_answers)


def _known(matrix: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = answered(answers)
    return np.ascontiguousarray(matrix[known], np.float32), answers[known]


def _folds(answers: np.ndarray, *, seed: int) -> np.ndarray:
    """(N,) fold of each row by chance, classes and numbers spread evenly."""
    order = np.random.default_rng(seed).permutation(len(answers))
    if answers.ndim == 1:
        order = order[np.argsort(answers[order], kind="stable")]
    folds = np.empty(len(answers), np.int64)
    folds[order] = np.arange(len(answers)) % NUM_FOLDS
    return folds


def _tried(
    trials: Sequence[tuple[np.ndarray, ...]], answers: np.ndarray, target: Any, *, depth: int, seed: int
) -> tuple[float, int, np.ndarray]:
    """The least loss on held rows, after how many trees, and the outputs there. All trials grow side by side."""
    boosters = [_Booster(target, own, depth=depth, seed=seed) for _, own, _, _ in trials]
    scores = [np.tile(booster.base, (len(held), 1)) for booster, (_, _, held, _) in zip(boosters, trials, strict=True)]

    def judged() -> tuple[float, np.ndarray]:
        outputs = _spread(np.concatenate(scores), target.num_outputs)
        return float(target.row_losses(outputs, answers).mean()), outputs

    best = (*judged(), 0)
    for num_trees in range(1, MAX_TREES + 1):
        for place, (booster, trial) in enumerate(zip(boosters, trials, strict=True)):
            tree = booster.grow(trial[0])
            scores[place] = scores[place] + booster.values[-1][tree.tree_.apply(trial[2])]
        loss, outputs = judged()
        if loss < best[0]:
            best = (loss, outputs, num_trees)
        elif num_trees - best[2] >= PATIENCE:
            break
    return best[0], best[2], best[1]


class _Booster:
    """Trees that are grown one by one. scores: (N, K) float64 of the training rows. trees, values: one each a round."""

    def __init__(
        self,
        target: Any,
        answers: np.ndarray,
        *,
        depth: int,
        seed: int,
        rate: float = RATE,
        ridge: float = RIDGE,
        share: float = SHARE,
        least_leaf: int = LEAST_LEAF,
    ) -> None:
        self.target, self.depth, self.seed = target, depth, seed
        self.rate, self.ridge, self.share, self.least_leaf = rate, ridge, share, least_leaf
        self.weights = np.ones(len(answers))
        prior = target.prior(answers).astype(np.float64)
        if target.name == "category":
            self.weights = target.weights()[answers].astype(np.float64)
            if target.num_outputs == 2:  # one score, for the second class
                self.truth, self.base = answers[:, None].astype(np.float64), prior[1:] - prior[:1]
            else:
                self.truth, self.base = (answers[:, None] == np.arange(target.num_outputs)).astype(np.float64), prior
        else:
            self.truth, self.base = answers.reshape(len(answers), -1).astype(np.float64), prior
        self.scores = np.tile(self.base, (len(answers), 1))
        self.trees: list[Any] = []
        self.values: list[np.ndarray] = []  # of each tree, (nodes, K); zeros but in leaves

    def grow(self, matrix: np.ndarray) -> Any:
        """One more tree, for what is left to say."""
        from sklearn import config_context
        from sklearn.tree import DecisionTreeRegressor

        left, curve = self._slopes()
        tree = DecisionTreeRegressor(
            max_depth=self.depth,
            min_samples_leaf=self.least_leaf,
            max_features=self.share,
            random_state=self.seed + len(self.trees),
        )
        with config_context(skip_parameter_validation=True, assume_finite=True):  # which takes longer than a tree
            tree.fit(matrix, left, sample_weight=self.weights, check_input=False)
        leaves, num_nodes = tree.tree_.apply(matrix), tree.tree_.node_count
        sums, curves = np.zeros((2, num_nodes, self.truth.shape[1]))
        np.add.at(sums, leaves, left * self.weights[:, None])
        np.add.at(curves, leaves, curve * self.weights[:, None])
        values = self.rate * sums / np.maximum(curves + self.ridge, LEAST_HESSIAN)
        values[tree.tree_.children_left >= 0] = 0.0
        self.trees.append(tree)
        self.values.append(values)
        self.scores += values[leaves]
        return tree

    def _slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) each: the loss's negative slope in the scores, and its curvature."""
        if self.target.name == "number":
            return self.truth - self.scores, np.ones_like(self.scores)
        if self.target.name == "category" and self.scores.shape[1] > 1:
            shares = np.exp(self.scores - self.scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
        else:
            shares = 1 / (1 + np.exp(-np.clip(self.scores, -60, 60)))
        return self.truth - shares, shares * (1 - shares)

    def boosted(self, num_features: int) -> Boosted:
        """The trees as arrays."""
        starts = np.cumsum([0, *(tree.tree_.node_count for tree in self.trees)])
        parts: dict[str, list[np.ndarray]] = {name: [] for name in NODES}
        for tree, start in zip(self.trees, starts.tolist(), strict=False):
            own = tree.tree_
            nodes = start + np.arange(own.node_count)
            is_leaf = own.children_left < 0
            parts["feature"].append(np.where(is_leaf, 0, own.feature))
            parts["threshold"].append(_floored(np.where(is_leaf, 0.0, own.threshold)))
            parts["left"].append(np.where(is_leaf, nodes, start + own.children_left))
            parts["right"].append(np.where(is_leaf, nodes, start + own.children_right))
        arrays = {name: np.concatenate([np.empty(0), *found]) for name, found in parts.items()}
        width = self.truth.shape[1]
        return Boosted(
            base=self.base.astype(np.float32),
            value=np.concatenate([np.empty((0, width)), *self.values]).astype(np.float32),
            roots=starts[:-1].astype(np.int32),
            depth=self.depth,
            num_features=num_features,
            num_outputs=self.target.num_outputs,
            **{name: array.astype(np.float32 if name == "threshold" else np.int32) for name, array in arrays.items()},
        )


def _floored(thresholds: np.ndarray) -> np.ndarray:
    """float64 -> the largest float32 that is not above it, so that no float32 feature changes sides."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _spread(scores: np.ndarray, num_outputs: int) -> np.ndarray:
    """(N, K) -> (N, num_outputs) float32: of two classes the first one's logit is 0."""
    if scores.shape[1] == num_outputs:
        return scores.astype(np.float32)
    return np.concatenate([np.zeros_like(scores), scores], axis=1).astype(np.float32)
