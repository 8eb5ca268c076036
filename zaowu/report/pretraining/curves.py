"""Curves over the steps of a run, each as an SVG element."""

from __future__ import annotations

import math
from typing import Any

from zaowu.report.figure import ACCENT, MUTED, RULE, SECOND, Sheet, drawing
from zaowu.report.pictures import MAX_POINTS, WIDTH, curve_key, percent_ticks, plain_tick, width_of
from zaowu.report.pretraining.content import Pretraining
from zaowu.report.pretraining.verdict import PAIRED, kept, number
from zaowu.report.say import Say

Series = dict[str, list[tuple[int, float | None]]]  # name -> (step, value)
BELOW, LEFT = 42.0, 56.0  # pixels beside the axes


def pictures(content: Pretraining, say: Say) -> list[tuple[str, str]]:
    """(Title, SVG) of the loss, the perplexity, what was right, and the learning rate; those that have a value."""
    points = sorted(content.history, key=lambda point: point.step)
    best = kept(content.history)
    marked = best.step if best and len(points) > 1 else None

    def held_out(*names: str) -> list[tuple[int, float | None]]:
        valid = [(0, content.before), *((point.step, point.valid) for point in points)]
        return [(step, next((values[name] for name in names if name in values), None)) for step, values in valid]

    drawn: list[tuple[str, Series, dict[str, Any]]] = [
        (
            "loss",
            {"train_loss": [(point.step, point.train_loss) for point in points], "held_out": held_out("loss")},
            {},
        ),
        ("perplexity", {"perplexity": held_out("perplexity")}, {"powers": True}),
        (
            "right",
            {"right": held_out("accuracy"), "pairs": held_out(*(f"{name}_accuracy" for name in PAIRED))},
            {"shares": True},
        ),
        ("rate", {"rate": [(point.step, point.lr) for point in points]}, {"height": 130.0, "top": 10.0}),
    ]
    found = [(name, curves(name, series, marked, say, **style)) for name, series, style in drawn] if points else []
    return [(say(f"picture.{name}"), svg) for name, svg in found if svg]


def curves(
    name: str,
    series: Series,
    marked: int | None,
    say: Say,
    *,
    shares: bool = False,
    powers: bool = False,
    height: float = 230.0,
    top: float = 30.0,
) -> str | None:
    """One or two curves; None when there is nothing to draw. Values that are no numbers are skipped.

    marked: step of the vertical line. shares: values in [0, 1], shown in per cent. powers: where the values differ
    by more than ten times, equal steps up are equal ratios. height, top: in pixels, the space above included.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    drawn = {key: thinned for key, points in series.items() if (thinned := _thinned(points))}
    if not drawn:
        return None
    values = [value for points in drawn.values() for _, value in points]
    powers = powers and min(values) > 0 and max(values) > 10 * min(values)
    inner = height - top - BELOW
    with drawing():
        sheet = Sheet(WIDTH, height)
        axes = sheet.axes(LEFT, top, WIDTH - LEFT - 16, inner, spines="bottom left")
        axes.margins(y=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(plain_tick))
        if powers:
            axes.set_yscale("log")
            few = max(values) < 150 * min(values)
            axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if few else (1,)))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(max(2, round(inner / 36))))
        if shares:
            percent_ticks(axes, say, "y")
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(_tick))
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        left, labels = LEFT, []
        for (key, points), colour, line in zip(drawn.items(), (ACCENT, SECOND), ("-", (0, (5, 2))), strict=False):
            marker = "o" if len(points) <= 30 else None
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, linestyle=line, marker=marker, ms=4)
            words, last = say(f"curve.{key}"), points[-1][1]
            labels.append(f"{words} {say.percent(last) if shares else number(last)}")
            if len(drawn) > 1:
                curve_key(sheet, axes, left, words, colour, line)
                left += 38 + width_of(words)
        if marked is not None:
            axes.axvline(marked, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        last_step = max(1, *(points[-1][0] for points in drawn.values()))
        axes.set_xlim(-0.04 * last_step, 1.04 * last_step)  # the pictures of one run stand on one scale
        sheet.write(axes, 1, -(BELOW - 2) / inner, say("axis.step"), transform=axes.transAxes, ha="right", color=MUTED)
        return sheet.svg(name, f"{say(f'picture.{name}')}{say('colon')}{say('comma').join(labels)}")


def _thinned(points: list[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """Those that are numbers, evenly thinned to what a picture can show; the last one stays."""
    known = [(step, value) for step, value in points if value is not None and math.isfinite(value)]
    return [*known[: -1 : math.ceil(len(known) / MAX_POINTS)], known[-1]] if known else []


def _tick(value: float, at: Any) -> str:
    """`5e-4` for what is too small to be written out."""
    if not 0 < abs(value) < 1e-3:
        return plain_tick(value, at)
    head, power = f"{value:.2e}".split("e")
    return f"{float(head):g}e{int(power)}"
