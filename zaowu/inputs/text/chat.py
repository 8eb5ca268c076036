"""Chats: lists of messages -> the text that a chat model reads, by the template that its tokenizer brings.

A template is a program of somebody else's: it runs in jinja2's sandbox, which lets it make text and nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zaowu.errors import UserError, shorten
from zaowu.inputs.text.codec import Codec

COLUMN = "messages"
ASSISTANT = "assistant"
MOST = 10_000  # messages of a chat

Messages = list[dict[str, Any]]


class Template:
    """What a tokenizer says about chats. Raises UserError where it says nothing, or nothing that can be understood."""

    def __init__(self, codec: Codec) -> None:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.where, given = codec.where, codec.settings.get("chat_template")
        if isinstance(given, list):  # several, by name
            named = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
            given = named.get("default")
        if not isinstance(given, str) or not given.strip():
            raise UserError(f"{self.where}: expected a tokenizer with a chat template, found none. Use a chat model.")
        room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        room.filters["tojson"] = _as_json
        room.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            self.template = room.from_string(given)
        except TemplateError as error:
            raise UserError(f"{self.where}: the chat template cannot be read ({shorten(error, 100)}).") from None
        self.special = dict(codec.special)
        first = codec.frame()[0]  # what the tokenizer puts before every text is not to stand there twice
        self._begins = codec.tokenizer.id_to_token(int(first[0])) if len(first) else ""

    def prompt(self, messages: Messages) -> str:
        """What stands before the assistant's next turn. Raises UserError where the template refuses the messages."""
        try:
            text = self.template.render(messages=messages, add_generation_prompt=True, **self.special)
        except Exception as error:  # whatever somebody else's program meets
            why = shorten(error, 100) or type(error).__name__
            raise UserError(f"{self.where}: the chat template refuses these messages ({why}).") from None
        return str(text).removeprefix(self._begins or "")


def messages_of(cell: Any, *, where: str) -> Messages:
    """A cell: JSON, or the list itself. Raises UserError naming what is wrong with it."""
    try:
        found = json.loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not 1 <= len(found) <= MOST:
        raise UserError(f'{where}: expected a list of {{"role", "content"}}, got {shorten(cell, 40)}.')
    for message in found:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise UserError(f'{where}: expected {{"role", "content"}} with texts, got {shorten(message, 40)}.')
    return found


def turns(messages: Messages) -> list[tuple[Messages, str]]:
    """What stands before each of the assistant's turns, and what it says there; empty turns are passed over."""
    return [
        (messages[:place], message["content"])
        for place, message in enumerate(messages)
        if message["role"] == ASSISTANT and place and message["content"].strip()
    ]


def looks_like_chats(cells: Sequence[Any]) -> bool:
    """Whether a column holds chats, by its first value."""
    first = next((cell for cell in cells if cell is not None), None)
    try:
        return bool(messages_of(first, where=""))
    except UserError:
        return False


def _as_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
