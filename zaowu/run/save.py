"""Writing a run: our own files, and the same weights in the shapes that other libraries open.

head "first": the top folder is their ...ForSequenceClassification.
head "mean": `trunk/` is their base model, and modules.json says how sentence-transformers puts the mean and
the last layer on it. Opening such a folder as a classifier fails at once: it has no config.json.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zaowu import bases
from zaowu.config import to_plain
from zaowu.records import schema as schemas
from zaowu.report.write import write as write_report
from zaowu.run.folder import MANIFEST, begin, seal, settle, write_json, writing
from zaowu.trunk import families
from zaowu.trunk.adapters import Adapters
from zaowu.trunk.families import peft

if TYPE_CHECKING:
    from zaowu.inputs import Inputs
    from zaowu.inputs.text.codec import Codec
    from zaowu.model import Model
    from zaowu.run import Run

TRUNK = "trunk"
ADAPTER = "adapter"
TOKENS = "embedder.tokens.weight"  # what a family calls the token table
OUR_TOKENS = "embedders.text.weight"
OUR_OUTPUT = "heads.0.weight"


def save(run: Run, folder: Path, *, lang: str) -> Path:
    """Everything under a temporary name, the manifest last, then one rename."""
    with writing(folder):
        fresh = begin(folder)
        words = run.source.text
        codec = codec_of(run.source, run.targets)
        if codec is not None:
            codec.save(fresh)
        if run.config.head == "first":
            _write_published(run, fresh, classify=True)
        elif words is not None and has_trunk_folder(run.source, run.targets, run.model_type):
            (fresh / TRUNK).mkdir(exist_ok=True)
            _write_published(run, fresh / TRUNK, classify=False)
            words.codec.save(fresh / TRUNK)
        if not is_of_texts(run.source, run.targets):
            _write_rest(run, fresh)
        elif run.config.head == "mean":
            _write_sentence_transformers(run, fresh)
        if run.adapters is not None:
            _write_adapters(run, run.adapters, fresh / ADAPTER)
        if run.baselines is not None:
            run.baselines.save(fresh)
        write_json(fresh / "metrics.json", asdict(run.content))
        with (fresh / "log.jsonl").open("w", encoding="utf-8") as log:
            log.writelines(json.dumps(point) + "\n" for point in run.content.history)
        write_report(fresh / "report.html", run.content, lang=lang)
        seal(fresh, manifest(run))
    settle(folder)
    return folder


def is_of_texts(source: Inputs, targets: Mapping[str, Any]) -> bool:
    """Whether a record is nothing but text and each answer is one of the whole: what sentence-transformers can say."""
    return source.alone is source.text is not None and all(target.reads == "pooled" for target in targets.values())


def is_family_of_texts(model_type: Any, *, where: str = MANIFEST) -> bool:
    """Raises UserError naming `where` for a type that there is no family of."""
    return families.modality(model_type, where=where) == "text"


def has_trunk_folder(source: Inputs, targets: Mapping[str, Any], model_type: str) -> bool:
    """Whether what reads texts stands in a folder of its own, for others. With a half that writes, it is half of a
    model."""
    return (
        source.text is not None
        and is_family_of_texts(model_type)
        and all(target.reads != "states" or target.behind for target in targets.values())
    )


def shape_facts(source: Inputs, targets: Mapping[str, Any], model_type: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """What the family of `trunk/` needs to know of its token table, and the output layers that stand there."""
    codec: Any = source.text.codec
    facts = token_facts(codec.num_pieces, codec.pad_id, model_type)
    behind = next((target for target in targets.values() if target.reads == "states" and target.behind), None)
    if behind is None:
        return facts, ()
    start, end = codec.end_pieces()
    return {**facts, "start_id": start, "end_id": end, "tied": int(behind.tied)}, ("causal",)


def codec_of(source: Inputs, targets: Mapping[str, Any]) -> Codec | None:
    """The pieces of all texts that are read and written, or None without such."""
    if source.text is not None:
        codec: Codec = source.text.codec
        return codec
    return next((target.codec for target in targets.values() if target.reads == "states"), None)


def manifest(run: Run) -> dict[str, Any]:
    """What `load` needs beside the tensors, as plain data."""
    return {
        "model_type": run.model_type,
        "schema": schemas.to_plain(run.schema),
        "inputs": run.source.state(),
        "targets": {name: {"kind": target.name, "state": target.state()} for name, target in run.targets.items()},
        "model": to_plain(run.model.config),
        "config": to_plain(run.config),
        "baselines": run.baselines is not None,
        **run.facts,
    }


def token_facts(num_pieces: int, pad_id: int, model_type: str) -> dict[str, int]:
    """What a family needs to know of the token table. RoBERTa's positions start behind the padding piece."""
    offset = pad_id + 1 if "roberta" in model_type else 0
    return {"vocab_size": num_pieces, "pad_id": pad_id, "position_offset": offset}


