"""Records and settings -> a trained model: base, input, targets, model and loop in one call."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from zaowu import bases, decode, targets
from zaowu.config import FitConfig, ModelConfig, TextConfig, TrainConfig
from zaowu.errors import UserError
from zaowu.evaluate.predict import predict
from zaowu.inputs import Inputs, check_settings, find, grouped, modality, text
from zaowu.learn.answers import fit_targets, searched, shaped, to_write
from zaowu.learn.base import HF, Base, Network, begun, choose_device, read_base, read_network, trunk_base
from zaowu.model import Model
from zaowu.progress import note
from zaowu.records.records import Records, Schema
from zaowu.train import rule
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.estimate.machine import give_back
from zaowu.train.labelled import Part, train
from zaowu.train.loop import Training
from zaowu.trunk.adapters import Adapters, count
from zaowu.trunk.transformer.linear import INIT_STD

__all__ = ["Base", "Learned", "Ready", "begun", "check_choices", "choose_device", "fit_targets", "learn", "make_ready",
           "read_base", "trunk_base"]  # fmt: skip

DEFAULT_TOKENS = 512


@dataclass
class Learned:
    """A trained model with everything that came with it.

    targets: column -> its `Target`. model_type: what others call the shape of its trunk. from_base: it began with
    weights that were learned before.
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
    from_base: bool = False
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
    network: Network | None
    kept: np.ndarray | None
    part: Part
    validation: Part | None
    lengths: text.Lengths | None
    ahead: bool  # heads are fitted to the base's states before the first step
    adapters: tuple[int, float] | None = None

    @property
    def num_pieces_before(self) -> int:
        """Pieces of the base's vocabulary before trimming; 0 where no text is read."""
        if self.source.text is None:
            return 0
        known = None if self.base is None else self.base.facts.get("vocab_size")
        return known or self.source.text.codec.num_pieces

    def new_model(self) -> Model:
        """Its parts and sizes, weights as torch allocates them: under `torch.device("meta")` they take no memory."""
        return Model(self.source.groups, self.targets, self.config)

    def num_adapted(self, model: Model) -> int | None:
        """Weights that learn where adapters do. model: of `new_model`, which need not have memory."""
        if self.adapters is None:
            return None
        base = model.base_weights()
        beside = sum(weight.numel() for weight in model.parameters() if id(weight) not in base)
        return beside + count(model.trunk, rank=self.adapters[0])

    def model(self) -> Model:
        """The model before its first step, on its device."""
        writes = all(target.reads == "states" for target in self.targets.values())
        own = None if self.base else rule.recipe(self.source.kinds, len(self.records), writes=writes)
        std = INIT_STD if own is None else own.init_std
        model = begun(
            self.new_model(), self.source.groups, self.settings, base=self.base or self.network, kept=self.kept, std=std
        )
        if self.adapters is not None:
            rank, alpha = self.adapters
            model.adapt(rank=rank, alpha=alpha, seed=self.settings.seed)
        return model

    def learn(self, *, checkpoint: Checkpoint | None = None, label: str = "training") -> Learned:
        """Trains; then the targets are tuned on the validation records."""
        model = self.model()
        training = train(
            model,
            self.source,
            self.part,
            self.validation,
            self.settings,
            checkpoint=checkpoint,
            head_start=self.ahead,
            label=label,
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
            from_base=self.base is not None or self.network is not None,
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
    modalities = set(map(modality, kinds.values()))
    base = _chosen_base(config, modalities)
    network = _chosen_network(config, modalities)
    if config.text.lora is not None and (base is None or base.modality != "text"):
        raise UserError(
            f"--lora: adapts a base of texts, and this model reads {', '.join(groups)} and begins with --base "
            f"{config.text.base}. Leave it out."
        )
    behind = base is not None and base.trunk.causal
    tuned = network is not None and any(own.get("frozen") == "no" for own in config.data.column_settings.values())
    reads = {targets.find(column.kind, where="fit").reads for column in records.schema.targets}
    writes = reads == {"states"} and not behind
    ahead = base is not None and reads == {"pooled"} and config.head == "mean" and config.train.head_start
    decode.check(config.write)
    settings = rule.fill(
        config.train,
        num_records=len(records),
        from_base=base is not None or tuned,
        kinds=modalities,
        writes=writes,
        ahead=ahead,
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
        network=network,
        seed=settings.seed,
        searched=searched(answers, config),
        written=to_write(answers, records),
    )
    mixing = [own.columns[0] for own in source.groups.values() if getattr(own, "mixes", False)]
    if mixing and source.alone is None:
        raise UserError(
            f"--column {mixing[0]}:mixup: mixes whole records, so this must be the only column. Leave it out."
        )
    if kept is not None:
        give_back()  # the whole vocabulary of a base takes 300 MB, which nothing smaller would ever fill again
    most = max(DEFAULT_TOKENS, source.max_place) if source.text else source.max_place
    trunk = (
        base.trunk_for(source)
        if base
        else rule.from_scratch(
            config.text.size, max_positions=most, kinds=source.kinds, num_records=len(records), writes=writes
        )
    )
    if base and source.max_place > trunk.positions.max_positions:
        raise UserError(
            f"{base.folder}: has places for {trunk.positions.max_positions} tokens, and a record has up to "
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
        network=network,
        kept=kept,
        part=part,
        validation=None if valid is None else _part(source, valid, answers),
        lengths=lengths,
        ahead=ahead,
        adapters=config.text.adapters,
    )


def check_choices(config: FitConfig) -> FitConfig:
    """Whether base, size and device can be had, before any work; a base that was named and is not here is fetched.

    Returns the config with its revision pinned; `with_usual_base` does the same for the one that nobody named. Raises
    UserError naming the flag.
    """
    choose_device(config.train.device)
    if config.text.base == "none":
        if config.text.lora is not None:
            raise UserError(
                "--lora: adapts a base, and with --base none there is nothing to adapt. Leave one of them out."
            )
        rule.from_scratch(config.text.size, max_positions=DEFAULT_TOKENS)
        return config
    if config.text.base == TextConfig.base or read_network(config.text.base) is not None:
        return config
    return _with_base(config)


def with_usual_base(config: FitConfig, schema: Schema) -> FitConfig:
    """The usual base, fetched and pinned where a text is read: a table of numbers needs none, and no network."""
    reads_text = any(column.kind == "text" for column in schema.inputs)
    return _with_base(config) if config.text.base == TextConfig.base and reads_text else config


def _with_base(config: FitConfig) -> FitConfig:
    base = trunk_base(config.text.base)
    if base.trunk.causal and config.head == "first":
        raise UserError(
            f"--head first: {config.text.base} is a language model, whose first piece sees nothing of the text. Use "
            "--head mean."
        )
    return replace(config, text=replace(config.text, base=bases.pinned(config.text.base, base.folder)))


def _chosen_base(config: FitConfig, modalities: Collection[str]) -> Base | None:
    """The base of the trunk. The usual one, of texts, is left out where none is read; another is refused."""
    name = config.text.base
    if name == "none" or name.startswith(HF) or (name == TextConfig.base and "text" not in modalities):
        return None
    base = trunk_base(name)
    if base.modality not in modalities:
        what = {"text": "texts", "image": "images", "audio": "recordings"}
        raise UserError(
            f"--base {name}: reads {what[base.modality]}, and no column here is of that kind (they are "
            f"{', '.join(sorted(modalities))}). Choose a base for one of these, or --base none."
        )
    return base


def _chosen_network(config: FitConfig, modalities: Collection[str]) -> Network | None:
    network = read_network(config.text.base)
    if network is not None and "image" not in modalities:
        raise UserError(f"--base {config.text.base}: reads images, and no column here is one. Choose another base.")
    return network


def _fit_inputs(
    groups: Mapping[str, Sequence[str]],
    records: Records,
    config: FitConfig,
    *,
    base: Base | None,
    network: Network | None,
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
        kind = modality(kinds[columns[0]])
        own_base = base if base is not None and base.modality == kind else None
        if group == "text":
            most = DEFAULT_TOKENS
            if base is not None and base.trunk.positions.kind != "none":
                most = base.trunk.positions.max_positions
                if own_base is None or base.trunk.positions.kind != "learned":
                    most = min(DEFAULT_TOKENS, most)
            found[group], kept = text.Input.fit(
                columns,
                values,
                base=None if own_base is None else own_base.folder,
                trim=config.text.trim_vocab,
                max_tokens=min(config.text.max_tokens or most, most),
                long="truncate" if written else config.text.long,
                behind=bool(written) and base is not None and base.trunk.causal,
                num_pieces=config.text.num_pieces,
                searched=searched,
                written=written,
            )
        else:
            said = {name: config.data.column_settings.get(name, {}) for name in columns}
            known = {name: kinds[name] for name in columns}
            given: dict[str, Any] = {"settings": said, "seed": seed, "kinds": known}
            if own_base is not None:
                limit = own_base.trunk.positions
                given["base"] = {**own_base.facts, **own_base.scale}
                given["max_tokens"] = limit.max_positions if limit.kind == "learned" else None
            elif network is not None and kind == "image":
                given["base"] = network.facts
            found[group] = find(kind, where="fit").Input.fit(columns, values, **given)
    return Inputs(found), kept


def _part(source: Inputs, records: Records, names: Iterable[str], *, training: bool = False) -> Part:
    return Part(
        items=source.items(records.inputs, training=training),
        labels={name: records.values(name) for name in names},
        ids=records.ids,
        weights=records.weights,
    )
