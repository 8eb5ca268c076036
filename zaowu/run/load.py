"""Opening a run: every file is checked, every size compared with the tensors, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zaowu.config import FitConfig, ModelConfig, checked, from_plain
from zaowu.errors import UserError, shorten
from zaowu.evaluate.baseline import Baselines
from zaowu.evaluate.evaluate import Evaluation
from zaowu.inputs import text
from zaowu.model import Model
from zaowu.records import schema as schemas
from zaowu.records.records import Schema
from zaowu.report.content import SHAPES, ReportContent
from zaowu.run import Run
from zaowu.run.folder import MANIFEST, listed, opened, read_json
from zaowu.run.save import TOKENS, TRUNK, token_facts
from zaowu.targets import load as load_target
from zaowu.targets.category import Category
from zaowu.trunk import families
from zaowu.trunk.transformer.encoder import check

PARTS = ("model_type", "schema", "inputs", "target", "model", "config", "baselines")


def load(folder: str | Path, *, device: str = "cpu") -> Run:
    """The run in `folder`. Runs no code from it. Raises UserError for a folder that is damaged or hostile."""
    folder = Path(folder)
    data, where = opened(folder), str(folder / MANIFEST)
    for part in PARTS:
        if part not in data:
            raise UserError(f"{where}: '{part}' is missing. Copy the folder again, or fit again.")
    schema = schemas.from_plain(data["schema"], f"{where}, 'schema'")
    inputs, target = data["inputs"], data["target"]
    if not isinstance(inputs, dict) or list(inputs) != [text.KIND]:
        raise UserError(f"{where}, 'inputs': expected one group of kind {text.KIND}, got {shorten(inputs)}.")
    if not isinstance(target, dict):
        raise UserError(f"{where}, 'target': expected an object, got {shorten(target)}.")
    source = text.Input.from_state(inputs[text.KIND], folder, where=f"{where}, 'inputs'")
    _check_columns(schema, source.columns, where=where)
    answer = load_target(target.get("kind"), target.get("state"), where=f"{where}, 'target'")
    config = from_plain(ModelConfig, data["model"], where=f"{where}, 'model'")
    listed(data, *([] if config.head == "first" else [f"{TRUNK}/model.safetensors"]), folder=folder)
    model = _model(folder, data["model_type"], source, answer, config, where=where)
    baselines = None
    if type(data["baselines"]) is not bool:
        raise UserError(f"{where}, 'baselines': expected true or false, got {shorten(data['baselines'])}.")
    if data["baselines"]:
        listed(data, "baseline.safetensors", "baseline.json", folder=folder)
        baselines = Baselines.load(folder)
        if baselines.target.classes != answer.classes or not set(baselines.features) <= set(source.columns):
            raise UserError(f"{folder / 'baseline.json'}: its classes or columns are not those of {where}.")
    return Run(
        schema=schema,
        source=source,
        target=answer,
        model=model.to(device).eval(),
        model_type=data["model_type"],
        config=from_plain(FitConfig, data["config"], where=f"{where}, 'config'"),
        baselines=baselines,
        content=read_content(folder),
        facts={name: value for name, value in data.items() if name not in (*PARTS, "format", "files")},
        folder=folder,
    )


def _check_columns(schema: Schema, columns: Sequence[str], *, where: str) -> None:
    if schema.target is None:
        raise UserError(f"{where}, 'schema': expected one column with the role target, got none.")
    inputs = [column.name for column in schema.inputs]
    if list(columns) != inputs:
        raise UserError(f"{where}, 'inputs': expected the columns {shorten(inputs)}, got {shorten(list(columns))}.")


def read_content(folder: Path) -> ReportContent:
    """What the report of a run says. Raises UserError for figures that the page could not show."""
    path = folder / "metrics.json"
    content = from_plain(ReportContent, read_json(path), where=str(path))
    for name, shape in SHAPES.items():
        checked(shape, getattr(content, name), where=f"{path}, '{name}'")
    scores = {"evaluation": content.evaluation, "deleaked": content.deleaked, **content.baselines}
    for name, found in scores.items():
        if found is not None:
            Evaluation.from_plain(found, where=f"{path}, '{name}'")
    if content.lengths and len(content.lengths["edges"]) != len(content.lengths["counts"]) + 1:
        raise UserError(f"{path}, 'lengths': expected one edge more than counts.")
    return content


def _model(
    folder: Path, model_type: Any, source: text.Input, target: Category, config: ModelConfig, *, where: str
) -> Model:
    """Built on the tensors of the files, so that no size in a config can allocate anything by itself."""
    trunk = config.trunk
    check(trunk, where=f"{where}, 'model'")
    family = families.find(model_type, where=where)
    facts = token_facts(source.codec.num_pieces, source.codec.pad_id, model_type)
    family.write_config(trunk, facts, model_type=model_type)  # refuses what its files cannot hold
    if source.max_tokens > trunk.positions.max_positions:
        raise UserError(
            f"{where}, 'inputs': {source.max_tokens:,} tokens do not fit {trunk.positions.max_positions:,} positions."
        )
    first = config.head == "first"
    path = folder / "model.safetensors" if first else folder / TRUNK / "model.safetensors"
    state = families.load_tensors(
        path,
        family.names(trunk, facts, classify=first),
        config=trunk,
        facts=facts,
        num_classes=target.num_classes if first else None,
    )
    state[f"embedders.{source.kind}.weight"] = state.pop(TOKENS)
    if not first:
        state |= _head(folder / "model.safetensors", (target.num_classes, trunk.dim))
    with torch.device("meta"):
        model = Model({source.kind: source}, target, config)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise UserError(f"{path}: its tensors do not fit {where} ({shorten(error, 200)}).") from None
    return model.requires_grad_(False)


def _head(path: Path, shape: tuple[int, int]) -> dict[str, Tensor]:
    expected = {"linear.weight": [*shape], "linear.bias": [shape[0]]}
    try:
        with safe_open(path, framework="pt") as file:
            pieces = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  it is no dict
            if {name: piece.get_shape() for name, piece in pieces.items()} != expected:
                raise UserError(f"{path}: expected a last layer for {shape[0]} classes and width {shape[1]} alone.")
            if any(piece.get_dtype() != "F32" for piece in pieces.values()):
                raise UserError(f"{path}: expected numbers of kind F32.")
            return {name.replace("linear", "head"): piece[:] for name, piece in pieces.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: this is not a whole safetensors file ({shorten(error, 200)}).") from None
