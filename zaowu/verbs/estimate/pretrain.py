"""`zaowu estimate pretrain`: what a pre-training would take of time, memory, disk and energy, before it runs."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zaowu.batching.shards import MANIFEST, Shards, build
from zaowu.config import PretrainConfig
from zaowu.learn import Base, choose_device
from zaowu.learn.corpus import (
    HeldOut,
    Ready,
    choose_tokens,
    make_ready,
    open_corpus,
    sample_mb,
    tokens_beside,
)
from zaowu.model import Model
from zaowu.options import pretrain_choices
from zaowu.progress import speaking
from zaowu.records.corpus import Corpus, Head, sample
from zaowu.train.corpus import JUDGED_TOKENS
from zaowu.train.estimate import cost, pace
from zaowu.train.estimate.machine import give_back, peak_memory_mb, resident_bytes
from zaowu.train.estimate.result import WATTS, PretrainEstimate, check_watts
from zaowu.train.estimate.steps import take_steps
from zaowu.train.loop import steps_within
from zaowu.trunk import precision as numbers

SAMPLE_MB = 8.0  # of the corpus on disk at most are read
STEPS = (2, 8)  # that are timed, at least and at most; between, one for so many that a training has:
ONE_FOR = 20
REPORT_S, REPORT_BYTES = 1.5, 85_000  # of drawing and saving the report and the small files beside the model


def estimate_pretrain(
    sources: str | Path | Sequence[str | Path],
    *,
    objective: str = "mlm+nsp",
    base: str = "none",
    size: str = "small",
    pieces: str = "wordpiece",
    vocab_size: int | None = None,
    length: int = 128,
    mix: Mapping[str, float] | Sequence[str] = (),
    whole_word: bool = False,
    near_duplicates: bool = False,
    memory: float = 1000.0,
    shards: str | Path | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    time_limit: str | float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    shard: bool = False,
    keep: int = 1,
    settings: Mapping[str, Any] | Sequence[str] = (),
    watts: float = WATTS,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> PretrainEstimate:
    """Reads and tokenises the first megabytes of each source, and takes a few steps on them. Nothing stays on disk.

    The whole corpus is taken to have as many tokens a byte as what was read. The parameters are those of `pretrain`;
    a folder of `shards` that is finished spares the reading. watts: what the machine is assumed to draw.
    Raises UserError for what `pretrain` would refuse, and for a wattage that is none.
    """
    given = locals()
    with speaking(quiet=quiet):
        check_watts(watts)
        config = pretrain_choices(given)
        choose_device(config.train.device)
        config, found, corpus = open_corpus(config)
        own = None if shards is None else tokens_beside(Path(shards), config, found)
        if shards is not None and own is not None and (Path(shards) / MANIFEST).is_file():
            whole = build(corpus, own.codec, Path(shards))
            assert whole is not None
            return foresee(make_ready(whole, own, config), whole, config, spent={}, watts=watts)
        with tempfile.TemporaryDirectory(prefix="zaowu-") as folder:
            return _from_head(config, found, corpus, Path(folder), watts=watts)


def _from_head(
    config: PretrainConfig, base: Base | None, corpus: Corpus, folder: Path, *, watts: float
) -> PretrainEstimate:
    start, head, read = time.monotonic(), Head(corpus, megabytes=SAMPLE_MB), _Counter()
    tokens = choose_tokens(config, base, read(sample(head, sample_mb(config))))
    more = min(max(1.0, sample_mb(config) * 1e6 / max(1, read.bytes)), _times_the_bytes(head))
    spent = {"pieces": (time.monotonic() - start) * more}
    start = time.monotonic()
    shards = build(head, tokens.codec, folder)
    assert shards is not None
    spent["tokenising"] = (time.monotonic() - start) * _times_the_bytes(head)
    extent = Extent.of(shards, head.times)
    ready = make_ready(shards, tokens, config, times=extent.epoch)
    return foresee(ready, shards, config, spent=spent, extent=extent, watts=watts)


@dataclass(frozen=True)
class Extent:
    """A corpus beside shards that were made of its head. tokens: side -> of the whole corpus.

    epoch: how many times as many tokens an epoch of the whole has, sources weighted. read_share: of the bytes.
    """

    tokens: dict[str, int]
    epoch: float = 1.0
    read_share: float = 1.0

    @classmethod
    def of(cls, shards: Shards, times: Sequence[float] = ()) -> Extent:
        """times: for each source, how many times as much of it there is; empty where the shards are of the whole."""
        if not times or max(times) == 1:
            return cls({side: shards.num_tokens(side) for side in ("train", "valid")})
        weights, every = np.asarray(shards.weights), np.asarray(times)
        own = {side: np.array(shards.tokens_by_source(side)) for side in ("train", "valid")}
        seen = own["train"] * weights
        read = sum(source.bytes / time for source, time in zip(shards.sources, times, strict=True))
        return cls(
            {side: round(float((found * every).sum())) for side, found in own.items()},
            float((seen * every).sum() / max(1e-9, seen.sum())),
            read / max(1, sum(source.bytes for source in shards.sources)),
        )


def foresee(
    ready: Ready,
    shards: Shards,
    config: PretrainConfig,
    *,
    spent: Mapping[str, float],
    extent: Extent | None = None,
    watts: float = WATTS,
) -> PretrainEstimate:
    """What a pre-training takes in all, when everything before the first weight is done.

    spent: seconds of what came before, by name. extent: of the corpus, where `shards` are only of its head. Takes a
    few steps on a model of its own, which is then gone.
    """
    extent = extent or Extent.of(shards)
    settings, trunk, feed = ready.settings, ready.config.trunk, ready.feed
    assert settings.batch_size and settings.schedule.evaluate_steps
    num_batches, epoch_tokens = feed.num_batches(0), feed.epoch_tokens(0)
    step_tokens = epoch_tokens / num_batches
    steps = steps_within(settings, num_batches=num_batches * extent.epoch, epoch_tokens=epoch_tokens * extent.epoch)
    with torch.device("meta"):
        num_weights = ready.new_model().num_parameters
    before, start = resident_bytes(), time.monotonic()
    least, most = STEPS
    taken = take_steps(ready.model, feed, _judge(ready), settings, most=max(least, min(most, steps // ONE_FOR)))
    probing_s = time.monotonic() - start
    gc.collect()
    give_back()

    step_s = step_tokens * taken.token_s
    if settings.time_limit is not None:
        steps = min(steps, max(pace.FIRST_STEPS, int(pace.RESERVE * settings.time_limit / step_s)))
    evaluations = -(-steps // settings.schedule.evaluate_steps)
    judged = _judged_tokens(ready, shards, extent)
    num_tokens = round(steps * step_tokens)
    best = 4.0 * num_weights if ready.judged else 0.0
    twice = taken.between_bytes + 2 * best if evaluations > 1 else 0.0  # new best weights are copied beside the old
    top = max(taken.peak_bytes + best, twice)
    memory = {"this process": float(before), "training": top - best - before, "best weights": best}
    memory["before training"] = max(0.0, 1e6 * (peak_memory_mb() or 0.0) - top)
    sizes = cost.Sizes(trunk=trunk, num_weights=num_weights, table_rows=0, touched=np.empty(0, np.int64))
    on_disk = sum((shards.folder / entry.file).stat().st_size for entry in (*shards.train, *shards.valid))
    codec, base = ready.source.codec, ready.tokens.base
    device = choose_device(settings.device)
    return PretrainEstimate(
        sources=list(config.sources),
        corpus_bytes=sum(source.bytes for source in shards.sources),
        read_share=extent.read_share,
        corpus_tokens=extent.tokens,
        length=config.length,
        steps=steps,
        evaluations=evaluations,
        epochs=steps / (num_batches * extent.epoch),
        step_tokens=round(step_tokens),
        shards_bytes=on_disk * sum(extent.tokens.values()) / sum(map(shards.num_tokens, extent.tokens)),
        num_parameters=num_weights,
        num_pieces=codec.num_pieces,
        num_pieces_before=base.facts["vocab_size"] if base else codec.num_pieces,
        batch_size=settings.batch_size,
        tokens_per_epoch=round(epoch_tokens * extent.epoch),
        tokens=num_tokens,
        flops=cost.pretrain_flops(trunk, num_tokens, length=config.length),
        precision=str(numbers.choose(settings.precision, device)).removeprefix("torch."),
        threads=torch.get_num_threads(),
        seconds={
            **spent,
            "estimating": probing_s,  # which the training does too
            "loading": taken.begin_s,
            "training": steps * step_s,
            "evaluating": (evaluations + 1) * judged * taken.judged_s,
            "report": REPORT_S,
        },
        memory=memory,
        disk_bytes=4.0 * num_weights + len(json.dumps(codec.spec, ensure_ascii=False).encode()) + REPORT_BYTES,
        checkpoint_bytes=cost.checkpoint_bytes(sizes, keep=settings.keep, validated=bool(ready.judged)),
        watts=watts,
    )


def _judge(ready: Ready) -> Any:
    """Judges on the first held-out batches, and says how many tokens they have."""
    few = ready.judged[:3]
    num_tokens = sum(int(batch.mask.sum()) for batch in few)

    def judge(model: Model) -> tuple[int, Any]:
        return num_tokens, HeldOut(few)(model)

    return judge if few else None


def _judged_tokens(ready: Ready, shards: Shards, extent: Extent) -> float:
    """Tokens of one evaluation, on what is held out of the whole corpus."""
    own = sum(int(batch.mask.sum()) for batch in ready.judged)
    times = extent.tokens["valid"] / max(1, shards.num_tokens("valid"))
    return min(max(own, JUDGED_TOKENS), own * times)


def _times_the_bytes(head: Head) -> float:
    """How many times as many bytes the whole has as were read of it in the last pass."""
    read = sum(source.bytes / times for source, times in zip(head.sources, head.times, strict=True))
    return head.bytes / read if read else 1.0


class _Counter:
    """Counts the bytes of the texts that go through it."""

    bytes = 0

    def __call__(self, texts: Iterator[str]) -> Iterator[str]:
        for text in texts:
            self.bytes += len(text.encode("utf-8", "surrogatepass"))
            yield text
