"""Who won, and whether beyond noise: the first line of the report and the last one on the terminal."""

from __future__ import annotations

from typing import Any

from zaowu.report.content import ReportContent
from zaowu.report.say import Say

FEW_ROWS = 10  # of a class: below, its own numbers say little
MUCH_UNKNOWN = 0.05  # share of characters


def verdict(content: ReportContent, lang: str = "en") -> str:
    """Plain sentences. The Transformer is held against the strongest baseline by accuracy."""
    say = Say(lang)
    return ("" if say.zh else " ").join(sentences(content, say))


def sentences(content: ReportContent, say: Say) -> list[str]:
    """The verdict sentence by sentence; the first says who won."""
    evaluation, copies = content.evaluation, content.deleaked
    if not evaluation:
        return [say("verdict.none")]
    found = _against_baseline(content, evaluation, say)
    if copies:
        known = say.whole(evaluation["rows"] - copies["rows"])
        rows = say("rows.plain", n=say.whole(copies["rows"]))
        found.append(say("verdict.deleaked", copies=known, rows=rows, **_accuracy(copies, say)))
    return found


def strongest(content: ReportContent) -> str | None:
    """The baseline with the highest accuracy."""
    return max(content.baselines, key=lambda name: content.baselines[name]["accuracy"], default=None)


def caveats(content: ReportContent, say: Say) -> list[str]:
    """What to keep in mind about the scores, a sentence each."""
    found = []
    evaluation = content.evaluation or {}
    support = {row["label"]: row["support"] for row in evaluation.get("per_class", [])}
    missing = [label for label, rows in support.items() if not rows]
    few = [label for label, rows in support.items() if 0 < rows < FEW_ROWS]
    unseen = [say("counted", name=label, n=say.whole(rows)) for label, rows in evaluation.get("unseen", {}).items()]
    if missing:
        found.append(say("caveat.missing", names=say.listed(missing)))
    if unseen:
        found.append(say("caveat.unseen", names=say.listed(unseen)))
    if few:
        found.append(say("caveat.few", n=FEW_ROWS, names=say.listed(few)))
    if content.findings.get("conflicting_labels"):
        found.append(say("caveat.conflicts", n=say.whole(content.findings["conflicting_labels"])))
    if (content.unknown_share or 0) > MUCH_UNKNOWN:
        found.append(say("caveat.unknown", share=say.percent(content.unknown_share)))
    return found


def _against_baseline(content: ReportContent, evaluation: dict[str, Any], say: Say) -> list[str]:
    words = {**_accuracy(evaluation, say), "rows": _rows(content, evaluation, say)}
    best = strongest(content)
    if best is None:
        return [say("verdict.alone", **words)]
    words["baseline"] = say.name("baseline", best)
    words["base"] = say.percent(content.baselines[best]["accuracy"])
    lead = content.comparison.get(best)
    if lead is None or lead["low"] is None or lead["high"] is None:
        return [say("verdict.unpaired", **words)]
    words["points"] = say.points(lead["value"])
    if lead["low"] > 0:
        return [say("verdict.wins", **words)]
    if lead["high"] < 0:
        return [say("verdict.loses", **words), say("advice.loses")]
    interval = say.interval(lead["low"], lead["high"], signed=True)
    return [say("verdict.ties", **words), say("advice.ties", points=words["points"], interval=interval)]


def _accuracy(evaluation: dict[str, Any], say: Say) -> dict[str, str]:
    low, high = evaluation.get("intervals", {}).get("accuracy", (None, None))
    return {"score": say.percent(evaluation["accuracy"]), "interval": say.interval(low, high)}


def _rows(content: ReportContent, evaluation: dict[str, Any], say: Say) -> str:
    """`1,000 unseen rows`, said as strictly as the way of scoring allows."""
    kind = "plain"
    if content.deleaked:
        kind = "given"
    elif "cross-validation" in content.scored_on:
        kind = "folds"
    elif content.scored_on == "test split":
        kind = "unseen"
    elif content.scored_on == "test file":
        kind = "test file"
    return say(f"rows.{kind}", n=say.whole(evaluation["rows"]))
