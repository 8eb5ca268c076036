"""`zaowu demo`: a task of the gallery, the whole way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaowu.cli.flags import AsJson, Lang, Out, Overwrite, Quiet, Threads
from zaowu.cli.show import print_json, print_table


def demo(
    name: Annotated[str, typer.Argument(help="A task of --list.")] = "news_zh",
    data: Annotated[Path | None, typer.Option(help="What the task needs, as --list says.")] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="List the tasks and what each needs.")] = False,
    out: Out = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    threads: Threads = None,
    lang: Lang = None,
) -> None:
    """体育 or 科技? The whole way on a task of the gallery: fit, report, five predictions."""
    from zaowu import tasks

    if list_tasks:
        found = tasks.gallery()
        if as_json:
            print_json(found)
        else:
            print_table(list(found[0]), [list(row.values()) for row in found])
        return
    run, predictions = tasks.demo(
        name, data=data, out=out, overwrite=overwrite, quiet=quiet, threads=threads, lang=lang
    )
    if as_json:
        print_json({**run.summary(), "predictions": predictions.to_plain()})
        return
    print_table(*predictions.table())
    for line in run.lines():
        print(line)
