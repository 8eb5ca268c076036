"""`zaowu evaluate`: how good a saved model and the cheap baselines are on other labelled rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zaowu.learn import choose_device
from zaowu.progress import aligned, note, speaking
from zaowu.run import Evaluated
from zaowu.run.load import load
from zaowu.verbs.predict import checked_out, use_threads, write_frame

SHOWN = ("accuracy", "macro_f1", "log_loss", "calibration_error")


@dataclass(frozen=True)
class Scores:
    """What was measured, with the same figures as lines for a person and as plain data."""

    found: Evaluated

    def to_plain(self) -> dict[str, Any]:
        return self.found.to_plain()

    def lines(self) -> list[str]:
        own = {"this model": self.found.evaluation} | self.found.baselines
        rows = [["", *(name.replace("_", " ") for name in SHOWN)]]
        for name, evaluation in own.items():
            rows.append([name, *(_figure(evaluation.scores[score]) for score in SHOWN)])
        lines = [f"{self.found.evaluation.rows:,} rows", *aligned(rows).splitlines()]
        for name, lead in self.found.comparison.items():
            lines.append(f"accuracy minus {name}: {lead.value:+.1%} ({lead.low:+.1%} to {lead.high:+.1%})")
        unseen = self.found.evaluation.details.unseen
        if unseen:
            listed = ", ".join(f"'{label}' ({rows} rows)" for label, rows in unseen.items())
            lines.append(f"Labels that the model never saw count as wrong: {listed}.")
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
    threads: int | None = None,
) -> Scores:
    """path: any labelled table that `fit` reads. out: a file for the rows with their predictions.

    Raises UserError for a run, a file or columns that cannot be used.
    """
    with speaking(quiet=quiet):
        place = None if out is None else checked_out(out)
        use_threads(threads)
        opened = load(run, device=str(choose_device(device)))
        found = opened.evaluate(path, on_bad_row=on_bad_row)
        for sentence in found.predicted.warnings:
            note(sentence)
        if place is not None:
            write_frame(found.predicted.to_frame(), place)
            note(f"{found.evaluation.rows:,} predictions: {place}")
        return Scores(found)


def _figure(score: Any) -> str:
    bounds = "" if score.low is None else f" ({score.low:.3f}-{score.high:.3f})"
    return f"{score.value:.3f}{bounds}"
