"""`zaowu evaluate`: how good a saved model and the cheap baselines are on other labelled rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zaowu import targets
from zaowu.learn import choose_device
from zaowu.progress import aligned, note, speaking
from zaowu.report.say import PLAIN, plain
from zaowu.run import Evaluated
from zaowu.run.load import load
from zaowu.run.stream import write_whole
from zaowu.verbs.predict import checked_out, in_context, say_idle, use_threads

if TYPE_CHECKING:
    from zaowu.run.shots import InContext
    from zaowu.run.shots.judge import ShotScores


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
    shots: Any = None,
    num_shots: int | None = None,
    target: str | None = None,
    draws: int | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Scores | ShotScores:
    """path: any labelled table that `fit` reads. out: a .csv, .jsonl or .parquet for the rows with their predictions.

    shots, num_shots, target, seed: of in-context examples, as in `predict`. They are drawn `draws` times (10), and a
    linear model learns from the same ones each time; `out` gets the answers of the first draw.
    A file beyond 64 MB is read and scored in portions, in memory that holds a few numbers a row and never the texts;
    after a kill the same call goes on where it was.
    Raises UserError for a run, a file or columns that cannot be used.
    """
    with speaking(quiet=quiet):
        place = None if out is None else checked_out(out)
        use_threads(threads)
        if shots is not None:
            return _in_context(
                in_context(run, shots, num_shots=num_shots, target=target, device=device, precision=precision),
                path,
                on_bad_row=on_bad_row,
                draws=draws,
                seed=seed,
                place=place,
            )
        say_idle(num_shots=num_shots, target=target, draws=draws, seed=seed or None)
        opened = load(run, device=str(choose_device(device)), precision=precision)
        found = opened.evaluate(path, on_bad_row=on_bad_row, out=place)
        for sentence in found.warnings:
            note(sentence)
        if place is not None:
            note(f"{found.rows:,} predictions: {place}")
        return Scores(found)


def _in_context(
    model: InContext, path: Any, *, on_bad_row: str | None, draws: int | None, seed: int, place: Path | None
) -> ShotScores:
    from zaowu.run.shots.judge import DRAWS, judge

    scores = judge(
        model, model.labelled(path, on_bad_row=on_bad_row), draws=DRAWS if draws is None else draws, seed=seed
    )
    if place is not None:
        write_whole(scores.predicted(model.shots).to_frame(), place)
        note(f"{scores.rows:,} predictions of the first draw: {place}")
    return scores


def _figure(score: Any) -> str:
    value, *bounds = (f"{part:,.3f}" if abs(part) < 1000 else f"{part:,.0f}" for part in _known(score))
    return f"{value} ({'-'.join(bounds)})" if bounds else value


def _lead(lead: Any, metric: str) -> str:
    shares = metric not in PLAIN
    value, *bounds = (f"{part:+.1%}" if shares else plain(metric, part, signed=True) for part in _known(lead))
    return f"{value} ({' to '.join(bounds)})" if bounds else value


def _known(score: Any) -> list[float]:
    return [score.value] if score.low is None or score.high is None else [score.value, score.low, score.high]
