"""`zaowu generate`: text from a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zaowu.cli.flags import AsJson, Device, Precision, Quiet, Seed, Threads
from zaowu.cli.show import print_json
from zaowu.errors import UserError

CHANCE, SEARCH, TEXT = "By chance", "By search", "Text"

Run = Annotated[Path, typer.Argument(help="A base of 'zaowu pretrain --objective causal', or a published model.")]
Prompts = Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What is gone on from.")]
MaxTokens = Annotated[int, typer.Option(help="At most.", rich_help_panel=TEXT)]
Num = Annotated[int, typer.Option(help="Texts for each prompt.", rich_help_panel=TEXT)]
Stop = Annotated[
    list[str] | None, typer.Option(help="A text ends before it; repeat for several.", rich_help_panel=TEXT)
]
OneOf = Annotated[
    list[str] | None, typer.Option(help="An answer to choose from; repeat for all.", rich_help_panel=TEXT)
]
Chat = Annotated[bool, typer.Option("--chat", help="Prompts are what a user says.", rich_help_panel=TEXT)]
Stream = Annotated[bool, typer.Option(help="Show the text while it is written.", rich_help_panel=TEXT)]
RepeatPenalty = Annotated[float, typer.Option(help="Above 1: what was there is unlikelier.", rich_help_panel=TEXT)]
NoRepeat = Annotated[int, typer.Option(help="So many tokens in a row never come twice.", rich_help_panel=TEXT)]
Temperature = Annotated[float, typer.Option(help="Above 0: tokens are drawn.", rich_help_panel=CHANCE)]
TopK = Annotated[int, typer.Option(help="From the so many likeliest.", rich_help_panel=CHANCE)]
TopP = Annotated[float, typer.Option(help="From those with this share of probability.", rich_help_panel=CHANCE)]
Beams = Annotated[int, typer.Option(help="Texts that are kept at each step.", rich_help_panel=SEARCH)]
LengthPenalty = Annotated[float, typer.Option(help="Above 1 favours longer texts.", rich_help_panel=SEARCH)]


def generate(
    run: Run,
    prompts: Prompts,
    max_tokens: MaxTokens = 128,
    num: Num = 1,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repeat_penalty: RepeatPenalty = 1.0,
    no_repeat: NoRepeat = 0,
    beams: Beams = 1,
    length_penalty: LengthPenalty = 1.0,
    stop: Stop = None,
    one_of: OneOf = None,
    chat: Chat = False,
    stream: Stream = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """A model that writes goes on from a prompt: the likeliest text, a drawn one, or one of given answers."""
    from zaowu.verbs.generate import generate as verb

    how: dict[str, Any] = {"quiet": quiet, "device": device, "precision": precision, "threads": threads}
    choices: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repeat_penalty": repeat_penalty,
        "no_repeat": no_repeat,
        "beams": beams,
        "length_penalty": length_penalty,
        "stop": tuple(stop or ()),
        "seed": seed,
    }
    if stream:
        from zaowu.config import WriteConfig
        from zaowu.verbs.generate import stream as pieces

        if len(prompts) > 1 or num > 1 or one_of or as_json:
            raise UserError("--stream: expected one prompt and one text, without --one-of or --json.")
        for piece in pieces(run, prompts[0], config=WriteConfig(**choices), chat=chat, **how):
            print(piece, end="", flush=True)
        print()
        return
    found = verb(run, prompts, num=num, one_of=one_of or (), chat=chat, **choices, **how)
    if as_json:
        print_json(found.to_plain())
    else:
        for line in found.lines():
            print(line)
