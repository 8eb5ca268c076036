"""Weights that somebody learned before as the start of a model: which columns they serve, and how they get into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zaowu import bases
from zaowu.config import PositionConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError, nearest, shorten
from zaowu.inputs import Inputs
from zaowu.inputs.image import resnet
from zaowu.model import Model
from zaowu.train.estimate.machine import give_back
from zaowu.train.parallel import current
from zaowu.trunk import families
from zaowu.trunk.transformer.linear import INIT_STD

DEVICES = ("auto", "cpu", "cuda")
HF = "hf:"  # before the folder of a network of others, which `transformers` builds
PREPROCESSOR = "preprocessor_config.json"
EMBEDDERS = {"text": "embedder.tokens.", "image": "embedder.image.", "audio": "embedder."}  # as families name them


@dataclass(frozen=True)
class Base:
    """A folder with a published encoder, read so far as its config.

    facts: of its token table and positions, its patches, or its mels. scale: what its own library does to an image
    before, by channel: mean and std.
    """

    folder: Path
    model_type: str
    trunk: TrunkConfig
    facts: dict[str, int]
    scale: Mapping[str, list[float]] = field(default_factory=dict)

    @property
    def modality(self) -> str:
        return families.modality(self.model_type)

    @property
    def is_pair(self) -> bool:
        """Whether it reads one text and writes another."""
        return "decoder_layers" in self.facts

    def trunk_for(self, source: Inputs) -> TrunkConfig:
        """Its trunk; one without places learns them where something beside its images is read that has an order."""
        if self.trunk.positions.kind != "none" or not any(source.numbered.values()):
            return self.trunk
        return replace(self.trunk, positions=PositionConfig(max_positions=source.max_place))

    def load(self, model: Model, groups: Mapping[str, Any], kept: np.ndarray | None) -> None:
        """Fills trunk, embedders and, where both have them, the pooler and the output layers of objectives.

        groups: the model's column groups; all of the base's modality start with its embedder. kept: rows of its token
        table to take.
        """
        family = families.find(self.model_type)
        rows: np.ndarray | None = None
        heads: tuple[str, ...] = ()
        if self.modality == "text":
            behind = any(target.behind for target, _ in model.writers().values())
            rows, heads = self._rows(groups, kept), ("causal",) if behind else tuple(model.objectives)
        state = families.load_tensors(
            self.folder / "model.safetensors",
            family.names(self.trunk, self.facts, heads=heads),
            config=self.trunk,
            facts=self.facts,
            rows=rows,
            whole=not model.objectives,
        )
        theirs = EMBEDDERS[self.modality]
        embedder = {name: state.pop(name) for name in list(state) if name.startswith(theirs)}
        for group, own in groups.items():
            if own.kind == self.modality:
                fitted = own.fitted(embedder, self.facts) if hasattr(own, "fitted") else embedder
                state |= {f"embedders.{group}.{name.removeprefix(theirs)}": one for name, one in fitted.items()}
        if "lm_head.weight" in state and not model.objectives:  # of a target that writes behind what it reads
            state["heads.0.weight"] = state.pop("lm_head.weight")
        own_state = model.state_dict()
        model.load_state_dict({name: tensor for name, tensor in state.items() if name in own_state}, strict=False)
        if self.trunk.positions.kind == "none" and model.trunk.positions is not None:
            with torch.no_grad():  # where all tokens of an image are: they bring places of their own
                model.trunk.positions.weight[0].zero_()

    def _rows(self, groups: Mapping[str, Any], kept: np.ndarray | None) -> np.ndarray:
        rows = np.arange(groups["text"].codec.num_pieces) if kept is None else kept
        if rows.max() >= self.facts["vocab_size"]:
            raise UserError(
                f"{self.folder}: its tokenizer has {rows.max() + 1} pieces, its config.json says "
                f"{self.facts['vocab_size']}. They belong to different models."
            )
        return rows


def read_base(folder: Path) -> Base:
    """What a base's `config.json` says. Raises UserError for one that the trunk cannot hold."""
    path = folder / "config.json"
    data = _json(path)
    model_type = data.get("model_type") if isinstance(data, dict) else None
    family = families.find(model_type, where=str(path))
    trunk, facts = family.read_config(data, where=str(path))
    scale: dict[str, list[float]] = {}
    if hasattr(family, "read_preprocessor"):
        path = folder / PREPROCESSOR
        scale = family.read_preprocessor(_json(path) if path.exists() else {}, facts, where=str(path))
    return Base(folder, str(model_type), trunk, facts, scale)


