"""The report's pictures, each as an SVG element. They are drawn for a phone's width, so that none is ever shrunk."""

from __future__ import annotations

import itertools
import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zaowu.errors import shorten
from zaowu.report.figure import ACCENT, FONT_PX, INK, MUTED, ON_ACCENT, PAPER, RULE, SECOND, Sheet, drawing
from zaowu.report.say import PLAIN, Say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 340.0
MAX_POINTS = 300  # of a curve
CURVES = (
    "accuracy",
    "micro_f1",
    "r2",
    "f1",
    "entity_f1",
    "macro_f1",
)  # scores that are drawn, the first two that there are
Series = dict[str, list[tuple[float, float | None]]]  # name -> (epoch, value)


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % interval. ours: the Transformer, not a baseline."""

    name: str
    value: float
    low: float
    high: float
    ours: bool = False


@dataclass(frozen=True)
class Dot:
    """A model by its speed, in rows a second, and its score."""

    name: str
    speed: float
    score: float


def intervals(rows: list[Interval], metric: str, number: int, say: Say, *, more_is_better: bool = True) -> str:
    """Dots with their intervals, one below the other. A method far behind all others is an arrow at the edge.

    number: of the target, which keeps the ids of one page apart.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if metric in PLAIN:
        best = min(row.value for row in rows) if not more_is_better else max(row.value for row in rows)
        near = [row for row in rows if row.ours or row.value < 3 * best]
    else:
        best = max(row.value for row in rows)
        near = [row for row in rows if row.ours or row.value > best - 0.25]
    low, high = min(row.low for row in near), max(row.high for row in near)
    pad = max(0.01 if metric not in PLAIN else 0.0, 0.06 * (high - low)) or 1.0
    low, high = max(0.0, low - pad), high + pad if metric in PLAIN else min(1.0, high + pad)
    step, top = 42.0, 8.0
    with drawing():
        sheet = Sheet(WIDTH, top + step * len(rows) + 30)
        axes = sheet.axes(6, top, WIDTH - 20, step * len(rows))
        axes.set(xlim=(low, high), ylim=(len(rows), 0), yticks=[])
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if metric in PLAIN:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 9):,g}"))
        else:
            percent_ticks(axes, say, "x")
        across = axes.get_yaxis_transform()
        for place, row in enumerate(rows):
            colour = ACCENT if row.ours else SECOND
            numbers = f"{say.score(metric, row.value)} ({say.range(metric, row.low, row.high)})"
            room = int((WIDTH - 32 - width_of(numbers)) / width_of("n"))
            sheet.write(axes, 0, place + 0.34, shorten(row.name, room), transform=across, color=INK)
            sheet.write(axes, 1, place + 0.34, numbers, transform=across, color=MUTED, ha="right")
            if row in near:
                ends = [max(row.low, low), min(row.high, high)]
                axes.plot(ends, [place + 0.65] * 2, color=colour, linewidth=2, solid_capstyle="butt")
                axes.plot([row.value], [place + 0.65], "o", color=colour, markersize=8)
            else:
                edge, arrow = (0, "<") if more_is_better else (1, ">")
                axes.plot([edge], [place + 0.65], arrow, color=colour, markersize=7, transform=across, clip_on=False)
        scores = "; ".join(
            f"{row.name} {say.score(metric, row.value)} ({say.range(metric, row.low, row.high)})" for row in rows
        )
        title = say("picture.intervals", metric=say(f"score.{metric}"))
        return sheet.svg(f"intervals{number}", f"{title}{say('colon')}{scores}")


