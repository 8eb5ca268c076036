"""A table of chats -> one record for each turn of the assistant: what stands before it, and what it says.

The turns of one chat are one group, so that they stand on one side of every split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from zaowu import bases
from zaowu.config import FitConfig, TextConfig
from zaowu.errors import UserError
from zaowu.inputs.text.chat import ASSISTANT, COLUMN, Messages, Template, looks_like_chats, messages_of, turns
from zaowu.inputs.text.codec import Codec
from zaowu.learn.base import HF, read_base
from zaowu.progress import note
from zaowu.records.read import read
from zaowu.records.records import Table

PROMPT, ANSWER, CHAT = "prompt", "answer", "chat"

Spread = Callable[[Table], Table]


def holds_chats(table: Table) -> bool:
    """Whether it has a column `messages` of chats."""
    return COLUMN in table.frame.columns and looks_like_chats(table.frame[COLUMN].head(20).to_list())


def understood(source: Any, config: FitConfig) -> tuple[Any, FitConfig, Spread | None]:
    """Where a causal base is given chats: the table, what its columns will be, and what makes records of it.

    Else the source as it was or as it was read, the config, and None.
    """
    usual = config.text.base in ("none", TextConfig.base) or config.text.base.startswith(HF)
    if usual or not set(config.data.target) <= {COLUMN, ANSWER}:
        return source, config, None
    folder = bases.resolve(config.text.base)
    if not read_base(folder).trunk.causal:
        return source, config, None
    table = source if isinstance(source, Table) else read(source, on_bad_row=config.data.on_bad_row)
    if not holds_chats(table):
        return table, config, None
    kinds = {name: kind for name, kind in config.data.columns.items() if name != COLUMN}
    kinds |= {PROMPT: "text", ANSWER: "text"}
    data = replace(config.data, target=(ANSWER,), columns=kinds, group=config.data.group or CHAT)
    return table, replace(config, data=data), partial(by_turns, template=Template(Codec.from_folder(folder)))


def by_turns(table: Table, template: Template) -> Table:
    """Raises UserError for a cell that holds no chat, and where the assistant never says anything."""
    rows: list[tuple[int, str, str]] = []
    silent = 0
    for place, messages in _chats(table):
        found = turns(messages)
        silent += not found
        rows += [(place, template.prompt(before), said) for before, said in found]
    if not rows:
        raise UserError(f"{table.source}, column '{COLUMN}': expected turns of the {ASSISTANT}, found none.")
    if silent:
        note(f"{table.source}: {silent:,} chats without a turn of the {ASSISTANT} are left out.")
    where = np.array([place for place, _, _ in rows])
    frame = table.frame.drop(COLUMN)[where].with_columns(
        pl.Series(PROMPT, [before for _, before, _ in rows]),
        pl.Series(ANSWER, [said for _, _, said in rows]),
        pl.Series(CHAT, [str(place) for place in where]),
    )
    return replace(table, frame=frame, rows=table.rows[where])


def asked(data: Any, codec: Codec) -> Any:
    """What a chat model is asked: texts as a user says them; of a table of chats what stands before the last answer."""
    template = Template(codec)
    if isinstance(data, Sequence) and not isinstance(data, str) and all(isinstance(text, str) for text in data):
        return [said(template, text) for text in data]
    if not isinstance(data, Table) or not holds_chats(data):
        return data
    prompts = []
    for _, messages in _chats(data):
        last = messages[:-1] if len(messages) > 1 and messages[-1]["role"] == ASSISTANT else messages
        prompts.append(template.prompt(last))
    return replace(data, frame=data.frame.with_columns(pl.Series(PROMPT, prompts)))


def said(template: Template, text: str) -> str:
    """The prompt of a chat that begins with what a user says."""
    return template.prompt([{"role": "user", "content": text}])


def _chats(table: Table) -> list[tuple[int, Messages]]:
    cells = table.frame[COLUMN].to_list()
    return [
        (place, messages_of(cell, where=f"{table.source}, row {table.rows[place]}, column '{COLUMN}'"))
        for place, cell in enumerate(cells)
    ]
