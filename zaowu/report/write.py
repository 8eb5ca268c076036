"""The report as one HTML file that needs nothing but itself."""

from __future__ import annotations

import contextlib
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zaowu.errors import UserError, shorten
from zaowu.report import pictures, views
from zaowu.report.content import ReportContent
from zaowu.report.say import Say
from zaowu.report.verdict import caveats, headline, sentences, verdicts
from zaowu.report.written import views as written

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
MAX_TEXT = 280  # characters of a text that is shown
MAX_CELLS = 400  # of the row of a table
MAX_NAME = 60  # of a class, a column, a setting
# What may not stand in HTML or in UTF-8: controls, halves of surrogate pairs, non-characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def write(path: str | os.PathLike[str], content: ReportContent, *, lang: str = "en") -> None:
    """Writes the page to `path`, under a temporary name first: an older page is replaced whole or not at all.

    lang: "en" or "zh". Raises UserError for another language and when the file cannot be written.
    """
    write_page(Path(path), render(content, lang=lang))


def write_page(path: Path, page: str) -> None:
    """A whole page, or none: under a temporary name first."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(page.encode())
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise UserError(
            f"{path}: the report could not be written ({error.strerror}). Is there room, and permission?"
        ) from error


def render(content: ReportContent, *, lang: str = "en") -> str:
    """The page as text. Everything that comes from data is escaped by the template."""
    say = Say(lang, written.MORE)
    return render_page("report.html.j2", say, c=content, **_parts(content, say))


def render_page(template: str, say: Say, **parts: Any) -> str:
    """A template of this folder, filled."""
    return _UNPRINTABLE.sub("\ufffd", _template(template).render(say=say, **parts))


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = lambda value: _cut(value, MAX_TEXT)
    environment.filters["cells"] = lambda value: _cut(value, MAX_CELLS)
    environment.filters["label"] = lambda value: _cut(value, MAX_NAME)
    environment.filters["visible"] = lambda value: re.sub(r"\s", "␣", str(value)[:MAX_NAME])
    environment.filters["together"] = lambda words: re.sub(r" (?=%)", "\u00a0", words)
    return environment.get_template(name)


def _parts(content: ReportContent, say: Say) -> dict[str, Any]:
    """What the template lays out, by name; `sections` are those that have anything to show."""
    lengths = content.lengths
    answers = [_answer(content, number, say) for number in range(len(content.answers))]
    parts: dict[str, Any] = {
        "verdict": [sentence for answer in answers for sentence in answer["verdict"]] or verdicts(content, say.lang),
        "answers": answers,
        "facts": views.facts(content, say),
        "class_counts": views.class_counts(content),
        "lengths": pictures.lengths(lengths, say) if lengths else None,
        "limit_drawn": lengths is not None and pictures.limit_drawn(lengths),
        "about_lengths": views.long_texts(lengths or {}, say),
        "made_of": views.made_of(content, say),
        "loss": pictures.loss_curve(content.history, content.best_epoch, say),
        "score": pictures.score_curve(content.history, content.best_epoch, say),
        "cost": views.cost(content, say),
        "again": views.again(content, say),
        "caps": views.CAPS,
    }
    shown = [
        ("verdict", "", any(answer["methods"] or answer["caveats"] for answer in answers)),
        ("data", "", content.columns or content.notes or content.findings),
        ("done", "", content.splits or lengths or parts["made_of"] or content.unknown_share is not None),
        ("training", "", content.history or content.settings),
        *(
            (name, answer["id"], answer[f"has_{name}"])
            for answer in answers
            for name in ("written", "wrong", "trust", "slices")
        ),
        ("cost", "", content.timing or parts["cost"]),
        ("again", "", content.command or parts["again"] or content.versions),
    ]  # fmt: skip
    names = {answer["id"]: answer["name"] for answer in answers}
    parts["sections"] = [
        {"name": name, "id": f"{name}{which}", "title": _titled(say(f"title.{name}"), names.get(which, ""), say)}
        for name, which, something in shown
        if something
    ]
    return parts


def _titled(title: str, name: str, say: Say) -> str:
    return f"{name}{say('colon')}{title}" if name else title


def _answer(content: ReportContent, number: int, say: Say) -> dict[str, Any]:
    """What the template lays out for one target. id: after the names of its sections, empty for the only one."""
    answer = content.answers[number]
    evaluation = answer.evaluation or {}
    several = len(content.answers) > 1
    mistakes = views.seen(answer.mistakes, views.CAPS["mistakes"])
    parts: dict[str, Any] = {
        "id": f"-{number + 1}" if several else "",
        "name": answer.target if several else "",
        "kind": answer.kind,
        "verdict": sentences(content, answer, say),
        "caveats": caveats(content, answer, say),
        "metrics": views.METRICS[answer.kind],
        "methods": views.methods(answer, say),
        "headline": headline(answer)[0],
        "intervals": views.interval_picture(answer, number, say),
        "confusions": views.confusions(evaluation, number, say),
        "per_class": views.per_class(evaluation),
        "trust": views.trust(evaluation, number, say),
        "errors": views.errors(evaluation, number, say),
        "mistakes": mistakes,
        "num_mistakes": len(answer.mistakes),
        "predictions": views.seen(answer.predictions, views.CAPS["predictions"]),
        "drawn": views.drawn(content),
        "about_seen": views.about_seen(mistakes, views.drawn(content), say),
        "is_table": views.is_table(content),
        "slices": views.slices(answer, say),
        "written": written.view(cast(Any, answer.written), number, say),
    }
    return {
        **parts,
        "has_written": parts["written"] is not None,
        "has_wrong": bool(parts["confusions"] or parts["per_class"] or parts["errors"] or answer.mistakes),
        "has_trust": bool(parts["trust"] or answer.predictions),
        "has_slices": bool(parts["slices"]),
    }


def _cut(value: object, width: int) -> str:
    """One line of at most `width` characters; ten megabytes in one cell are not even looked through."""
    return shorten(str(value)[: 8 * width], width)
