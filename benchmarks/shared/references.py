"""The methods that the modalities are measured against; each chooses its best settings within training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

INNER_FOLDS = 5
TRIED = 30  # settings of boosting, drawn from its grid
BOOSTING = {
    "learning_rate": [0.02, 0.05, 0.1, 0.2],
    "max_iter": [50, 100, 200, 400],
    "max_leaf_nodes": [3, 5, 8, 16, 31],
    "min_samples_leaf": [3, 5, 10, 20, 40],
    "l2_regularization": [0.0, 0.1, 1.0, 10.0],
    "max_features": [0.3, 0.6, 1.0],
}
STRENGTHS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]


def support_vectors(matrix: np.ndarray, labels: Sequence[str]) -> Any:
    """A support vector machine with a Gaussian kernel on standardised features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    width = 1 / matrix.shape[1]
    grid = {"svc__C": [1, 3, 10, 30], "svc__gamma": [0.1 * width, 0.3 * width, width, 3 * width]}
    return _searched(make_pipeline(StandardScaler(), SVC()), grid, matrix, labels, "accuracy")


def logistic(matrix: np.ndarray, labels: Sequence[str], *, scoring: str, folds: int = INNER_FOLDS) -> Any:
    """Logistic regression; classes weigh as many rows as they have, or the same."""
    from sklearn.linear_model import LogisticRegression

    grid = {"C": STRENGTHS, "class_weight": [None, "balanced"]}
    return _searched(LogisticRegression(max_iter=2000), grid, matrix, labels, scoring, folds=folds)


def ridge(matrix: Any, values: Sequence[float]) -> Any:
    from sklearn.linear_model import Ridge

    grid = {"alpha": [10.0**power for power in range(-3, 5)]}
    return _searched(Ridge(), grid, matrix, values, "neg_mean_absolute_error")


def forest(matrix: Any, values: Sequence[float], *, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    grid = {"max_features": [0.1, 0.3, 1.0], "min_samples_leaf": [1, 2, 4]}
    model = RandomForestRegressor(300, random_state=seed)
    return _searched(model, grid, matrix, values, "neg_mean_absolute_error")


def _searched(
    model: Any, grid: Mapping[str, Any], matrix: Any, answers: Sequence, scoring: str, *, folds: int = INNER_FOLDS
) -> Any:
    """`model` with the settings of the grid that are best over inner folds, fitted on all rows."""
    from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

    kind = KFold if scoring.startswith("neg_") else StratifiedKFold
    cv = kind(folds, shuffle=True, random_state=0)
    return GridSearchCV(model, dict(grid), scoring=scoring, cv=cv).fit(matrix, np.asarray(answers)).best_estimator_


@dataclass(frozen=True)
class Boosting:
    """Gradient boosting over histograms on a table. chosen: its settings."""

    cells: Any
    model: Any
    names: tuple[str, ...]
    chosen: dict[str, Any]

    def scores(self, frame: pl.DataFrame, label: str) -> list[float]:
        """(N,) the probability of one class."""
        place = list(self.model.classes_).index(label)
        found: list[float] = self.model.predict_proba(_cells(self.cells, frame, self.names))[:, place].tolist()
        return found


def boosting(frame: pl.DataFrame, target: str, *, seed: int) -> Boosting:
    """The best of `TRIED` settings by the area under the ROC curve over inner folds. Categories are given as such."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
    from sklearn.preprocessing import OrdinalEncoder

    names = tuple(name for name in frame.columns if name != target)
    words = [name for name in names if frame.schema[name] == pl.String]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    if words:
        encoder.fit(frame.select(words).to_numpy())
    cells = (encoder, words)
    is_category = [name in words for name in names]
    model = HistGradientBoostingClassifier(categorical_features=is_category, early_stopping=False, random_state=seed)
    cv = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=0)
    search = RandomizedSearchCV(model, BOOSTING, n_iter=TRIED, scoring="roc_auc", cv=cv, random_state=0)
    search.fit(_cells(cells, frame, names), frame[target].to_numpy())
    return Boosting(cells, search.best_estimator_, names, search.best_params_)


def _cells(cells: Any, frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """(N, columns) float64; a category is the number of its value."""
    encoder, words = cells
    matrix = {name: frame[name].cast(pl.Float64).to_numpy() for name in names if name not in words}
    if words:
        matrix |= dict(zip(words, encoder.transform(frame.select(words).to_numpy()).T, strict=True))
    return np.stack([matrix[name] for name in names], axis=1)
