"""Questions with their contexts in SQuAD's layout (SQuAD 1.1 and 2.0, CMRC 2018, DRCD): articles, paragraphs, qas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from zaowu.errors import UserError, shorten
from zaowu.records.records import BadRow, Table

COLUMNS = ("context", "question", "answer", "document")
GROUP = "document"
KINDS = {"context": "text", "question": "text"}


def is_squad(data: Any) -> bool:
    """Whether a JSON document is one of questions in paragraphs of articles."""
    articles = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(articles, list) or not articles or not isinstance(articles[0], Mapping):
        return False
    paragraphs = articles[0].get("paragraphs")
    return isinstance(paragraphs, list) and all(isinstance(one, Mapping) and "qas" in one for one in paragraphs)


def read_squad(data: Mapping, *, source: str) -> Table:
    """Columns `context`, `question`, `answer` and `document`; a row is a question, counted from 1.

    answer: all given answers as JSON, `[{"text": ..., "start": ...}]`; an empty list where none is in the context, null
    where the file has no answers (a test file). document: the title of the article, or its number: its questions stay
    on one side. Raises UserError for a file without a question.
    """
    values: list[tuple[str, str, str | None, str]] = []
    rows: list[int] = []
    bad: list[BadRow] = []
    for row, (document, paragraph, question) in enumerate(_questions(data), start=1):
        found = _record(document, paragraph, question)
        if isinstance(found, str):
            bad.append(BadRow(source, row, None, found))
        else:
            values.append(found)
            rows.append(row)
    if not rows and not bad:
        raise UserError(f"{source}: expected questions in the paragraphs of SQuAD's layout, got none.")
    frame = pl.DataFrame(values, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    documents, contexts = (frame.get_column(name).n_unique() for name in (GROUP, "context"))
    note = f"Read in SQuAD's layout: {len(rows):,} questions on {contexts:,} contexts of {documents:,} documents."
    return Table(frame, np.array(rows, np.int64), source, (note,), tuple(bad), group=GROUP, kinds=KINDS)


def _questions(data: Mapping) -> Iterator[tuple[str, Any, Any]]:
    for number, article in enumerate(data["data"], start=1):
        paragraphs = article.get("paragraphs") if isinstance(article, Mapping) else None
        title = article.get("title") if isinstance(article, Mapping) else None
        document = title if isinstance(title, str) and title.strip() else f"document {number}"
        for paragraph in paragraphs if isinstance(paragraphs, list) else ():
            questions = paragraph.get("qas") if isinstance(paragraph, Mapping) else None
            for question in questions if isinstance(questions, list) else ():
                yield document, paragraph, question


def _record(document: str, paragraph: Mapping, question: Any) -> tuple[str, str, str | None, str] | str:
    """One row, or what is wrong with it."""
    context = paragraph.get("context")
    if not isinstance(context, str) or not context.strip():
        return "expected a context, got nothing"
    words = question.get("question") if isinstance(question, Mapping) else None
    if not isinstance(words, str) or not words.strip():
        return "expected a question, got nothing"
    if question.get("is_impossible") is True:
        return context, words, "[]", document
    given = question.get("answers")
    if given is None:
        return context, words, None, document
    if not isinstance(given, list) or not all(_is_answer(one) for one in given):
        return (
            f"expected answers with 'text' and 'answer_start', got {shorten(json.dumps(given, ensure_ascii=False), 60)}"
        )
    if not given and "is_impossible" not in question:
        return context, words, None, document
    told = [{"text": one["text"], "start": one["answer_start"]} for one in given]
    return context, words, json.dumps([dict(one) for one in told], ensure_ascii=False), document


def _is_answer(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("text"), str) and type(one.get("answer_start")) is int
