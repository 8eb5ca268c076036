"""Gradient boosting: held against scikit-learn's, its walk against the trees it came from, its files against lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.evaluate import boosting
from zaowu.evaluate.boosting import Boosted, _Booster, _floored, fit_boosted
from zaowu.targets.category import Category
from zaowu.targets.number import Number
from zaowu.targets.tags import Tags

ROWS, WIDTH = 240, 5


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Enough for these rows, in a fraction of the time."""
    monkeypatch.setattr(boosting, "MAX_TREES", 40)


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of (N, F) and (N,) a number that its columns tell, with bends and noise."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    told = np.sin(2 * matrix[:, 0]) + np.abs(matrix[:, 1]) * matrix[:, 2] + 0.1 * rng.normal(size=ROWS)
    return matrix, told


def goals(told: np.ndarray) -> dict[str, tuple[object, np.ndarray]]:
    """Name -> a target of each kind, and its answers."""
    two = [f"{value > 0}" for value in told]
    many = [f"{int(np.clip(value, -2, 2) // 1)}" for value in told]
    tags = ["[" + ", ".join(f'"{name}"' for name, line in (("a", 0), ("b", 1)) if value > line) + "]" for value in told]
    found = {}
    for name, kind, labels in (
        ("two", Category, two),
        ("many", Category, many),
        ("tags", Tags, tags),
        ("number", Number, told.tolist()),
    ):
        target = kind.fit(labels)
        found[name] = (target, target.features(labels))
    return found


@pytest.mark.parametrize("name", ["two", "number"])
def test_the_trees_are_those_of_scikit_learn(name):
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    matrix, told = made()
    target, answers = goals(told)[name]
    booster = _Booster(target, answers, depth=3, seed=0, rate=0.1, ridge=0.0, share=1.0, least_leaf=5)
    for _ in range(40):
        booster.grow(matrix)
    how = {"n_estimators": 40, "max_depth": 3, "learning_rate": 0.1, "min_samples_leaf": 5}
    fresh, _ = made(1)
    ours = booster.boosted(WIDTH).scores(fresh)[:, 0]
    if name == "two":
        theirs = GradientBoostingClassifier(**how, random_state=0).fit(matrix, answers).decision_function(fresh)
    else:
        theirs = GradientBoostingRegressor(**how, random_state=0).fit(matrix, answers).predict(fresh)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", ["two", "many", "tags", "number"])
def test_the_walk_reaches_the_leaves_of_the_trees(name):
    matrix, told = made()
    target, answers = goals(told)[name]
    booster = _Booster(target, answers, depth=3, seed=0)
    for _ in range(10):
        booster.grow(matrix)
    fresh, _ = made(1)
    expected = booster.base + sum(
        values[tree.apply(fresh)] for tree, values in zip(booster.trees, booster.values, strict=True)
    )
    found = booster.boosted(WIDTH)
    np.testing.assert_allclose(found.scores(fresh), expected, atol=1e-5)
    np.testing.assert_allclose(found.scores(matrix), booster.scores, atol=1e-5)
    assert found.outputs(fresh).shape == (ROWS, target.num_outputs) and found.outputs(fresh).dtype == np.float32


def test_portions_change_nothing(monkeypatch):
    matrix, told = made()
    boosted, _ = fit_boosted(matrix, goals(told)["many"][1], goals(told)["many"][0], seed=0)
    whole = boosted.scores(matrix)
    monkeypatch.setattr(boosting, "PORTION", 1)
    np.testing.assert_array_equal(boosted.scores(matrix), whole)


@pytest.mark.parametrize("name", ["two", "many", "tags", "number"])
@pytest.mark.parametrize("has_held", [False, True])
def test_it_learns_what_there_is_to_learn(name, has_held):
    matrix, told = made()
    target, answers = goals(told)[name]
    if has_held:
        boosted, tuned = fit_boosted(matrix[:160], answers[:160], target, seed=0, held=(matrix[160:], answers[160:]))
    else:
        boosted, tuned = fit_boosted(matrix, answers, target, seed=0)
    assert type(tuned) is type(target)
    fresh, truth = made(1)
    wanted = goals_like(target, name, truth)
    prior = np.tile(target.prior(answers), (ROWS, 1))
    ours = target.row_losses(boosted.outputs(fresh), wanted).mean()
    assert ours < 0.8 * target.row_losses(prior, wanted).mean()


def goals_like(target, name: str, told: np.ndarray) -> np.ndarray:
    """The answers of `told` to a target that was fitted on others."""
    if name == "number":
        return target.features(told.tolist())
    if name == "two":
        return target.features([f"{value > 0}" for value in told])
    if name == "many":
        return target.features([f"{int(np.clip(value, -2, 2) // 1)}" for value in told])
    return np.stack([told > 0, told > 1], axis=1).astype(np.float32)


