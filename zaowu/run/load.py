"""Opening a run: every file is checked, every size compared with the tensors, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zaowu.config import FitConfig, ModelConfig, from_plain
from zaowu.errors import UserError, shorten
from zaowu.evaluate.baseline import Baselines
from zaowu.inputs import text
from zaowu.model import Model
from zaowu.records.records import Schema
from zaowu.report.content import ReportContent
from zaowu.run import Run
from zaowu.run.folder import MANIFEST, opened, read_json
from zaowu.run.save import TOKENS, TRUNK, token_facts
from zaowu.targets import load as load_target
from zaowu.targets.category import Category
from zaowu.trunk import families

PARTS = ("model_type", "schema", "inputs", "target", "model", "config", "baselines")


def load(folder: str | Path, *, device: str = "cpu") -> Run:
    """The run in `folder`. Runs no code from it. Raises UserError for a folder that is damaged or hostile."""
    folder = Path(folder)
    data, where = opened(folder), str(folder / MANIFEST)
    for part in PARTS:
        if part not in data:
            raise UserError(f"{where}: '{part}' is missing. Copy the folder again, or fit again.")
    schema = from_plain(Schema, data["schema"], where=f"{where}, 'schema'")
    inputs, target = data["inputs"], data["target"]
    if not isinstance(inputs, dict) or list(inputs) != [text.KIND]:
        raise UserError(f"{where}, 'inputs': expected one group of kind {text.KIND}, got {shorten(inputs)}.")
    if not isinstance(target, dict):
        raise UserError(f"{where}, 'target': expected an object, got {shorten(target)}.")
    source = text.Input.from_state(inputs[text.KIND], folder, where=f"{where}, 'inputs'")
    answer = load_target(target.get("kind"), target.get("state"), where=f"{where}, 'target'")
    config = from_plain(ModelConfig, data["model"], where=f"{where}, 'model'")
    model = _model(folder, data["model_type"], source, answer, config, where=where)
    return Run(
        schema=schema,
        source=source,
        target=answer,
        model=model.to(device).eval(),
        model_type=data["model_type"],
        config=from_plain(FitConfig, data["config"], where=f"{where}, 'config'"),
        baselines=Baselines.load(folder) if data["baselines"] is True else None,
        content=read_content(folder),
        facts={name: value for name, value in data.items() if name not in (*PARTS, "format", "files")},
        folder=folder,
    )


def read_content(folder: Path) -> ReportContent:
    """What the report of a run says."""
    path = folder / "metrics.json"
    return from_plain(ReportContent, read_json(path), where=str(path))


def _model(
    folder: Path, model_type: Any, source: text.Input, target: Category, config: ModelConfig, *, where: str
) -> Model:
    """Built on the tensors of the files, so that no size in a config can allocate anything by itself."""
    family = families.find(model_type, where=where)
    facts = token_facts(source.codec.num_pieces, source.codec.pad_id, model_type)
    first = config.head == "first"
    path = folder / "model.safetensors" if first else folder / TRUNK / "model.safetensors"
    state = families.load_tensors(
        path,
        family.names(config.trunk, facts, classify=first),
        config=config.trunk,
        facts=facts,
        num_classes=target.num_classes if first else None,
    )
    state[f"embedders.{source.kind}.weight"] = state.pop(TOKENS)
    if not first:
        state |= _head(folder / "model.safetensors", (target.num_classes, config.trunk.dim))
    with torch.device("meta"):
        model = Model({source.kind: source}, target, config)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise UserError(f"{path}: its tensors do not fit {where} ({shorten(error, 200)}).") from None
    return model.requires_grad_(False)


def _head(path: Path, shape: tuple[int, int]) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: this is not a whole safetensors file ({error}).") from None
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != {"linear.weight": shape, "linear.bias": shape[:1]}:
        raise UserError(f"{path}: expected a last layer of shape {shape}, got {shorten(found)}.")
    return {name.replace("linear", "head"): tensor for name, tensor in tensors.items()}
