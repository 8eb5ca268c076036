"""`zaowu estimate fit`: what a fit would take of time, memory, disk and energy, before it runs."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
import torch

from zaowu.config import FitConfig, TrainConfig
from zaowu.inputs import Item, cleaners, guessers
from zaowu.learn import Ready, chats, check_choices, choose_device, make_ready, with_usual_base
from zaowu.options import fit_choices
from zaowu.progress import speaking
from zaowu.records import schema as schemas
from zaowu.records.prepare import Prepared, prepare
from zaowu.run.folds import cheap_methods
from zaowu.train import rule
from zaowu.train.estimate import cost
from zaowu.train.estimate.machine import give_back, resident_bytes
from zaowu.train.estimate.probe import probe
from zaowu.train.estimate.result import WATTS, FitEstimate, check_watts
from zaowu.train.labelled import item_ids
from zaowu.trunk import precision as numbers

SAMPLE = 2000  # training rows at most on which the cheap methods are tried
REPORT_S, REPORT_BYTES = 1.0, 130_000  # of drawing and saving the report and the small files beside the model


def estimate_fit(
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
    watts: float = WATTS,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> FitEstimate:
    """Reads, splits and tokenises as `fit` does, and stops before the first step. Nothing is written but a cache.

    The parameters are those of `fit`. watts: what the machine is assumed to draw.
    Raises UserError for what `fit` would refuse, and for a wattage that is none.
    """
    given = locals()
    with speaking(quiet=quiet):
        check_watts(watts)
        start = monotonic()
        config = fit_choices({**given, **schemas.column_choices(columns)})
        config = check_choices(config)
        source, config, spread = chats.understood(path, config)
        prepared = prepare(
            source,
            config.data,
            guessers=guessers(),
            cleaners=cleaners(),
            cross_validate_below=rule.CROSS_VALIDATE_BELOW,
            spread=spread,
        )
        config = with_usual_base(config, prepared.train.schema)
        reading = monotonic() - start
        ready = make_ready(prepared.train, prepared.valid, config, known=prepared.whole)
        spent = {"reading": reading, "tokenising": monotonic() - start - reading}
        num_rows = len(prepared.train)
        tried = prepared.train.take(np.unique(np.linspace(0, num_rows - 1, SAMPLE).astype(int)))
        start = monotonic()
        baselines = cheap_methods(tried, prepared.valid, config, known=prepared.whole)
        spent["baselines"] = (monotonic() - start) * num_rows / len(tried)
        size_on_disk = baselines.num_bytes * num_rows / len(tried)
        return foresee(prepared, ready, config, spent=spent, baseline_bytes=size_on_disk, watts=watts)


def foresee(
    prepared: Prepared,
    ready: Ready,
    config: FitConfig,
    *,
    spent: Mapping[str, float],
    baseline_bytes: float,
    going_on: bool = False,
    watts: float = WATTS,
) -> FitEstimate:
    """What a fit takes in all, when everything before the first weight is done.

    spent: seconds of "reading", "tokenising" and "baselines". baseline_bytes: of the cheap methods on disk. going_on:
    it is this process that trains, which then has had the time and the memory of a probe. Measures this machine where
    that was not done before.
    """
    trunk, settings = ready.config.trunk, ready.settings
    every, words = fittings(prepared, ready, config), ready.source.text
    with torch.device("meta"):
        model = ready.new_model()
        num_weights = model.num_parameters
        adapted = ready.num_adapted(model)
    sizes = cost.Sizes(
        trunk=trunk,
        num_weights=num_weights,
        table_rows=0 if words is None else words.codec.num_pieces,
        touched=np.empty(0, np.int32) if words is None or adapted is not None else _touched(ready),
        adapted=adapted,
    )
    device = choose_device(settings.device)
    dtype = numbers.choose(settings.precision, device)
    train, predict = cost.shapes(every, longest=ready.source.max_tokens)
    before, start = resident_bytes(), monotonic()
    found = probe(trunk, train=train, predict=predict, device=device, dtype=dtype)
    gc.collect()  # of the probe only what libraries keep is to stay
    give_back()
    loading_s, loaded = found.library_s, found.library_bytes
    if going_on:
        loading_s, loaded = max(loading_s, monotonic() - start), max(loaded, resident_bytes() - before)
    times = [cost.fit_seconds(fitting, sizes, found) for fitting in every]
    fresh = cost.num_fresh(every)
    peak = max((cost.fit_memory(one, sizes, found, fresh=fresh) for one in every), key=lambda memory: memory.total)
    before += 4 * num_weights * (len(every) > 1)  # the model of one fold is there until the next one is trained
    building = len(every) * num_weights * found.build_s * (1 if ready.base is None else 2)  # filled again from a base
    again = len(every) - 1  # folds: each tokenises and fits the cheap methods anew, on four fifths of the rows
    share = 1 + sum(len(fitting.lengths) for fitting in every[1:]) / len(ready.part.items)
    tokenizer = 0 if words is None else len(json.dumps(words.codec.spec, ensure_ascii=False).encode())
    return FitEstimate(
        source=prepared.table.source,
        rows={side: len(part) for side, part in prepared.parts.items()},
        scored_on=prepared.scored_on,
        num_parameters=num_weights,
        num_pieces=0 if words is None else words.codec.num_pieces,
        num_pieces_before=ready.num_pieces_before,
        trainings=len(every),
        epochs=every[0].epochs,
        batch_size=every[0].batch_size,
        tokens_per_epoch=int(every[0].lengths.sum()),
        tokens=sum(fitting.num_tokens for fitting in every),
        flops=sum(cost.fit_flops(fitting, trunk) for fitting in every),
        precision=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        seconds={
            "reading": spent["reading"],
            "tokenising": spent["tokenising"] * (1 + again),
            "baselines": spent["baselines"] * share,
            "loading": loading_s + building,
            "training": sum(time.training for time in times) + fresh * found.fresh_s,
            "validating": sum(time.validating for time in times),
            "answering": sum(time.answering for time in times),
            "report": REPORT_S,
        },
        memory={"this process": before + loaded, **vars(peak)},
        disk_bytes=4.0 * num_weights + tokenizer * (2 if config.head == "mean" else 1) + baseline_bytes + REPORT_BYTES,
        checkpoint_bytes=cost.checkpoint_bytes(sizes, keep=settings.keep, validated=ready.valid is not None),
        watts=watts,
    )


def fittings(prepared: Prepared, ready: Ready, config: FitConfig) -> list[cost.Fitting]:
    """The final training, and after it those of the folds."""
    items, records = ready.part.items, np.array([item.record for item in ready.part.items])
    ids, lengths = item_ids(ready.part.ids[records], records), _lengths(items)
    nothing = np.empty(0, np.int64)
    asked = nothing
    if prepared.test is not None:
        asked = _lengths(ready.source.items(prepared.test.inputs))
    valid = nothing if ready.validation is None else _lengths(ready.validation.items)
    final = _fitting(ready.settings, lengths, ids, valid=valid, asked=asked, head_start=ready.ahead)
    if prepared.folds is None:
        return [final]
    found, places = [final], np.unique(prepared.folds)
    limit = config.train.time_limit and config.train.time_limit / (len(places) + 1)
    for place in places:
        held = prepared.folds[records] == place
        num_records = int((prepared.folds != place).sum())
        settings = rule.fill(
            config.train,
            num_records=num_records,
            from_base=ready.base is not None,
            kinds=ready.source.kinds,
            writes=all(target.reads == "states" and not target.behind for target in ready.targets.values()),
            ahead=ready.ahead,
            adapts=ready.adapters is not None,
        )
        settings = replace(settings, time_limit=limit)
        found.append(
            _fitting(settings, lengths[~held], ids[~held], valid=nothing, asked=lengths[held], head_start=ready.ahead)
        )
    return found


def _fitting(
    settings: TrainConfig,
    lengths: np.ndarray,
    ids: np.ndarray,
    *,
    valid: np.ndarray,
    asked: np.ndarray,
    head_start: bool,
) -> cost.Fitting:
    assert settings.epochs and settings.batch_size
    return cost.Fitting(
        lengths=lengths,
        ids=ids,
        valid=valid,
        asked=asked,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        head_start=head_start,
        seed=settings.seed,
        time_limit=settings.time_limit,
    )


def _touched(ready: Ready) -> np.ndarray:
    """The pieces that training looks at."""
    rows = (ready.source.features(item).get("text") for item in ready.part.items)
    return np.unique(np.concatenate([row["ids"] for row in rows if row is not None]))


def _lengths(items: Sequence[Item]) -> np.ndarray:
    return np.array([item.length for item in items], np.int64)
