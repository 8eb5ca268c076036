"""What a report says, as plain data: `fit` fills it, the template lays it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict


@dataclass(kw_only=True)
class AnswerContent:
    """What the page says about one target.

    target: its column. kind: "category", "tags", "number", "span", "entities".
    evaluation: `Evaluation.to_plain()`: "rows", every metric by name, "intervals" (name -> [low, high]) and the
        details of its kind, for a category "classes", "per_class", "confusion" (cells with rows),
        "calibration_bins", "unseen".
    baselines: name of a cheap method -> the same kind of dict. comparison: name of a baseline -> {"value", "low",
        "high"}, the paired difference of the headline metric, Transformer minus baseline.
    deleaked: the evaluation without the rows that also stand in the training data; None where there are none.
    mistakes: dicts of "row", "text", "truth", "predicted", "confidence" (or None), the worst first.
    predictions: examples, dicts of "text", "predicted", "confidence" (or None).
    slices: dicts of "slice", "value", "rows", "score" (the mean of the records' figures), "low", "high".
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
        "over" (records beyond the limit), "long" ("window" or "truncate").
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


class Answer(TypedDict):
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
}