@dataclass(frozen=True)
class Network:
    """A folder with a ResNet of others, read so far as its config: the embedder of images; the trunk is another."""

    folder: Path
    config: dict[str, Any]
    scale: Mapping[str, list[float]]

    @property
    def facts(self) -> dict[str, Any]:
        """What `Input.fit` of images asks for."""
        own = {"network": self.config, "patch": resnet.stride(self.config), "channels": self.config["num_channels"]}
        return {**own, **self.scale}

    def load(self, model: Model, groups: Mapping[str, Any], kept: np.ndarray | None) -> None:
        """Fills the network of every group of images. kept: as in `Base.load`; it has no pieces."""
        from zaowu.inputs.image.resnet.embedder import read_weights

        weights = read_weights(self.folder / "model.safetensors", self.config)
        before = [f"embedders.{group}.stem.network." for group, own in groups.items() if own.kind == "image"]
        state = {f"{prefix}{name}": one for prefix in before for name, one in weights.items()}
        model.load_state_dict(state, strict=False)


def read_network(name: str) -> Network | None:
    """The network that `hf:FOLDER` names; None for any other base. Raises UserError for a folder that holds none."""
    if not name.startswith(HF):
        return None
    folder = Path(name.removeprefix(HF))
    if not folder.is_dir():
        raise UserError(f"--base {name}: there is no folder '{folder}'.")
    path, places = folder / "config.json", folder / PREPROCESSOR
    config = resnet.read_config(_json(path), where=str(path))
    channels = config["num_channels"]
    scale = {part: values[:channels] for part, values in resnet.IMAGENET.items()}
    if places.exists():
        scale = families.find("vit").read_preprocessor(_json(places), {"channels": channels}, where=str(places))
    return Network(folder, config, scale)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({shorten(error, 200)}).") from None


def trunk_base(name: str) -> Base:
    """The base of this name or folder, as a trunk that reads. Raises UserError for an encoder-decoder."""
    base = read_base(bases.resolve(name))
    if base.is_pair:
        raise UserError(
            f"--base {name}: is a {base.model_type} model, an encoder-decoder that writes one text from another, and "
            "here an encoder or a language model is needed. 'zaowu generate' writes with it."
        )
    return base


def begun(
    model: Model,
    groups: Mapping[str, Any],
    settings: TrainConfig,
    *,
    base: Base | Network | None,
    kept: np.ndarray | None,
    std: float = INIT_STD,
) -> Model:
    """`model` with the weights of its first step: fresh ones, and over them those of the base; on its device.

    groups, kept: as in `Base.load`. std: of fresh matrices. What is divided among ranks stays where it is: it may be
    larger than a device.
    """
    model.initialise(settings.seed, std=std)
    if base is not None:
        base.load(model, groups, kept)
        if isinstance(base, Base):
            for target, head in model.writers().values():
                if not target.behind:
                    head.begin_as(model.trunk)
        give_back()
    if settings.engine.shard and current().world > 1:
        return model
    return model.to(choose_device(settings.device))


def choose_device(name: str) -> torch.device:
    """auto: CUDA where there is one. Raises UserError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device: expected a device that is here, got '{name}'; use --device cpu.")
    with suppress(RuntimeError):  # torch's word for a name that it does not know
        device = torch.device(name)
        if device.type in ("cpu", "cuda"):
            return device
    raise UserError(f"--device: expected auto, cpu or cuda, got '{shorten(name)}'.{nearest(name, DEVICES)}")
