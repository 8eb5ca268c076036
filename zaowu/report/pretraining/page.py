"""The page as one HTML file that needs nothing but itself."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from zaowu.report.pretraining import curves
from zaowu.report.pretraining.content import Filled, Pretraining
from zaowu.report.pretraining.verdict import PAIRED, kept, measured, number, say_in, sentences
from zaowu.report.say import Say, known
from zaowu.report.write import MAX_TEXT, render_page, write_page

METRICS = ("perplexity", "accuracy", *(f"{name}_accuracy" for name in PAIRED), "loss")
SHAPE = ("parameters", "layers", "width", "heads", "pieces", "length", "patches")
CORPUS = (
    "records",
    "copies",
    "held_out_records",
    "documents",
    "paragraphs",
    "duplicates",
    "near_duplicates",
    "held_out",
    "train_tokens",
    "valid_tokens",
    "unreadable",
)
COST = ("seconds", "tokens", "tokens_per_s", "flops", "rate", "peak_mb", "watt_hours")
CAPS = {"sources": 60, "unreadable": 10, "filled": 10, "answers": 8, "notes": 20}


def write(content: Pretraining, path: Path, *, lang: str) -> None:
    """Writes the page to `path`, under a temporary name first: an older page is replaced whole or not at all.

    lang: "en" or "zh". Raises UserError for another language and when the file cannot be written.
    """
    write_page(Path(path), render(content, lang=lang))


def render(content: Pretraining, *, lang: str) -> str:
    """The page as text. Everything that comes from data is escaped by the template."""
    say = say_in(lang)
    return render_page("pretraining.html.j2", say, c=content, caps=CAPS, **_parts(content, say))


def _parts(content: Pretraining, say: Say) -> dict[str, Any]:
    """What the template lays out, by name; `sections` are those that have anything to show."""
    best, causal = kept(content.history), "causal" in content.objectives
    parts: dict[str, Any] = {
        "verdict": sentences(content, say.lang),
        "scores": _scores(content, say),
        "shape": [(say(f"shape.{name}"), _count(name, value, say)) for name, value in _of(content.shape, SHAPE)],
        "corpus": [(say(f"corpus.{name}"), _count(name, value, say)) for name, value in _of(content.corpus, CORPUS)],
        "sources": _sources(content, say),
        "curves": curves.pictures(content, say),
        "kept": best.step if best else None,
        "summed": len(content.objectives) > 1,
        "causal": causal,
        "of_records": "records" in content.corpus,
        "filled": [_filled(one, content.mask) for one in content.filled[: CAPS["filled"]]],
        "hits": _hits(content.filled[: CAPS["filled"]], say),
        "cost": _cost(content.cost, say),
        "assumed": _assumed(content.cost, say),
        "fit": f"zaowu fit data.csv --base {shlex.quote(content.name)}",
        "python": f"from transformers import {content.opens_with[0]}\n\n"
        f"model = {content.opens_with[0]}.from_pretrained({content.name!r})"
        if content.opens_with
        else "",
    }
    of_records = parts["of_records"]
    shown = [
        ("result", "result", parts["scores"] or parts["shape"] or content.objectives or content.notes),
        (
            "corpus",
            "corpus.records" if of_records else "corpus",
            parts["corpus"] or content.sources or content.unreadable,
        ),
        ("training", "training", True),
        ("filled", "filled.causal" if causal else "filled", content.filled),
        ("cost", "cost", parts["cost"]),
        ("use", "use", True),
        ("again", "again", content.command),
    ]
    parts["sections"] = [(name, say(f"title.{title}")) for name, title, something in shown if something]
    return parts


def _of(values: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(name, values[name]) for name in names if values.get(name) is not None]


def _count(name: str, value: float, say: Say) -> str:
    large = name in ("parameters", "train_tokens", "valid_tokens")
    return say.million(value) if large else say.whole(value)


def _scores(content: Pretraining, say: Say) -> list[dict[str, str]]:
    """The held-out metrics of the weights that were kept, beside those from before the first step."""
    after = measured(content)
    found = []
    for name in METRICS:
        if name in after:
            shown = [
                say.percent(value) if name.endswith("accuracy") else number(value)
                for value in (after[name], content.before.get(name))
            ]
            found.append({"name": name, "value": shown[0], "before": shown[1] if name in content.before else ""})
    return found


def _sources(content: Pretraining, say: Say) -> dict[str, Any]:
    """Rows of the table; the share of a source counts its weight, for that is how often its text is learned from."""
    weighed = [max(0.0, source.bytes * source.weight) if known(source.weight) else 0.0 for source in content.sources]
    total = sum(weighed) or 1.0
    return {
        "rows": [
            {
                "name": source.name,
                "documents": say.whole(source.documents),
                "size": _size(source.bytes),
                "weight": f"{source.weight:g}" if known(source.weight) else "–",
                "share": say.percent(part / total),
                "bar": 5 * part / total,
            }
            for source, part in zip(content.sources[: CAPS["sources"]], weighed, strict=False)
        ],
        "documents": say.whole(sum(source.documents for source in content.sources)),
        "size": _size(sum(source.bytes for source in content.sources)),
    }


def _filled(one: Filled, mask: str) -> dict[str, Any]:
    """The text around its mask, and the answers with the right one marked."""
    before, slot, after = one.text.partition(mask) if mask else (one.text, "", "")
    room = MAX_TEXT // 2
    return {
        "before": f"…{before[-room:]}" if slot and len(before) > room else before,
        "slot": slot,
        "after": after,
        "truth": one.truth,
        "found": any(piece == one.truth for piece, _ in one.answers[: CAPS["answers"]]),
        "continued": all(chance is None for _, chance in one.answers),
        "answers": [
            {
                "piece": piece,
                "chance": chance,
                "bar": 100 * min(1.0, max(0.0, chance or 0.0)),
                "right": piece == one.truth,
            }
            for piece, chance in one.answers[: CAPS["answers"]]
        ],
    }


def _hits(filled: tuple[Filled, ...], say: Say) -> str:
    """How many of the sentences were filled rightly; empty where the model went on instead."""
    masked = [one for one in filled if any(chance is not None for _, chance in one.answers)]
    ranks = [[piece for piece, _ in one.answers[: CAPS["answers"]]] for one in masked]
    right = [pieces.index(one.truth) for one, pieces in zip(masked, ranks, strict=True) if one.truth in pieces]
    return say("hits", first=right.count(0), any=len(right), all=len(masked)) if masked else ""


def _cost(cost: dict[str, float], say: Say) -> list[tuple[str, str]]:
    """What the run took. The rate of operations follows from the others."""
    values = dict(cost)
    flops, seconds = cost.get("flops"), cost.get("seconds")
    if known(flops) and known(seconds) and seconds > 0:
        values["rate"] = flops / seconds
    shown = {
        "seconds": say.duration,
        "tokens": say.million,
        "tokens_per_s": say.whole,
        "flops": _power,
        "rate": _power,
        "peak_mb": lambda value: f"{say.whole(value)} MB",
        "watt_hours": lambda value: f"{number(value / 1000)} kWh" if value >= 1000 else f"{number(value)} Wh",
    }
    return [(say(f"cost.{name}"), shown[name](value)) for name, value in _of(values, COST)]


def _assumed(cost: dict[str, float], say: Say) -> list[str]:
    """What of the cost was not measured, a sentence each."""
    found = [say("flops.counted")] if "flops" in cost else []
    if "watt_hours" in cost:
        watts = cost.get("watts")
        found.append(say("energy.assumed", watts=number(watts)) if known(watts) else say("energy.unknown"))
    return found


def _power(value: float) -> str:
    """`1.23e15` -> `1.2 × 10¹⁵`."""
    if not known(value) or value <= 0:
        return number(value)
    head, power = f"{value:.1e}".split("e")
    return f"{head} × 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _size(num_bytes: float) -> str:
    """`1234567` -> `1.2 MB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= step:
            return f"{num_bytes / step:,.1f} {unit}"
    return f"{num_bytes:,.0f} B"
