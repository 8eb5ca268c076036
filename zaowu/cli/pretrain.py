"""`zaowu pretrain`: raw text -> a base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaowu.cli.flags import (
    MODEL,
    TRAINING,
    AsJson,
    BatchSize,
    Device,
    Epochs,
    Keep,
    Lang,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Rate,
    Resume,
    Seed,
    Settings,
    Size,
    Threads,
    TimeLimit,
)
from zaowu.cli.show import print_json, print_table

TEXT = "Text"

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE", help="Files or folders of text, .jsonl, .parquet; of images or sounds.")
]
Objective = Annotated[
    str, typer.Option(help="mlm+nsp, mlm, mlm+sop, causal; masked-patches of images, sounds.", rich_help_panel=MODEL)
]
Base = Annotated[
    str, typer.Option(help="To go on from: a name of 'zaowu bases', a folder, or none.", rich_help_panel=MODEL)
]
Pieces = Annotated[str, typer.Option(help="wordpiece, bpe or unigram, from scratch.", rich_help_panel=MODEL)]
VocabSize = Annotated[int | None, typer.Option(help="Pieces of a model from scratch.", rich_help_panel=MODEL)]
Length = Annotated[int, typer.Option(help="Tokens of a row.", rich_help_panel=MODEL)]
Mix = Annotated[
    list[str] | None,
    typer.Option(help="How often a source is seen in an epoch.", rich_help_panel=TEXT, metavar="SOURCE=WEIGHT"),
]
WholeWord = Annotated[bool, typer.Option(help="Hide whole words; Chinese ones with jieba.", rich_help_panel=TEXT)]
NearDuplicates = Annotated[bool, typer.Option(help="Remove nearly equal paragraphs too.", rich_help_panel=TEXT)]
Memory = Annotated[float, typer.Option(help="MB that finding near duplicates may take.", rich_help_panel=TEXT)]
Shards = Annotated[Path | None, typer.Option(help="Where the tokenised corpus stays.", rich_help_panel=TEXT)]
Share = Annotated[str | None, typer.Option("--part", help="Only tokenise part i/n of it.", rich_help_panel=TEXT)]
Steps = Annotated[int | None, typer.Option(help="At most.", rich_help_panel=TRAINING)]
Tokens = Annotated[int | None, typer.Option(help="At most.", rich_help_panel=TRAINING)]
Shard = Annotated[bool, typer.Option(help="Divide the model among the ranks (FSDP2).", rich_help_panel=TRAINING)]


def _settings(wanted: bool) -> None:
    if wanted:
        from zaowu.options import RARE_OF_PRETRAINING

        print_table(["setting", "what it is"], [[name, what] for name, what in RARE_OF_PRETRAINING.items()])
        raise typer.Exit


def pretrain(
    sources: Sources,
    objective: Objective = "mlm+nsp",
    base: Base = "none",
    size: Size = "small",
    pieces: Pieces = "wordpiece",
    vocab_size: VocabSize = None,
    length: Length = 128,
    mix: Mix = None,
    whole_word: WholeWord = False,
    near_duplicates: NearDuplicates = False,
    memory: Memory = 1000.0,
    shards: Shards = None,
    part: Share = None,
    epochs: Epochs = None,
    steps: Steps = None,
    tokens: Tokens = None,
    time_limit: TimeLimit = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    shard: Shard = False,
    keep: Keep = 1,
    settings: Settings = None,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="List the rare settings and stop.", is_eager=True, callback=_settings)
    ] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    lang: Lang = None,
) -> None:
    """Raw text, images or sounds -> a base of your own: a Transformer that 'zaowu fit --base' goes on from."""
    from zaowu.verbs.pretrain import pretrain as verb

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
        part=part,
        epochs=epochs,
        steps=steps,
        tokens=tokens,
        time_limit=time_limit,
        batch_size=batch_size,
        lr=lr,
        shard=shard,
        keep=keep,
        settings=settings or (),
        resume=resume,
        overwrite=overwrite,
        out=out,
        quiet=quiet,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        lang=lang,
    )
    if found is None:  # one part of a corpus is tokenised, and others are not
        if as_json:
            print_json(None)
        return
    if as_json:
        print_json(found.summary())
    else:
        for line in found.lines():
            print(line)
    if found.stopped:
        raise typer.Exit(130)
