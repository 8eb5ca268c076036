"""Images or recordings without labels and settings -> a pre-trained model: column, objective, model and loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from zaowu import bases
from zaowu.batching.order import chance
from zaowu.config import ModelConfig, PositionConfig, PretrainConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError, shorten
from zaowu.inputs import find
from zaowu.learn import Base, begun, trunk_base
from zaowu.learn.corpus import HeldOut, Pretrained
from zaowu.model import Model
from zaowu.objectives.masked_patches import MaskedPatches
from zaowu.records.read import read
from zaowu.records.reading.labels import MEDIA
from zaowu.train import loop, rule
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.patches import Always, PatchFeed
from zaowu.trunk.transformer.linear import INIT_STD

FAMILIES = {"image": "vit", "audio": "whisper"}
RUN = {"image": 1, "audio": 5}  # patches in a row that are hidden together: 5 of 20 ms
HELD = np.uint64(0x4E1D)
LEAST_PATCH = 2  # pixels a side: a single one is always its own mean
LEAST = 8  # records to learn from
MAX_JUDGED = 1000


@dataclass(frozen=True)
class Media:
    """Records of one kind that can be read, each content once.

    values: as `Input` reads them. ids: (N,) uint64 of their contents. problems: sentences on what was left out.
    sources: name -> how many records came from it, and of how many bytes they are.
    """

    kind: str
    values: list[Any]
    ids: np.ndarray
    held_out: np.ndarray
    problems: tuple[str, ...]
    duplicates: int
    sources: Mapping[str, tuple[int, int]]

    def side(self, held_out: bool) -> tuple[list[Any], np.ndarray]:
        """Values and ids of those that are learned from, or of the others."""
        places = np.flatnonzero(self.held_out == held_out)
        return [self.values[place] for place in places], self.ids[places]


def read_media(config: PretrainConfig) -> Media:
    """Every image or recording of the sources opened once: folders (and all that is in them), files, tables.

    Raises UserError where there is none, where both kinds are there, and where too few are left.
    """
    columns: list[tuple[str, str, pl.Series, Path | None]] = []
    for source in config.sources:
        columns += [(source, *own) for own in _columns(source)]
    kinds = sorted({kind for _, kind, _, _ in columns})
    if len(kinds) > 1:
        raise UserError("--objective masked-patches: the sources hold images and recordings. Give one kind of them.")
    seen: set[str] = set()
    values: list[Any] = []
    digests: list[str] = []
    problems: list[str] = []
    sources: dict[str, tuple[int, int]] = {}
    duplicates = 0
    for source, kind, column, folder in columns:
        cleaned = find(kind, where=source).clean(column, folder)
        names = column.to_list()
        problems += [f"{_name(source, names[row], row)}: {problem}" for row, problem in cleaned.problems.items()]
        before, size = sources.get(source, (0, 0))
        for value, digest in zip(cleaned.values.to_list(), cleaned.contents, strict=True):
            if value is None or digest is None:
                continue
            if digest in seen:
                duplicates += 1
                continue
            seen.add(digest)
            values.append(value)
            digests.append(digest)
            before, size = before + 1, size + (len(value) if isinstance(value, bytes) else Path(value).stat().st_size)
        sources[source] = before, size
    hashed = b"".join(blake2b(digest.encode(), digest_size=8).digest() for digest in digests)
    ids = np.frombuffer(hashed, "<u8").astype(np.uint64)
    held = _held_out(ids, config.corpus.held_out)
    if len(ids) - held.sum() < LEAST:
        why = f" The first problem: {problems[0]}." if problems else ""
        raise UserError(
            f"{config.sources[0]}: expected {LEAST} different images or recordings to learn from at least, got "
            f"{len(ids) - held.sum()}.{why}"
        )
    return Media(kinds[0], values, ids, held, tuple(problems), duplicates, sources)


def _columns(source: str) -> list[tuple[str, pl.Series, Path | None]]:
    """(kind, values, folder that paths begin in) of each column of images or recordings."""
    path = Path(source)
    found: list[tuple[str, pl.Series, Path | None]]
    if path.is_dir() or path.suffix.lower() in MEDIA:
        files = sorted(own for own in path.rglob("*") if own.is_file()) if path.is_dir() else [path]
        by_kind: dict[str, list[str]] = {}
        for own in files:
            if (kind := MEDIA.get(own.suffix.lower())) and own.name[0] != ".":
                by_kind.setdefault(kind, []).append(str(own.absolute()))
        found = [(kind, pl.Series(kind, own), None) for kind, own in by_kind.items()]
    else:
        table = read(source)
        found = [
            (kind, column, table.folder)
            for column in table.frame.get_columns()
            for kind in FAMILIES
            if find(kind, where=source).guess(column)
        ]
    if not found:
        raise UserError(f"{source}: expected images or recordings for --objective masked-patches, found none.")
    return found


def _name(source: str, value: Any, row: int) -> str:
    return shorten(value, 200) if isinstance(value, str) else f"{source}, row {row + 1}"


def _held_out(ids: np.ndarray, share: float) -> np.ndarray:
    """(N,) bool, by chance of the content; one at least, and at most `MAX_JUDGED`, where a share is asked for."""
    number = min(MAX_JUDGED, max(1, round(share * len(ids)))) if share and len(ids) > LEAST else 0
    held = np.zeros(len(ids), bool)
    held[np.argsort(chance(ids ^ HELD, seed=0, epoch=0), kind="stable")[:number]] = True
    return held


@dataclass(frozen=True)
class Ready:
    """Everything chosen. No weight is allocated yet. settings: with the rule's choices filled in."""

    media: Media
    source: Any
    objective: MaskedPatches
    config: ModelConfig
    settings: TrainConfig
    feed: PatchFeed
    judged: PatchFeed | None
    base: Base | None

    def new_model(self) -> Model:
        objectives: dict[str, Any] = {self.objective.name: self.objective}
        return Model({self.source.kind: self.source}, {}, self.config, objectives=objectives)

    def learn(self, *, checkpoint: Checkpoint | None = None) -> Pretrained:
        own = None if self.base is not None else rule.recipe({self.source.kind}, len(self.feed.items))
        groups, std = {self.source.kind: self.source}, INIT_STD if own is None else own.init_std
        model = begun(self.new_model(), groups, self.settings, base=self.base, kept=None, std=std)
        judge = None if self.judged is None else HeldOut(Always(self.judged))
        before = judge(model).scores if judge else {}
        training = loop.train(model, self.feed, judge, self.settings, checkpoint=checkpoint, label="pre-training")
        objectives: dict[str, Any] = {self.objective.name: self.objective}
        return Pretrained(
            model=model,
            source=self.source,
            objectives=objectives,
            training=training,
            settings=self.settings,
            model_type=FAMILIES[self.source.kind],
            facts=facts_of(self.source),
            before=before,
        )


