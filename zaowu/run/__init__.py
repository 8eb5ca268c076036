"""A trained model as a person keeps it: one folder that predicts, evaluates and explains itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from zaowu.config import FitConfig
from zaowu.errors import UserError, nearest, shorten
from zaowu.evaluate.baseline import Baselines
from zaowu.evaluate.evaluate import Evaluation, compare, evaluate
from zaowu.evaluate.predict import predict
from zaowu.inputs import Inputs, cleaners, files_of
from zaowu.inputs.text.chat import Template
from zaowu.learn.chats import asked, by_turns, holds_chats
from zaowu.model import Model
from zaowu.progress import note
from zaowu.records import check, read
from zaowu.records.prepare import gathered
from zaowu.records.records import Records, Schema, Table
from zaowu.records.stream import is_large
from zaowu.report.content import ReportContent
from zaowu.report.verdict import verdicts
from zaowu.run import given
from zaowu.targets import Prediction, Score, joined, labelled
from zaowu.trunk.adapters import Adapters

NUM_NAMED = 5  # rows that could not be read
MANY_UNKNOWN = 0.05  # share of a text that the vocabulary may not know before a person is told


@dataclass(frozen=True)
class Predicted:
    """Predictions for the rows of `frame`, in their order.

    texts: (N,) what the model read of each row. predictions: target column -> what is said of it.
    """

    frame: pl.DataFrame
    texts: list[str]
    predictions: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def prediction(self) -> Any:
        """That of the only target. Raises UserError when there are several."""
        if len(self.predictions) > 1:
            names = ", ".join(self.predictions)
            raise UserError(f"This model answers several columns ({names}): use predictions[name].")
        return next(iter(self.predictions.values()))

    def to_frame(self, *, top: int = 1) -> pl.DataFrame:
        """The rows as they were, and beside them the answers; of classes the `top` ones with their confidence.

        A column of the rows is never replaced: `confidence` becomes `confidence_new` where there is one already.
        """
        columns: dict[str, list] = {}
        taken = set(self.frame.columns)
        for target, prediction in self.predictions.items():
            for name, values in prediction.columns(target, top=top).items():
                if len(self.predictions) > 1 and name.startswith("confidence"):
                    name = f"{name}_{target}"
                columns[unused(name, taken | columns.keys())] = values
        return self.frame.with_columns(pl.Series(name, values) for name, values in columns.items())

    def to_plain(self, *, top: int = 1) -> list[dict[str, Any]]:
        """One object per row: `text` and the answer (a class: `label`, `confidence`, and `top` when more than one is
        wanted); with several targets `answers`, target column -> its answer."""
        rows = [{"text": words} for words in self.texts]
        for target, prediction in self.predictions.items():
            for row, answer in zip(rows, prediction.plain(top=top), strict=True):
                if len(self.predictions) == 1:
                    row |= answer
                else:
                    row.setdefault("answers", {})[target] = answer  # type: ignore[arg-type, index]
        return rows


@dataclass(frozen=True)
class Judged:
    """How one target was answered on labelled rows, the baselines beside it, and the paired difference to each.

    kind: of the target. Differences are in its headline metric, model minus baseline.
    """

    evaluation: Evaluation
    baselines: dict[str, Evaluation]
    comparison: dict[str, Score]

    def to_plain(self) -> dict[str, Any]:
        return {
            **self.evaluation.to_plain(),
            "baselines": {name: found.to_plain() for name, found in self.baselines.items()},
            "comparison": {name: asdict(score) for name, score in self.comparison.items()},
        }


def judge(target: Any, prediction: Prediction, beside: dict[str, Any], labels: Sequence) -> Judged:
    """One target's answers on its labelled rows; records without a label say nothing."""
    rows, known, own, others = labelled(labels), labels, prediction, beside
    if len(rows) < len(labels):
        known, own = [labels[i] for i in rows], prediction.take(rows)
        others = {name: found.take(rows) for name, found in beside.items()}
    return Judged(
        evaluation=evaluate(target, own, known),
        baselines={name: evaluate(target, other, known) for name, other in others.items()},
        comparison={name: compare(target, own, other, known)[target.headline] for name, other in others.items()},
    )


@dataclass(frozen=True)
class Answers:
    """What judging needs of N labelled records, and nothing else: a few numbers a row.

    labels: target column -> N labels, None where there is none. outputs: target column -> (N, num_outputs) of the
    model; cheap: the same of the cheap methods, empty for a run without them. skipped: rows that could not be used.
    """

    labels: dict[str, list]
    outputs: dict[str, np.ndarray]
    cheap: dict[str, np.ndarray]
    skipped: int = 0
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))


