"""What a person types -> checked settings: one sentence for a word, a number or a time that cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig, from_plain
from zaowu.errors import UserError, nearest, shorten

RARE = {
    "warmup": "share of all steps in which the rate rises",
    "weight_decay": "of AdamW, on matrices",
    "clip": "bound of the gradient's norm",
    "patience": "evaluations without a gain before stopping",
    "label_smoothing": "share of the answer spread over the other classes",
    "layer_decay": "each layer's rate as a multiple of the one above",
    "checkpoint_steps": "steps between two checkpoints, in place of five minutes",
    "max_tokens": "of one window of a long text",
    "num_pieces": "of a vocabulary from scratch",
}
WHOLE = ("patience", "checkpoint_steps", "max_tokens", "num_pieces")
RANGES = {
    "epochs": (1, 10_000),
    "batch_size": (1, 65_536),
    "lr": (1e-9, 10),
    "threads": (1, 4096),
    "time_limit": (1, 1e8),
    "seed": (0, 2**62),
    "warmup": (0, 1),
    "weight_decay": (0, 10),
    "clip": (1e-6, 1e6),
    "patience": (1, 10_000),
    "label_smoothing": (0, 0.99),
    "layer_decay": (0.01, 1),
    "checkpoint_steps": (1, 10**9),
    "keep": (1, 1000),
    "max_tokens": (8, 1_000_000),
    "num_pieces": (100, 1_000_000),
}
UNITS = {"s": 1, "m": 60, "h": 3600}
OF_THE_MACHINE = ("device", "threads")  # may differ where a run is repeated
SINGULAR = {"columns": "column", "slices": "slice"}  # flags that may be given several times


def rare_settings(settings: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """`--set name=value` options as typed values. Raises UserError for a name that is not on the list."""
    pairs = dict(settings) if isinstance(settings, Mapping) else {}
    if not isinstance(settings, Mapping):
        for option in settings:
            name, equals, value = option.partition("=")
            if not equals:
                raise UserError(f"--set: expected NAME=VALUE, got '{option}'. 'zaowu fit --settings' lists them.")
            pairs[name.strip()] = value.strip()
    found: dict[str, Any] = {}
    for name, value in pairs.items():
        if name not in RARE:
            raise UserError(f"--set: there is no setting '{name}'.{nearest(name, RARE)} See 'zaowu fit --settings'.")
        try:
            found[name] = int(value) if name in WHOLE else float(value)
        except (TypeError, ValueError, OverflowError):
            kind = "a whole number" if name in WHOLE else "a number"
            raise UserError(f"--set {name}: expected {kind}, got '{value}'.") from None
    return found


def fit_config(
    data: dict[str, Any], text: dict[str, Any], head: str, train: dict[str, Any], rare: dict[str, Any]
) -> FitConfig:
    """Every choice checked: types, words and ranges. Raises UserError naming the flag."""
    text = {name: value for name, value in text.items() if value is not None}
    for name, value in rare.items():
        (text if name in ("max_tokens", "num_pieces") else train)[name] = value
    choices = {"data": data, "text": text, "head": head, "train": train}
    for kind, values in ((FitConfig, choices), (DataConfig, data), (TextConfig, text), (TrainConfig, train)):
        _check_words(kind, values)
        _check_ranges(values)
    return from_plain(FitConfig, choices, where="fit")


def checked(config: FitConfig) -> FitConfig:
    """The same config. Raises UserError, naming the flag, for a number out of its range."""
    _check_ranges(vars(config.text))
    _check_ranges(vars(config.train))
    return config


def _check_ranges(values: Mapping[str, Any]) -> None:
    for name in RANGES.keys() & values.keys():
        (least, most), value = RANGES[name], values[name]
        if isinstance(value, (int, float)) and not least <= value <= most:
            raise UserError(f"{_flag(name)}: expected {least:g} to {most:g}, got {shorten(value, 20)}.")


def _check_words(kind: type, values: Mapping[str, Any]) -> None:
    """Choices of one word, by the flag that a person typed."""
    for name, hint in get_type_hints(kind).items():
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        value = values.get(name)
        if words and value is not None and value not in words:
            expected = f"{', '.join(words[:-1])} or {words[-1]}"
            raise UserError(f"{_flag(name)}: expected {expected}, got '{shorten(value)}'.{nearest(str(value), words)}")


def refuse_beside_like(config: FitConfig) -> None:
    """Raises UserError naming a choice that was made beside --like; one that equals its default passes unseen."""
    usual = FitConfig()
    parts = ((config.data, usual.data), (config.text, usual.text), (config.train, usual.train))
    given = [name for part, default in parts for name, value in vars(part).items() if value != getattr(default, name)]
    given = [name for name in given if name not in OF_THE_MACHINE]
    if config.head != usual.head:
        given.append("head")
    if given:
        raise UserError(
            f"{_flag(given[0])} cannot be given beside --like, which repeats all choices of a run: leave out one of "
            "the two."
        )


def _flag(name: str) -> str:
    """What a person types for a field of the configs."""
    return f"--set {name}" if name in RARE else f"--{SINGULAR.get(name, name).replace('_', '-')}"


def seconds(limit: str | float | None) -> float | None:
    """`90s`, `20m`, `2h` or plain seconds. Raises UserError for anything else or not above zero."""
    if limit is None:
        return None
    shape = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(limit))
    if not shape or float(shape[1]) <= 0:
        raise UserError(f"--time-limit: expected a time such as 90s, 20m or 2h, got '{limit}'.")
    return float(shape[1]) * UNITS[shape[2] or "s"]