def _write_published(run: Run, folder: Path, *, classify: bool) -> None:
    """`config.json` and `model.safetensors` as the family's own library opens them."""
    family, trunk = families.find(run.model_type), run.model.config.trunk
    facts, heads = shape_facts(run.source, run.targets, run.model_type)
    only = next(iter(run.targets.values())) if len(run.targets) == 1 else None
    names = () if only is None else only.names
    if not classify or names:  # numbers and mixed answers cannot be said in their config
        config = family.write_config(
            trunk,
            facts,
            model_type=run.model_type,
            classes=names if classify else None,
            several=only is not None and only.name == "tags",
            heads=heads,
        )
        write_json(folder / "config.json", config)
    state = published_state(run.model.state_dict())
    families.save_tensors(
        folder / "model.safetensors", state, family.names(trunk, facts, classify=classify, heads=heads)
    )


def _write_adapters(run: Run, adapters: Adapters, folder: Path) -> None:
    """For the base as others publish it, whose other weights are not in the folder."""
    facts, heads = shape_facts(run.source, run.targets, run.model_type)
    places = families.find(run.model_type).names(run.model.config.trunk, facts, heads=heads)
    folder.mkdir(exist_ok=True)
    peft.write(folder, adapters, places, base=bases.published_name(run.config.text.base), causal=bool(heads))


def published_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state under the names that families use: one token table, whichever input owns it, and one last layer."""
    return {
        TOKENS if name == OUR_TOKENS else name: tensor for name, tensor in one_head(state).items()
    }  # fmt: skip


def one_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last layers of all targets as one, below one another in their order."""
    places = sorted({int(name.split(".")[1]) for name in state if name.startswith("heads.")})
    if OUR_OUTPUT in state and "heads.0.bias" not in state:  # of a language model
        return {"lm_head.weight" if name == OUR_OUTPUT else name: tensor for name, tensor in state.items()}
    if not places:  # pre-trained, for no answer yet
        return state
    whole = {
        f"head.{part}": torch.cat([state[f"heads.{place}.{part}"] for place in places]) for part in ("weight", "bias")
    }
    return {name: tensor for name, tensor in state.items() if not name.startswith("heads.")} | whole


def in_trunk_folder(model: Model, source: Inputs, model_type: str) -> set[str]:
    """Names of our tensors that the family's file holds."""
    facts, heads = shape_facts(source, model.targets, model_type)
    places = families.find(model_type).names(model.config.trunk, facts, heads=heads).values()
    ours = {TOKENS: OUR_TOKENS, "lm_head.weight": OUR_OUTPUT}
    return {ours.get(name, name) for place in places for name in place.names}


def _write_rest(run: Run, folder: Path) -> None:
    """Everything that is not in `trunk/`, under our own names: several groups of columns, or no text at all."""
    state = run.model.state_dict()
    if has_trunk_folder(run.source, run.targets, run.model_type):
        held = in_trunk_folder(run.model, run.source, run.model_type)
        state = {name: tensor for name, tensor in state.items() if name not in held}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")


def _write_sentence_transformers(run: Run, folder: Path) -> None:
    whole = one_head(run.model.state_dict())
    head = {f"linear.{name}": whole[f"head.{name}"].contiguous() for name in ("weight", "bias")}
    outputs, dim = head["linear.weight"].shape
    save_file(head, folder / "model.safetensors", metadata={"format": "pt"})
    modules = [("trunk", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    longest = {"max_seq_length": run.source.text.max_tokens, "do_lower_case": False}
    write_json(folder / TRUNK / "sentence_bert_config.json", longest)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True}
    )
    (folder / "2_Dense").mkdir(exist_ok=True)
    identity = "torch.nn.modules.linear.Identity"
    write_json(
        folder / "2_Dense" / "config.json",
        {"in_features": dim, "out_features": outputs, "bias": True, "activation_function": identity},
    )
    shutil.copyfile(folder / "model.safetensors", folder / "2_Dense" / "model.safetensors")