@dataclass(frozen=True)
class Evaluated:
    """A run's scores on labelled rows, by target column. predicted: None for a large file, whose rows are not kept."""

    judged: dict[str, Judged]
    rows: int
    skipped: int
    predicted: Predicted | None
    warnings: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """The figures of the only target, or with several `targets`, column -> its figures."""
        own = {name: found.to_plain() for name, found in self.judged.items()}
        figures = next(iter(own.values())) if len(own) == 1 else {"rows": self.rows, "targets": own}
        return {**figures, "skipped": self.skipped}


@dataclass
class Run:
    """What `fit` returns and `load` opens.

    targets: column -> its `Target`. config: as used, nothing left open. content: what the report says.
    facts: versions, data, base, how made.
    stopped: training was interrupted, and a checkpoint waits in the folder. adapters: of --lora, which are in the
    weights, to be saved beside them; None after loading.
    """

    schema: Schema
    source: Inputs
    targets: dict[str, Any]
    model: Model
    model_type: str
    config: FitConfig
    baselines: Baselines | None
    content: ReportContent
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    stopped: bool = False
    adapters: Adapters | None = None

    def predict(self, data: Any) -> Predicted:
        """data: texts, a path, a polars or pandas frame, or anything else that `fit` reads.

        Of a model that reads images alone, or recordings alone: one or several paths of them, a folder, a pattern.
        One answer per row, in order; empty texts are answered too, with a warning.
        Raises UserError when the columns that the model reads are not there, and when nothing can be read of them.
        """
        if self.is_chat:
            data = asked(data, self.source.text.codec)
        table = self._gathered(given.as_table(data, self.source, expect=self.expected))
        if self.is_chat:
            table = asked(table, self.source.text.codec)
        frame = self._columns(table)
        usable = check.clean_inputs(frame, self.schema, table.folder, self._cleaners)
        if usable.problems and usable.blank.all() and not isinstance(data, Table):
            row, (column, problem) = min(usable.problems.items(), key=lambda found: found[0])
            raise UserError(f"{table.source}, row {table.rows[row]}, column '{column.name}': {problem}.")
        values = {series.name: series.to_list() for series in usable.values}
        outputs, warnings = self._outputs(values)
        for row, (column, problem) in list(usable.problems.items())[:NUM_NAMED]:
            value = frame[column.name][row] if files_of(column.kind) else None
            which = f" ({shorten(value, 100)})" if isinstance(value, str) else ""
            warnings.append(f"row {table.rows[row]}, column '{column.name}'{which}: {problem}; taken as missing.")
        if empty := int(usable.blank.sum()):
            what = "texts" if self.source.alone is self.source.text else "rows"
            warnings.append(f"{empty} of {frame.height} {what} are empty: what is said of them means nothing.")
        return Predicted(table.frame, self.source.words(values), self.model.decode(outputs), tuple(warnings))

    def evaluate(self, data: Any, *, on_bad_row: str | None = None, out: Path | None = None) -> Evaluated:
        """Scores on labelled rows. Labels that training never saw count as wrong and are named.

        out: a .csv, .jsonl or .parquet for the rows with their predictions. A file beyond 64 MB is read and answered
        in portions; of its rows a few numbers are kept, and after a kill the same call goes on where it was.
        Raises UserError when input or target columns are missing, or no row can be used.
        """
        from zaowu.run import stream

        if is_large(data) and self.config.data.series_id is None:  # whose rows may not be parted
            return stream.evaluate_file(self, data, on_bad_row=on_bad_row, out=out)
        table = data if isinstance(data, Table) else read.read(data, on_bad_row=on_bad_row, expect=self.expected)
        table = self._gathered(table)
        found = self.score(self.labelled_records(table, on_bad_row=on_bad_row))
        if out is not None:
            assert found.predicted is not None
            stream.write_whole(found.predicted.to_frame(), out)
        return found

    def labelled_records(self, table: Table, *, on_bad_row: str | None = None, is_portion: bool = False) -> Records:
        """The rows that can be scored. is_portion: of a larger table, and may hold none.

        Raises UserError when input or target columns are missing, or no row can be used.
        """
        if self.is_chat and holds_chats(table):
            table = by_turns(table, Template(self.source.text.codec))
        names = table.frame.columns
        for column in self.targets:
            if column not in names:
                raise UserError(
                    f"{table.source}: expected the column '{column}' with the true labels, "
                    f"got {', '.join(names)}.{nearest(column, names)}"
                )
        table = replace(table, frame=self._columns(table))
        return check.clean(
            table,
            self.schema,
            on_bad_row=on_bad_row,
            min_classes=1,
            is_portion=is_portion,
            cleaners=self._cleaners,
        )

    def score(self, records: Records) -> Evaluated:
        """As `evaluate`, on records that are clean already."""
        answers = self.answer(records)
        return replace(self.judge([answers]), predicted=self.predicted(records, answers))

    def answer(self, records: Records) -> Answers:
        """What the model and the cheap methods say of the records, undecoded, beside the labels."""
        values = records.inputs
        outputs, warnings = self._outputs(values)
        return Answers(
            labels={name: records.values(name) for name in self.targets},
            outputs=outputs,
            cheap=self.baselines.outputs(values) if self.baselines else {},
            skipped=len(records.skipped),
            warnings=tuple(warnings),
        )

    def predicted(self, records: Records, answers: Answers) -> Predicted:
        """The records with what was answered."""
        texts = self.source.words(records.inputs)
        return Predicted(records.frame, texts, self.model.decode(answers.outputs), answers.warnings)

    def judge(self, parts: Sequence[Answers]) -> Evaluated:
        """Scores of all parts together. Raises UserError where a target has no label at all."""
        judged = {}
        for name, target in self.targets.items():
            beside: dict[str, list] = {}
            for part in parts:
                own = {name: part.cheap[name]} if self.baselines else {}
                for method, found in (self.baselines.decode(own)[name] if self.baselines else {}).items():
                    beside.setdefault(method, []).append(found)
            judged[name] = judge(
                target,
                joined([target.decode(part.outputs[name]) for part in parts]),
                {method: joined(found) for method, found in beside.items()},
                [label for part in parts for label in part.labels[name]],
            )
        warnings = dict.fromkeys(sentence for part in parts for sentence in part.warnings)
        return Evaluated(
            judged, sum(map(len, parts)), sum(part.skipped for part in parts), predicted=None, warnings=tuple(warnings)
        )

    def save(self, folder: str | Path, *, lang: str = "en") -> Path:
        """Writes the run; a run that stood there is replaced only when the new one is whole."""
        from zaowu.run.save import save

        self.folder = save(self, Path(folder), lang=lang)
        return self.folder

    def summary(self) -> dict[str, Any]:
        """The scores and where the files are, JSON-ready; with several targets `targets`, column -> its scores."""
        own = {
            answer.target: {
                **(answer.evaluation or {}),
                "baselines": answer.baselines,
                "comparison": answer.comparison,
            }
            for answer in self.content.answers
        }
        return {
            "run": str(self.folder) if self.folder else None,
            "report": str(self.folder / "report.html") if self.folder else None,
            "scored_on": self.content.scored_on,
            "stopped": self.content.stopped,
            **(next(iter(own.values())) if len(own) == 1 else {"targets": own}),
        }

    def lines(self, lang: str = "en") -> list[str]:
        """What the terminal says at the end."""
        found = verdicts(self.content, lang)
        if self.folder:
            found.append(f"Run: {self.folder}")
            found.append(f"Report: {self.folder / 'report.html'}")
        return found

    @property
    def is_chat(self) -> bool:
        """Whether it was fitted on chats: what it is asked stands in the template of its tokenizer."""
        return self.facts.get("chat") is True and self.source.text is not None

    @property
    def _cleaners(self) -> dict[str, Callable]:
        """Of the kinds of columns that this model reads."""
        return cleaners(column.kind for column in self.schema.inputs)

    @property
    def expected(self) -> tuple[str, ...]:
        """Columns that a file for this model should have."""
        return (*self.source.columns, *self.targets)

    def _outputs(self, values: Mapping[str, Sequence[Any]]) -> tuple[dict[str, np.ndarray], list[str]]:
        items = self.source.items(values)
        num = len(values[self.source.columns[0]])
        outputs = predict(self.model, self.source, items, num_records=num)
        if self.source.text is None:
            return outputs, []
        warnings = []
        texts = items if self.source.alone is not None else [item.items[0] for item in items if item.items[0]]
        strange = int((self.source.text.unknown_shares(texts, num) > MANY_UNKNOWN).sum())
        if strange:
            warnings.append(
                f"{strange} of {num} texts hold over {MANY_UNKNOWN:.0%} pieces that the vocabulary of this model "
                "does not know: another script than the training texts had? Fit with --trim-vocab off to keep all."
            )
        return outputs, warnings

    def _gathered(self, table: Table) -> Table:
        """One row per series, where this model was trained on such and the table is not gathered yet."""
        series = next((own for own in self.source.groups.values() if own.kind == "series"), None)
        if self.config.data.series_id is None or series is None or table.names:
            return table
        return gathered(table, self.config.data, channels=series.channels)

    def _columns(self, table: Table) -> pl.DataFrame:
        """The frame with this model's input columns, by name; a single other text column may stand in for one."""
        names = table.frame.columns
        missing = [name for name in self.source.columns if name not in names]
        if not missing:
            return table.frame
        if len(self.source.columns) == 1:
            others = [name for name in names if name not in self.targets]
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
