"""`zaowu fit`: a table of labelled records -> a trained model with an honest report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zaowu.config import FitConfig, TextConfig, from_plain
from zaowu.evaluate.baseline import Baselines
from zaowu.inputs import cleaners, guessers
from zaowu.learn import Ready, chats, check_choices, make_ready, with_usual_base
from zaowu.options import OF_THE_MACHINE, checked, fit_choices, refuse_beside_like
from zaowu.progress import aligned, is_quiet, note, speaking
from zaowu.records import schema as schemas
from zaowu.records.findings import Findings, find
from zaowu.records.prepare import Prepared, prepare
from zaowu.report.say import language
from zaowu.run import Run
from zaowu.run.assemble import Clock, Scored, assemble, fingerprint
from zaowu.run.folder import opened, partial, shared_place
from zaowu.run.folds import Kept, cheap_methods, cross_validate
from zaowu.train.checkpoint import Checkpoint, what_decides
from zaowu.train.parallel import current, joined
from zaowu.train.rule import CROSS_VALIDATE_BELOW
from zaowu.verbs.estimate.fit import foresee


def fit(
    path: Any,
    *,
    target: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | Sequence[str] = (),
    ignore: Sequence[str] = (),
    group: str | None = None,
    series_id: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    slices: Sequence[str] = (),
    valid: str | None = None,
    test: str | None = None,
    on_bad_row: str | None = None,
    base: str | None = None,
    size: str = "small",
    head: str = "mean",
    long: str = "window",
    trim_vocab: str = "auto",
    lora: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    class_weights: str = "none",
    time_limit: str | float | None = None,
    keep: int = 1,
    settings: Mapping[str, Any] | Sequence[str] = (),
    like: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    out: str | Path | None = None,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    lang: str | None = None,
) -> Run:
    """Reads, checks, splits, trains, compares with the cheap baselines, writes the run and its report.

    path: a table file, a folder of .txt per class, a polars or pandas frame, a list of dicts, a dict of lists.
    target: a column, or several that one model answers together. weight: a column of numbers from 0, by which
    records count in training. series_id, time: rows with equal ids are the measurements of one record. columns: name ->
    kind, name -> settings, or "name:kind=text" strings.
    lora: rank of low-rank adapters (Hu et al. 2021): they and the last layers learn, the base stays as it is; the saved
    model has them in its weights, and `adapter/` beside them, as peft reads it.
    time_limit: seconds, or "90s", "20m", "2h". keep: checkpoints that stay on disk while it trains.
    settings: rare ones, by name or as "name=value" (`options.RARE` lists them). out: the run's folder; default
    runs/<file name>. like: take all choices from this run, and none beside it. resume: go on with an interrupted run
    in `out`.
    Raises UserError for any input that cannot be used; nothing already written is lost.
    """
    given = locals()
    with speaking(quiet=quiet), joined(device) as ranks:
        name = Path(path).absolute().stem if isinstance(path, (str, Path)) else "fit"
        config = fit_choices({**given, **schemas.column_choices(columns)})
        if like is not None:
            config = _repeated(Path(like), config)
        elif config.text.base != "none" and config.text.size != TextConfig.size:
            note("--size has no effect with a base; pass --base none to train from scratch.")
        if config.text.lora is None and config.text.lora_alpha is not None:
            note("--set lora_alpha has no effect without --lora.")
        words = language(lang)
        folder, resume = shared_place(out, name=name, overwrite=overwrite, resume=resume, ranks=ranks)
        config = check_choices(config)  # after all that is quick: a base may have to be fetched
        return _fit(path, config, folder=folder, resume=resume, lang=words)


def _repeated(run: Path, given: FitConfig) -> FitConfig:
    """The choices of a run, but for the device and the threads where they are given: those are of this machine."""
    refuse_beside_like(given)
    config = checked(from_plain(FitConfig, opened(run).get("config"), where=str(run)))
    here = {name: value for name in OF_THE_MACHINE if (value := getattr(given.train, name)) not in (None, "auto")}
    return replace(config, train=replace(config.train, **here))


def _fit(path: Any, config: FitConfig, *, folder: Path, resume: bool, lang: str) -> Run:
    clock = Clock()
    with clock("read"):
        source, config, spread = chats.understood(path, config)
        prepared = prepare(
            source,
            config.data,
            guessers=guessers(),
            cleaners=cleaners(),
            cross_validate_below=CROSS_VALIDATE_BELOW,
            spread=spread,
        )
        config = with_usual_base(config, prepared.train.schema)
    with clock("check"):
        findings = find(prepared.parts)
        _announce(prepared, findings)
    checkpoint = Checkpoint(partial(folder), keep=config.train.keep, identity=_identity(prepared, config))
    ranks = current()
    if resume and ranks.is_first:
        checkpoint.bring_back(Checkpoint(folder))
        if not checkpoint.exists and not Kept(checkpoint).exists:
            note(f"{folder}: no checkpoint to go on from; starting from the beginning.")
    elif not resume:
        checkpoint.remove()
    ranks.wait()
    with clock("tokenise"):
        ready = make_ready(prepared.train, prepared.valid, config, known=prepared.whole)
    with clock("baseline"):
        baselines = cheap_methods(prepared.train, prepared.valid, config, known=prepared.whole)
    if not is_quiet():
        with clock("estimate"):
            _say_cost(prepared, ready, config, baselines, clock)
    scored = None
    if prepared.folds is not None:
        with clock("folds"):
            scored, outputs, truth = cross_validate(prepared, config, kept=Kept(checkpoint))
    with clock("train"):
        learned = ready.learn(checkpoint=checkpoint)
    with clock("evaluate"):
        if scored is None:
            assert prepared.test is not None
            found = learned.predict(prepared.test, label="scoring")
            scored = Scored(prepared.test, found, baselines.predict(prepared.test.inputs))
        else:
            learned.tune(outputs, truth)
    run = assemble(path, config, prepared, learned, baselines, scored, findings, clock, folder=folder)
    if spread is not None:
        run.facts["chat"] = True
    if ranks.is_first:
        run.save(folder, lang=lang)
    if not run.stopped:  # only now: were the disk full, training could still go on from it
        Checkpoint(folder).remove()
    return run


def _identity(prepared: Prepared, config: FitConfig) -> dict[str, Any]:
    """What must not change between an interruption and --resume: the training rows, and the choices that matter."""
    whole = prepared.whole
    order = hashlib.sha256(whole.ids.tobytes() + whole.groups.tobytes())
    order.update(b"" if whole.weights is None else whole.weights.tobytes())
    return {
        "training data": fingerprint(prepared.train)[:16],
        "the order, groups and weights of the rows": order.hexdigest()[:16],
        "validation data": "none" if prepared.valid is None else fingerprint(prepared.valid)[:16],
        "head": config.head,
        **vars(config.text),
        **what_decides(config.train),
    }


def _announce(prepared: Prepared, findings: Findings) -> None:
    """What was understood of the table, why, and how to say otherwise."""
    for sentence in (*prepared.table.notes, *prepared.whole.notes):
        note(sentence)
    header = ("column", "role", "kind", "different", "example", "reason")
    note(aligned([header, *schemas.describe(prepared.schema, prepared.table)]))
    note("Not right? --target COLUMN, --column NAME:kind=text, --ignore COLUMN.")
    for sentence in findings.lines():
        note(sentence)
    sizes = ", ".join(f"{side} {len(records):,}" for side, records in prepared.parts.items())
    worst = max(prepared.deviation.values(), default=0.0)
    balance = f"; class shares differ by at most {worst:.1%} from the whole" if prepared.deviation else ""
    note(f"Rows: {sizes}{balance}. Scored on: {prepared.scored_on}.")


def _say_cost(prepared: Prepared, ready: Ready, config: FitConfig, baselines: Baselines, clock: Clock) -> None:
    took = clock.seconds
    spent = {"reading": took["read"] + took["check"], "tokenising": took["tokenise"], "baselines": took["baseline"]}
    estimate = foresee(prepared, ready, config, spent=spent, baseline_bytes=baselines.num_bytes, going_on=True)
    for sentence in estimate.short():
        note(sentence)
