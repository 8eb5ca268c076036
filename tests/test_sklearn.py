"""The estimators keep scikit-learn's rules, and work where its users put them."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import validate_data

from zaowu.sklearn import Classifier, Regressor

SMALL = {"base": "none", "size": "mini", "epochs": 1, "threads": 1}
# scikit-learn's checks feed numbers. These cannot hold for a network that is trained on texts:
EXPECTED = {
    "check_classifiers_train": "asks for an accuracy on numbers that were turned into words",
    "check_regressors_train": "asks for a fit on numbers that were turned into words",
    "check_sample_weight_equivalence_on_dense_data": "rows drawn into other batches give another network",
    "check_array_api_input": "texts are no arrays of an array API",
}


class Words:
    """Numbers as words, so that scikit-learn's checks, which know only numbers, can be run on a text estimator."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, False, True
        return tags

    def _columns(self, X, *, reset):
        X = validate_data(self, X, reset=reset)
        return {"text": [" ".join(f"{chr(97 + k % 26)}{round(2 * v)}" for k, v in enumerate(row)) for row in X]}


class WordsClassifier(Words, Classifier):
    pass


class WordsRegressor(Words, Regressor):
    pass


def checks():
    for kind in (WordsClassifier, WordsRegressor):
        for estimator, check in estimator_checks_generator(kind(**SMALL)):
            name = check.func.__name__
            marks = [pytest.mark.xfail(reason=EXPECTED[name])] if name in EXPECTED else []
            yield pytest.param(estimator, check, marks=marks, id=f"{kind.__name__}-{name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), [*checks()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data(news):
    return [text for text, _ in news], [label for _, label in news]


def test_probabilities_sum_to_one_and_classes_keep_their_order(data):
    X, y = data
    numbers = np.array([10 if label == y[0] else 9 for label in y])  # "10" sorts before "9" as words
    model = Classifier(**SMALL).fit(X, numbers)
    assert model.classes_.tolist() == [9, 10]
    found = model.predict_proba(X)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert np.array_equal(model.predict(X), model.classes_[found.argmax(axis=1)])
    assert model.predict(X).dtype == numbers.dtype


def test_it_learns_what_can_be_learned():
    X = [f"{'好' if k % 2 else '坏'}东西{k % 7}" for k in range(80)]
    labels = ["pos" if k % 2 else "neg" for k in range(80)]
    assert Classifier(**SMALL | {"epochs": 12}).fit(X, labels).score(X, labels) > 0.95
    amounts = [5.0 if k % 2 else 1.0 for k in range(80)]
    assert Regressor(**SMALL | {"epochs": 12}).fit(X, amounts).score(X, amounts) > 0.8


def test_the_same_seed_repeats_and_weights_of_zero_teach_nothing(data):
    X, y = data
    one, other = (Classifier(**SMALL, random_state=3).fit(X, y).predict_proba(X) for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, Classifier(**SMALL, random_state=4).fit(X, y).predict_proba(X))
    flipped = [*y, *("科技" if label == "体育" else "体育" for label in y)]
    weights = np.r_[np.ones(len(y)), np.zeros(len(y))]
    shifted = Classifier(**SMALL | {"epochs": 5}).fit([*X, *(f"{text} 反" for text in X)], flipped, weights)
    assert shifted.score(X, y) > 0.8


def test_frames_arrays_and_several_columns(data, tmp_path, monkeypatch):
    X, y = data
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"title": X, "lead": X[::-1]})
    model = Classifier(**SMALL).fit(frame, y)
    assert model.n_features_in_ == 2 and model.feature_names_in_.tolist() == ["title", "lead"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"lead": "other"}))
    with pytest.raises(ValueError, match="expecting 2 features"), pytest.warns(UserWarning, match="feature names"):
        model.predict(X)
    assert Classifier(**SMALL).fit(np.array(X), np.array(y)).predict(pd.Series(X)).shape == (len(X),)
    assert not list(tmp_path.iterdir())  # no report folders


def test_in_a_pipeline_in_cross_validation_and_in_a_grid_on_two_processes(data):
    X, y = data
    pipeline = make_pipeline(FunctionTransformer(np.char.lower), Classifier(**SMALL))
    scores = cross_val_score(pipeline, np.array(X), y, cv=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()
    grid = GridSearchCV(Classifier(**SMALL), {"lr": [1e-4, 1e-3]}, cv=2, n_jobs=2).fit(X, y)
    assert grid.best_params_["lr"] in (1e-4, 1e-3) and len(grid.predict(X)) == len(X)


def test_clones_and_copies_give_the_same(data):
    X, y = data
    model = Classifier(**SMALL, settings={"warmup": 0.2}).fit(X, y)
    again = clone(model).fit(X, y)
    assert np.array_equal(model.predict_proba(X), again.predict_proba(X))
    assert np.array_equal(model.predict_proba(X), copy.deepcopy(model).predict_proba(X))


@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        ([1, 2], ["a", "b"], "expected texts, got int"),
        (["x", None], ["a", "b"], "expected texts, got NoneType"),
        (["x", "y"], ["a", "a"], "only one class"),
        (["x", "y"], ["a"], "inconsistent numbers of samples"),
        ([], [], "0 sample"),
        (["x", "y"], None, "requires y"),
    ],
)
def test_bad_input_gets_a_sentence(X, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        Classifier(**SMALL).fit(X, y)


def test_a_wrong_choice_names_its_flag(data):
    with pytest.raises(Exception, match="--size"):
        Classifier(**SMALL | {"size": "huge"}).fit(*data)


def test_a_class_of_empty_texts_is_refused_by_name():
    with pytest.raises(ValueError, match="'b': every text of it is empty"):
        Classifier(**SMALL).fit(["x y", " ", "z w", "x z", "w w"], ["a", "b", "c", "a", "c"])
