"""What the template lays out: rows for its tables, long lists cut to what a person reads."""

from __future__ import annotations

import math
from typing import Any

from zaowu.report import pictures
from zaowu.report.content import AnswerContent, ReportContent, is_sound, picture_size
from zaowu.report.pictures import Interval
from zaowu.report.say import PLAIN, Say
from zaowu.report.verdict import by_strength, headline

METRICS = {
    "category": ("accuracy", "macro_f1", "calibration_error", "log_loss"),
    "tags": ("micro_f1", "macro_f1", "exact_match", "ranking", "log_loss"),
    "number": ("mae", "rmse", "r2"),
    "span": ("f1", "exact_match"),
    "entities": ("entity_f1", "entity_precision", "entity_recall", "macro_f1", "exact_match"),
    "text": ("chrf", "bleu", "rouge_l", "exact_match"),
}
SLICED = {
    "category": "accuracy",
    "tags": "row_f1",
    "number": "mae",
    "span": "f1",
    "entities": "row_f1",
    "text": "chrf",
}  # the mean of the records' figures
MAX_HEAT_MAP = 20  # classes
MAX_PAIRS = 25
MAX_CLASSES = 60
MAX_SLICES = 100
CAPS = {"mistakes": 20, "predictions": 10, "examples": 5, "rows": 60}  # of lists that the template cuts itself
TINY, ENLARGED = 48, 96  # pixels: an image below the one is shown as large as the other, pixel by pixel
FAIR = 0.01  # gap between mean confidence and accuracy that nobody needs to care about


def methods(answer: AnswerContent, say: Say) -> list[dict[str, Any]]:
    """The Transformer, then the baselines from strong to weak: scores, intervals, lead over the baseline."""
    if not answer.evaluation:
        return []
    metric, _ = headline(answer)
    rows = [_method(say("model"), answer.evaluation, answer.kind, say, ours=True)]
    if answer.deleaked:
        rows.append(_method(say("deleaked"), answer.deleaked, answer.kind, say, ours=True))
    for name in by_strength(answer):
        row = _method(say.name("baseline", name), answer.baselines[name], answer.kind, say, ours=False)
        lead = answer.comparison.get(name)
        if lead:
            row["lead"] = say.gap(metric, lead["value"], signed=True)
            row["lead_interval"] = say.range(metric, lead.get("low"), lead.get("high"), signed=True)
        rows.append(row)
    return rows


def interval_picture(answer: AnswerContent, number: int, say: Say) -> str | None:
    """The headline metric side by side; None without intervals."""
    found = []
    metric, more_is_better = headline(answer)
    for row in methods(answer, say):
        low, high = row["evaluation"].get("intervals", {}).get(metric, (None, None))
        if low is not None and high is not None:
            found.append(Interval(row["name"], row["evaluation"][metric], low, high, ours=row["ours"]))
    return pictures.intervals(found, metric, number, say, more_is_better=more_is_better) if found else None


def facts(content: ReportContent, say: Say) -> list[tuple[str, str]]:
    """The counts of the data gate."""
    names = {
        "rows": "rows_usable",
        "duplicates_within": "duplicates_within",
        "duplicates_across": "duplicates_across",
        "conflicting_labels": "conflicting_labels",
    }
    counts = content.findings
    return [(say(key), say.whole(counts[name])) for name, key in names.items() if counts.get(name) is not None]


def class_counts(content: ReportContent) -> dict[str, Any] | None:
    """Rows of each class on each side, the most frequent first."""
    sides = {side: counts for side, counts in content.findings.get("class_counts", {}).items() if counts}
    if not sides:
        return None
    parts = {side: counts for side, counts in sides.items() if side != "all"} or sides
    totals: dict[str, int] = dict(sides.get("all", {}))
    if not totals:
        for counts in parts.values():
            for label, rows in counts.items():
                totals[label] = totals.get(label, 0) + rows
    order = sorted(totals, key=lambda label: -totals[label])
    return {
        "sides": list(parts) if len(parts) > 1 else [],
        "rows": [
            {"label": label, "counts": [counts.get(label, 0) for counts in parts.values()], "total": totals[label]}
            for label in order[:MAX_CLASSES]
        ],
        "sum": sum(totals.values()),
        "most": totals[order[0]],
        "all": len(order),
    }


