"""`zaowu estimate ...`: what another command would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zaowu.cli.flags import (
    AsJson,
    Base,
    BatchSize,
    ClassWeights,
    ColumnOption,
    Device,
    Epochs,
    Group,
    Head,
    Ignore,
    Keep,
    Long,
    Lora,
    OnBadRow,
    Precision,
    Quiet,
    Rate,
    Seed,
    SeriesId,
    Settings,
    Size,
    Slices,
    Target,
    Test,
    Threads,
    Time,
    TimeLimit,
    TrimVocab,
    Valid,
    Weight,
)
from zaowu.cli.pretrain import (
    Base as GoOnFrom,
    Length,
    Memory,
    Mix,
    NearDuplicates,
    Objective,
    Pieces,
    Shard,
    Shards,
    Sources,
    Steps,
    Tokens,
    VocabSize,
    WholeWord,
)
from zaowu.cli.show import print_json

if TYPE_CHECKING:
    from zaowu.train.estimate.result import Estimate

Watts = Annotated[float, typer.Option(help="What the machine is assumed to draw.")]

app = typer.Typer(help="What a command would take of time, memory, disk and energy.", no_args_is_help=True)


@app.command()
def fit(
    path: Annotated[str, typer.Argument(help="What would be given to 'zaowu fit'.")],
    target: Target = None,
    column: ColumnOption = None,
    ignore: Ignore = None,
    group: Group = None,
    series_id: SeriesId = None,
    time: Time = None,
    weight: Weight = None,
    slices: Slices = None,
    valid: Valid = None,
    test: Test = None,
    on_bad_row: OnBadRow = None,
    base: Base = None,
    size: Size = "small",
    head: Head = "mean",
    long: Long = "window",
    trim_vocab: TrimVocab = "auto",
    lora: Lora = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    class_weights: ClassWeights = "none",
    time_limit: TimeLimit = None,
    keep: Keep = 1,
    settings: Settings = None,
    watts: Watts = 65.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """What 'zaowu fit' would take: parameters, tokens, FLOPs, time, memory, disk, energy. Nothing is trained."""
    from zaowu.verbs.estimate.fit import estimate_fit as verb

    found = verb(
        path,
        target=target,
        columns=column or (),
        ignore=ignore or (),
        group=group,
        series_id=series_id,
        time=time,
        weight=weight,
        slices=slices or (),
        valid=valid,
        test=test,
        on_bad_row=on_bad_row,
        base=base,
        size=size,
        head=head,
        long=long,
        trim_vocab=trim_vocab,
        lora=lora,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        class_weights=class_weights,
        time_limit=time_limit,
        keep=keep,
        settings=settings or (),
        watts=watts,
        quiet=quiet,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
    )
    _show(found, as_json=as_json)


@app.command()
def pretrain(
    sources: Sources,
    objective: Objective = "mlm+nsp",
    base: GoOnFrom = "none",
    size: Size = "small",
    pieces: Pieces = "wordpiece",
    vocab_size: VocabSize = None,
    length: Length = 128,
    mix: Mix = None,
    whole_word: WholeWord = False,
    near_duplicates: NearDuplicates = False,
    memory: Memory = 1000.0,
    shards: Shards = None,
    epochs: Epochs = None,
    steps: Steps = None,
    tokens: Tokens = None,
    time_limit: TimeLimit = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    shard: Shard = False,
    keep: Keep = 1,
    settings: Settings = None,
    watts: Watts = 65.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """What 'zaowu pretrain' would take, from the first megabytes of the text and a few steps on them."""
    from zaowu.verbs.estimate.pretrain import estimate_pretrain as verb

    found = verb(
        sources,
        objective=objective,
        base=base,
        size=size,
        pieces=pieces,
        vocab_size=vocab_size,
        length=length,
        mix=mix or (),
        whole_word=whole_word,
        near_duplicates=near_duplicates,
        memory=memory,
        shards=shards,
        epochs=epochs,
        steps=steps,
        tokens=tokens,
        time_limit=time_limit,
        batch_size=batch_size,
        lr=lr,
        shard=shard,
        keep=keep,
        settings=settings or (),
        watts=watts,
        quiet=quiet,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
    )
    _show(found, as_json=as_json)


def _show(found: Estimate, *, as_json: bool) -> None:
    if as_json:
        print_json(found.to_plain())
    else:
        for line in found.lines():
            print(line)
