"""Opening a run: every file is checked, every size compared with the tensors, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zaowu.config import FitConfig, ModelConfig, checked, from_plain
from zaowu.errors import UserError, shorten
from zaowu.evaluate.baseline import Baselines
from zaowu.evaluate.evaluate import Evaluation
from zaowu.inputs import Inputs
from zaowu.inputs.text.codec import Codec
from zaowu.model import Model
from zaowu.records import schema as schemas
from zaowu.records.records import Schema
from zaowu.report.content import ANSWER_SHAPES, SHAPES, ReportContent, check_shown
from zaowu.run import Run
from zaowu.run.folder import MANIFEST, listed, opened, read_json
from zaowu.run.save import (
    OUR_OUTPUT,
    OUR_TOKENS,
    TOKENS,
    TRUNK,
    has_trunk_folder,
    in_trunk_folder,
    is_family_of_texts,
    is_of_texts,
    shape_facts,
)
from zaowu.targets import find as find_target, load as load_target
from zaowu.trunk import families, precision as precisions
from zaowu.trunk.transformer.encoder import check

BASE_KIND = "base"  # what the manifest of a pre-trained model says that it is
PARTS = ("model_type", "schema", "inputs", "targets", "model", "config", "baselines")


def load(folder: str | Path, *, device: str = "cpu", precision: str = "auto") -> Run:
    """The run in `folder`. Runs no code from it.

    precision: what its matrix products are computed in: fp32, bf16, or auto, what the processor is faster at.
    Raises UserError for a folder that is damaged or hostile.
    """
    folder, dtype = Path(folder), precisions.choose(precision, torch.device(device))
    data, where = opened(folder), str(folder / MANIFEST)
    if data.get("kind") == BASE_KIND:
        raise UserError(
            f"{folder}: is a base, which answers nothing yet. Make a run of it: zaowu fit DATA --base {folder}; or "
            "show a causal one some examples with --shots FILE."
        )
    for part in PARTS:
        if part not in data:
            raise UserError(f"{where}: '{part}' is missing. Copy the folder again, or fit again.")
    schema = schemas.from_plain(data["schema"], f"{where}, 'schema'")
    answers = data["targets"]
    if not isinstance(answers, dict) or list(answers) != [column.name for column in schema.targets] or not answers:
        raise UserError(f"{where}, 'targets': expected one for each target column, got {shorten(answers)}.")
    writes = any(column.kind == "text" for column in schema.targets)
    if writes or (isinstance(data["inputs"], dict) and "text" in data["inputs"]):
        listed(data, "tokenizer.json", "tokenizer_config.json", folder=folder)
    source = Inputs.from_state(data["inputs"], folder, where=f"{where}, 'inputs'")
    _check_columns(schema, source.columns, where=where)
    targets = {}
    for column in schema.targets:
        target, place = answers[column.name], f"{where}, target '{shorten(column.name)}'"
        if not isinstance(target, dict) or target.get("kind") != column.kind:
            raise UserError(f"{place}: expected an object of kind {column.kind}, got {shorten(target)}.")
        found = load_target(target["kind"], target.get("state"), where=place)
        if found.reads == "states":
            found = found.equipped(Codec.from_folder(folder) if source.text is None else source.text.codec)
        targets[column.name] = found
    config = from_plain(ModelConfig, data["model"], where=f"{where}, 'model'")
    if config.head == "first" and not is_of_texts(source, targets):
        raise UserError(f"{where}, 'model': expected head mean for columns of several kinds or answers in a text.")
    _check_searched(source, targets, where=where)
    reads_texts = is_family_of_texts(data["model_type"], where=where)
    if source.alone is source.text is not None and not reads_texts:
        raise UserError(f"{where}, 'model_type': expected one that reads texts, got {shorten(data['model_type'])}.")
    in_trunk = config.head == "mean" and has_trunk_folder(source, targets, data["model_type"])
    listed(data, *([f"{TRUNK}/model.safetensors"] if in_trunk else []), folder=folder)
    model = _model(folder, data["model_type"], source, targets, config, where=where)
    precisions.use(model, dtype)
    baselines = None
    if type(data["baselines"]) is not bool:
        raise UserError(f"{where}, 'baselines': expected true or false, got {shorten(data['baselines'])}.")
    if data["baselines"]:
        listed(data, "baseline.safetensors", "baseline.json", folder=folder)
        baselines = Baselines.load(folder)
        ours = {name: (own.name, own.names) for name, own in targets.items()}
        theirs = {name: (own.name, own.names) for name, own in baselines.goals.items()}
        if ours != theirs or not baselines.columns <= set(source.columns):
            raise UserError(f"{folder / 'baseline.json'}: its targets or columns are not those of {where}.")
    return Run(
        schema=schema,
        source=source,
        targets=targets,
        model=model.to(device).eval(),
        model_type=data["model_type"],
        config=from_plain(FitConfig, data["config"], where=f"{where}, 'config'"),
        baselines=baselines,
        content=read_content(folder),
        facts={name: value for name, value in data.items() if name not in (*PARTS, "format", "files")},
        folder=folder,
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, and not a base or a model of others. Raises UserError for a damaged one."""
    return (folder / MANIFEST).is_file() and opened(folder).get("kind") != BASE_KIND


def _check_columns(schema: Schema, columns: Sequence[str], *, where: str) -> None:
    inputs = [column.name for column in schema.inputs]
    if sorted(columns) != sorted(inputs):
        raise UserError(f"{where}, 'inputs': expected the columns {shorten(inputs)}, got {shorten(list(columns))}.")


