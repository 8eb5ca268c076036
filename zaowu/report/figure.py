"""A matplotlib figure as SVG inside the page: its words are set by the browser, its colours by the page's style."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-ins that matplotlib draws with; in the page each becomes a variable of report.css, so that one picture
# serves light, dark and print.
INK, MUTED, RULE, PAPER = "#000001", "#000002", "#000003", "#000004"
ACCENT, SECOND, ON_ACCENT = "#000005", "#000006", "#000007"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    ON_ACCENT: "var(--on-accent)",
}
FONT_PX = 12.0
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zaowu",
    "font.size": FONT_PX,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": FONT_PX,
    "ytick.labelsize": FONT_PX,
}
_XLINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """Inside, matplotlib has our settings, whatever the person's matplotlibrc says; afterwards theirs again."""
    from matplotlib import style

    with style.context(["default", _SETTINGS]):
        yield


class Sheet:
    """A figure of `width` x `height` CSS pixels, placed by hand so that no installed font can move anything.

    Words never reach matplotlib, which warns about Chinese where it finds no font for it and takes dollar signs
    for mathematics: it draws a stand-in, and `svg` puts the words in its place. Used inside `drawing()`.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # matplotlib's SVG has 72 dots an inch
        self.words: dict[str, str] = {}

    def axes(self, left: float, top: float, width: float, height: float, *, spines: str = "bottom") -> Axes:
        """Axes at a place in pixels from the upper left, with only the named `spines` drawn."""
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.patch.set_visible(False)
        for side, spine in axes.spines.items():
            spine.set_visible(side in spines.split())
        axes.tick_params(length=3, pad=4)
        return axes

    def write(self, axes: Axes, x: float, y: float, words: str, *, transform: Any = None, **style: Any) -> None:
        """`words` at (x, y): data coordinates unless `transform` says otherwise."""
        name = f"words{len(self.words)}"
        self.words[name] = words
        where = axes.transData if transform is None else transform
        text = axes.text(x, y, "x", transform=where, rotation_mode="anchor", **style)
        text.set_gid(name)

    def svg(self, name: str, label: str) -> str:
        """The SVG element, for use inside HTML.

        name: prefix of its ids, unique on the page. label: what it shows, for those who cannot see it.
        """
        file = io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        self.figure.savefig(file, format="svg", transparent=True, metadata=nothing)
        root = ElementTree.fromstring(file.getvalue())
        for parent in list(root.iter()):
            for child in list(parent):
                # matplotlib's own style sheet would reach the whole page; the rest is for other programs.
                if child.tag.endswith(("}metadata", "}style")):
                    parent.remove(child)
        used = set()
        for element in root.iter():
            _tidy(element)
            if "href" in element.attrib:
                used.add(element.attrib["href"][1:])
                element.set("href", f"#{name}-{element.attrib['href'][1:]}")
        for element in root.iter():
            gid = element.attrib.pop("id", "")
            if gid in used:
                element.set("id", f"{name}-{gid}")
            elif gid in self.words:
                next(element.iter("text")).text = self.words[gid]
        size = {"width": f"{self.width:g}", "height": f"{self.height:g}"}
        size["viewBox"] = f"0 0 {self.width:g} {self.height:g}"
        root.attrib.clear()
        root.attrib.update({**size, "role": "img", "aria-label": label})
        return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _tidy(element: ElementTree.Element) -> None:
    """Plain names instead of name-spaced ones, our variables for colours, the page's font, short numbers."""
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    if element.text and not element.text.strip():
        element.text = None
    if _XLINK in element.attrib:
        element.set("href", element.attrib.pop(_XLINK))
    element.attrib.pop("clip-path", None)  # nothing we draw leaves its axes
    for name in ("d", "transform", "x", "y"):
        if name in element.attrib:
            element.set(name, re.sub(r"(\.\d\d)\d+", r"\1", " ".join(element.attrib[name].split())))
    if "style" in element.attrib:
        parts = [part.strip() for part in element.attrib["style"].split(";") if part.strip()]
        style = "; ".join(part for part in parts if not part.startswith("font-family"))
        style = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", style)
        element.set("style", re.sub(r"#00000\d", lambda found: _VARIABLES[found.group()], style))
