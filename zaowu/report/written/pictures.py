"""Pictures of written texts, each as an SVG element."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zaowu.report.figure import ACCENT, FONT_PX, INK, MUTED, RULE, Sheet, drawing
from zaowu.report.pictures import WIDTH, plain_tick, width_of
from zaowu.report.say import Say

CELL = 20.0  # pixels of a piece in a picture of attention
MAX_PIECES = 60  # a side
LEAST = 0.01  # weights below are not drawn
MAX_LABEL = 110.0  # pixels of a piece's words


def lengths(pairs: Sequence[Sequence[int]], number: int, say: Say) -> str:
    """Characters of the reference against those of the text. number: keeps the ids of one page apart."""
    from matplotlib.ticker import MaxNLocator

    counts = Counter((first, second) for first, second in pairs)
    high = 1.06 * max(max(pair) for pair in counts) or 1.0
    most = max(counts.values())
    with drawing():
        sheet = Sheet(WIDTH, 310)
        axes = sheet.axes(56, 26, 240, 240, spines="bottom left")
        axes.set(xlim=(0, high), ylim=(0, high))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_major_formatter(plain_tick)
        axes.plot([0, high], [0, high], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        for (first, second), count in sorted(counts.items()):
            size = 4 + 8 * (count / most) ** 0.5 if most > 1 else 4
            axes.plot(first, second, "o", color=ACCENT, alpha=0.5, markersize=size, markeredgewidth=0, clip_on=False)
        below = {"transform": axes.transAxes, "color": MUTED}
        sheet.write(axes, 1, -0.16, say("axis.reference_characters"), ha="right", **below)
        sheet.write(axes, -0.16, 1.05, say("axis.written_characters"), **below)
        return sheet.svg(f"written{number}", say("picture.written_lengths"))


def attention(
    weights: Sequence[Sequence[float]], source: Sequence[str], written: Sequence[str], name: str, say: Say
) -> str:
    """How much of each written piece's attention goes to each source piece.

    weights: (U, T), from 0 to 1. source: T pieces. written: U pieces. Of more than 60 on a side the first are drawn.
    name: unique on the page.
    """
    from matplotlib.patches import Rectangle

    columns, rows = ([_shown(piece) for piece in side[:MAX_PIECES]] for side in (source, written))
    left, top = 24 + max(map(width_of, rows)), 24 + max(map(width_of, columns))
    width, height = CELL * len(columns), CELL * len(rows)
    with drawing():
        sheet = Sheet(left + width + 8, top + height + 8)
        axes = sheet.axes(left, top, width, height, spines="")
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xticks=[], yticks=[])
        for row, own in enumerate(weights[:MAX_PIECES]):
            for column, weight in enumerate(own[:MAX_PIECES]):
                if weight >= LEAST:
                    axes.add_patch(Rectangle((column, row), 1, 1, linewidth=0, facecolor=ACCENT, alpha=float(weight)))
        for place in range(len(columns) + 1):
            axes.plot([place] * 2, [0, len(rows)], color=RULE, linewidth=0.5)
        for place in range(len(rows) + 1):
            axes.plot([0, len(columns)], [place] * 2, color=RULE, linewidth=0.5)
        for row, words in enumerate(rows):
            sheet.write(axes, -5 / CELL, row + 0.5, words, color=INK, ha="right", va="center")
        for column, words in enumerate(columns):
            sheet.write(axes, column + 0.5 + 0.3 * FONT_PX / CELL, -5 / CELL, words, color=INK, rotation=90)
        sheet.write(axes, 0, -(top - 11) / CELL, f"{say('axis.read')} →", color=MUTED)
        style = {"color": MUTED, "rotation": 90, "ha": "right"}
        sheet.write(axes, -(left - 12) / CELL, 0, f"← {say('axis.written')}", **style)
        return sheet.svg(name, say("picture.attention"))


def _shown(piece: str) -> str:
    """A piece's words; of a long one the beginning, of white space a sign."""
    words = piece if piece.strip() else "␣"
    while width_of(words) > MAX_LABEL:
        words = words[: max(1, len(words) * 3 // 4 - 1)].rstrip("…") + "…"
    return words