def cost(dots: list[Dot], metric: str, number: int, say: Say) -> str:
    """Score against speed in prediction; to the right is faster, on a scale of powers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    with drawing():
        sheet = Sheet(WIDTH, 300)
        axes = sheet.axes(64, 30, WIDTH - 84, 220, spines="bottom left")
        axes.set_xscale("log")
        speeds, scores = [dot.speed for dot in dots], [dot.score for dot in dots]
        pad = 0.15 * (max(scores) - min(scores)) or 0.05 * abs(scores[0]) or 1.0
        axes.set(xlim=(min(speeds) / 2, max(speeds) * 2), ylim=(min(scores) - pad, max(scores) + pad))
        axes.xaxis.set_major_formatter(FuncFormatter(plain_tick))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if metric in PLAIN:
            axes.yaxis.set_major_formatter(FuncFormatter(plain_tick))
        else:
            percent_ticks(axes, say, "y")
        middle = math.sqrt(min(speeds) * max(speeds))
        for dot in dots:
            axes.plot([dot.speed], [dot.score], "o", color=ACCENT, markersize=8)
            left = dot.speed <= middle
            at = dot.speed * (1.1 if left else 1 / 1.1)
            style = {"ha": "left" if left else "right", "va": "bottom"}
            sheet.write(axes, at, dot.score, _short(dot.name, 130.0), color=INK, **style)
        sheet.write(axes, 1, -0.18, say("axis.speed"), transform=axes.transAxes, ha="right", color=MUTED)
        sheet.write(axes, -0.2, 1.05, say(f"score.{metric}"), transform=axes.transAxes, color=MUTED)
        return sheet.svg(f"cost{number}", say("picture.cost"))


def loss_curve(history: list[dict[str, Any]], best_epoch: int | None, say: Say) -> str | None:
    """Loss on training and validation rows by epoch; None when there is nothing to draw."""
    series: Series = {
        "train_loss": [(point["epoch"], point.get("train_loss")) for point in history],
        "valid_loss": [(point["epoch"], point.get("valid", {}).get("log_loss")) for point in history],
    }
    return _curves("loss", series, best_epoch, say)


def score_curve(history: list[dict[str, Any]], best_epoch: int | None, say: Say) -> str | None:
    """Scores on validation rows by epoch, at most two; None when there were none."""
    names = list(dict.fromkeys(name for point in history for name in point.get("valid", {})))
    chosen = [name for kind in CURVES for name in names if name.rpartition(": ")[2] == kind][:2]
    series: Series = {
        name: [(point["epoch"], point.get("valid", {}).get(name)) for point in history] for name in chosen
    }
    return _curves("score", series, best_epoch, say)


def _curves(name: str, series: Series, best_epoch: int | None, say: Say) -> str | None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    drawn: Series = {}
    for key, points in series.items():
        known = [(epoch, value) for epoch, value in points if value is not None and math.isfinite(value)]
        if known:
            drawn[key] = [*known[: -1 : math.ceil(len(known) / MAX_POINTS)], known[-1]]
    if not drawn:
        return None
    with drawing():
        sheet = Sheet(WIDTH, 230)
        axes = sheet.axes(48, 30, WIDTH - 64, 158, spines="bottom left")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if name == "score":
            percent_ticks(axes, say, "y")
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 9):g}"))
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.margins(x=0.04, y=0.1)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        left, labels = 48.0, []
        for (key, points), colour, line in zip(drawn.items(), (ACCENT, SECOND), ("-", (0, (5, 2))), strict=False):
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 30 else None
            axes.plot(epochs, values, color=colour, linewidth=1.8, linestyle=line, marker=marker, markersize=4)
            before, _, metric = key.rpartition(": ")
            words = f"{shorten(before, 12)} {say(f'curve.{metric}')}".strip()
            curve_key(sheet, axes, left, words, colour, line)
            left += 38 + width_of(words)
            last = say.percent(values[-1]) if name == "score" else f"{values[-1]:.3g}"
            labels.append(f"{words} {last}")
        if axes.get_xlim()[1] - axes.get_xlim()[0] < 0.5:  # a single epoch
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        sheet.write(axes, 1, -0.25, say("axis.epoch"), transform=axes.transAxes, ha="right", color=MUTED)
        return sheet.svg(name, f"{say(f'picture.{name}')}{say('colon')}{say('comma').join(labels)}")


def lengths(histogram: dict[str, Any], say: Say) -> str:
    """Tokens a record: "edges", "counts" and the "limit" that the model reads at once."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    edges, counts = histogram["edges"], histogram["counts"]
    with drawing():
        sheet = Sheet(WIDTH, 180)
        axes = sheet.axes(48, 10, WIDTH - 64, 125)
        widths = [right - left for left, right in itertools.pairwise(edges)]
        axes.bar(edges[:-1], counts, widths, align="edge", color=ACCENT, edgecolor=PAPER, linewidth=0.5)
        axes.set_xlim(edges[0], edges[-1])
        if limit_drawn(histogram):
            axes.axvline(histogram["limit"], color=SECOND, linewidth=1.5, linestyle=(0, (4, 2)))
        for axis, ticks in ((axes.xaxis, 6), (axes.yaxis, 4)):
            axis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        sheet.write(axes, 1, -0.3, say("axis.tokens"), transform=axes.transAxes, ha="right", color=MUTED)
        return sheet.svg("lengths", say("picture.lengths"))


