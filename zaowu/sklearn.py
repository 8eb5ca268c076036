"""Text classifiers and regressors for scikit-learn: the same base, rule and loop as `zaowu fit`, no files.

    from zaowu.sklearn import Classifier

    model = Classifier(epochs=3).fit(texts, labels)
    model.predict_proba(["姚明宣布退役"])

They follow scikit-learn's estimator rules (clone, get_params, Pipeline, cross_val_score, GridSearchCV with n_jobs).
X is one column of texts (list, array, Series) or several (2-D array, DataFrame). No report folder is written: for one
with baselines and a page, use `zaowu.fit`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, check_consistent_length, check_is_fitted, column_or_1d

from zaowu.config import FitConfig
from zaowu.errors import UserError, shorten
from zaowu.evaluate.predict import predict
from zaowu.learn import Learned, learn
from zaowu.options import fit_config, rare_settings, seconds
from zaowu.progress import speaking
from zaowu.records.check import clean
from zaowu.records.records import Column, Records, Schema, Table
from zaowu.records.split import split_off
from zaowu.train.rule import CROSS_VALIDATE_BELOW

TARGET, WEIGHT = "target", "weight"


class _TextEstimator(BaseEstimator):
    """What both estimators share. Parameters mean what the flags of `zaowu fit` mean; settings: the rare ones.

    validation: share of the rows that chooses the epoch, or None: a tenth from 1,000 rows on, else none.
    random_state: an integer or a RandomState; None is seed 0, so that a fit can be repeated.
    """

    def __init__(
        self,
        *,
        base: str | None = None,
        size: str = "small",
        head: str = "mean",
        long: str = "window",
        trim_vocab: str = "auto",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        class_weights: str = "none",
        time_limit: str | float | None = None,
        settings: dict[str, Any] | None = None,
        validation: float | None = None,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.base = base
        self.size = size
        self.head = head
        self.long = long
        self.trim_vocab = trim_vocab
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.class_weights = class_weights
        self.time_limit = time_limit
        self.settings = settings
        self.validation = validation
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.threads = threads
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False  # of numbers; columns of texts are welcome
        tags.target_tags.required = True
        return tags

    def _learn(self, X: Any, labels: pl.Series, kind: str, sample_weight: Any) -> Learned:
        config = self._config()
        records = _records(self._columns(X, reset=True), labels, kind, sample_weight)
        share = self.validation
        if share is None:
            share = 0.1 if len(records) >= CROSS_VALIDATE_BELOW else 0.0
        valid = None
        train = records
        if share:
            sides = split_off(records, share)
            train, valid = records.take(sides.train), records.take(sides.valid)
            valid = valid if len(valid) else None
        with speaking(quiet=not self.verbose):
            return learn(train, valid, config, known=records)

    def _config(self) -> FitConfig:
        seed = 0
        if self.random_state is not None:
            state = self.random_state
            seed = int(state if isinstance(state, (int, np.integer)) else check_random_state(state).randint(2**31 - 1))
        text = {"base": self.base, "size": self.size, "trim_vocab": self.trim_vocab, "long": self.long}
        training = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "class_weights": self.class_weights,
            "time_limit": seconds(self.time_limit),
            "seed": seed,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
        }
        return fit_config({}, text, self.head, training, rare_settings(self.settings or {}))

    def _outputs(self, X: Any) -> np.ndarray:
        """(N, C) raw outputs, one row per record, empty texts included."""
        columns = self._columns(X, reset=False)
        num_records = len(next(iter(columns.values())))
        learned = self.learned_
        items = learned.source.items(columns)
        with speaking(quiet=not self.verbose):
            return predict(learned.model, learned.source, items, num_records=num_records)[TARGET]

    def _columns(self, X: Any, *, reset: bool) -> dict[str, list[str]]:
        """Column -> N texts. Raises ValueError for anything that is not columns of texts."""
        _check_feature_names(self, X, reset=reset)
        if hasattr(X, "columns"):  # a frame of pandas or polars
            columns = {str(name): list(X[name]) for name in X.columns}
        else:
            if hasattr(X, "sparse") or hasattr(X, "toarray"):
                raise TypeError("Expected texts, got a sparse matrix. Give a list of strings.")
            array = np.asarray(X, dtype=object)
            if array.ndim not in (1, 2) or not array.size:
                raise ValueError(
                    f"Found array with {len(array) if array.ndim else 0} sample(s) (shape={array.shape}) while a "
                    "minimum of 1 is required. Expected one text or one row of texts per record."
                )
            parts = [array] if array.ndim == 1 else list(array.T)
            columns = {f"text_{k + 1}" if len(parts) > 1 else "text": list(part) for k, part in enumerate(parts)}
        for name, values in columns.items():
            if not values:
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
            for wrong in (value for value in values if not isinstance(value, str)):
                raise ValueError(f"Column '{name}': expected texts, got {type(wrong).__name__} {shorten(wrong, 20)}.")
        if reset:
            self.n_features_in_ = len(columns)
        elif len(columns) != self.n_features_in_:
            raise ValueError(
                f"X has {len(columns)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return columns


class Classifier(ClassifierMixin, _TextEstimator):
    """A fine-tuned Transformer that names one of several classes.

    After `fit`: classes_ (C,), in the order of `predict_proba`'s columns; n_features_in_; learned_, the trained model.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Classifier:
        """X: N texts or rows of texts. y: (N,) labels. sample_weight: (N,) from 0, for training."""
        y = _checked(X, y, self)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Classifier can't train when only one class is present, got {self.classes_[0]!r}.")
        width = len(str(len(self.classes_)))
        names = [f"{code:0{width}d}" for code in codes]  # in the order of classes_, whatever their type
        self.learned_ = self._learn(X, pl.Series(TARGET, names), "category", sample_weight)
        known = self.learned_.targets[TARGET].classes
        if len(known) < len(self.classes_):
            lost = next(label for code, label in enumerate(self.classes_) if f"{code:0{width}d}" not in known)
            raise ValueError(f"Class '{lost}': every text of it is empty. Leave these rows out.")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, C) float64 that sum to 1, columns in the order of `classes_`."""
        check_is_fitted(self)
        found = self._decoded(X)
        return found / found.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """(N,) labels of the type that `fit` was given."""
        check_is_fitted(self)
        return self.classes_[self._decoded(X).argmax(axis=1)]

    def _decoded(self, X: Any) -> np.ndarray:
        return self.learned_.targets[TARGET].decode(self._outputs(X)).probabilities.astype(np.float64)


class Regressor(RegressorMixin, _TextEstimator):
    """A fine-tuned Transformer that gives a number. After `fit`: n_features_in_; learned_, the trained model."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Regressor:
        """X: N texts or rows of texts. y: (N,) numbers. sample_weight: (N,) from 0, for training."""
        values = np.asarray(_checked(X, y, self), np.float64)
        if len(np.unique(values)) < 2:
            raise ValueError(f"Expected at least two different numbers, got n_samples={len(values)} of {values[0]}.")
        self.learned_ = self._learn(X, pl.Series(TARGET, values), "number", sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,) float64."""
        check_is_fitted(self)
        return self.learned_.targets[TARGET].decode(self._outputs(X)).value


def _checked(X: Any, y: Any, estimator: BaseEstimator) -> np.ndarray:
    """y as (N,) with one finite value for each row of X."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if not hasattr(X, "shape"):
        X = np.asarray(X, dtype=object)
    if X.shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required.")
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    assert_all_finite(y, input_name="y")
    return y


def _records(
    columns: dict[str, list[str]], labels: pl.Series, kind: Literal["category", "number"] | str, sample_weight: Any
) -> Records:
    names = {name: name if name not in (TARGET, WEIGHT) else f"{name}_" for name in columns}
    frame = pl.DataFrame({names[name]: values for name, values in columns.items()}).with_columns(labels)
    schema = [Column(name, "input", "text", "given") for name in names.values()]
    schema.append(Column(TARGET, "target", kind, "given"))
    if sample_weight is not None:
        weights = np.broadcast_to(np.asarray(sample_weight, np.float64), (frame.height,))
        if (weights < 0).any() or not np.isfinite(weights).all() or not weights.any():
            raise ValueError("sample_weight: expected finite numbers from 0, got others, or every weight is zero.")
        frame = frame.with_columns(pl.Series(WEIGHT, weights))
        schema.append(Column(WEIGHT, "weight", "number", "given"))
    table = Table(frame, np.arange(1, frame.height + 1), "X")
    try:
        return clean(table, Schema(tuple(schema)))
    except UserError as error:
        raise ValueError(str(error)) from None
