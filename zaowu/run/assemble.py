"""From what `fit` measured to a `Run`: the figures of the report, and all that repeats the run."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
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
from zaowu.evaluate.evaluate import compare, evaluate
from zaowu.learn import Learned
from zaowu.records.findings import Findings
from zaowu.records.prepare import Prepared
from zaowu.records.records import Records
from zaowu.report.content import ReportContent
from zaowu.run import Run
from zaowu.targets.category import CategoryPrediction

LIBRARIES = ("zaowu", "torch", "numpy", "polars", "tokenizers", "safetensors", "scikit-learn")
NUM_EXAMPLES = 5


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
    """Records with what the model and the baselines say of them, none of which saw them in training."""

    records: Records
    prediction: CategoryPrediction
    baselines: dict[str, CategoryPrediction]


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
        target=learned.target,
        model=learned.model.eval(),
        model_type=learned.model_type,
        config=config,
        baselines=baselines,
        content=ReportContent(title=f"{prepared.table.source}: {prepared.schema.target.name}"),  # type: ignore[union-attr]
        stopped=learned.training.stopped,
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
    labels = records.values(records.schema.target.name)  # type: ignore[union-attr]
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
    records, prediction, target = scored.records, scored.prediction, learned.target
    labels = records.values(run.target_column)
    texts = [" | ".join(row) for row in zip(*(records.values(name) for name in run.source.columns), strict=True)]
    correct = target.correct(prediction, labels)
    training = learned.training
    copies = np.isin(records.ids, prepared.train.ids) if prepared.scored_on == "test file" else np.zeros(1, bool)
    deleaked = None
    if copies.any() and not copies.all():
        fresh = np.flatnonzero(~copies)
        deleaked = evaluate(target, prediction.take(fresh), [labels[i] for i in fresh]).to_plain()
    base = None if run.config.text.base == "none" else bases.describe(run.config.text.base)
    tensors = sum(p.numel() * p.element_size() for p in learned.model.parameters())
    return ReportContent(
        title=run.content.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command(source, run.config, folder),
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}},
        machine=f"{platform.system()} {platform.machine()}, {processor()}, {learned.threads} threads",
        seed=run.config.train.seed,
        evaluation=evaluate(target, prediction, labels).to_plain(),
        baselines={name: evaluate(target, found, labels).to_plain() for name, found in scored.baselines.items()},
        comparison={
            name: asdict(compare(target, prediction, found, labels)["accuracy"])
            for name, found in scored.baselines.items()
        },
        scored_on=prepared.scored_on,
        deleaked=deleaked,
        columns=[asdict(column) for column in prepared.schema.columns],
        notes=[*prepared.table.notes, *prepared.whole.notes],
        findings=findings.to_plain(),
        splits=[
            {"side": side, "rows": len(part), "deviation": prepared.deviation.get(side)}
            for side, part in prepared.parts.items()
        ],
        lengths=asdict(learned.lengths),
        unknown_share=learned.lengths.unknown_share,
        base=base["name"] if base else "",
        licence=base["licence"] if base else "",
        num_pieces=run.source.codec.num_pieces,
        num_pieces_before=learned.num_pieces_before,
        num_parameters=learned.model.num_parameters,
        history=[asdict(point) for point in training.history],
        best_epoch=training.best.epoch if training.history else None,
        stopped=training.reason,
        settings={"head": run.config.head, **asdict(run.config.text), **asdict(run.config.train)},
        mistakes=[
            {
                "row": int(records.rows[wrong.index]),
                "text": texts[wrong.index][:400],
                "truth": wrong.label,
                "predicted": wrong.predicted,
                "confidence": wrong.confidence,
            }
            for wrong in slices.worst_mistakes(prediction, labels)
        ],
        predictions=[
            {
                "text": texts[i][:400],
                "predicted": prediction.labels[i],
                "confidence": float(prediction.confidence[i]),
            }
            for i in range(min(NUM_EXAMPLES, len(texts)))
        ],
        slices=_slices(run, records, labels, texts, correct),
        timing=dict(clock.seconds),
        train_rows_per_s=training.num_items / max(1e-9, training.seconds),
        predict_rows_per_s=learned.predict_rows_per_s,
        peak_memory_mb=peak_memory_mb(),
        model_size_mb=tensors / 1e6,
    )


def _slices(run: Run, records: Records, labels: list, texts: list[str], correct: np.ndarray) -> list[dict[str, Any]]:
    found = [("length", part) for part in slices.by_length(correct, [len(words) for words in texts])]
    found += [("class", part) for part in slices.by_value(correct, labels)]
    for name in run.config.data.slices:
        found += [(name, part) for part in slices.by_value(correct, records.values(name))]
    return [
        {
            "slice": name,
            "value": part.name,
            "rows": part.rows,
            "accuracy": part.accuracy.value,
            "low": part.accuracy.low,
            "high": part.accuracy.high,
        }
        for name, part in found
    ]


def command(source: Any, config: FitConfig, folder: Path) -> str:
    """What repeats this run on a command line."""
    path = str(source) if isinstance(source, (str, Path)) else "DATA"
    return shlex.join(["zaowu", "fit", path, "--like", str(folder), "--out", f"{folder}-again"])


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def peak_memory_mb() -> float | None:
    """The process's largest resident size so far, in MB; None where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux kB
