"""What a report says, as plain data: `fit` fills it, the template lays it out."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from zaowu.errors import UserError, shorten
from zaowu.report.written.content import Written, check

MAX_URI = 400_000  # characters of one picture or sound
MAX_URIS = 2_000_000  # of all of them: the page is one file
MAX_SIDE = 1024  # pixels


@dataclass(kw_only=True)
class AnswerContent:
    """What the page says about one target.

    target: its column. kind: "category", "tags", "number", "span", "entities", "text".
    evaluation: `Evaluation.to_plain()`: "rows", every metric by name, "intervals" (name -> [low, high]) and the
        details of its kind, for a category "classes", "per_class", "confusion" (cells with rows),
        "calibration_bins", "unseen".
    baselines: name of a cheap method -> the same kind of dict. comparison: name of a baseline -> {"value", "low",
        "high"}, the paired difference of the headline metric, Transformer minus baseline.
    deleaked: the evaluation without the rows that also stand in the training data; None where there are none.
    mistakes: dicts of "row", "text", "truth", "predicted", "confidence" (or None), the worst first; where the record
        has them and the page has room, "picture" and "sound", data URIs that `picture_size` and `is_sound` let pass.
    predictions: examples, dicts of "text", "predicted", "confidence" (or None), "picture" and "sound" likewise.
    slices: dicts of "slice", "value", "rows", "score" (the mean of the records' figures), "low", "high".
    written: what is shown of texts that were written, a `Written`; None for other kinds.
    """

    target: str
    kind: str = "category"
    evaluation: dict[str, Any] | None = None
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    comparison: dict[str, dict[str, float]] = field(default_factory=dict)
    deleaked: dict[str, Any] | None = None
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    slices: list[dict[str, Any]] = field(default_factory=list)
    written: dict[str, Any] | None = None


@dataclass(kw_only=True)
class ReportContent:
    """Everything on the page. Whatever is None or empty is left out, so a report can be written at any time.

    Shares, scores and confidences lie in [0, 1]; durations are seconds. A number that could not be computed is
    None or NaN. Texts are shown as they are, shortened where they are long; nothing in them is taken for HTML.

    Head
    title: what was fitted on what, "news.csv: topic". created: ISO 8601. command: repeats the run.

    answers: one `AnswerContent` for each target column, in their order. scored_on: "test split", "test file",
    "5-fold cross-validation".

    What came in
    columns: dicts of "name", "role", "kind", "reason". notes: what reading had to decide.
    findings: "rows", "duplicates_within", "duplicates_across", "conflicting_labels", counts of rows; "class_counts",
        side -> {class: rows}; "skipped", reason -> rows; "duplicates", dicts of "text", "rows" (row numbers);
        "conflicts", the same with "labels"; "near_labels", lists of labels that hardly differ; "leaks", columns that
        alone know the answer, dicts of "column", "target", "alone", "others", "usual" (shares), "rows", "is_number".

    What was done to it
    splits: dicts of "side" ("train", "valid", "test"), "rows", "deviation" (the largest difference between a
        class's share there and in all rows, or None).
    lengths: "edges" (n + 1) and "counts" (n) of a histogram of tokens a record, "median", "longest", "limit",
        "over" (records beyond the limit), "long" ("window", "truncate" or "end").
    unknown_share: share of characters that no piece of the vocabulary covers.
    base, licence: the pretrained encoder, empty from scratch. num_pieces of num_pieces_before were kept.

    How it learned
    history: `Point`s of training as dicts: "epoch", "train_loss", "lr", "seconds" and "valid", metric -> value on
        the validation rows (may be empty). best_epoch: whose weights were kept. stopped: why training ended.
    settings: name -> value, as used; those that are None are left out.

    Cost
    timing: stage -> seconds. The rest as named.
    """

    title: str
    created: str = ""
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    seed: int | None = None

    answers: list[AnswerContent] = field(default_factory=list)
    scored_on: str = ""

    columns: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)

    splits: list[dict[str, Any]] = field(default_factory=list)
    lengths: dict[str, Any] | None = None
    unknown_share: float | None = None
    base: str = ""
    licence: str = ""
    num_pieces: int | None = None
    num_pieces_before: int | None = None
    num_parameters: int | None = None

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    timing: dict[str, float] = field(default_factory=dict)
    train_rows_per_s: float | None = None
    predict_rows_per_s: float | None = None
    peak_memory_mb: float | None = None
    model_size_mb: float | None = None


class ColumnLine(TypedDict):
    name: str
    role: str
    kind: str
    reason: str


class Side(TypedDict):
    side: str
    rows: int
    deviation: float | None


class LengthCounts(TypedDict):
    edges: list[int]
    counts: list[int]
    median: int
    longest: int
    limit: int
    over: int
    long: str


class HistoryPoint(TypedDict):
    epoch: int
    train_loss: float
    lr: float
    seconds: float
    valid: dict[str, float]


class Shown(TypedDict, total=False):
    picture: str
    sound: str


class Answer(Shown):
    text: str
    predicted: str
    confidence: float | None


class Mistake(Answer):
    row: int
    truth: str


class SliceScore(TypedDict):
    slice: str
    value: str
    rows: int
    score: float
    low: float | None
    high: float | None


class Lead(TypedDict):
    value: float
    low: float | None
    high: float | None


class Rows(TypedDict):
    text: str
    labels: list[str]
    rows: list[int]


class LeakLine(TypedDict):
    column: str
    target: str
    alone: float
    others: float
    usual: float
    rows: int
    is_number: bool


class Gate(TypedDict, total=False):
    rows: int
    duplicates_within: int
    duplicates_across: int
    conflicting_labels: int
    class_counts: dict[str, dict[str, int]]
    skipped: dict[str, int]
    duplicates: list[Rows]
    conflicts: list[Rows]
    near_labels: list[list[str]]
    leaks: list[LeakLine]


SHAPES: dict[str, Any] = {  # what the plain data of a field must be, where they come from a file
    "columns": list[ColumnLine],
    "findings": Gate,
    "splits": list[Side],
    "lengths": LengthCounts | None,
    "history": list[HistoryPoint],
}
ANSWER_SHAPES: dict[str, Any] = {
    "comparison": dict[str, Lead],
    "mistakes": list[Mistake],
    "predictions": list[Answer],
    "slices": list[SliceScore],
    "written": Written | None,
}

_URI = re.compile(r"data:([a-z/+]{1,20});base64,([A-Za-z0-9+/]+={0,2})")
_BEGIN = {  # what a file of the type begins with
    "image/png": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",),
    "image/svg+xml": (b"<svg ",),
    "audio/wav": (b"RIFF", b"RF64"),
    "audio/flac": (b"fLaC",),
    "audio/ogg": (b"OggS",),
    "audio/mpeg": (b"ID3", *(bytes((0xFF, second)) for second in range(0xE0, 0x100))),
}
_SVG = re.compile(
    r'<svg xmlns="http://www\.w3\.org/2000/svg" width="(\d{1,4})" height="(\d{1,4})" viewBox="[\d. ]{1,60}">'
    r'(?:<(?:polyline|circle)(?: (?:points|cx|cy|r|fill|stroke|stroke-width)="[\w#., -]*")*/>)*</svg>',
    re.ASCII,
)  # lines and dots: nothing that could be followed, run or loaded


def picture_size(uri: str) -> tuple[int, int] | None:
    """(width, height) in pixels of a picture that may stand in the page, or None for anything else.

    A PNG, or an SVG of lines and dots.
    """
    kind, data = _opened(uri)
    size: tuple[int, int] | None = None
    if kind == "image/png" and len(data) >= 24:
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    elif kind == "image/svg+xml" and (drawn := _SVG.fullmatch(data.decode("latin-1"))):
        size = int(drawn[1]), int(drawn[2])
    return size if size is not None and min(size) > 0 and max(size) <= MAX_SIDE else None


def is_sound(uri: str) -> bool:
    """Whether it is a WAV, FLAC, OGG or MP3 file that may stand in the page."""
    return _opened(uri)[0].startswith("audio/")


def _opened(uri: str) -> tuple[str, bytes]:
    """Type and contents of a data URI; of one that is too long, or not what it says, both empty."""
    found = _URI.fullmatch(uri) if len(uri) <= MAX_URI else None
    if found is None or found[1] not in _BEGIN or len(found[2]) % 4:
        return "", b""
    data = b64decode(found[2])
    return (found[1], data) if data.startswith(_BEGIN[found[1]]) else ("", b"")


def check_shown(answers: Sequence[AnswerContent], *, where: str) -> None:
    """Whether pictures, sounds and texts that come from a file may stand in the page. Raises UserError."""
    total = 0
    for answer in answers:
        if answer.written is not None:
            check(cast(Written, answer.written), where=f"{where}, 'written'")
    for place, name, uri in _uris(answers):
        total += len(uri)
        if not (picture_size(uri) if name == "picture" else is_sound(uri)):
            kinds = "a small PNG, or an SVG of lines" if name == "picture" else "a WAV, FLAC, OGG or MP3"
            raise UserError(
                f"{where}, {place}, '{name}': expected {kinds} as a data URI, got {shorten(repr(uri), 80)}."
            )
    if total > MAX_URIS:
        raise UserError(f"{where}: expected pictures and sounds of at most {MAX_URIS:,} characters, got {total:,}.")


def _uris(answers: Sequence[AnswerContent]) -> Iterator[tuple[str, str, str]]:
    """Where it stands, "picture" or "sound", and the URI."""
    for answer in answers:
        for part, rows in (("mistakes", answer.mistakes), ("predictions", answer.predictions)):
            for row in rows:
                yield from ((f"'{part}'", name, row[name]) for name in ("picture", "sound") if name in row)