def long_texts(lengths: dict[str, Any], say: Say) -> list[str]:
    """Sentences about how long the texts are and what was done to the long ones."""
    sentences = []
    if lengths.get("median") is not None and lengths.get("longest") is not None:
        values = {name: say.whole(lengths[name]) for name in ("median", "longest")}
        sentences.append(say("lengths", **values))
    if lengths.get("limit") is not None:
        how = "window" if lengths.get("long") == "window" else "truncate"
        kind = how if lengths.get("over") else "none"
        limit, over = say.whole(lengths["limit"]), say.whole(lengths.get("over"))
        sentences.append(say(f"long.{kind}", limit=limit, over=over))
    return sentences


def made_of(content: ReportContent, say: Say) -> list[str]:
    """Sentences about the model: where it comes from and how large it is."""
    sentences = []
    if content.base:
        key = "base" if content.licence else "base.plain"
        sentences.append(say(key, base=content.base, licence=content.licence))
    elif content.num_parameters or content.history:
        sentences.append(say("scratch"))
    if content.num_pieces:
        key = "pieces" if (content.num_pieces_before or 0) > content.num_pieces else "pieces.plain"
        before = say.whole(content.num_pieces_before)
        sentences.append(say(key, kept=say.whole(content.num_pieces), before=before))
    if content.num_parameters:
        sentences.append(say("parameters", n=say.million(content.num_parameters)))
    return sentences


def confusions(evaluation: dict[str, Any], number: int, say: Say) -> dict[str, Any] | None:
    """A heat map for few classes, the most confused pairs for many, and the worst pair as a sentence."""
    cells = {(cell["truth"], cell["predicted"]): cell["rows"] for cell in evaluation.get("confusion", [])}
    classes = list(evaluation.get("classes", []))
    if not cells or not classes:
        return None
    support: dict[str, int] = {}
    for (truth, _), rows in cells.items():
        support[truth] = support.get(truth, 0) + rows
    wrong = sorted((pair for pair in cells if pair[0] != pair[1]), key=lambda pair: -cells[pair])
    pairs = [
        {"truth": truth, "predicted": predicted, "rows": cells[truth, predicted], "of": support[truth]}
        for truth, predicted in wrong[:MAX_PAIRS]
    ]
    few = len(classes) <= MAX_HEAT_MAP
    return {
        "picture": pictures.confusion(classes, cells, number, say) if few else None,
        "pairs": pairs[:5] if few else pairs,
        "worst": pairs[0] if pairs else None,
        "most": max((pair["rows"] / pair["of"] for pair in pairs), default=1.0),
    }