def test_noise_grows_hardly_a_tree():
    matrix, _ = made()
    rng = np.random.default_rng(3)
    labels = [f"{value}" for value in rng.integers(0, 2, ROWS)]
    target = Category.fit(labels)
    boosted, _ = fit_boosted(matrix, target.features(labels), target, seed=0)
    assert len(boosted.roots) < 20


def test_rows_without_an_answer_teach_nothing_and_rows_beyond_the_limit_are_thinned(monkeypatch, capsys):
    matrix, told = made()
    target, answers = goals(told)["number"]
    gaps = answers.copy()
    gaps[::3] = np.nan
    some, _ = fit_boosted(matrix, gaps, target, seed=0)
    same, _ = fit_boosted(matrix[np.isfinite(gaps)], gaps[np.isfinite(gaps)], target, seed=0)
    np.testing.assert_array_equal(some.value, same.value)
    assert "drawn by chance" not in capsys.readouterr().err
    wide = np.tile(matrix, (5, 1))
    monkeypatch.setattr(boosting, "MAX_CELLS", 1)
    fit_boosted(wide, np.tile(answers, 5), target, seed=0)
    assert f"fitted on 500 of {5 * ROWS:,} training rows" in capsys.readouterr().err


def test_no_feature_or_hardly_a_row_gives_the_prior():
    matrix, told = made()
    target, answers = goals(told)["many"]
    bare, _ = fit_boosted(matrix[:, :0], answers, target, seed=0)
    np.testing.assert_allclose(bare.outputs(matrix[:3, :0]), np.tile(target.prior(answers), (3, 1)))
    few, _ = fit_boosted(matrix[:4], answers[:4], target, seed=0)
    assert len(few.roots) == 0


def test_balanced_classes_weigh_the_rare_one_more():
    matrix, told = made()
    labels = ["rare" if value > 1.5 else "usual" for value in told]
    means = {}
    for weights in ("none", "balanced"):
        target = Category.fit(labels, class_weights=weights)
        boosted, _ = fit_boosted(matrix, target.features(labels), target, seed=0)
        means[weights] = target.decode(boosted.outputs(matrix)).probabilities[:, target.classes.index("rare")].mean()
    assert means["balanced"] > 1.3 * means["none"]


def test_thresholds_never_move_a_float32_to_the_other_side():
    rng = np.random.default_rng(0)
    low = rng.normal(size=1000).astype(np.float32)
    high = np.nextafter(low, np.float32(np.inf))
    middle = (low.astype(np.float64) + high) / 2
    floored = _floored(middle).astype(np.float32)
    assert (low <= floored).all() and (high > floored).all()


@pytest.mark.parametrize("name", ["two", "many", "number"])
def test_it_survives_being_saved(name, tmp_path):
    from safetensors.numpy import load_file, save_file

    matrix, told = made()
    target, answers = goals(told)[name]
    boosted, _ = fit_boosted(matrix, answers, target, seed=0)
    plain, arrays = boosted.state()
    save_file(arrays, tmp_path / "boosting.safetensors")
    again = Boosted.from_state(plain, load_file(tmp_path / "boosting.safetensors"), where="here")
    np.testing.assert_array_equal(again.outputs(matrix), boosted.outputs(matrix))


def test_made_up_files_are_refused():
    matrix, told = made()
    target, answers = goals(told)["many"]
    boosted, _ = fit_boosted(matrix, answers, target, seed=0)
    plain, arrays = boosted.state()
    lies: list[tuple] = [({**plain, name: value}, arrays) for name in plain for value in (-1, "3", 10**9)]
    lies += [(plain, {key: array for key, array in arrays.items() if key != name}) for name in arrays]
    lies += [(plain, {**arrays, name: arrays[name].astype(np.float64)}) for name in arrays]
    lies += [(plain, {**arrays, name: arrays[name][:-1]}) for name in arrays if name != "roots"]
    for name in ("left", "right", "feature", "roots"):
        for wrong in (-1, 10**6):
            broken = arrays[name].copy()
            broken[0] = wrong
            lies.append((plain, {**arrays, name: broken}))
    broken = arrays["value"].copy()
    broken[0] = np.nan
    lies += [(plain, {**arrays, "value": broken}), (plain, {}), ({}, arrays), (None, arrays)]
    for lie in lies:
        with pytest.raises(UserError, match="here"):
            Boosted.from_state(*lie, where="here")


def test_a_tree_that_leads_in_a_circle_ends():
    matrix, told = made()
    target, answers = goals(told)["number"]
    boosted, _ = fit_boosted(matrix, answers, target, seed=0)
    circle = replace(boosted, left=np.zeros_like(boosted.left), right=np.zeros_like(boosted.right))
    assert np.isfinite(circle.outputs(matrix)).all()
