"""What a person types -> checked settings: one sentence for a word, a number or a time that cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zaowu.config import (
    CorpusConfig,
    DataConfig,
    EngineConfig,
    FitConfig,
    PretrainConfig,
    ScheduleConfig,
    TextConfig,
    TrainConfig,
    WriteConfig,
    from_plain,
)
from zaowu.errors import UserError, nearest, shorten

RARE = {
    "warmup": "share of all steps in which the rate rises",
    "weight_decay": "of AdamW, on matrices",
    "clip": "bound of the gradient's norm",
    "patience": "evaluations without a gain before stopping",
    "label_smoothing": "share of the answer spread over the other classes, or pieces",
    "layer_decay": "each layer's rate as a multiple of the one above",
    "head_start": "yes: with a base, the last layer is fitted to what it says before training begins; or no",
    "checkpoint_steps": "steps between two checkpoints, in place of five minutes",
    "max_tokens": "of one window of a long text",
    "lora_alpha": "how much adapters of --lora count, alpha / rank; default twice the rank",
    "num_pieces": "of a vocabulary from scratch",
    "decoder_layers": "of a target that is a text",
    "beams": "kept at each step where a text is written; 1: the likeliest piece each time",
    "length_penalty": "of beams: above 1 favours longer texts",
    "no_repeat": "so many pieces in a row never come twice in a text that is written",
}
RARE_OF_PRETRAINING = {
    "warmup": "share of all steps in which the rate rises",
    "weight_decay": "of matrices",
    "clip": "bound of the gradient's norm",
    "patience": "evaluations without a gain before stopping",
    "optimizer": "adamw, or lamb for large batches",
    "schedule": "of the rate after its rise: linear, cosine or wsd",
    "accumulate": "micro-batches of one step",
    "recompute": "yes: activations are made again for the gradient, which takes less memory and more time",
    "reach": "held-out loss at which training is done",
    "evaluate_steps": "steps between two evaluations on held-out documents",
    "checkpoint_steps": "steps between two checkpoints, in place of five minutes",
    "held_out": "share of the documents that nothing is learned from",
    "sample_mb": "of text from which the pieces are learned",
    "shard_tokens": "tokens of one file of the tokenised corpus",
    "text_column": "of .jsonl and .parquet, where it is not text, content or the like",
    "document_column": "of .jsonl and .parquet: rows with equal values here are one document",
    "trim_vocab": "auto, or off: a base keeps all its pieces",
}
WRITING = ("beams", "length_penalty", "no_repeat")
READING = ("max_tokens", "num_pieces", "decoder_layers", "lora_alpha")
WHOLE = ("accumulate", "evaluate_steps", "shard_tokens", "patience", "checkpoint_steps", "beams", "no_repeat", *READING)
WORDS = ("optimizer", "schedule", "text_column", "document_column", "trim_vocab")
SWITCHES = {"yes": True, "no": False, True: True, False: False}
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
    "lora": (1, 1024),
    "lora_alpha": (0.001, 100_000),
    "decoder_layers": (1, 512),
    "beams": (1, 64),
    "length_penalty": (-10, 10),
    "no_repeat": (0, 1000),
    "vocab_size": (100, 1_000_000),
    "length": (8, 1_000_000),
    "steps": (1, 10**9),
    "tokens": (1, 10**15),
    "evaluate_steps": (1, 10**9),
    "reach": (0, 1000),
    "accumulate": (1, 65_536),
    "held_out": (0, 0.5),
    "memory_mb": (1, 1e9),
    "sample_mb": (0.001, 1e6),
    "shard_tokens": (1000, 2**40),
}
UNITS = {"s": 1, "m": 60, "h": 3600}
OF_THE_MACHINE = ("device", "threads")  # may differ where a run is repeated
PATIENCE = 5  # evaluations of a pre-training, of twenty
SINGULAR = {"columns": "column", "slices": "slice"}  # flags that may be given several times


def rare_settings(
    settings: Mapping[str, Any] | Sequence[str], *, rare: Mapping[str, str] = RARE, verb: str = "fit"
) -> dict[str, Any]:
    """`--set name=value` options as typed values. Raises UserError for a name that is not on the list `rare`."""
    pairs = dict(settings) if isinstance(settings, Mapping) else {}
    if not isinstance(settings, Mapping):
        for option in settings:
            name, equals, value = option.partition("=")
            if not equals:
                raise UserError(f"--set: expected NAME=VALUE, got '{option}'. 'zaowu {verb} --settings' lists them.")
            pairs[name.strip()] = value.strip()
    found: dict[str, Any] = {}
    for name, value in pairs.items():
        if name not in rare:
            raise UserError(f"--set: there is no setting '{name}'.{nearest(name, rare)} See 'zaowu {verb} --settings'.")
        if name in WORDS:
            found[name] = str(value)
            continue
        if name in ("recompute", "head_start"):
            if value not in SWITCHES:
                raise UserError(f"--set {name}: expected yes or no, got '{shorten(value)}'.")
            found[name] = SWITCHES[value]
            continue
        try:
            found[name] = int(value) if name in WHOLE else float(value)
        except (TypeError, ValueError, OverflowError):
            kind = "a whole number" if name in WHOLE else "a number"
            raise UserError(f"--set {name}: expected {kind}, got '{value}'.") from None
    return found


def fit_choices(given: Mapping[str, Any]) -> FitConfig:
    """The parameters of `zaowu.fit` by name -> its config; names that are no choice of how it fits are passed over.

    columns: name -> kind already. Raises UserError naming the flag.
    """
    target = given["target"]
    data = _own(DataConfig, given) | {name: list(given[name]) for name in ("ignore", "slices")}
    data["target"] = [target] if isinstance(target, str) else list(target or ())
    train = {**_own(TrainConfig, given), "time_limit": seconds(given["time_limit"])}
    return fit_config(data, _own(TextConfig, given), given["head"], train, rare_settings(given["settings"]))


def fit_config(
    data: dict[str, Any], text: dict[str, Any], head: str, train: dict[str, Any], rare: dict[str, Any]
) -> FitConfig:
    """Every choice checked: types, words and ranges. Raises UserError naming the flag."""
    text = {name: value for name, value in text.items() if value is not None}
    write: dict[str, Any] = {}
    for name, value in rare.items():
        (text if name in READING else write if name in WRITING else train)[name] = value
    choices = {"data": data, "text": text, "head": head, "train": train, "write": write}
    kinds = ((FitConfig, choices), (DataConfig, data), (TextConfig, text), (TrainConfig, train), (WriteConfig, write))
    for kind, values in kinds:
        _check_words(kind, values)
        _check_ranges(values)
    return from_plain(FitConfig, choices, where="fit")


def pretrain_choices(given: Mapping[str, Any]) -> PretrainConfig:
    """The same for the parameters of `zaowu.pretrain`. Raises UserError naming the flag."""
    sources = given["sources"]
    names = [str(source) for source in ([sources] if isinstance(sources, (str, Path)) else sources)]
    if not names:
        raise UserError("SOURCE: expected files or folders of text, got none.")
    corpus = {**_own(CorpusConfig, given), "memory_mb": float(given["memory"])}
    if given["vocab_size"] is not None:
        corpus["num_pieces"] = given["vocab_size"]
    train = {**_own(TrainConfig, given), "patience": PATIENCE, "time_limit": seconds(given["time_limit"])}
    return pretrain_config(
        {**_own(PretrainConfig, given), "sources": names, "mix": mixture(given["mix"], names)},
        corpus,
        train,
        _own(ScheduleConfig, given),
        _own(EngineConfig, given),
        rare_settings(given["settings"], rare=RARE_OF_PRETRAINING, verb="pretrain"),
    )


def _own(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given for the fields of `kind`, but for those that are configs of their own: they have no flag."""
    names = {name for name, hint in get_type_hints(kind).items() if not is_dataclass(hint)}
    return {name: value for name, value in given.items() if name in names}


