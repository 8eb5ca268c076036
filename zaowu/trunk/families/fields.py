"""Values of somebody else's `config.json`, each checked before it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zaowu.errors import UserError, shorten

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_THEIR_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}


class Fields:
    """One `config.json`. A field that is absent (or null) has the value that their library gives it.

    Every reader raises UserError naming the file and the field.
    """

    def __init__(self, data: Any, *, where: str) -> None:
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected an object, got {type(data).__name__}.")
        self.data, self.where = data, where

    def size(self, name: str, default: int, *, most: int, least: int = 1) -> int:
        value = self._value(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least:,} to {most:,}", value)
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        value = self._value(name, default)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.wrong(name, f"a number from {least} to {most}", value)
        return float(value)

    def activation(self, name: str, default: str) -> Any:
        value = self._value(name, default)
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise self.wrong(name, f"one of {', '.join(_ACTIVATIONS)}", value)
        return _ACTIVATIONS[value]

    def only(self, name: str, *allowed: object) -> None:
        """Refuses what our trunk does not compute; the first of `allowed` is their default."""
        value = self._value(name, allowed[0])
        if not any(type(value) is type(good) and value == good for good in allowed):
            raise self.wrong(name, " or ".join(map(repr, allowed)), value, what_to_do="Use another base.")

    def _value(self, name: str, default: object) -> Any:
        value = self.data.get(name)
        return default if value is None else value

    def wrong(self, name: str, expected: str, value: object, *, what_to_do: str = "") -> UserError:
        sentence = f"{self.where}, '{name}': expected {expected}, got {shorten(repr(value))}."
        return UserError(f"{sentence} {what_to_do}".rstrip())


def their_activation(activation: str, *, family: str) -> str:
    """The name that their library knows it by. Raises UserError for one that the family does not have."""
    if activation not in _THEIR_ACTIVATIONS:
        raise cannot_hold(family, "activation", activation, _THEIR_ACTIVATIONS)
    return _THEIR_ACTIVATIONS[activation]


def cannot_hold(family: str, name: str, value: object, allowed: Iterable[object]) -> UserError:
    """The trunk has a switch that the family's own code does not have."""
    return UserError(f"a {family} model has '{name}' {' or '.join(map(str, allowed))}, and this trunk has {value}.")
