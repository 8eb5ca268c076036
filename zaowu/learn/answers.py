"""The targets of some records, fitted: classes, scales, and the pieces of texts that are to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zaowu import targets
from zaowu.config import FitConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs import Inputs
from zaowu.inputs.text import codec_of
from zaowu.records.records import Records

MOST_COPIED = 6  # layers of a decoder that begins as a base does


def fit_targets(records: Records, config: TrainConfig, *, known: Records | None = None) -> dict[str, Any]:
    """Target column -> its `Target`, which knows the labels of `records` and of `known`."""
    found = {}
    for column in records.schema.named("target"):
        labels = records.values(column.name)
        try:
            if all(label is None for label in labels):
                raise UserError(f"expected labels in the {len(labels):,} rows to learn from, got none.")
            target = targets.find(column.kind, where=f"column '{column.name}'").fit(
                labels,
                also=() if known is None else known.values(column.name),
                label_smoothing=config.label_smoothing or 0.0,
                class_weights=config.class_weights,
            )
            if target.reads == "tokens":
                texts = {name: records.values(name) for name in _text_columns(records)}
                if not texts:
                    raise UserError("its answers are places in a text, but no column that is learned from is a text.")
                target = target.located(texts, labels)
            found[column.name] = target
        except UserError as error:
            raise UserError(f"{records.source}, column '{column.name}': {error}") from None
    return found


def _text_columns(records: Records) -> list[str]:
    return [column.name for column in records.schema.inputs if column.kind == "text"]


def searched(answers: Mapping[str, Any], config: FitConfig) -> str:
    """The column that answers are places in, "" where none is. Raises UserError for two, and for a pooler."""
    found = {target.column: name for name, target in answers.items() if target.reads == "tokens"}
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise UserError(
            f"--target: '{first}' stands in the column '{one}' and '{second}' in '{other}'. Fit a model for each."
        )
    if found and config.head == "first":
        raise UserError("--head first: this target's answers are places in a text, which has no pooler. Leave it out.")
    return next(iter(found), "")


def to_write(answers: Mapping[str, Any], records: Records) -> list[str]:
    """All training answers that are texts to be written: the pieces must be theirs too."""
    names = [name for name, target in answers.items() if target.reads == "states"]
    return [label for name in names for label in records.values(name) if label is not None]


def shaped(
    answers: Mapping[str, Any],
    records: Records,
    source: Inputs,
    trunk: TrunkConfig,
    config: FitConfig,
    *,
    facts: Mapping[str, int] | None,
) -> dict[str, Any]:
    """The same targets; those that write with their pieces and sizes. facts: of a base's token table.

    Raises UserError for choices that nothing can be written with.
    """
    writers = [name for name, target in answers.items() if target.reads == "states"]
    if not writers:
        return dict(answers)
    if config.head == "first":
        raise UserError("--head first: this target is a text, which is written from all states. Leave it out.")
    if trunk.causal:
        return {name: _behind(target, records.values(name), source, trunk, config, facts or {}, alone=len(answers) == 1)
                for name, target in answers.items()}  # fmt: skip
    codec = codec_of(to_write(answers, records), config.text.num_pieces) if source.text is None else source.text.codec
    codec.end_pieces()
    layers = config.text.decoder_layers or (
        min(MOST_COPIED, trunk.num_layers) if facts is not None else trunk.num_layers
    )
    return {
        name: target.shaped(codec, records.values(name), trunk, layers=layers, write=config.write)
        if name in writers
        else target
        for name, target in answers.items()
    }


def _behind(
    target: Any,
    labels: Sequence[str | None],
    source: Inputs,
    trunk: TrunkConfig,
    config: FitConfig,
    facts: Mapping[str, int],
    *,
    alone: bool,
) -> Any:
    """A text that a causal base writes behind what it reads."""
    if not alone or source.alone is None or source.alone is not source.text:
        raise UserError(
            "--base: a language model writes one text behind another. Leave other columns out with --ignore, or use "
            "--base none, or an encoder."
        )
    found = target.shaped(source.text.codec, labels, trunk, layers=0, write=config.write)
    room = trunk.positions.max_positions - source.text.max_tokens
    return found.stands_behind(labels, most=room, tied=bool(facts.get("tied", 1)))
