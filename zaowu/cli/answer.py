"""`zaowu predict` and `zaowu evaluate`: answers of a saved model, or of a causal model by examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaowu.cli.flags import (
    AsJson,
    Device,
    Draws,
    NumShots,
    OnBadRow,
    Out,
    Precision,
    Quiet,
    Seed,
    Shots,
    ShotTarget,
    Threads,
)
from zaowu.cli.show import print_json, print_table, show_note


def predict(
    run: Annotated[Path, typer.Argument(help="A folder that 'zaowu fit' wrote; a causal model for --shots.")],
    what: Annotated[list[str], typer.Argument(metavar="TEXT... | FILE", help="Texts, images, sounds, or one table.")],
    text: Annotated[bool, typer.Option("--text", help="Take the arguments as texts even if they name a file.")] = False,
    top: Annotated[int, typer.Option(help="How many classes to show.")] = 1,
    shots: Shots = None,
    num_shots: NumShots = None,
    target: ShotTarget = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """What the model says about texts or about every row of a file."""
    from zaowu.verbs.predict import predict as verb

    result = verb(
        run,
        what,
        text=text,
        top=top,
        shots=shots,
        num_shots=num_shots,
        target=target,
        out=out,
        quiet=quiet,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
    )
    if as_json:
        print_json(result.to_plain())
    elif out is None:
        print_table(*result.table())
    for sentence in result.warnings:
        show_note(sentence, quiet)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A folder that 'zaowu fit' wrote; a causal model for --shots.")],
    path: Annotated[str, typer.Argument(help="A file with the same columns and the true labels.")],
    on_bad_row: OnBadRow = None,
    shots: Shots = None,
    num_shots: NumShots = None,
    target: ShotTarget = None,
    draws: Draws = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """How good the model and the cheap baselines are on other labelled rows."""
    from zaowu.verbs.evaluate import evaluate as verb

    result = verb(
        run,
        path,
        on_bad_row=on_bad_row,
        shots=shots,
        num_shots=num_shots,
        target=target,
        draws=draws,
        out=out,
        quiet=quiet,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
    )
    if as_json:
        print_json(result.to_plain())
    else:
        for line in result.lines():
            print(line)