def pretrain_config(
    choices: dict[str, Any],
    corpus: dict[str, Any],
    train: dict[str, Any],
    schedule: dict[str, Any],
    engine: dict[str, Any],
    rare: dict[str, Any],
) -> PretrainConfig:
    """Every choice of `zaowu pretrain` checked: types, words and ranges. Raises UserError naming the flag."""
    homes = {"schedule": schedule, "trim_vocab": choices}
    for config, home in ((CorpusConfig, corpus), (ScheduleConfig, schedule), (EngineConfig, engine)):
        homes |= {field.name: home for field in fields(config)}
    for name, value in rare.items():
        homes.get(name, train)["shape" if name == "schedule" else name] = value
    parts: tuple[tuple[type, dict[str, Any]], ...] = (
        (PretrainConfig, choices),
        (CorpusConfig, corpus),
        (TrainConfig, train),
        (ScheduleConfig, schedule),
        (EngineConfig, engine),
    )
    for kind, values in parts:
        _check_words(kind, values, RARE_OF_PRETRAINING)
        _check_ranges(values, RARE_OF_PRETRAINING)
    train = {**train, "schedule": schedule, "engine": engine}
    return from_plain(PretrainConfig, {**choices, "corpus": corpus, "train": train}, where="pretrain")


def pretrain_words(config: PretrainConfig) -> list[str]:
    """The inverse of `pretrain_choices`: what a person types for `config`, without what is so anyway."""
    train, corpus = config.train, config.corpus
    usual = PretrainConfig(train=TrainConfig(patience=PATIENCE))
    pairs: tuple[tuple[Any, Any], ...] = (
        (config, usual),
        (corpus, usual.corpus),
        (train, usual.train),
        (train.schedule, usual.train.schedule),
        (train.engine, usual.train.engine),
    )
    words = list(config.sources)
    for source, weight in config.mix.items():
        words += ["--mix", f"{source}={weight}"]
    for own, default in pairs:
        for name, value in vars(own).items():
            if name in ("sources", "mix") or is_dataclass(value) or value == getattr(default, name):
                continue
            other = {"memory_mb": "--memory", "num_pieces": "--vocab-size"}
            flag = other.get(name) or _flag(name, RARE_OF_PRETRAINING)
            if flag.startswith("--set "):
                words += ["--set", f"{flag.removeprefix('--set ')}={'yes' if value is True else value}"]
            else:
                words += [flag] if value is True else [flag, f"{value}s" if name == "time_limit" else str(value)]
    return words


