"""`zaowu compare`: several saved models on the same rows, with paired intervals, disagreements and cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs import cleaners
from zaowu.learn import choose_device
from zaowu.metrics import figures_interval, paired_interval
from zaowu.progress import aligned, note, speaking
from zaowu.records import bad_rows
from zaowu.records.check import clean
from zaowu.records.read import read
from zaowu.records.records import Records
from zaowu.report.comparison import FIGURES, ComparisonContent, Disagreement, Model, verdict, write
from zaowu.report.content import AnswerContent
from zaowu.report.say import Say, language
from zaowu.run import Run
from zaowu.run.load import load
from zaowu.targets import labelled
from zaowu.verbs.predict import use_threads
from zaowu.verbs.report import checked_page

PAGE = Path("runs") / "comparison.html"
NUM_SHOWN = 20


@dataclass(frozen=True)
class Comparison:
    """What was found, for each target that all runs answer. page: where it stands."""

    contents: tuple[ComparisonContent, ...]
    page: Path

    def to_plain(self) -> dict[str, Any]:
        """`targets`: column -> `metric`, `models` and the rows on which they disagree."""
        return {
            "page": str(self.page),
            "targets": {
                content.target: {
                    "metric": content.metric,
                    "rows": content.rows,
                    "models": [asdict(model) for model in content.models],
                    "disagreements": content.num_disagreements,
                    "examples": [asdict(row) for row in content.disagreements],
                }
                for content in self.contents
            },
        }

    def lines(self, lang: str = "en") -> list[str]:
        say, lines = Say(lang), []
        for content in self.contents:
            if len(self.contents) > 1:
                lines.append(f"{content.target}:")
            rows = [["", content.metric, "against the first", "MB", "rows/s"]]
            for model in content.models:
                lead = "" if model.lead is None else say.gap(content.metric, model.lead[0], signed=True)
                between = "" if model.lead is None else say.range(content.metric, *model.lead[1:], signed=True)
                score = say.score(content.metric, model.score)
                rows.append(
                    [
                        model.name,
                        f"{score} ({say.range(content.metric, model.low, model.high)})",
                        f"{lead} ({between})" if lead else "",
                        "" if model.model_size_mb is None else f"{model.model_size_mb:,.0f}",
                        "" if model.rows_per_s is None else f"{model.rows_per_s:,.0f}",
                    ]
                )
            lines += aligned(rows).splitlines()
            lines += verdict(content, say)
            if content.num_disagreements is not None:
                lines.append(f"They disagree on {content.num_disagreements:,} of {content.rows:,} rows.")
        return [*lines, f"Page: {self.page}"]


def compare(
    runs: Sequence[str | Path],
    *,
    data: Any = None,
    on_bad_row: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    lang: str | None = None,
) -> Comparison:
    """runs: at least two saved models. data: labelled rows that none of them learned from, in any form `fit` reads;
    without it the scores of their own reports stand side by side, and no difference is paired. out: the page,
    default runs/comparison.html.

    Raises UserError for runs that answer nothing in common, and for data that cannot be used.
    """
    if isinstance(runs, (str, Path)) or len(runs) < 2:
        raise UserError("compare: expected at least two runs, such as 'zaowu compare runs/a runs/b'.")
    bad_rows.checked(on_bad_row)
    page = checked_page(out) if out is not None else PAGE
    words = language(lang)
    names = _names([Path(run) for run in runs])
    with speaking(quiet=quiet):
        use_threads(threads)
        opened = [load(run, device=str(choose_device(device)), precision=precision) for run in runs]
        shared = _shared(opened, names)
        if data is None:
            contents = [_reported(target, opened, names) for target in shared]
        else:
            contents = _measured(shared, opened, names, data, on_bad_row)
        page.parent.mkdir(parents=True, exist_ok=True)
        write(page, contents, lang=words)
    return Comparison(tuple(contents), page)


def _names(runs: list[Path]) -> list[str]:
    """The folders' names, with as much of their paths as tells them apart."""
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _shared(runs: list[Run], names: list[str]) -> list[str]:
    first, *others = runs
    shared = [name for name in first.targets if all(name in run.targets for run in others)]
    if not shared:
        answers = "; ".join(f"{name}: {', '.join(run.targets)}" for name, run in zip(names, runs, strict=True))
        raise UserError(f"compare: expected runs that answer the same column, got {answers}.")
    for target in shared:
        kinds = {run.targets[target].name for run in runs}
        if len(kinds) > 1:
            raise UserError(f"compare: '{target}' is {' in one run and '.join(sorted(kinds))} in another.")
    return shared


