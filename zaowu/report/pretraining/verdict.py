"""Whether it paid: the first line of the page, and the last one on the terminal."""

from __future__ import annotations

import math

from zaowu.report.pretraining import chinese, english
from zaowu.report.pretraining.content import Pretraining
from zaowu.report.say import Say, known
from zaowu.train.stop import Point, best

WORDS = {"en": english.WORDS, "zh": chinese.WORDS}
PAIRED = ("next_sentence", "sentence_order")


def say_in(lang: str) -> Say:
    """The words of this page. Raises UserError for a language that we do not have."""
    return Say(lang, WORDS)


def kept(history: tuple[Point, ...]) -> Point | None:
    """The evaluation whose weights were kept; None where there was none."""
    ranked = [point for point in history if point.rank and all(map(math.isfinite, point.rank))]
    return best(ranked or history) if history else None


def measured(content: Pretraining) -> dict[str, float]:
    """Metrics of the weights that were kept, on the held-out documents."""
    point = kept(content.history)
    return point.valid if point else {}


def gained(content: Pretraining) -> tuple[bool | None, str]:
    """Whether held-out documents became more likely, and by which metric it is told.

    None where it was not measured before and after; then the metric is what there is of the weights that were kept,
    empty where there is nothing. A loss that is no number any more is no gain.
    """
    after = measured(content)
    for name in ("perplexity", "loss"):
        before, now = content.before.get(name), after.get(name)
        if now is not None and known(before):
            return now < before, name
    return None, next((name for name in ("perplexity", "loss") if known(after.get(name))), "")


def sentences(content: Pretraining, lang: str = "en") -> list[str]:
    """The verdict; its first sentence says what was made, whether anything was gained, and why training ended."""
    say, after = say_in(lang), measured(content)
    gain, metric = gained(content)
    corpus, kind = content.corpus, "next" if "causal" in content.objectives else "hidden"
    held, tokens = corpus.get("held_out"), corpus.get("train_tokens")
    records = corpus.get("held_out_records")
    outcome = {True: "gain", False: "flat", None: "alone" if metric else "none"}[gain]
    words = {
        "name": content.name,
        "how": say("how.further", base=content.base) if content.base else say("how.scratch"),
        "on": say("on_tokens", n=say.million(tokens)) if known(tokens) else "",
        "held": say("held.records", n=say.whole(records))
        if known(records)
        else say("held.counted", n=say.whole(held))
        if known(held)
        else say("held"),
        "metric": say(f"metric.{metric}") if metric else "",
        "before": number(content.before.get(metric)),
        "after": number(after.get(metric)) if known(after.get(metric)) else say("no_number"),
    }
    parts = [say(f"paid.{outcome}", **words)]
    if known(after.get("accuracy")):
        parts.append(say(f"right.{kind}", share=say.percent(after["accuracy"])))
    if content.reason:
        parts.append(say("ended", why=say.told(content.reason).rstrip(".")))
    found = [say("clause").join(parts) + say("full_stop")]
    if gain is False:
        found.append(say("advice.further", base=content.base) if content.base else say("advice.scratch"))
    for name in PAIRED:
        if known(after.get(f"{name}_accuracy")):
            found.append(say(f"pairs.{name}", share=say.percent(after[f"{name}_accuracy"])))
    return found


def number(value: float | None) -> str:
    """`23.41` -> `23.4`, `8012.3` -> `8,012`; a dash for what could not be computed."""
    if not known(value):
        return "–"
    return f"{value:.3g}" if abs(value) < 100 or abs(value) >= 1e9 else f"{value:,.0f}"