def without_effect(config: PretrainConfig) -> list[str]:
    """A sentence for each choice of a pre-training that another one makes idle."""
    usual, found = PretrainConfig(), []
    if config.base != "none":
        chosen = {
            "--size": config.size != usual.size,
            "--pieces": config.corpus.pieces != usual.corpus.pieces,
            "--vocab-size": config.corpus.num_pieces is not None,
        }
        found += [f"{flag} has no effect with a base." for flag, is_chosen in chosen.items() if is_chosen]
    elif config.trim_vocab != usual.trim_vocab:
        found.append("--set trim_vocab has no effect without a base.")
    if config.corpus.whole_word and config.objective == "causal":
        found.append("--whole-word has no effect with --objective causal, which hides nothing.")
    if config.corpus.memory_mb != usual.corpus.memory_mb and not config.corpus.near_duplicates:
        found.append("--memory has no effect without --near-duplicates.")
    if config.objective == "masked-patches":
        idle = {
            "--length": config.length != usual.length,
            "--pieces": config.corpus.pieces != usual.corpus.pieces,
            "--vocab-size": config.corpus.num_pieces is not None,
            "--mix": bool(config.mix),
            "--whole-word": config.corpus.whole_word,
            "--near-duplicates": config.corpus.near_duplicates,
        }
        found += [f"{flag} has no effect with --objective masked-patches." for flag, given in idle.items() if given]
    if config.train.schedule.reach is not None and not config.corpus.held_out:
        found.append("--set reach has no effect where nothing is held out.")
    return found


