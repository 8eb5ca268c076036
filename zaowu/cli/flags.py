"""Flags that mean the same everywhere, and the groups they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COLUMNS, TRAINING, MODEL, COMMON = "Columns and rows", "Training", "Model", "Everywhere"
EXAMPLES = "In-context examples"

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
SeriesId = Annotated[
    str | None, typer.Option(help="Rows with equal values here are one series, one record.", rich_help_panel=COLUMNS)
]
Time = Annotated[str | None, typer.Option(help="When each row of a series was measured.", rich_help_panel=COLUMNS)]
Weight = Annotated[str | None, typer.Option(help="A column that says how much a row counts.", rich_help_panel=COLUMNS)]
Slices = Annotated[
    list[str] | None, typer.Option("--slice", help="Report scores by this column.", rich_help_panel=COLUMNS)
]
Valid = Annotated[str | None, typer.Option(help="A file that chooses the epoch.", rich_help_panel=COLUMNS)]
Test = Annotated[str | None, typer.Option(help="A file for the final score.", rich_help_panel=COLUMNS)]
OnBadRow = Annotated[
    str | None, typer.Option(help="stop or skip, for rows that cannot be used.", rich_help_panel=COLUMNS)
]
Base = Annotated[
    str | None, typer.Option(help="A name of 'zaowu bases', a folder, or none (from scratch).", rich_help_panel=MODEL)
]
Size = Annotated[str, typer.Option(help="Of a model from scratch.", rich_help_panel=MODEL)]
Head = Annotated[str, typer.Option(help="mean or first.", rich_help_panel=MODEL)]
Long = Annotated[str, typer.Option(help="window or truncate, for long texts.", rich_help_panel=MODEL)]
TrimVocab = Annotated[str, typer.Option(help="auto or off.", rich_help_panel=MODEL)]
Shots = Annotated[
    str | None, typer.Option(help="Labelled texts that a causal model is shown.", rich_help_panel=EXAMPLES)
]
NumShots = Annotated[int | None, typer.Option(help="At most; default as many as fit.", rich_help_panel=EXAMPLES)]
ShotTarget = Annotated[str | None, typer.Option("--target", help="Their column of labels.", rich_help_panel=EXAMPLES)]
Draws = Annotated[int | None, typer.Option(help="Of examples; default 10.", rich_help_panel=EXAMPLES)]
Lora = Annotated[
    int | None, typer.Option(help="Rank of adapters that learn in place of a base.", rich_help_panel=MODEL)
]
Epochs = Annotated[int | None, typer.Option(help="At most.", rich_help_panel=TRAINING)]
BatchSize = Annotated[int | None, typer.Option(rich_help_panel=TRAINING)]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.", rich_help_panel=TRAINING)]
ClassWeights = Annotated[str, typer.Option(help="none or balanced.", rich_help_panel=TRAINING)]
Keep = Annotated[int, typer.Option(help="Checkpoints that stay on disk, for --resume.", rich_help_panel=COMMON)]
TimeLimit = Annotated[str | None, typer.Option(help="Of training, as 90s, 20m or 2h.", rich_help_panel=COMMON)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A rare setting, NAME=VALUE.", rich_help_panel=TRAINING, metavar="NAME=VALUE"),
]
Resume = Annotated[bool, typer.Option(help="Go on with an interrupted run.", rich_help_panel=COMMON)]
Overwrite = Annotated[bool, typer.Option(help="Replace an existing run.", rich_help_panel=COMMON)]
Out = Annotated[Path | None, typer.Option(help="Where the result goes.", rich_help_panel=COMMON)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.", rich_help_panel=COMMON)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=COMMON)]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.", rich_help_panel=COMMON)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=COMMON)]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.", rich_help_panel=COMMON)]
Threads = Annotated[int | None, typer.Option(help="Processor threads; default all.", rich_help_panel=COMMON)]
Lang = Annotated[str | None, typer.Option(help="en or zh, for reports.", rich_help_panel=COMMON)]