def limit_drawn(histogram: dict[str, Any]) -> bool:
    """Whether the limit lies within the histogram."""
    return histogram.get("limit") is not None and histogram["edges"][0] < histogram["limit"] < histogram["edges"][-1]


def confusion(classes: list[str], cells: dict[tuple[str, str], int], number: int, say: Say) -> str:
    """Heat map of (truth, predicted) -> rows; a cell is as dark as its share of its row. For up to 20 classes."""
    from matplotlib.patches import Rectangle

    names = [_short(name, 100.0) for name in classes]
    num, widest = len(classes), max(map(width_of, names))
    cell = 56.0 if num <= 3 else 40.0 if num <= 6 else 34.0 if num <= 12 else 27.0
    level = widest <= cell - 4
    left, top = widest + 30, 44.0 if level else 38 + 0.71 * widest
    ends = [(place + 0.6 - num) * cell + 0.71 * width_of(name) for place, name in enumerate(names)]
    right = 10.0 if level else max(10.0, max(ends) + 8)
    with drawing():
        sheet = Sheet(left + cell * num + right, top + cell * num + 6)
        axes = sheet.axes(left, top, cell * num, cell * num, spines="")
        axes.set(xlim=(0, num), ylim=(num, 0), xticks=[], yticks=[])
        for row, truth in enumerate(classes):
            total = sum(cells.get((truth, predicted), 0) for predicted in classes)
            for column, predicted in enumerate(classes):
                rows = cells.get((truth, predicted), 0)
                share = rows / total if total else 0.0
                strength, ink = shade(share)
                if rows:
                    square = Rectangle((column, row), 1, 1, linewidth=0, facecolor=ACCENT, alpha=strength)
                    axes.add_patch(square)
                if rows or not total:
                    words, colour = (say.whole(rows), ink) if total else ("·", MUTED)
                    size = min(FONT_PX, FONT_PX * (cell - 2) / width_of(words))
                    style = {"color": colour, "ha": "center", "va": "center", "fontsize": size}
                    sheet.write(axes, column + 0.5, row + 0.5, words, **style)
        for place in range(num + 1):
            axes.plot([0, num], [place] * 2, color=RULE, linewidth=0.5)
            axes.plot([place] * 2, [0, num], color=RULE, linewidth=0.5)
        for place, name in enumerate(names):
            sheet.write(axes, -6 / cell, place + 0.5, name, color=INK, ha="right", va="center")
            if level:
                sheet.write(axes, place + 0.5, -6 / cell, name, color=INK, ha="center")
            else:
                sheet.write(axes, place + 0.6, -5 / cell, name, color=INK, rotation=45)
        sheet.write(axes, num / 2, -(top - 12) / cell, f"{say('predicted')} →", color=MUTED, ha="center")
        sheet.write(
            axes, -(left - 12) / cell, num / 2, f"← {say('truth')}", color=MUTED, rotation=90, ha="center", va="center"
        )
        return sheet.svg(f"confusion{number}", say("picture.confusion"))


def shade(share: float) -> tuple[float, str]:
    """Opacity of a square that holds this share of its row, and the colour of the number in it.

    The strengths in between are left out: no number can be read on them in light and in dark.
    """
    return (0.08 + 0.74 * share, INK) if share <= 0.5 else (0.56 + 0.44 * share, ON_ACCENT)