def _check_searched(source: Inputs, targets: Mapping[str, Any], *, where: str) -> None:
    """Whether what answers are places in is what the input marks."""
    searched = source.text.searched if source.text is not None else ""
    wanted = {target.column for target in targets.values() if target.reads == "tokens"}
    if wanted != ({searched} if searched else set()):
        raise UserError(f"{where}, 'inputs': expected one column that all answers stand in, got {shorten(searched)}.")


def read_content(folder: Path) -> ReportContent:
    """What the report of a run says. Raises UserError for figures that the page could not show."""
    path = folder / "metrics.json"
    content = from_plain(ReportContent, read_json(path), where=str(path))
    for name, shape in SHAPES.items():
        checked(shape, getattr(content, name), where=f"{path}, '{name}'")
    for answer in content.answers:
        place = f"{path}, '{shorten(answer.target)}'"
        find_target(answer.kind, where=place)
        for name, shape in ANSWER_SHAPES.items():
            checked(shape, getattr(answer, name), where=f"{place}, '{name}'")
        scores = {"evaluation": answer.evaluation, "deleaked": answer.deleaked, **answer.baselines}
        for name, found in scores.items():
            if found is not None and Evaluation.from_plain(found, where=f"{place}, '{name}'").kind != answer.kind:
                raise UserError(f"{place}, '{name}': expected scores of kind {answer.kind}.")
    check_shown(content.answers, where=str(path))
    if content.lengths and len(content.lengths["edges"]) != len(content.lengths["counts"]) + 1:
        raise UserError(f"{path}, 'lengths': expected one edge more than counts.")
    return content


def _model(
    folder: Path, model_type: Any, source: Inputs, targets: dict[str, Any], config: ModelConfig, *, where: str
) -> Model:
    """Built on the tensors of the files, so that no size in a config can allocate anything by itself."""
    check(config.trunk, where=f"{where}, 'model'")
    behind = [target for target in targets.values() if target.reads == "states" and target.behind]
    if behind and (
        not config.trunk.causal or len(targets) > 1 or source.alone is None or source.alone is not source.text
    ):
        raise UserError(
            f"{where}, 'targets': expected a causal trunk and one text for an answer that stands behind it."
        )
    if source.max_place > config.trunk.positions.max_positions:
        raise UserError(
            f"{where}, 'inputs': {source.max_place:,} tokens do not fit "
            f"{config.trunk.positions.max_positions:,} positions."
        )
    with torch.device("meta"):
        model = Model(source.groups, targets, config)
    path = folder / "model.safetensors"
    if not is_of_texts(source, targets):
        state: dict[str, Tensor] = {}
        rest = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if has_trunk_folder(source, targets, model_type):
            state, path = _published(folder, model_type, source, targets, config, where=where)
            held = in_trunk_folder(model, source, model_type)
            rest = {name: shape for name, shape in rest.items() if name not in held}
        state |= _tensors(folder / "model.safetensors", rest)
    else:
        state, path = _published(folder, model_type, source, targets, config, where=where)
        if config.head == "mean":
            width = sum(target.num_outputs for target in targets.values())
            shapes = {"linear.weight": (width, config.trunk.dim), "linear.bias": (width,)}
            found = _tensors(folder / "model.safetensors", shapes)
            state |= {name.replace("linear", "head"): tensor for name, tensor in found.items()}
        whole, start = {name: state.pop(f"head.{name}") for name in ("weight", "bias")}, 0
        for place, target in enumerate(targets.values()):
            end = start + target.num_outputs
            state |= {f"heads.{place}.{name}": tensor[start:end] for name, tensor in whole.items()}
            start = end
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise UserError(f"{path}: its tensors do not fit {where} ({shorten(error, 200)}).") from None
    model.make_buffers(source.groups)
    return model.requires_grad_(False)


def _published(
    folder: Path, model_type: Any, source: Inputs, targets: dict[str, Any], config: ModelConfig, *, where: str
) -> tuple[dict[str, Tensor], Path]:
    """Trunk and token table, and with head first the last layer, from the file that other libraries open too."""
    family = families.find(model_type, where=where)
    facts, heads = shape_facts(source, targets, model_type)
    family.write_config(config.trunk, facts, model_type=model_type, heads=heads)  # refuses what its files cannot hold
    first = config.head == "first"
    path = folder / "model.safetensors" if first else folder / TRUNK / "model.safetensors"
    state = families.load_tensors(
        path,
        family.names(config.trunk, facts, classify=first, heads=heads),
        config=config.trunk,
        facts=facts,
        num_classes=sum(target.num_outputs for target in targets.values()) if first else None,
    )
    state[OUR_TOKENS] = state.pop(TOKENS)
    if "lm_head.weight" in state:
        state[OUR_OUTPUT] = state.pop("lm_head.weight")
    return state, path


def _tensors(path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a file that must hold these, float32, and nothing else."""
    expected = {name: list(shape) for name, shape in shapes.items()}
    try:
        with safe_open(path, framework="pt") as file:
            pieces = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  it is no dict
            found = {name: piece.get_shape() for name, piece in pieces.items()}
            if found != expected:
                odd = next(
                    iter(sorted(name for name in found.keys() | expected if found.get(name) != expected.get(name)))
                )
                raise UserError(
                    f"{path}: expected '{shorten(odd)}' of {expected.get(odd, 'no')} numbers, got "
                    f"{found.get(odd, 'none')}. Copy the folder again, or fit again."
                )
            if any(piece.get_dtype() != "F32" for piece in pieces.values()):
                raise UserError(f"{path}: expected numbers of kind F32.")
            return {name: piece[:] for name, piece in pieces.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: this is not a whole safetensors file ({shorten(error, 200)}).") from None
