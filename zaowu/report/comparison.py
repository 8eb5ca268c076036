"""Several models side by side on one page: who is better beyond noise, where they disagree, what each costs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zaowu.report import pictures
from zaowu.report.pictures import Dot, Interval
from zaowu.report.say import Say
from zaowu.report.write import render_page, write_page

FIGURES = {  # what is paired: a figure of every row
    "category": "accuracy",
    "tags": "row_f1",
    "number": "mae",
    "span": "f1",
    "entities": "row_f1",
    "text": "chrf",
}


@dataclass(frozen=True)
class Model:
    """One run. score: the mean of its rows' figures; low, high: its 95 % interval; rows_per_s: in prediction, here.

    lead: score minus that of the first run on the same rows, with its paired interval; None for the first, and where
    the rows are not the same.
    """

    name: str
    base: str
    score: float
    low: float | None
    high: float | None
    lead: tuple[float, float, float] | None = None
    scored_on: str = ""
    rows: int = 0
    num_parameters: int | None = None
    model_size_mb: float | None = None
    rows_per_s: float | None = None
    train_s: float | None = None


@dataclass(frozen=True)
class Disagreement:
    """One row on which the models say different things. answers: of each, in their order; figures: how good each is."""

    row: int
    text: str
    truth: str
    answers: tuple[str, ...]
    figures: tuple[float, ...]


@dataclass(frozen=True)
class ComparisonContent:
    """What the page says about one target. disagreements: the first few; num_disagreements: of all rows."""

    target: str
    kind: str
    source: str
    models: tuple[Model, ...]
    disagreements: tuple[Disagreement, ...] = ()
    num_disagreements: int | None = None
    rows: int | None = None
    metric: str = "accuracy"  # what `score` is

    @property
    def more_is_better(self) -> bool:
        return self.kind != "number"


def verdict(content: ComparisonContent, say: Say) -> list[str]:
    """Who is ahead, as sentences."""
    sign = 1 if content.more_is_better else -1
    first, *others = content.models
    order = sorted(content.models, key=lambda model: -sign * model.score)
    best = order[0]
    score = say.score(content.metric, best.score)
    words = [say("compare.best", name=best.name, metric=say(f"score.{content.metric}"), score=score)]
    for model in others:
        if model.lead is None:
            continue
        value, low, high = (sign * part for part in model.lead)
        low, high = min(low, high), max(low, high)
        kind = "more" if low > 0 else "less" if high < 0 else "same"
        gap = say.gap(content.metric, abs(value))
        words.append(say(f"compare.{kind}", name=model.name, other=first.name, gap=gap))
    if all(model.lead is None for model in others):
        words.append(say("compare.unpaired"))
    return words


def write(path: str | os.PathLike[str], contents: list[ComparisonContent], *, lang: str = "en") -> None:
    """Writes the page to `path`, whole or not at all. Raises UserError when it cannot be written."""
    say = Say(lang)
    parts = [_part(content, number, say) for number, content in enumerate(contents)]
    write_page(Path(path), render_page("comparison.html.j2", say, parts=parts, several=len(parts) > 1))


def _part(content: ComparisonContent, number: int, say: Say) -> dict[str, Any]:
    metric = content.metric
    known = [model for model in content.models if model.low is not None and model.high is not None]
    rows = [Interval(model.name, model.score, model.low or 0.0, model.high or 0.0, ours=True) for model in known]
    speeds = [Dot(model.name, model.rows_per_s, model.score) for model in content.models if model.rows_per_s]
    return {
        "content": content,
        "verdict": verdict(content, say),
        "metric": say(f"score.{metric}"),
        "intervals": pictures.intervals(rows, metric, number, say, more_is_better=content.more_is_better)
        if rows
        else None,
        "cost": pictures.cost(speeds, metric, number, say) if len(speeds) > 1 else None,
        "models": [
            {
                "name": model.name,
                "base": model.base or say("scratch.short"),
                "rows": say.whole(model.rows),
                "scored_on": say.name("scored_on", model.scored_on) if model.scored_on else "",
                "score": say.score(metric, model.score),
                "interval": say.range(metric, model.low, model.high) if model.low is not None else "",
                "lead": "" if model.lead is None else say.gap(metric, model.lead[0], signed=True),
                "lead_interval": ""
                if model.lead is None
                else say.range(metric, model.lead[1], model.lead[2], signed=True),
                "size": "–" if model.model_size_mb is None else f"{model.model_size_mb:,.0f} MB",
                "speed": say.whole(model.rows_per_s),
                "train": say.duration(model.train_s),
            }
            for model in content.models
        ],
    }
