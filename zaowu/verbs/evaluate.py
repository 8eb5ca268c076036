"""`zaowu evaluate`: how good a saved model and the cheap baselines are on other labelled rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zaowu import targets
from zaowu.learn import choose_device
from zaowu.progress import aligned, note, speaking
from zaowu.report.say import PLAIN, plain
from zaowu.run import Evaluated
from zaowu.run.load import load
from zaowu.verbs.predict import checked_out, use_threads


@dataclass(frozen=True)
class Scores:
    """What was measured, with the same figures as lines for a person and as plain data."""

    found: Evaluated

    def to_plain(self) -> dict[str, Any]:
        return self.found.to_plain()

    def lines(self) -> list[str]:
        lines = [f"{self.found.rows:,} rows"]
        for column, judged in self.found.judged.items():
            if len(self.found.judged) > 1:
                lines.append(f"{column}:")
            target = targets.find(judged.evaluation.kind, where=column)
            rows = [["", *(name.replace("_", " ") for name in target.metrics)]]
            for name, evaluation in ({"this model": judged.evaluation} | judged.baselines).items():
                rows.append([name, *(_figure(evaluation.scores[score]) for score in target.metrics)])
            lines += aligned(rows).splitlines()
            metric = target.headline.replace("_", " ")
            for name, lead in judged.comparison.items():
                lines.append(f"{metric} minus {name}: {_lead(lead, target.headline)}")
            lines += judged.evaluation.details.caveats()
        if self.found.skipped:
            lines.append(f"{self.found.skipped} rows were skipped: no text or no label.")
        return lines


def evaluate(
    run: str | Path,
    path: Any,
    *,
    on_bad_row: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Scores:
    """path: any labelled table that `fit` reads. out: a .csv, .jsonl or .parquet for the rows with their predictions.

    A file beyond 64 MB is read and scored in portions, in memory that holds a few numbers a row and never the texts;
    after a kill the same call goes on where it was.
    Raises UserError for a run, a file or columns that cannot be used.
    """
    with speaking(quiet=quiet):
        place = None if out is None else checked_out(out)
        use_threads(threads)
        opened = load(run, device=str(choose_device(device)), precision=precision)
        found = opened.evaluate(path, on_bad_row=on_bad_row, out=place)
        for sentence in found.warnings:
            note(sentence)
        if place is not None:
            note(f"{found.rows:,} predictions: {place}")
        return Scores(found)


def _figure(score: Any) -> str:
    value, *bounds = (f"{part:,.3f}" if abs(part) < 1000 else f"{part:,.0f}" for part in _known(score))
    return f"{value} ({'-'.join(bounds)})" if bounds else value


def _lead(lead: Any, metric: str) -> str:
    shares = metric not in PLAIN
    value, *bounds = (f"{part:+.1%}" if shares else plain(metric, part, signed=True) for part in _known(lead))
    return f"{value} ({' to '.join(bounds)})" if bounds else value


def _known(score: Any) -> list[float]:
    return [score.value] if score.low is None or score.high is None else [score.value, score.low, score.high]