def reliability(bins: list[dict[str, Any]], number: int, say: Say) -> str:
    """Accuracy of the rows in each bin of confidence; a dot's area is its number of rows."""
    most = max(row["rows"] for row in bins)
    low = min(*(min(row["confidence"], row["accuracy"]) for row in bins), 0.5)
    low = math.floor(10 * low) / 10
    with drawing():
        sheet = Sheet(WIDTH, 310)
        axes = sheet.axes(56, 26, 240, 240, spines="bottom left")
        axes.set(xlim=(low, 1), ylim=(low, 1))
        percent_ticks(axes, say, "x")
        percent_ticks(axes, say, "y")
        axes.plot([low, 1], [low, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        for row in bins:
            axes.plot([row["confidence"]] * 2, [row["confidence"], row["accuracy"]], color=RULE, linewidth=1.5)
            size = 4 + 12 * math.sqrt(row["rows"] / most)
            axes.plot(row["confidence"], row["accuracy"], "o", color=ACCENT, alpha=0.85, markersize=size, clip_on=False)
        sheet.write(axes, 1, -0.16, say("axis.confidence"), transform=axes.transAxes, ha="right", color=MUTED)
        sheet.write(axes, -0.16, 1.05, say("axis.accuracy"), transform=axes.transAxes, color=MUTED)
        return sheet.svg(f"reliability{number}", say("picture.reliability"))


def scatter(points: list[list[float]], number: int, say: Say) -> str:
    """(truth, predicted) of single rows; on the diagonal the answer is right."""
    from matplotlib.ticker import MaxNLocator

    truth, predicted = zip(*points, strict=True)
    low, high = min(*truth, *predicted), max(*truth, *predicted)
    pad = 0.04 * (high - low) or 1.0
    ends = (low - pad, high + pad)
    with drawing():
        sheet = Sheet(WIDTH, 310)
        axes = sheet.axes(64, 26, 240, 240, spines="bottom left")
        axes.set(xlim=ends, ylim=ends)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(plain_tick)
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(truth, predicted, "o", color=ACCENT, alpha=0.5, markersize=4, markeredgewidth=0)
        sheet.write(axes, 1, -0.16, say("axis.truth"), transform=axes.transAxes, ha="right", color=MUTED)
        sheet.write(axes, -0.2, 1.05, say("axis.predicted"), transform=axes.transAxes, color=MUTED)
        return sheet.svg(f"scatter{number}", say("picture.scatter"))


def residuals(edges: list[float], counts: list[int], number: int, say: Say) -> str:
    """Histogram of truth minus prediction."""
    from matplotlib.ticker import MaxNLocator

    with drawing():
        sheet = Sheet(WIDTH, 230)
        axes = sheet.axes(48, 30, WIDTH - 64, 150, spines="bottom")
        widths = [0.92 * (right - left) for left, right in itertools.pairwise(edges)]
        axes.bar(edges[:-1], counts, width=widths, align="edge", color=ACCENT)
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.xaxis.set_major_formatter(plain_tick)
        sheet.write(axes, 1, -0.26, say("axis.residual"), transform=axes.transAxes, ha="right", color=MUTED)
        return sheet.svg(f"residuals{number}", say("picture.residuals"))


def plain_tick(value: float, _: Any) -> str:
    """A tick's number, without noise of the arithmetic."""
    return f"{round(value, 9):,g}" if abs(value) < 1e6 else f"{value:.3g}"


def percent_ticks(axes: Axes, say: Say, side: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: say("percent", number=f"{round(100 * value, 6):g}")))


def curve_key(sheet: Sheet, axes: Axes, left: float, words: str, colour: str, line: Any) -> None:
    """One entry of a curve's key, `left` pixels from the edge, above the axes."""
    box = axes.get_position()
    at = (left / sheet.width - box.x0) / box.width
    unit = 1 / (sheet.width * box.width)
    axes.plot(
        [at, at + 18 * unit],
        [1.11] * 2,
        color=colour,
        linewidth=1.8,
        linestyle=line,
        transform=axes.transAxes,
        clip_on=False,
    )
    sheet.write(axes, at + 23 * unit, 1.085, words, transform=axes.transAxes, color=INK)


def _short(name: str, width: float) -> str:
    """`name` on one line of `width` pixels, cut in the middle: names of classes differ at their ends."""
    name = shorten(name, 200)
    keep = len(name)
    while keep > 2 and width_of(name[:keep]) > width:
        keep -= 1
    if keep == len(name):
        return name
    return f"{name[: keep - keep // 2 - 1]}…{name[len(name) - keep // 2 :]}"


def width_of(words: str) -> float:
    """About how wide the browser sets `words`, in pixels."""
    return FONT_PX * sum(1.0 if unicodedata.east_asian_width(sign) in "WF" else 0.62 for sign in words)