def mixture(pairs: Mapping[str, float] | Sequence[str], sources: Sequence[str]) -> dict[str, float]:
    """`--mix SOURCE=2` options as source -> weight. Raises UserError for a source that is not among `sources`."""
    found: dict[str, float] = dict(pairs) if isinstance(pairs, Mapping) else {}
    for pair in () if isinstance(pairs, Mapping) else pairs:
        source, equals, weight = pair.rpartition("=")
        try:
            found[source] = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(f"--mix: expected SOURCE=WEIGHT, got '{shorten(pair)}'.")
    for source in found:
        if source not in sources:
            raise UserError(f"--mix: '{shorten(source)}' is not one of the sources.{nearest(source, sources)}")
    return found


def share_of(part: str | None) -> tuple[int, int] | None:
    """`3/8` -> (2, 8): the third of eight, counted from 0. Raises UserError for anything else."""
    if part is None:
        return None
    shape = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", part)
    if not shape or not 1 <= int(shape[1]) <= int(shape[2]):
        raise UserError(f"--part: expected i/n with i from 1 to n, such as 3/8, got '{part}'.")
    return int(shape[1]) - 1, int(shape[2])


def checked(config: FitConfig) -> FitConfig:
    """The same config. Raises UserError, naming the flag, for a number out of its range."""
    for part in (config.text, config.train, config.write):
        _check_ranges(vars(part))
    return config


def _check_ranges(values: Mapping[str, Any], rare: Mapping[str, str] = RARE) -> None:
    for name in RANGES.keys() & values.keys():
        (least, most), value = RANGES[name], values[name]
        if isinstance(value, (int, float)) and not least <= value <= most:
            raise UserError(f"{_flag(name, rare)}: expected {least:g} to {most:g}, got {shorten(value, 20)}.")


def _check_words(kind: type, values: Mapping[str, Any], rare: Mapping[str, str] = RARE) -> None:
    """Choices of one word, by the flag that a person typed."""
    for name, hint in get_type_hints(kind).items():
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        value = values.get(name)
        if words and value is not None and value not in words:
            expected = f"{', '.join(words[:-1])} or {words[-1]}"
            raise UserError(
                f"{_flag(name, rare)}: expected {expected}, got '{shorten(value)}'.{nearest(str(value), words)}"
            )


def refuse_beside_like(config: FitConfig) -> None:
    """Raises UserError naming a choice that was made beside --like; one that equals its default passes unseen."""
    usual = FitConfig()
    parts = (
        (config.data, usual.data),
        (config.text, usual.text),
        (config.train, usual.train),
        (config.write, usual.write),
    )
    given = [name for part, default in parts for name, value in vars(part).items() if value != getattr(default, name)]
    given = [name for name in given if name not in OF_THE_MACHINE]
    if config.head != usual.head:
        given.append("head")
    if given:
        raise UserError(
            f"{_flag(given[0])} cannot be given beside --like, which repeats all choices of a run: leave out one of "
            "the two."
        )


def _flag(name: str, rare: Mapping[str, str] = RARE) -> str:
    """What a person types for a field of the configs. rare: the settings that go through --set."""
    name = {"shape": "schedule"}.get(name, name)
    return f"--set {name}" if name in rare else f"--{SINGULAR.get(name, name).replace('_', '-')}"


def seconds(limit: str | float | None) -> float | None:
    """`90s`, `20m`, `2h` or plain seconds. Raises UserError for anything else or not above zero."""
    if limit is None:
        return None
    shape = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(limit))
    if not shape or float(shape[1]) <= 0:
        raise UserError(f"--time-limit: expected a time such as 90s, 20m or 2h, got '{limit}'.")
    return float(shape[1]) * UNITS[shape[2] or "s"]