def per_class(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """The table by class, the lowest F1 first; classes without rows have no figures and come last."""
    rows = [
        row if row["support"] else {**row, "precision": None, "recall": None, "f1": None}
        for row in evaluation.get("per_class", [])
    ]
    return sorted(rows, key=lambda row: (row["f1"] is None, row["f1"] or 0.0))


def trust(evaluation: dict[str, Any], number: int, say: Say) -> tuple[str, str] | None:
    """The reliability picture and, in a sentence, whether the model is too sure of itself."""
    bins = [row for row in evaluation.get("calibration_bins", []) if row["rows"]]
    if not bins:
        return None
    rows = sum(row["rows"] for row in bins)
    gap = sum(row["rows"] * (row["confidence"] - row["accuracy"]) for row in bins) / rows
    kind = "fair" if abs(gap) < FAIR else "over" if gap > 0 else "under"
    return pictures.reliability(bins, number, say), say(
        f"trust.{kind}", points=say.points(FAIR if kind == "fair" else gap)
    )


def errors(evaluation: dict[str, Any], number: int, say: Say) -> dict[str, str] | None:
    """Of a number: the truth against what the model said, how far it was off, and how often its interval held."""
    points = evaluation.get("points")
    if not points:
        return None
    held = evaluation.get("coverage")
    return {
        "scatter": pictures.scatter(points, number, say),
        "residuals": pictures.residuals(evaluation["edges"], evaluation["counts"], number, say),
        "coverage": "" if held is None else say("coverage", share=say.percent(held)),
    }


def drawn(content: ReportContent) -> str:
    """What the pictures of records are: "image", "audio" (its spectrogram), "series" (its plot), or ""."""
    return next((kind for kind in _kinds(content) if kind in ("image", "audio", "series")), "")


def is_table(content: ReportContent) -> bool:
    """Whether the words of a record are cells."""
    return not {"number", "category", "date"}.isdisjoint(_kinds(content))


def _kinds(content: ReportContent) -> list[str]:
    return [column["kind"] for column in content.columns if column["role"] == "input"]


def seen(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The first rows, each with its picture and sound: `uri`, `width`, `height`, `is_tiny` and `sound`, or neither.

    What is not surely a picture or a sound is left out, wherever the content comes from.
    """
    found = []
    for row in rows[:most]:
        uri, sound = row.get("picture", ""), row.get("sound", "")
        size = picture_size(uri)
        times = max(1, ENLARGED // max(size)) if size and max(size) <= TINY else 1
        width, height = (side * times for side in size or (0, 0))
        picture = {"uri": uri if size else "", "width": width, "height": height, "is_tiny": times > 1}
        found.append({**row, **picture, "sound": sound if is_sound(sound) else ""})
    return found


def about_seen(rows: list[dict[str, Any]], drawn: str, say: Say) -> list[str]:
    """Sentences on how pictures are to be read, and on what had no room."""
    sentences = [say(f"drawn.{drawn}")] if drawn and any(row["uri"] for row in rows) else []
    if 0 < (num := sum(bool(row["sound"]) for row in rows)) < len(rows):
        sentences.append(say("heard.some", n=num, of=len(rows)))
    return sentences


def slices(answer: AnswerContent, say: Say) -> dict[str, Any] | None:
    """Slices with bars on a common scale: of shares it starts at a round number below the lowest interval."""
    rows = answer.slices[:MAX_SLICES]
    if not rows:
        return None
    metric = SLICED[answer.kind]
    lows = [row["score"] if row.get("low") is None else row["low"] for row in rows]
    highs = [row["score"] if row.get("high") is None else row["high"] for row in rows]
    floor, top = min(0.9, math.floor(10 * max(0.0, min(lows))) / 10), 1.0
    if metric in PLAIN:
        floor, top = 0.0, max(highs) or 1.0

    def place(value: float) -> float:
        return 100 * (min(top, max(floor, value)) - floor) / (top - floor)

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        bar = None
        interval = ""
        if row.get("low") is not None and row.get("high") is not None:
            bar = (place(row["low"]), place(row["high"]) - place(row["low"]))
            interval = say.range(metric, row["low"], row["high"])
        shown = {"score": say.score(metric, row["score"]), "interval": interval}
        groups.setdefault(row["slice"], []).append({**row, **shown, "bar": bar, "dot": place(row["score"])})
    overall = answer.evaluation.get(metric) if answer.evaluation else None
    mark = place(overall) if overall is not None and overall >= floor else None
    ends = [say.percent(floor, 0), say.percent(top, 0)] if metric not in PLAIN else ["0", say.score(metric, top)]
    return {
        "groups": groups,
        "ends": ends,
        "mark": mark,
        "metric": say(f"sliced.{metric}"),
        "shown": len(rows),
        "all": len(answer.slices),
    }


def cost(content: ReportContent, say: Say) -> list[tuple[str, str]]:
    """What was measured beside the time of each step."""
    units = {"train_rows_per_s": "", "predict_rows_per_s": "", "peak_memory_mb": " MB", "model_size_mb": " MB"}
    found = {name: getattr(content, name) for name in units}
    return [(say(name), say.whole(value) + units[name]) for name, value in found.items() if value is not None]


def again(content: ReportContent, say: Say) -> list[tuple[str, str]]:
    """What else has to be the same for the same model to come out."""
    values = {"created": content.created, "seed": content.seed, "machine": content.machine}
    return [(say(name), str(value)) for name, value in values.items() if value not in (None, "")]


def _method(name: str, evaluation: dict[str, Any], kind: str, say: Say, *, ours: bool) -> dict[str, Any]:
    scores = []
    for metric in METRICS[kind]:
        low, high = evaluation.get("intervals", {}).get(metric, (None, None))
        interval = say.range(metric, low, high) if low is not None and high is not None else ""
        scores.append({"value": say.score(metric, evaluation.get(metric)), "interval": interval})
    return {"name": name, "evaluation": evaluation, "ours": ours, "scores": scores, "rows": evaluation["rows"]}
