"""Flags that mean the same everywhere, and the groups they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COLUMNS, TRAINING, MODEL, COMMON = "Columns and rows", "Training", "Model", "Everywhere"

Target = Annotated[
    list[str] | None, typer.Option(help="A column to predict; repeat for several.", rich_help_panel=COLUMNS)
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="What a column is, as NAME:kind=text.", rich_help_panel=COLUMNS, metavar="NAME:k=v"),
]
Ignore = Annotated[list[str] | None, typer.Option(help="A column to leave out.", rich_help_panel=COLUMNS)]
Group = Annotated[
    str | None, typer.Option(help="Rows with equal values here stay on one side.", rich_help_panel=COLUMNS)
]
OnBadRow = Annotated[
    str | None, typer.Option(help="stop or skip, for rows that cannot be used.", rich_help_panel=COLUMNS)
]
Out = Annotated[Path | None, typer.Option(help="Where the result goes.", rich_help_panel=COMMON)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.", rich_help_panel=COMMON)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=COMMON)]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.", rich_help_panel=COMMON)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=COMMON)]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.", rich_help_panel=COMMON)]
Threads = Annotated[int | None, typer.Option(help="Processor threads; default all.", rich_help_panel=COMMON)]
Lang = Annotated[str | None, typer.Option(help="en or zh, for reports.", rich_help_panel=COMMON)]
