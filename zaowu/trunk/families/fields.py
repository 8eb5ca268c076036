"""Values of somebody else's `config.json`, each checked before it is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from zaowu.config import TrunkConfig
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

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if type(value) is not bool:
            raise self.wrong(name, "true or false", value)
        return value

    def tokens(self, *, vocab_size: int, start: int | None, end: int | None, tied: bool) -> dict[str, int]:
        """Facts of the token table of a model that writes: `vocab_size`, `pad_id`, `position_offset`, and

        tied: 1 where the output layer is the token table, else 0. start_id, end_id: pieces, where there are such.
        Many of these models have no piece for padding; then pad_id is the last piece of a text, which is masked.
        start, end, tied: what their library has where the field is absent.
        """
        size = self.size("vocab_size", vocab_size, most=10_000_000)
        special = {
            "start_id": self._piece("bos_token_id", start, vocab_size=size),
            "end_id": self._piece("eos_token_id", end, vocab_size=size),
        }
        facts = {name: piece for name, piece in special.items() if piece is not None}
        pad = self._piece("pad_token_id", None, vocab_size=size)
        pad = _stand_in(facts) if pad is None else pad
        tied = self.flag("tie_word_embeddings", tied)
        return {"vocab_size": size, "pad_id": pad, "position_offset": 0, "tied": int(tied), **facts}

    def _piece(self, name: str, default: int | None, *, vocab_size: int) -> int | None:
        """A special piece, the first of several, or None where there is none in the table."""
        value = self.data.get(name, default)
        value = value[0] if isinstance(value, list) and value else value
        if value is not None and type(value) is not int:
            raise self.wrong(name, "a whole number", value)
        return value if value is not None and 0 <= value < vocab_size else None

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


def their_tokens(facts: dict[str, int]) -> dict[str, Any]:
    """The inverse of `Fields.tokens`."""
    pad = facts["pad_id"]
    return {
        "vocab_size": facts["vocab_size"],
        "bos_token_id": facts.get("start_id"),
        "eos_token_id": facts.get("end_id"),
        "pad_token_id": None if pad == _stand_in(facts) else pad,  # theirs would freeze that piece's row
        "tie_word_embeddings": bool(facts.get("tied", 1)),
    }


def _stand_in(facts: dict[str, int]) -> int:
    return facts.get("end_id", facts.get("start_id", 0))


def decoder_config(config: TrunkConfig, facts: dict[str, int]) -> TrunkConfig:
    """The other half of an encoder-decoder: the encoder's switches, with the sizes that the facts name."""
    heads = facts.get("decoder_heads", config.attention.num_heads)
    return replace(
        config,
        causal=True,
        num_layers=facts["decoder_layers"],
        ffn_dim=facts.get("decoder_ffn_dim", config.ffn_dim),
        attention=replace(config.attention, num_heads=heads),
    )


def no_head(family: str, heads: Iterable[str]) -> UserError:
    """Output layers that no class of theirs for the family has."""
    return UserError(f"a {family} model of theirs has no output layer for {' + '.join(heads)}.")


def expect(family: str, found: Iterable[tuple[str, object, object]]) -> None:
    """(name, value, what it must be) of a trunk. Raises UserError for the first that the family cannot hold."""
    for name, value, allowed in found:
        if value != allowed:
            raise cannot_hold(family, name, value, [allowed])


def cannot_hold(family: str, name: str, value: object, allowed: Iterable[object]) -> UserError:
    """The trunk has a switch that the family's own code does not have."""
    return UserError(f"a {family} model has '{name}' {' or '.join(map(str, allowed))}, and this trunk has {value}.")
