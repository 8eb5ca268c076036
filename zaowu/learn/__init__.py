"""Records and settings -> a trained model: base, input, targets, model and loop in one call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from zaowu import bases, decode
from zaowu.config import FitConfig, ModelConfig, TrainConfig
from zaowu.errors import UserError
from zaowu.evaluate.predict import predict
from zaowu.inputs import Inputs, check_settings, find, grouped, modality, text
from zaowu.learn.answers import fit_targets, searched, shaped, to_write
from zaowu.learn.base import Base, begun, choose_device, read_base
from zaowu.model import Model
from zaowu.progress import note
from zaowu.records.records import Records
from zaowu.train import rule
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.estimate.machine import give_back
from zaowu.train.labelled import Part, train
from zaowu.train.loop import Training
from zaowu.trunk.adapters import Adapters, count
from zaowu.trunk.transformer.linear import INIT_STD

DEFAULT_TOKENS = 512


@dataclass
class Learned:
    """A trained model with everything that came with it.

    targets: column -> its `Target`. model_type: what others call the shape of its trunk.
    """

    model: Model
    source: Inputs
    targets: dict[str, Any]
    training: Training
    config: TrainConfig
    model_type: str
    num_pieces_before: int
    lengths: text.Lengths | None
    threads: int
    adapters: Adapters | None = None  # they are in the model's weights already
    predict_rows_per_s: float | None = None

    def outputs(self, records: Records, *, label: str = "predicting") -> dict[str, np.ndarray]:
        """Target column -> raw outputs, (N, ...), of each record."""
        start = time.monotonic()
        items = self.source.items(records.inputs)
        outputs = predict(self.model, self.source, items, num_records=len(records), label=label)
        self.predict_rows_per_s = len(records) / max(1e-9, time.monotonic() - start)
        return outputs

    def predict(self, records: Records, *, label: str = "predicting") -> dict[str, Any]:
        """Target column -> its prediction."""
        return {name: self.targets[name].decode(raw) for name, raw in self.outputs(records, label=label).items()}

    def answers(self, records: Records) -> dict[str, np.ndarray]:
        """Target column -> what stands in `records`, on the scale of the raw outputs."""
        return {name: target.features(records.values(name)) for name, target in self.targets.items()}

    def tune(self, outputs: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray]) -> None:
        """Lets the targets set their thresholds and intervals by rows that no model which answered learned from."""
        self.targets = {name: target.tuned(outputs[name], answers[name]) for name, target in self.targets.items()}
        self.model.targets = self.targets


@dataclass(frozen=True)
class Ready:
    """Records made ready to learn from: tokenised and counted, every choice made. No weight is allocated yet.

    records, valid: what the items of `part` and `validation` were made of. kept: rows of the base's token table that
    stay (None: all). settings: with the rule's choices filled in. adapters: rank and alpha of those that learn.
    """

    records: Records
    valid: Records | None
    source: Inputs
    targets: dict[str, Any]
    config: ModelConfig
    settings: TrainConfig
    base: Base | None
    kept: np.ndarray | None
    part: Part
    validation: Part | None
    lengths: text.Lengths | None
    adapters: tuple[int, float] | None = None

    @property
    def num_pieces_before(self) -> int:
        """Pieces of the base's vocabulary before trimming; 0 where no text is read."""
        if self.source.text is None:
            return 0
        return self.base.facts["vocab_size"] if self.base else self.source.text.codec.num_pieces

    def new_model(self) -> Model:
        """Its parts and sizes, weights as torch allocates them: under `torch.device("meta")` they take no memory."""
        return Model(self.source.groups, self.targets, self.config)

    def num_adapted(self, model: Model) -> int | None:
        """Weights that learn where adapters do. model: of `new_model`, which need not have memory."""
        if self.adapters is None:
            return None
        last = sum(weight.numel() for part in model.last_parts().values() if not getattr(part, "stays", False)
                   for weight in part.parameters())  # fmt: skip
        return last + count(model.trunk, rank=self.adapters[0])

    def model(self) -> Model:
        """The model before its first step, on its device."""
        writes = all(target.reads == "states" for target in self.targets.values())
        own = None if self.base else rule.recipe(self.source.kinds, len(self.records), writes=writes)
        std = INIT_STD if own is None else own.init_std
        model = begun(self.new_model(), self.source.text, self.settings, base=self.base, kept=self.kept, std=std)
        if self.adapters is not None:
            rank, alpha = self.adapters
            model.adapt(rank=rank, alpha=alpha, seed=self.settings.seed)
        return model

    def learn(self, *, checkpoint: Checkpoint | None = None, label: str = "training") -> Learned:
        """Trains; then the targets are tuned on the validation records."""
        model = self.model()
        training = train(
            model, self.source, self.part, self.validation, self.settings, checkpoint=checkpoint, label=label
        )
        learned = Learned(
            model=model,
            source=self.source,
            targets=self.targets,
            training=training,
            config=self.settings,
            model_type=self.base.model_type if self.base else "bert",
            num_pieces_before=self.num_pieces_before,
            lengths=self.lengths,
            threads=torch.get_num_threads(),
            adapters=None if self.adapters is None else Adapters(*self.adapters, model.merge()),
        )
        tunes = any(target.reads != "states" for target in self.targets.values())  # else all would be written for it
        if self.valid is not None and tunes and not training.stopped:
            learned.tune(learned.outputs(self.valid, label="validating"), learned.answers(self.valid))
        return learned


def learn(
    records: Records,
    valid: Records | None,
    config: FitConfig,
    *,
    known: Records | None = None,
    checkpoint: Checkpoint | None = None,
    label: str = "training",
) -> Learned:
    """Trains on `records`; `valid` chooses the epoch (None: the last one is kept).

    known: records whose labels the targets must know even if no training record has them.
    """
    return make_ready(records, valid, config, known=known).learn(checkpoint=checkpoint, label=label)