def facts_of(source: Any) -> dict[str, int]:
    """What the family of its base has to know of a column."""
    if source.kind == "audio":
        return {"num_mels": source.num_mels}
    height, width = source.size
    return {"height": height, "width": width, "patch": source.patch, "channels": source.channels}


def check_base(config: PretrainConfig) -> Base | None:
    """The base to go on from, None for none. Raises UserError for one of texts."""
    if config.base == "none":
        return None
    base = trunk_base(config.base)
    if base.modality == "text":
        raise UserError(f"--objective {config.objective}: {config.base} is a base of texts, which goes on with mlm.")
    return base


def make_ready(media: Media, config: PretrainConfig, base: Base | None) -> Ready:
    """From here on torch works with the threads of the config. Raises UserError for a base of the other kind."""
    if base is not None and base.modality != media.kind:
        raise UserError(f"--base {config.base}: is one of {base.modality}, and the sources hold {media.kind}.")
    values, ids = media.side(False)
    source = _source(media.kind, values, base)
    items = source.features(values, training=True)
    settings = rule.fill_patches(config.train, num_items=len(items), from_base=base is not None)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    objective = MaskedPatches(run=RUN[media.kind])
    how: dict[str, Any] = {"batch_size": settings.batch_size, "seed": settings.seed}
    feed = PatchFeed(source, items, ids, objective, **how)
    judged = None
    if media.held_out.any():
        others, other_ids = media.side(True)
        judged = PatchFeed(source, source.features(others), other_ids, objective, moves=False, **how)
    trunk = base.trunk if base is not None else _fresh_trunk(config, source)
    return Ready(media, source, objective, ModelConfig(trunk=trunk), settings, feed, judged, base)


def _source(kind: str, values: Sequence[Any], base: Base | None) -> Any:
    """The column as its family sees it: a ViT's patches and first token, or Whisper's scale and stem."""
    module = find(kind, where="pretrain").Input
    if base is not None:
        limit = base.trunk.positions
        most = limit.max_positions if limit.kind == "learned" else None
        return module.fit([kind], [values], base={**base.facts, **base.scale}, max_tokens=most)
    if kind == "audio":
        return module.fit([kind], [values], base={"num_mels": 80})
    own = module.fit([kind], [values])
    patch = max(LEAST_PATCH, own.patch)
    size = tuple(-(-side // patch) * patch for side in own.size)
    return own.for_base(size=size, patch=patch, channels=own.channels, mean=own.mean, std=own.std)


def _fresh_trunk(config: PretrainConfig, source: Any) -> TrunkConfig:
    """That of the modality's recipe, with the switches of its family."""
    trunk = rule.from_scratch(config.size, max_positions=source.max_tokens, kinds={source.kind})
    positions = PositionConfig(max_positions=source.max_tokens) if source.numbered else PositionConfig(kind="none")
    return replace(
        trunk, norm_place="before", norm_eps=1e-5, entry_norm=False, num_segments=0, dropout=0.0, positions=positions
    )


def pinned(config: PretrainConfig, base: Base | None) -> PretrainConfig:
    """The config with the base's revision."""
    return config if base is None else replace(config, base=bases.pinned(config.base, base.folder))
