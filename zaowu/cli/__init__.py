"""The front door of the command line. Every command is one call of the verb with the same name.

Nothing heavy is imported here: a command imports its verb when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zaowu.cli.answer import evaluate, predict
from zaowu.cli.demo import demo
from zaowu.cli.estimate import app as estimate_app
from zaowu.cli.flags import (
    COLUMNS,
    COMMON,
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
    Lang,
    Long,
    Lora,
    OnBadRow,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Rate,
    Resume,
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
from zaowu.cli.generate import generate
from zaowu.cli.pretrain import pretrain
from zaowu.cli.show import bug, fail, print_json, print_table, usage
from zaowu.errors import Stopped, UserError

app = typer.Typer(
    name="zaowu",
    help="Turns your own data into a Transformer you can trust and ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
bases_app = typer.Typer(help="Pretrained encoders: which there are, and which are here.", invoke_without_command=True)
app.add_typer(bases_app, name="bases")
app.add_typer(estimate_app, name="estimate")
app.command()(pretrain)
app.command()(generate)
app.command()(demo)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(metadata.version("zaowu"))
        raise typer.Exit


@app.callback()
def zaowu(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print it.")] = False,
) -> None:
    """Turns your own data into a Transformer you can trust and ship."""


def _settings(wanted: bool) -> None:
    if wanted:
        from zaowu.options import RARE

        print_table(["setting", "what it is"], [[name, meaning] for name, meaning in RARE.items()])
        raise typer.Exit


@app.command()
def fit(
    path: Annotated[str, typer.Argument(help="A table (csv, tsv, jsonl, parquet) or a folder of .txt per class.")],
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
    show_settings: Annotated[
        bool, typer.Option("--settings", help="List the rare settings and stop.", is_eager=True, callback=_settings)
    ] = False,
    like: Annotated[Path | None, typer.Option(help="Repeat the choices of this run.", rich_help_panel=COMMON)] = None,
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
    """A table of labelled text -> a fine-tuned Transformer with an honest report."""
    from zaowu.verbs.fit import fit as verb

    run = verb(
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
        like=like,
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
    _print_run(run, as_json=as_json)
    if run.stopped:
        raise typer.Exit(130)


def _print_run(run: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(run.summary())
    else:
        for line in run.lines():
            print(line)


app.command()(predict)
app.command()(evaluate)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders that 'zaowu fit' wrote.")],
    data: Annotated[str | None, typer.Option(help="Labelled rows to compare them on.", rich_help_panel=COLUMNS)] = None,
    on_bad_row: OnBadRow = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    lang: Lang = None,
) -> None:
    """Several models side by side: paired scores, where they disagree, cost beside accuracy."""
    from zaowu.verbs.compare import compare as verb

    found = verb(
        runs,
        data=data,
        on_bad_row=on_bad_row,
        out=out,
        quiet=quiet,
        device=device,
        precision=precision,
        threads=threads,
        lang=lang,
    )
    if as_json:
        print_json(found.to_plain())
    else:
        for line in found.lines():
            print(line)


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="A table or a folder of .txt per class.")],
    target: Target = None,
    column: ColumnOption = None,
    ignore: Ignore = None,
    group: Group = None,
    series_id: SeriesId = None,
    time: Time = None,
    valid: Annotated[str | None, typer.Option(help="A validation file.", rich_help_panel=COLUMNS)] = None,
    test: Annotated[str | None, typer.Option(help="A test file.", rich_help_panel=COLUMNS)] = None,
    on_bad_row: OnBadRow = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The data gate alone: bad rows, duplicates, contradictions. Exit code 1 when something must be looked at."""
    from zaowu.verbs.check import check as verb

    result = verb(
        path,
        target=target,
        columns=column or (),
        ignore=ignore or (),
        group=group,
        series_id=series_id,
        time=time,
        valid=valid,
        test=test,
        on_bad_row=on_bad_row,
        quiet=quiet,
    )
    if as_json:
        print_json(result.to_plain())
    else:
        for line in result.lines():
            print(line)
    if result.problems:
        raise typer.Exit(1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A folder that 'zaowu fit' wrote.")],
    out: Out = None,
    lang: Lang = None,
) -> None:
    """Writes the run's report again, for instance in the other language."""
    from zaowu.verbs.report import report as verb

    print(verb(run, out=out, lang=lang))


@bases_app.callback()
def bases(context: typer.Context, as_json: AsJson = False) -> None:
    """Lists the bases with size, languages, licence and whether they are here."""
    if context.invoked_subcommand is None:
        from zaowu.verbs.bases import bases as verb

        rows = verb()
        if as_json:
            print_json(rows)
        else:
            print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


@bases_app.command("fetch")
def bases_fetch(name: Annotated[str, typer.Argument(help="A name of 'zaowu bases'.")], quiet: Quiet = False) -> None:
    """Fetches a base, checks it and converts it; afterwards no network is needed."""
    from zaowu.verbs.bases import fetch as verb

    print(verb(name, quiet=quiet))


def main() -> None:
    """Runs a command; turns what went wrong into one sentence and an exit code.

    Of the processes that torchrun starts, the first one prints.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0":
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        code = app(standalone_mode=False, prog_name="zaowu")
    except UserError as error:
        code = fail(str(error), 2)
    except (KeyboardInterrupt, Stopped, typer.Abort) as error:
        code = fail(str(error) or "Stopped.", 130)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # the last line of defence: a misspelt flag, or a bug of ours
        code = usage(error) if hasattr(error, "format_message") else bug(error)
    sys.exit(code or 0)
