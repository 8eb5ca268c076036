"""A base before anything is learned: its config read, its weights where a new model has them, on a device."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from zaowu.config import TrainConfig, TrunkConfig
from zaowu.errors import UserError, nearest, shorten
from zaowu.inputs import text
from zaowu.model import Model
from zaowu.train.estimate.machine import give_back
from zaowu.train.parallel import current
from zaowu.trunk import families
from zaowu.trunk.transformer.linear import INIT_STD

DEVICES = ("auto", "cpu", "cuda")
TOKENS = "embedders.text.weight"  # the token table's name in our state


@dataclass(frozen=True)
class Base:
    """A folder with a published encoder, read so far as its config. facts: of its token table and positions."""

    folder: Path
    model_type: str
    trunk: TrunkConfig
    facts: dict[str, int]

    def load(self, model: Model, source: text.Input, kept: np.ndarray | None) -> None:
        """Fills trunk, token vectors and, where both have them, the pooler and the output layers of objectives.

        kept: rows of the token table to take.
        """
        family = families.find(self.model_type)
        behind = any(target.behind for target, _ in model.writers().values())
        rows = np.arange(source.codec.num_pieces) if kept is None else kept
        if rows.max() >= self.facts["vocab_size"]:
            raise UserError(
                f"{self.folder}: its tokenizer has {rows.max() + 1} pieces, its config.json says "
                f"{self.facts['vocab_size']}. They belong to different models."
            )
        state = families.load_tensors(
            self.folder / "model.safetensors",
            family.names(self.trunk, self.facts, heads=("causal",) if behind else tuple(model.objectives)),
            config=self.trunk,
            facts=self.facts,
            rows=rows,
            whole=not model.objectives,
        )
        state[TOKENS] = state.pop("embedder.tokens.weight")
        if behind and "lm_head.weight" in state:
            state["heads.0.weight"] = state.pop("lm_head.weight")
        own = model.state_dict()
        model.load_state_dict({name: tensor for name, tensor in state.items() if name in own}, strict=False)


def begun(
    model: Model,
    source: text.Input | None,
    settings: TrainConfig,
    *,
    base: Base | None,
    kept: np.ndarray | None,
    std: float = INIT_STD,
) -> Model:
    """`model` with the weights of its first step: fresh ones, and over them those of the base; on its device.

    source: its texts, which a base of texts needs. kept: as in `Base.load`. std: of fresh matrices. What is divided
    among ranks stays where it is: it may be larger than a device.
    """
    model.initialise(settings.seed, std=std)
    if base is not None:
        assert source is not None
        base.load(model, source, kept)
        for target, head in model.writers().values():
            if not target.behind:
                head.begin_as(model.trunk)
        give_back()
    if settings.engine.shard and current().world > 1:
        return model
    return model.to(choose_device(settings.device))


def read_base(folder: Path) -> Base:
    """What a base's `config.json` says. Raises UserError for one that the trunk cannot hold."""
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    model_type = data.get("model_type") if isinstance(data, dict) else None
    trunk, facts = families.find(model_type, where=str(path)).read_config(data, where=str(path))
    return Base(folder, str(model_type), trunk, facts)


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
