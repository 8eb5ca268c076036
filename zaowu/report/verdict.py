"""Who won, and whether beyond noise: the first line of the report and the last one on the terminal."""

from __future__ import annotations

from typing import Any

from zaowu import targets
from zaowu.report.content import AnswerContent, ReportContent
from zaowu.report.say import Say

FEW_ROWS = 10  # of a class: below, its own numbers say little
MUCH_UNKNOWN = 0.05  # share of characters


def verdicts(content: ReportContent, lang: str = "en") -> list[str]:
    """Plain sentences, one paragraph for each target. The Transformer is held against the strongest baseline."""
    say = Say(lang)
    if not content.answers:
        return [say("verdict.none")]
    return [("" if say.zh else " ").join(sentences(content, answer, say)) for answer in content.answers]


def sentences(content: ReportContent, answer: AnswerContent, say: Say) -> list[str]:
    """The verdict on one target sentence by sentence; the first says who won."""
    evaluation, copies = answer.evaluation, answer.deleaked
    name = f"{answer.target}{say('colon')}" if len(content.answers) > 1 else ""
    if not evaluation:
        return [name + say("verdict.none")]
    found = _against_baseline(content, answer, evaluation, say)
    if copies:
        known = say.whole(evaluation["rows"] - copies["rows"])
        rows = say("rows.plain", n=say.whole(copies["rows"]))
        found.append(say(_key("verdict.deleaked", answer), copies=known, rows=rows, **_score(copies, answer, say)))
    return [name + found[0], *found[1:]]


def headline(answer: AnswerContent) -> tuple[str, bool]:
    """The metric that decides, and whether more of it is better."""
    target = targets.find(answer.kind, where="report")
    return target.headline, target.metrics[target.headline].higher_is_better


def by_strength(answer: AnswerContent) -> list[str]:
    """The baselines, the strongest first."""
    metric, more_is_better = headline(answer)
    return sorted(answer.baselines, key=lambda name: answer.baselines[name][metric], reverse=more_is_better)


def caveats(content: ReportContent, answer: AnswerContent, say: Say) -> list[str]:
    """What to keep in mind about the scores, a sentence each."""
    found = [_leak(leak, say) for leak in content.findings.get("leaks", []) if leak["target"] == answer.target]
    evaluation = answer.evaluation or {}
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


def _leak(leak: dict[str, Any], say: Say) -> str:
    shares = {name: say.percent(leak[name]) for name in ("alone", "others", "usual")}
    kind = "number" if leak["is_number"] else "class"
    return say(f"leak.{kind}", column=leak["column"], target=leak["target"], **shares)


def _against_baseline(content: ReportContent, answer: AnswerContent, evaluation: dict[str, Any], say: Say) -> list[str]:
    metric, more_is_better = headline(answer)
    words = {**_score(evaluation, answer, say), "rows": _rows(content, answer, evaluation, say)}
    best = next(iter(by_strength(answer)), None)
    if best is None:
        return [say(_key("verdict.alone", answer), **words)]
    words["baseline"] = say.name("baseline", best)
    words["base"] = say.score(metric, answer.baselines[best][metric])
    lead = answer.comparison.get(best)
    if lead is None or lead["low"] is None or lead["high"] is None:
        return [say(_key("verdict.unpaired", answer), **words)]
    words["points"] = say.gap(metric, lead["value"])
    low, high = (lead["low"], lead["high"]) if more_is_better else (-lead["high"], -lead["low"])
    if low > 0:
        return [say(_key("verdict.wins", answer), **words)]
    if high < 0:
        return [say(_key("verdict.loses", answer), **words), say("advice.loses")]
    interval = say.range(metric, low, high, signed=True)
    advice = say("advice.ties", points=words["points"], interval=interval)
    return [say(_key("verdict.ties", answer), **words), advice]


def _key(key: str, answer: AnswerContent) -> str:
    """Classes have sentences of their own; those of the other kinds name the metric."""
    return key if answer.kind == "category" else f"{key}.metric"


def _score(evaluation: dict[str, Any], answer: AnswerContent, say: Say) -> dict[str, str]:
    metric, _ = headline(answer)
    low, high = evaluation.get("intervals", {}).get(metric, (None, None))
    words = {"score": say.score(metric, evaluation[metric]), "interval": say.range(metric, low, high)}
    return words if answer.kind == "category" else words | {"metric": say(f"score.{metric}")}


def _rows(content: ReportContent, answer: AnswerContent, evaluation: dict[str, Any], say: Say) -> str:
    """`1,000 unseen rows`, said as strictly as the way of scoring allows."""
    kind = "plain"
    if answer.deleaked:
        kind = "given"
    elif "cross-validation" in content.scored_on:
        kind = "folds"
    elif content.scored_on == "test split":
        kind = "unseen"
    elif content.scored_on == "test file":
        kind = "test file"
    return say(f"rows.{kind}", n=say.whole(evaluation["rows"]))