def make_ready(records: Records, valid: Records | None, config: FitConfig, *, known: Records | None = None) -> Ready:
    """All of `learn` that comes before the first weight. From here on torch works with the threads of the config."""
    kinds = {column.name: column.kind for column in records.schema.inputs}
    groups = grouped(list(kinds.items()))
    if config.head == "first" and list(groups) != ["text"]:
        names = ", ".join(groups)
        raise UserError(
            f"--head first: reads the first token of a text, and this model reads {names}. Use --head mean."
        )
    check_settings(kinds, config.data.column_settings)
    if config.text.lora is not None and "text" not in groups:
        raise UserError(f"--lora: adapts a base of texts, and this model reads {', '.join(groups)}. Leave it out.")
    folder = bases.resolve(config.text.base) if "text" in groups and config.text.base != "none" else None
    base = None if folder is None else read_base(folder)
    behind = base is not None and base.trunk.causal
    writes = all(column.kind == "text" for column in records.schema.targets) and not behind
    decode.check(config.write)
    settings = rule.fill(
        config.train,
        num_records=len(records),
        from_base=folder is not None,
        kinds=set(map(modality, kinds.values())),
        writes=writes,
        adapts=config.text.lora is not None,
    )
    choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)

    answers = fit_targets(records, settings, known=known)
    source, kept = _fit_inputs(
        groups,
        records,
        config,
        base=base,
        seed=settings.seed,
        searched=searched(answers, config),
        written=to_write(answers, records),
    )
    if kept is not None:
        give_back()  # the whole vocabulary of a base takes 300 MB, which nothing smaller would ever fill again
    most = max(DEFAULT_TOKENS, source.max_place) if source.text else source.max_place
    trunk = (
        base.trunk
        if base
        else rule.from_scratch(
            config.text.size, max_positions=most, kinds=source.kinds, num_records=len(records), writes=writes
        )
    )
    if base and source.max_place > trunk.positions.max_positions:
        raise UserError(
            f"{folder}: has places for {trunk.positions.max_positions} tokens, and a record has up to "
            f"{source.max_place}. Fit with --base none."
        )
    answers = shaped(answers, records, source, trunk, config, facts=None if base is None else base.facts)
    part = _part(source, records, answers, training=True)
    lengths = source.alone.lengths(part.items, len(records)) if source.alone is source.text is not None else None
    if lengths is not None and lengths.over:
        how = {"window": "read in windows, averaged", "end": "their beginning is left out"}
        treatment = how.get(lengths.long, "cut there")
        note(f"{lengths.over} of {len(records)} texts are longer than {lengths.limit} tokens: {treatment}.")
    return Ready(
        records=records,
        valid=valid,
        source=source,
        targets=answers,
        config=ModelConfig(trunk=trunk, head=config.head),
        settings=settings,
        base=base,
        kept=kept,
        part=part,
        validation=None if valid is None else _part(source, valid, answers),
        lengths=lengths,
        adapters=config.text.adapters,
    )


def check_choices(config: FitConfig) -> FitConfig:
    """Whether base, size and device can be had, before any work; a base that is not here is fetched.

    Returns the config with the base's revision pinned. Raises UserError naming the flag.
    """
    choose_device(config.train.device)
    if config.text.base == "none":
        if config.text.lora is not None:
            raise UserError(
                "--lora: adapts a base, and with --base none there is nothing to adapt. Leave one of them out."
            )
        rule.from_scratch(config.text.size, max_positions=DEFAULT_TOKENS)
        return config
    folder = bases.resolve(config.text.base)
    if read_base(folder).trunk.causal and config.head == "first":
        raise UserError(
            f"--head first: {config.text.base} is a language model, whose first piece sees nothing of the text. Use "
            "--head mean."
        )
    return replace(config, text=replace(config.text, base=bases.pinned(config.text.base, folder)))


def _fit_inputs(
    groups: Mapping[str, Sequence[str]],
    records: Records,
    config: FitConfig,
    *,
    base: Base | None,
    seed: int,
    searched: str = "",
    written: Sequence[str] = (),
) -> tuple[Inputs, np.ndarray | None]:
    """Every group's `Input`, fitted on training values; and the rows of the base's token table that stay (or None)."""
    kinds = {column.name: column.kind for column in records.schema.inputs}
    found: dict[str, Any] = {}
    kept = None
    for group, columns in groups.items():
        values = [records.values(name) for name in columns]
        if group == "text":
            positions = None if base is None else base.trunk.positions
            most = DEFAULT_TOKENS
            if positions is not None:
                most = positions.max_positions if positions.kind == "learned" else min(most, positions.max_positions)
            found[group], kept = text.Input.fit(
                columns,
                values,
                base=None if base is None else base.folder,
                trim=config.text.trim_vocab,
                max_tokens=min(config.text.max_tokens or most, most),
                long="truncate" if written else config.text.long,
                behind=bool(written) and base is not None and base.trunk.causal,
                num_pieces=config.text.num_pieces,
                searched=searched,
                written=written,
            )
        else:
            own = {name: kinds[name] for name in columns}
            said = {name: config.data.column_settings.get(name, {}) for name in columns}
            module = find(modality(kinds[columns[0]]), where="fit")
            found[group] = module.Input.fit(columns, values, settings=said, seed=seed, kinds=own)
    return Inputs(found), kept


def _part(source: Inputs, records: Records, names: Iterable[str], *, training: bool = False) -> Part:
    return Part(
        items=source.items(records.inputs, training=training),
        labels={name: records.values(name) for name in names},
        ids=records.ids,
        weights=records.weights,
    )
