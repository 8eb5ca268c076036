"""From what `fit` measured to a `Run`: the figures of the report, and all that repeats the run."""

from __future__ import annotations

import hashlib
import platform
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from zaowu import bases
from zaowu.config import FitConfig
from zaowu.evaluate import slices
from zaowu.evaluate.baseline import Baselines
from zaowu.evaluate.evaluate import evaluate
from zaowu.evaluate.write import looked
from zaowu.inputs import Inputs
from zaowu.learn import Learned
from zaowu.records.findings import Findings
from zaowu.records.prepare import Prepared
from zaowu.records.records import Records
from zaowu.report.content import MAX_URIS, AnswerContent, ReportContent
from zaowu.run import Run, judge
from zaowu.run.show import seen
from zaowu.targets import labelled
from zaowu.targets.text.shown import shown as shown_texts
from zaowu.train.estimate.machine import peak_memory_mb, processor

LIBRARIES = ("zaowu", "torch", "numpy", "polars", "tokenizers", "safetensors", "scikit-learn")
NUM_EXAMPLES = 5
NUM_MISTAKES = 20
NUM_LOOKED = 3  # texts whose attention is drawn


class Clock:
    """Seconds by stage, in the order of the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start


@dataclass(frozen=True)
class Scored:
    """Records with what the model and the baselines say of them, none of which saw them in training.

    predictions: target column -> its prediction. baselines: target column -> name of the method -> its prediction.
    """

    records: Records
    predictions: dict[str, Any]
    baselines: dict[str, dict[str, Any]]


def assemble(
    source: Any,
    config: FitConfig,
    prepared: Prepared,
    learned: Learned,
    baselines: Baselines,
    scored: Scored,
    findings: Findings,
    clock: Clock,
    *,
    folder: Path,
) -> Run:
    """The run with its report filled in; nothing is written yet."""
    config = replace(config, train=learned.config)
    run = Run(
        schema=prepared.schema,
        source=learned.source,
        targets=learned.targets,
        model=learned.model.eval(),
        model_type=learned.model_type,
        config=config,
        baselines=baselines,
        content=ReportContent(title=f"{prepared.table.source}: {', '.join(learned.targets)}"),
        stopped=learned.training.stopped,
        adapters=learned.adapters,
    )
    run.content = _content(run, source, prepared, learned, scored, findings, clock, folder=folder)
    run.facts = {
        "created": run.content.created,
        "command": run.content.command,
        "versions": run.content.versions,
        "machine": run.content.machine,
        "threads": learned.threads,
        "data": {"source": prepared.table.source, "rows": len(prepared.whole), "sha256": fingerprint(prepared.whole)},
    }
    return run


def fingerprint(records: Records) -> str:
    """sha256 over the contents and labels of all records, whatever their order."""
    columns = [records.values(column.name) for column in records.schema.targets]
    labels = (" / ".join("" if label is None else str(label) for label in row) for row in zip(*columns, strict=True))
    rows = sorted(f"{number:016x} {label}" for number, label in zip(records.ids.tolist(), labels, strict=True))
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def _content(
    run: Run,
    source: Any,
    prepared: Prepared,
    learned: Learned,
    scored: Scored,
    findings: Findings,
    clock: Clock,
    *,
    folder: Path,
) -> ReportContent:
    training = learned.training
    base = None if run.config.text.base == "none" or run.source.text is None else bases.describe(run.config.text.base)
    tensors = sum(p.numel() * p.element_size() for p in learned.model.parameters())
    return ReportContent(
        title=run.content.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command(source, run.config, folder),
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}},
        machine=f"{platform.system()} {platform.machine()}, {processor()}, {learned.threads} threads",
        seed=run.config.train.seed,
        answers=[_answer(name, run, prepared, scored) for name in run.targets],
        scored_on=prepared.scored_on,
        columns=[asdict(column) for column in prepared.schema.columns],
        notes=[*prepared.table.notes, *prepared.whole.notes, *run.source.notes],
        findings=findings.to_plain(),
        splits=[
            {"side": side, "rows": len(part), "deviation": prepared.deviation.get(side)}
            for side, part in prepared.parts.items()
        ],
        lengths=None if learned.lengths is None else asdict(learned.lengths),
        unknown_share=None if learned.lengths is None else learned.lengths.unknown_share,
        base=base["name"] if base else "",
        licence=base["licence"] if base else "",
        num_pieces=run.source.text.codec.num_pieces if run.source.text else None,
        num_pieces_before=learned.num_pieces_before,
        num_parameters=learned.model.num_parameters,
        history=[asdict(point) for point in training.history],
        best_epoch=training.best.epoch if training.history else None,
        stopped=training.reason,
        settings={
            "head": run.config.head,
            **(asdict(run.config.text) if run.source.text else {}),
            **asdict(run.config.train),
        },
        timing=dict(clock.seconds),
        train_rows_per_s=training.num_items / max(1e-9, training.seconds),
        predict_rows_per_s=learned.predict_rows_per_s,
        peak_memory_mb=peak_memory_mb(),
        model_size_mb=tensors / 1e6,
    )


def _answer(name: str, run: Run, prepared: Prepared, scored: Scored) -> AnswerContent:
    """The figures of one target, on the records that have a label for it."""
    target, every = run.targets[name], scored.records.values(name)
    rows = labelled(every)
    if not len(rows):
        return AnswerContent(target=name, kind=target.name)
    records, prediction = scored.records.take(rows), scored.predictions[name].take(rows)
    labels = records.values(name)
    texts = run.source.words(records.inputs)
    judged = judge(target, prediction, {method: found.take(rows) for method, found in scored.baselines[name].items()},
                   labels)  # fmt: skip
    copies = np.isin(records.ids, prepared.train.ids) if prepared.scored_on == "test file" else np.zeros(1, bool)
    deleaked = None
    if copies.any() and not copies.all():
        fresh = np.flatnonzero(~copies)
        deleaked = evaluate(target, prediction.take(fresh), [labels[i] for i in fresh]).to_plain()
    shown = prediction.take(np.arange(min(NUM_EXAMPLES, len(texts)))).shown(top=1)
    mistakes = target.mistakes(prediction, labels, limit=NUM_MISTAKES)
    places = [*(wrong.index for wrong in mistakes), *range(len(shown))]
    media = seen(run.source, records.inputs, places, room=MAX_URIS // len(run.targets))
    return AnswerContent(
        target=name,
        kind=target.name,
        evaluation=judged.evaluation.to_plain(),
        baselines={method: found.to_plain() for method, found in judged.baselines.items()},
        comparison={method: asdict(lead) for method, lead in judged.comparison.items()},
        deleaked=deleaked,
        mistakes=[
            {
                "row": int(records.rows[wrong.index]),
                "text": texts[wrong.index][:400],
                "truth": wrong.truth,
                "predicted": wrong.predicted,
                "confidence": wrong.confidence,
                **media.get(wrong.index, {}),
            }
            for wrong in mistakes
        ],
        predictions=[
            {
                "text": texts[place][:400],
                "predicted": answers[0][0],
                "confidence": answers[0][1],
                **media.get(place, {}),
            }
            for place, answers in enumerate(shown)
        ],
        slices=_slices(run, records, target, labels, target.per_record(prediction, labels)),
        written=_written(run, prediction.texts, labels, texts, records, prepared.train, name)
        if target.reads == "states"
        else None,
    )


def _written(
    run: Run, predicted: list[str], labels: list[str], texts: list[str], records: Records, train: Records, name: str
) -> dict[str, Any]:
    answers = train.values(name)
    known = labelled(answers)
    training = [answers[place] for place in known.tolist()], train.rows[known].tolist()
    found = shown_texts(predicted, labels, texts, rows=records.rows.tolist(), training=training)
    drawn = [one["row"] for one in found["examples"] if one["group"] == "random"][:NUM_LOOKED]
    places = np.flatnonzero(np.isin(records.rows, drawn))[:NUM_LOOKED]
    own = looked(run.model, run.source, records.take(places).inputs, name, [predicted[place] for place in places])
    return found | {
        "attention": [{"row": int(records.rows[place]), **one} for place, one in zip(places, own, strict=False)]
    }


def _slices(run: Run, records: Records, target: Any, labels: list, figures: np.ndarray) -> list[dict[str, Any]]:
    found = []
    if (texts := run.source.text) is not None:
        own = Inputs({"text": texts}).words(records.inputs)
        found += [("length", part) for part in slices.by_length(figures, [len(words) for words in own])]
    if target.name == "category":
        found += [("class", part) for part in slices.by_value(figures, labels)]
    for name in run.config.data.slices:
        found += [(name, part) for part in slices.by_value(figures, records.values(name))]
    return [
        {
            "slice": name,
            "value": part.name,
            "rows": part.rows,
            "score": part.score.value,
            "low": part.score.low,
            "high": part.score.high,
        }
        for name, part in found
    ]


def command(source: Any, config: FitConfig, folder: Path) -> str:
    """What repeats this run on a command line."""
    path = str(source) if isinstance(source, (str, Path)) else "DATA"
    return shlex.join(["zaowu", "fit", path, "--like", str(folder), "--out", f"{folder}-again"])