def _reported(target: str, runs: list[Run], names: list[str]) -> ComparisonContent:
    """What the runs' own reports say, on the rows that each was scored on."""
    models = []
    for name, run in zip(names, runs, strict=True):
        answer = next(
            (answer for answer in run.content.answers if answer.target == target), AnswerContent(target=target)
        )
        metric = run.targets[target].headline
        evaluation = answer.evaluation or {}
        if metric not in evaluation:
            raise UserError(
                f"{run.folder}: its report has no scores for '{target}'. Give rows to score on: --data FILE."
            )
        low, high = evaluation.get("intervals", {}).get(metric, (None, None))
        facts = {"scored_on": run.content.scored_on, "rows": evaluation["rows"]}
        models.append(_model(name, run, evaluation[metric], low, high, facts, run.content.predict_rows_per_s))
    first = runs[0].targets[target]
    return ComparisonContent(target, first.name, "", tuple(models), metric=first.headline)


def _measured(
    shared: list[str], runs: list[Run], names: list[str], data: Any, on_bad_row: str | None
) -> list[ComparisonContent]:
    table = read(data, on_bad_row=on_bad_row)
    cleaned, predictions, speeds = [], [], []
    for name, run in zip(names, runs, strict=True):
        records = clean(table, run.schema, on_bad_row=on_bad_row, min_classes=1, cleaners=cleaners())
        note(f"{name}: predicting {len(records):,} rows.")
        start = time.monotonic()
        found = run.predict(records.frame)
        speeds.append(len(records) / max(1e-9, time.monotonic() - start))
        cleaned.append(records)
        predictions.append(found)
    return [
        _compared(
            target, runs, names, cleaned, [found.predictions[target] for found in predictions], speeds, table.source
        )
        for target in shared
    ]


def _compared(
    target: str,
    runs: list[Run],
    names: list[str],
    cleaned: list[Records],
    predictions: list[Any],
    speeds: list[float],
    source: str,
) -> ComparisonContent:
    """Figures of the rows that every run can use and that have a label, paired."""
    known = []
    for records in cleaned:
        known.append(records.rows[labelled(records.values(target))])
    rows = known[0]
    for other in known[1:]:
        rows = np.intersect1d(rows, other)
    if not len(rows):
        raise UserError(f"{source}: no row has a label in '{target}' and the texts that all of the runs read.")
    figures, owns, labels = [], [], []
    for run, records, prediction in zip(runs, cleaned, predictions, strict=True):
        at = np.searchsorted(records.rows, rows)
        own, every = prediction.take(at), records.values(target)
        labels = [every[i] for i in at]
        figures.append(run.targets[target].per_record(own, labels))
        owns.append(own)
    models = []
    for place, (name, run, values) in enumerate(zip(names, runs, figures, strict=True)):
        bounds = figures_interval(values)
        lead = None
        if place:
            lead = (float(values.mean() - figures[0].mean()), *paired_interval(values, figures[0]))
        model = _model(name, run, float(values.mean()), *bounds, {"rows": len(rows)}, speeds[place], lead=lead)
        models.append(model)
    differ = ~np.all([owns[0].agrees(other) for other in owns[1:]], axis=0)
    spread = np.ptp(np.stack(figures), axis=0)
    order = sorted(np.flatnonzero(differ).tolist(), key=lambda i: -spread[i])[:NUM_SHOWN]
    first = cleaned[0].take(np.searchsorted(cleaned[0].rows, rows))
    words = runs[0].source.words(first.inputs)
    answers = [[shown[0][0] for shown in own.take(np.array(order, np.int64)).shown(top=1)] for own in owns]
    examples = [
        Disagreement(
            row=int(rows[i]),
            text=shorten(words[i], 400),
            truth=str(labels[i]),
            answers=tuple(said[place] for said in answers),
            figures=tuple(float(values[i]) for values in figures),
        )
        for place, i in enumerate(order)
    ]
    kind = runs[0].targets[target].name
    num_different = int(differ.sum())
    return ComparisonContent(
        target, kind, source, tuple(models), tuple(examples), num_different, len(rows), metric=FIGURES[kind]
    )


def _model(
    name: str,
    run: Run,
    score: float,
    low: float | None,
    high: float | None,
    facts: dict[str, Any],
    speed: float | None,
    *,
    lead: tuple[float, float, float] | None = None,
) -> Model:
    content = run.content
    return Model(
        name=name,
        base=content.base,
        score=score,
        low=low,
        high=high,
        lead=lead,
        num_parameters=content.num_parameters,
        model_size_mb=content.model_size_mb,
        rows_per_s=speed,
        train_s=content.timing.get("train"),
        **facts,
    )
