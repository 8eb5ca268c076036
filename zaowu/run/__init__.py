"""A trained model as a person keeps it: one folder that predicts, evaluates and explains itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.config import FitConfig
from zaowu.errors import UserError, nearest
from zaowu.evaluate.baseline import Baselines
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.evaluate.predict import predict
from zaowu.inputs import text
from zaowu.model import Model
from zaowu.progress import note
from zaowu.records import check, read
from zaowu.records.records import Records, Schema, Table
from zaowu.records.schema import as_strings
from zaowu.report.content import ReportContent
from zaowu.report.verdict import verdict
from zaowu.targets import Score
from zaowu.targets.category import Category, CategoryPrediction

MANY_UNKNOWN = 0.05  # share of a text that the vocabulary may not know before a person is told


@dataclass(frozen=True)
class Predicted:
    """Predictions for the rows of `frame`, in their order. texts: (N,) what the model read of each row."""

    frame: pl.DataFrame
    texts: list[str]
    prediction: CategoryPrediction
    target: str
    warnings: tuple[str, ...] = ()

    def to_frame(self, *, top: int = 1) -> pl.DataFrame:
        """The rows as they were, and beside them the `top` answers with their confidence.

        A column of the rows is never replaced: `confidence` becomes `confidence_new` where there is one already.
        """
        columns: dict[str, list] = {}
        taken = set(self.frame.columns)
        ranked = self.prediction.top(top)
        for place in range(min(top, len(self.prediction.classes))):
            suffix = "" if place == 0 else f"_{place + 1}"
            for found, part in ((f"predicted_{self.target}", 0), ("confidence", 1)):
                name = unused(f"{found}{suffix}", taken | columns.keys())
                columns[name] = [row[place][part] for row in ranked]
        return self.frame.with_columns(pl.Series(name, values) for name, values in columns.items())

    def to_plain(self, *, top: int = 1) -> list[dict[str, Any]]:
        """One object per row: `text`, `label`, `confidence`, and `top` when more than one answer is wanted."""
        rows = []
        for words, ranked in zip(self.texts, self.prediction.top(top), strict=True):
            row: dict[str, Any] = {"text": words, "label": ranked[0][0], "confidence": ranked[0][1]}
            if top > 1:
                row["top"] = [{"label": label, "confidence": share} for label, share in ranked]
            rows.append(row)
        return rows


@dataclass(frozen=True)
class Evaluated:
    """A run's scores on labelled rows, the baselines' beside them, and the paired difference to each."""

    evaluation: Evaluation
    baselines: dict[str, Evaluation]
    comparison: dict[str, Score]
    skipped: int
    predicted: Predicted

    def to_plain(self) -> dict[str, Any]:
        return {
            **self.evaluation.to_plain(),
            "baselines": {name: found.to_plain() for name, found in self.baselines.items()},
            "comparison": {name: asdict(score) for name, score in self.comparison.items()},
            "skipped": self.skipped,
        }


@dataclass
class Run:
    """What `fit` returns and `load` opens.

    config: as used, nothing left open. content: what the report says. facts: versions, data, base, how made.
    stopped: training was interrupted, and a checkpoint waits in the folder.
    """

    schema: Schema
    source: text.Input
    target: Category
    model: Model
    model_type: str
    config: FitConfig
    baselines: Baselines | None
    content: ReportContent
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    stopped: bool = False

    @property
    def target_column(self) -> str:
        assert self.schema.target is not None
        return self.schema.target.name

    def predict(self, data: Any) -> Predicted:
        """data: texts, a path, a polars or pandas frame, or anything else that `fit` reads.

        One answer per row, in order; empty texts are answered too, with a warning.
        Raises UserError when the columns that the model reads are not there.
        """
        table = _as_table(data, self.source.columns)
        frame = self._columns(table)
        values = [as_strings(frame.get_column(name)).fill_null("").to_list() for name in self.source.columns]
        prediction, warnings = self._predict(values)
        empty = sum(not any(words.strip() for words in row) for row in zip(*values, strict=True))
        if empty:
            warnings.append(f"{empty} of {len(prediction)} texts are empty: what is said of them means nothing.")
        texts = [" | ".join(row) for row in zip(*values, strict=True)]
        return Predicted(table.frame, texts, prediction, self.target_column, tuple(warnings))

    def evaluate(self, data: Any, *, on_bad_row: str | None = None) -> Evaluated:
        """Scores on labelled rows. Labels that training never saw count as wrong and are named.

        Raises UserError when input or target columns are missing, or no row can be used.
        """
        table = data if isinstance(data, Table) else read.read(data, on_bad_row=on_bad_row)
        if self.target_column not in table.frame.columns:
            names = table.frame.columns
            raise UserError(
                f"{table.source}: expected the column '{self.target_column}' with the true labels, "
                f"got {', '.join(names)}.{nearest(self.target_column, names)}"
            )
        table = replace(table, frame=self._columns(table))
        records = check.clean(table, self.schema, on_bad_row=on_bad_row, min_classes=1)
        return self.score(records)

    def score(self, records: Records) -> Evaluated:
        """As `evaluate`, on records that are clean already."""
        values = [records.values(name) for name in self.source.columns]
        labels = records.values(self.target_column)
        prediction, warnings = self._predict(values)
        found = evaluate(self.target, prediction, labels)
        beside = self.baselines.predict(dict(zip(self.source.columns, values, strict=True))) if self.baselines else {}
        texts = [" | ".join(row) for row in zip(*values, strict=True)]
        return Evaluated(
            evaluation=found,
            baselines={name: evaluate(self.target, other, labels) for name, other in beside.items()},
            comparison={
                name: compare(self.target, prediction, other, labels)["accuracy"] for name, other in beside.items()
            },
            skipped=len(records.skipped),
            predicted=Predicted(records.frame, texts, prediction, self.target_column, tuple(warnings)),
        )

    def save(self, folder: str | Path, *, lang: str = "en") -> Path:
        """Writes the run; a run that stood there is replaced only when the new one is whole."""
        from zaowu.run.save import save

        self.folder = save(self, Path(folder), lang=lang)
        return self.folder

    def summary(self) -> dict[str, Any]:
        """The scores and where the files are, JSON-ready."""
        evaluation = self.content.evaluation or {}
        return {
            "run": str(self.folder) if self.folder else None,
            "report": str(self.folder / "report.html") if self.folder else None,
            "scored_on": self.content.scored_on,
            "stopped": self.content.stopped,
            **evaluation,
            "baselines": self.content.baselines,
            "comparison": self.content.comparison,
        }

    def lines(self, lang: str = "en") -> list[str]:
        """What the terminal says at the end."""
        found = [verdict(self.content, lang)]
        if self.folder:
            found.append(f"Run: {self.folder}")
            found.append(f"Report: {self.folder / 'report.html'}")
        return found

    def _predict(self, values: Sequence[list[str]]) -> tuple[CategoryPrediction, list[str]]:
        items = self.source.features(*values)
        num = len(values[0])
        outputs = predict(self.model, self.source, items, num_records=num)
        warnings = []
        strange = int((self.source.unknown_shares(items, num) > MANY_UNKNOWN).sum())
        if strange:
            warnings.append(
                f"{strange} of {num} texts hold over {MANY_UNKNOWN:.0%} pieces that the vocabulary of this model "
                "does not know: another script than the training texts had? Fit with --trim-vocab off to keep all."
            )
        return self.target.decode(outputs), warnings

    def _columns(self, table: Table) -> pl.DataFrame:
        """The frame with this model's input columns, by name; a single other text column may stand in for one."""
        names = table.frame.columns
        missing = [name for name in self.source.columns if name not in names]
        if not missing:
            return table.frame
        if len(self.source.columns) == 1:
            others = [name for name in names if name != self.target_column]
            if len(others) == 1:
                note(f"{table.source}: reading column '{others[0]}' as '{missing[0]}'.")
                return table.frame.rename({others[0]: missing[0]})
        raise UserError(
            f"{table.source}: expected the column '{missing[0]}' that the model was trained on, "
            f"got {', '.join(names)}.{nearest(missing[0], names)}"
        )


def unused(name: str, taken: Collection[str]) -> str:
    """`name`, or the first of `name_new`, `name_new_new`, ... that is not taken."""
    while name in taken:
        name += "_new"
    return name


def _as_table(data: Any, columns: Sequence[str]) -> Table:
    """Texts become a table of the model's one column; everything else is read as `fit` reads it."""
    if isinstance(data, Table):
        return data
    if isinstance(data, (list, tuple)) and all(isinstance(item, str) for item in data):
        if len(columns) > 1:
            raise UserError(f"This model reads {len(columns)} columns ({', '.join(columns)}): give it a table.")
        frame = pl.DataFrame({columns[0]: list(data)}, schema={columns[0]: pl.String})
        return Table(frame=frame, rows=np.arange(1, len(data) + 1), source="the given texts")
    return read.read(data)
