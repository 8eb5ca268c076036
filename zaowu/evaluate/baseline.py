"""The cheap methods beside the model: the same answer for every record, a linear model at its best over TF-IDF and
what other columns give, and of a table gradient boosting.

They learn from training rows and are tuned on validation rows, or within training; test rows choose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zaowu import targets
from zaowu.errors import UserError, shorten
from zaowu.evaluate.boosting import BOOSTING, Boosted, fit_boosted
from zaowu.evaluate.cheap import CheapFeatures, Values, take
from zaowu.evaluate.finder import Finder
from zaowu.evaluate.linear import Linear, Trial, best_scale, choose_linear, fit_linear
from zaowu.inputs.table.baseline import TreeFeatures
from zaowu.inputs.text.tfidf import MAX_CHARACTERS as LONGEST
from zaowu.progress import note
from zaowu.targets import answered

TFIDF = "tfidf_linear"  # the name of the method on texts alone, everywhere
LINEAR = "linear"  # the same on what other columns give
MAX_ROWS = 200_000
MAX_CHARACTERS = 20_000_000
MAX_FEATURES = 300_000
MAX_WEIGHTS = 20_000_000  # features x outputs
ENOUGH_VALID = 200  # fewer validation rows choose badly: training is split against itself instead
NUM_FOLDS = 4
TUNING_ROWS = 20_000
MANY_ROWS = 4_000  # from here on one fold is enough to choose by
PORTION = 50_000  # rows that are turned into features at a time

Labels = Mapping[str, Sequence]  # target column -> N labels


@dataclass(frozen=True)
class Answerer:
    """The methods for one target. prior: (C,) float32 outputs, the same for every record.

    plain, tuned, shaped: the target as the prior, the linear model and the trees decode with it. boosted: the trees;
    None without a table.
    """

    plain: Any
    tuned: Any
    prior: np.ndarray
    linear: Linear
    boosted: Boosted | None = None
    shaped: Any = None


@dataclass(frozen=True)
class Baselines:
    """All methods, fitted, for every target column; one of its own for a target whose answers are places in a text.

    features: of all groups of columns, None where no target has a linear model. rows: how many they were fitted on.
    """

    answerers: dict[str, Answerer]
    features: CheapFeatures | None
    rows: int
    finders: dict[str, Finder] = field(default_factory=dict)

    @property
    def goals(self) -> dict[str, Any]:
        """Target column -> its target as it was before any tuning, in what matters here: its kind and names."""
        linear = {name: own.plain for name, own in self.answerers.items()}
        return linear | {name: own.target for name, own in self.finders.items()}

    @property
    def columns(self) -> set[str]:
        """All that is read."""
        own = {name for finder in self.finders.values() for name in finder.columns}
        return own if self.features is None else own | set(self.features.columns)

    @property
    def method(self) -> str:
        """What the linear model is called."""
        return TFIDF if self.features is not None and self.features.only_text else LINEAR

    def outputs(self, inputs: Values) -> dict[str, np.ndarray]:
        """Target column -> (N, C) float32 of the linear model, and behind them with a table the C of the trees.

        Of a target whose answers are places in a text (N,) object, as it decodes them. Columns that were not fitted on
        are not looked at.
        """
        placed = {name: finder.outputs(inputs) for name, finder in self.finders.items()}
        if self.features is None:
            return placed
        num_rows, trees = len(inputs[self.features.columns[0]]), self.features.trees
        num_methods = 1 if trees is None else 2
        outputs = {
            name: np.empty((num_rows, num_methods * len(answerer.prior)), np.float32)
            for name, answerer in self.answerers.items()
        }
        for start in range(0, num_rows, PORTION):
            part = {name: inputs[name][start : start + PORTION] for name in self.features.columns}
            matrix = self.features.matrix(part)
            dense = None if trees is None else _dense(trees, part)
            for name, own in self.answerers.items():
                found = [own.linear.outputs(matrix)]
                if dense is not None and own.boosted is not None:
                    found.append(own.boosted.outputs(dense))
                outputs[name][start : start + PORTION] = np.concatenate(found, axis=1)
        return outputs | placed

    def predict(self, inputs: Values) -> dict[str, dict[str, Any]]:
        """Target column -> name of the method -> its answers."""
        return self.decode(self.outputs(inputs))

    def decode(self, outputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
        """What `outputs` gave -> name of the method -> its answers, for every target column."""
        found: dict[str, dict[str, Any]] = {}
        for name, raw in outputs.items():
            if name in self.finders:
                found[name] = self.finders[name].decode(raw)
                continue
            own = self.answerers[name]
            width = len(own.prior)
            found[name] = {
                own.plain.prior_name: own.plain.decode(np.tile(own.prior, (len(raw), 1))),
                self.method: own.tuned.decode(raw[:, :width]),
            }
            if own.boosted is not None:
                found[name][BOOSTING] = own.shaped.decode(raw[:, width:])
        return found

    @property
    def num_bytes(self) -> int:
        """What `save` writes, nearly."""
        arrays = sum(own.linear.weight.nbytes + own.linear.bias.nbytes for own in self.answerers.values())
        for own in self.answerers.values():
            if own.boosted is not None:
                arrays += sum(array.nbytes for array in own.boosted.state()[1].values())
        plain, learned = self.features.state() if self.features is not None else ([], {})
        words = len(json.dumps([plain, [finder.state() for finder in self.finders.values()]]))
        return arrays + sum(array.nbytes for array in learned.values()) + words

    def save(self, folder: Path) -> None:
        """Writes `baseline.safetensors` and `baseline.json` into the folder."""
        from safetensors.numpy import save_file

        tensors: dict[str, np.ndarray] = {}
        answers = []
        for number, (name, own) in enumerate(self.answerers.items()):
            tensors |= {
                f"prior.{number}": own.prior,
                f"weight.{number}": own.linear.weight,
                f"bias.{number}": own.linear.bias,
            }
            sizes = None
            if own.boosted is not None:
                sizes, grown = own.boosted.state()
                tensors |= {f"boosted.{number}.{part}": np.ascontiguousarray(array) for part, array in grown.items()}
            answers.append(
                {
                    "name": name,
                    "kind": own.plain.name,
                    "plain": own.plain.state(),
                    "tuned": own.tuned.state(),
                    "scale": own.linear.scale,
                    "strength": own.linear.strength,
                    "boosted": None if sizes is None else {"sizes": sizes, "shaped": own.shaped.state()},
                }
            )
        groups, arrays = self.features.state() if self.features is not None else ([], {})
        save_file(tensors | arrays, folder / "baseline.safetensors")
        finders = {name: finder.state() for name, finder in self.finders.items()}
        state = {"rows": self.rows, "groups": groups, "answers": answers, "finders": finders}
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
    inputs: Values,
    goals: Mapping[str, Any],
    labels: Labels,
    valid: tuple[Values, Labels] | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Baselines:
    """Fits all methods on training rows, for each target on those that have an answer.

    inputs: column -> N values. goals: target column -> its target. labels: N labels of each. valid: values and labels
    of the validation rows. groups: group -> its columns, as `inputs.grouped` makes them; None: all are texts. kinds:
    column -> number, category or date, of those in the group `table`. More rows than the methods can take in about two
    minutes are thinned out by chance, which a note says.
    """
    groups = groups or {"text": tuple(inputs)}
    texts = {name: inputs[name] for name in groups.get("text", ())}
    finders = {
        name: Finder.fit(
            texts or {name: inputs[name] for name in groups.get("table", ()) if target.reads == "states"},
            target,
            labels[name],
            None if valid is None else (valid[0], valid[1][name]),
        )
        for name, target in goals.items()
        if target.reads != "pooled"
    }
    goals = {name: target for name, target in goals.items() if name not in finders}
    if not goals:
        return Baselines({}, None, len(next(iter(inputs.values()))), finders)
    answers = {name: target.features(labels[name]) for name, target in goals.items()}
    known = np.stack([answered(own) for own in answers.values()])  # (targets, N)
    assert known.any(axis=1).all(), "a target has no answer that it knows"
    rows = _thinned(np.flatnonzero(known.any(axis=0)), texts, seed=seed)
    num_outputs = sum(target.num_outputs for target in goals.values())
    fit = partial(_fit_features, groups=groups, kinds=kinds or {})
    chosen_inputs = take(inputs, rows)
    features, matrix = fit(chosen_inputs, num_outputs=num_outputs)
    answerers = {}
    for place, (name, target) in enumerate(goals.items()):
        own = np.flatnonzero(known[place][rows])  # among the rows of `matrix`
        chosen = rows[own]
        tuning = np.random.default_rng(seed).permutation(len(own))[:TUNING_ROWS]
        held = None if valid is None else _known(valid, name, target)
        if held is None:
            trials = _trials_within(inputs, fit, labels[name], answers[name], chosen[tuning], target)
        else:
            held_rows, held_answers, held_labels = held
            held_matrix = features.matrix(take(valid[0], held_rows))  # type: ignore[index]
            some = own[tuning]
            trials = [Trial(matrix[some], answers[name][rows[some]], held_matrix, held_answers, held_labels)]
        title = "TF-IDF baseline" if features.only_text else "linear baseline"
        strength, scale, tuned = choose_linear(trials, target, seed=seed, label=title)
        linear = fit_linear(matrix[own], answers[name][chosen], target, strength=strength, scale=scale, seed=seed)
        if held is not None and len(tuning) < len(own):
            raw = linear.outputs(held_matrix) / np.float32(scale)
            linear = replace(linear, scale=best_scale(raw, held_answers, target))
            tuned = target.tuned(linear.outputs(held_matrix), held_answers)
        if not linear.weight.any():  # nothing tells the rows apart: the prior as it is
            linear, tuned = replace(linear, scale=1.0), target
        answerers[name] = Answerer(target, tuned, target.prior(answers[name][known[place]]), linear)
    if (trees := features.trees) is not None:
        dense = _dense(trees, chosen_inputs)
        for name, target in goals.items():
            held = None if valid is None else _known(valid, name, target)
            beside = None if held is None else (_dense(trees, take(valid[0], held[0])), held[1])  # type: ignore[index]
            boosted, shaped = fit_boosted(dense, answers[name][rows], target, seed=seed, held=beside)
            answerers[name] = replace(answerers[name], boosted=boosted, shaped=shaped)
    return Baselines(answerers, features, len(rows), finders)


def _dense(trees: TreeFeatures, values: Values) -> np.ndarray:
    """(N, F) float32 for the trees."""
    return trees.transform(*(values[name] for name in trees.fitted.names))


def _known(valid: tuple[Values, Labels], name: str, target: Any) -> tuple[np.ndarray, np.ndarray, list] | None:
    """Rows of the validation set that have an answer, their answers and labels; None if they are too few."""
    answers = target.features(valid[1][name])
    rows = np.flatnonzero(answered(answers))
    rows = rows[:: 1 + len(rows) // TUNING_ROWS]  # evenly, for a file may be sorted by its labels
    return (rows, answers[rows], [valid[1][name][i] for i in rows.tolist()]) if len(rows) >= ENOUGH_VALID else None


def _trials_within(
    inputs: Values,
    fit: Callable[..., tuple[CheapFeatures, Any]],
    labels: Sequence,
    answers: np.ndarray,
    rows: np.ndarray,
    target: Any,
) -> list[Trial]:
    """Training split against itself: four folds, of many rows only the first. Classes are spread evenly.

    rows: in random order. Each trial learns its own features. Otherwise it would know the grams of the rows
    that it is judged by, their distances would be shorter than a new text's, and the scale would be too sure.
    """
    folds = np.empty(len(rows), np.int64)
    by_class = np.argsort(answers[rows], kind="stable") if answers.ndim == 1 else np.arange(len(rows))
    folds[by_class] = np.arange(len(rows)) % NUM_FOLDS
    trials = []
    for fold in range(min(NUM_FOLDS, len(rows)) if len(rows) < MANY_ROWS else 1):
        held, rest = rows[folds == fold], rows[folds != fold]
        features, matrix = fit(take(inputs, rest), num_outputs=target.num_outputs)
        held_matrix = features.matrix(take(inputs, held))
        trials.append(Trial(matrix, answers[rest], held_matrix, answers[held], [labels[i] for i in held]))
    return trials


def _fit_features(
    inputs: Values, *, groups: Mapping[str, Sequence[str]], kinds: Mapping[str, str], num_outputs: int
) -> tuple[CheapFeatures, Any]:
    most = min(MAX_FEATURES, MAX_WEIGHTS // num_outputs)
    return CheapFeatures.fit(inputs, groups, max_features=most, kinds=kinds)


def _thinned(rows: np.ndarray, inputs: Values, *, seed: int) -> np.ndarray:
    """As many of `rows`, in their order, as the linear model can take."""
    total = sum(min(len(text), LONGEST) for texts in inputs.values() for text in texts)
    most = MAX_ROWS
    if total > MAX_CHARACTERS:
        most = min(most, max(1000, len(rows) * MAX_CHARACTERS // total))
    if len(rows) <= most:
        return rows
    note(f"Linear baseline: fitted on {most:,} of {len(rows):,} training rows, drawn by chance, to save time.")
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _from_state(state: Any, tensors: dict[str, np.ndarray], *, where: str) -> Baselines:
    _whole(state, ("rows", "groups", "answers", "finders"), where)
    rows = _field(state, "rows", int, where)
    if not 0 < rows < 1e12:
        raise UserError(f"{where}, 'rows': expected a number above 0, got {shorten(rows)}.")
    groups = _field(state, "groups", list, where)
    answers = _field(state, "answers", list, where)
    features = CheapFeatures.from_state(groups, tensors, where=f"{where}, 'groups'") if answers or groups else None
    num_features, trees = (0, None) if features is None else (features.num_features, features.trees)
    answerers: dict[str, Answerer] = {}
    for number, answer in enumerate(answers):
        _whole(answer, ("name", "kind", "plain", "tuned", "scale", "strength", "boosted"), f"{where}, 'answers'")
        name, kind = (_field(answer, key, str, f"{where}, 'answers'") for key in ("name", "kind"))
        plain, tuned = (
            targets.load(kind, answer.get(key), where=f"{where}, '{shorten(name)}', '{key}'")
            for key in ("plain", "tuned")
        )
        scale, strength = (_field(answer, key, float, f"{where}, 'answers'") for key in ("scale", "strength"))
        if not (0 < scale < 1e12 and 0 < strength < 1e12) or tuned.num_outputs != plain.num_outputs:
            raise UserError(f"{where}, '{shorten(name)}': expected a scale and a strength above 0.")
        shapes = {"prior": (), "weight": (num_features,), "bias": ()}
        found = [
            _array(tensors.get(f"{key}.{number}"), key, (plain.num_outputs, *shape), where)
            for key, shape in shapes.items()
        ]
        own = Answerer(plain, tuned, found[0], Linear(found[1], found[2], scale, strength))
        if trees is not None:
            prefix = f"boosted.{number}."
            grown = {key[len(prefix) :]: array for key, array in tensors.items() if key.startswith(prefix)}
            own = _with_trees(own, answer["boosted"], grown, trees, where=f"{where}, '{shorten(name)}', 'boosted'")
        elif answer["boosted"] is not None:
            raise UserError(f"{where}, '{shorten(name)}', 'boosted': expected nothing, for there is no table.")
        answerers[name] = own
    finders = {
        name: Finder.from_state(own, where=f"{where}, 'finders', '{shorten(name)}'")
        for name, own in _field(state, "finders", dict, where).items()
    }
    if not answerers and not finders:
        raise UserError(f"{where}: expected at least one answer.")
    return Baselines(answerers, features, rows, finders)


def _with_trees(
    own: Answerer, data: Any, arrays: Mapping[str, np.ndarray], trees: TreeFeatures, *, where: str
) -> Answerer:
    _whole(data, ("sizes", "shaped"), where)
    boosted = Boosted.from_state(data["sizes"], arrays, where=where)
    shaped = targets.load(own.plain.name, data["shaped"], where=f"{where}, 'shaped'")
    sizes = {boosted.num_outputs, shaped.num_outputs, own.plain.num_outputs}
    if len(sizes) > 1 or boosted.num_features != trees.num_features:
        raise UserError(f"{where}: its sizes do not fit the target and the {trees.num_features:,} columns of trees.")
    return replace(own, boosted=boosted, shaped=shaped)


def _whole(data: Any, names: Sequence[str], where: str) -> None:
    if not isinstance(data, dict) or data.keys() != set(names):
        raise UserError(f"{where}: expected an object with {', '.join(names)}, got {shorten(data)}.")


def _field(data: Any, name: str, kind: type, where: str) -> Any:
    value = data.get(name) if isinstance(data, dict) else None
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UserError(f"{where}, '{name}': expected {kind.__name__}, got {shorten(value)}.")
    return value


def _array(array: np.ndarray | None, name: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    if array is None or array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
        raise UserError(f"{where}: its sizes do not fit baseline.safetensors: expected '{name}' of {shape}.")
    return array
