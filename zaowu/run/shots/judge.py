"""How good in-context examples are: several draws of them, and beside each a linear model of the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zaowu import metrics
from zaowu.errors import UserError
from zaowu.inputs.text.tfidf import BaselineFeatures
from zaowu.progress import aligned, note
from zaowu.records.records import Records
from zaowu.run import Predicted
from zaowu.run.shots import InContext, Shots, say
from zaowu.targets.category import CategoryPrediction

DRAWS = 10
LINEAR = "TF-IDF + logistic regression"


@dataclass(frozen=True)
class Draw:
    """One draw. shots: examples that were shown; accuracy, macro_f1: of the model; linear: accuracy of the other."""

    seed: int
    shots: int
    accuracy: float
    macro_f1: float
    linear: float


@dataclass(frozen=True)
class ShotScores:
    """All draws on the same rows. first: the records with the answers of the first draw."""

    draws: tuple[Draw, ...]
    rows: int
    skipped: int
    classes: tuple[str, ...]
    first: CategoryPrediction
    records: Records

    def mean(self, name: str) -> float:
        return float(np.mean([getattr(draw, name) for draw in self.draws]))

    def spread(self, name: str) -> float:
        """The standard deviation over draws; 0 for one."""
        return float(np.std([getattr(draw, name) for draw in self.draws], ddof=1)) if len(self.draws) > 1 else 0.0

    def predicted(self, shots: Shots) -> Predicted:
        """The rows with the answers of the first draw."""
        texts = [" | ".join(row) for row in zip(*self.records.inputs.values(), strict=True)]
        return Predicted(self.records.frame, texts, {shots.target: self.first})

    def to_plain(self) -> dict[str, Any]:
        names = ("accuracy", "macro_f1", "linear")
        return {
            "kind": "category",
            "rows": self.rows,
            "skipped": self.skipped,
            "classes": list(self.classes),
            **{name: self.mean(name) for name in names},
            "spread": {name: self.spread(name) for name in names},
            "difference": self.mean("accuracy") - self.mean("linear"),
            "draws": [asdict(draw) for draw in self.draws],
        }

    def lines(self) -> list[str]:
        """For a terminal."""
        many = len(self.draws)
        table = [["", "accuracy", "spread"]]
        for title, name in (("this model", "accuracy"), (LINEAR, "linear")):
            table.append([title, f"{self.mean(name):.3f}", f"{self.spread(name):.3f}"])
        lead = [draw.accuracy - draw.linear for draw in self.draws]
        found = [f"{self.rows:,} rows, {many} draws of examples (the spread is their standard deviation)"]
        found += aligned(table).splitlines()
        better = sum(value > 0 for value in lead)
        found.append(f"accuracy minus {LINEAR}: {np.mean(lead):+.1%}, better in {better} of {many} draws")
        if self.skipped:
            found.append(f"{self.skipped} rows were skipped: no text or no label.")
        return found


def judge(model: InContext, records: Records, *, draws: int = DRAWS, seed: int = 0) -> ShotScores:
    """Draw i has the seed `seed` + i. A label that no example has counts as wrong. Raises UserError for no draw."""
    if not 1 <= draws <= 1000:
        raise UserError(f"--draws: expected 1 to 1,000, got {draws:,}.")
    shots = model.shots
    texts, labels = list(zip(*records.inputs.values(), strict=True)), records.values(shots.target)
    place = {name: number for number, name in enumerate(shots.classes)}
    for label in sorted(set(labels) - place.keys()):
        place[label] = len(place)
    truth = np.array([place[label] for label in labels])
    found, first = [], None
    for number in range(draws):
        prediction, prompt, told = model.answer(texts, seed=seed + number, label=f"draw {number + 1} of {draws}")
        if first is None:
            first = prediction
            say(prompt, shots)
            for sentence in told:
                note(sentence)
        linear = _linear(shots, prompt.rows, texts)
        found.append(
            Draw(
                seed=seed + number,
                shots=len(prompt.rows),
                accuracy=metrics.accuracy(truth, prediction.index),
                macro_f1=metrics.macro_f1(truth, prediction.index),
                linear=float(np.mean([own == label for own, label in zip(linear, labels, strict=True)])),
            )
        )
    assert first is not None
    return ShotScores(tuple(found), len(labels), len(records.skipped), shots.classes, first, records)


def _linear(shots: Shots, rows: np.ndarray, texts: Sequence[tuple[str, ...]]) -> list[str]:
    """What a linear model says that has seen the same examples and no more."""
    from sklearn.linear_model import LogisticRegression

    features, matrix = BaselineFeatures.fit(*zip(*(shots.texts[row] for row in rows), strict=True))
    if not features.num_features:
        return [shots.classes[0]] * len(texts)
    model = LogisticRegression(C=10.0, max_iter=1000).fit(matrix, [shots.labels[row] for row in rows])
    return [str(label) for label in model.predict(features.transform(*zip(*texts, strict=True)))]
