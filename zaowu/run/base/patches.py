"""A model that was pre-trained on images or recordings as a base: the folder of a ViT, or of Whisper's encoder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from zaowu.config import PretrainConfig
from zaowu.learn.base import EMBEDDERS, PREPROCESSOR
from zaowu.learn.corpus import Pretrained
from zaowu.learn.patches import Media
from zaowu.options import pretrain_words
from zaowu.report.pretraining import Pretraining, Source
from zaowu.report.pretraining.page import write as write_report
from zaowu.run.base import Base, finish
from zaowu.run.folder import begin, settle, write_json, writing
from zaowu.train.estimate import cost
from zaowu.train.estimate.machine import peak_memory_mb
from zaowu.train.estimate.result import WATTS
from zaowu.trunk import families
from zaowu.trunk.families import vit

CLASSES = {"vit": "ViTModel", "whisper": "transformers.models.whisper.modeling_whisper.WhisperEncoder"}


def save(made: Pretrained, content: Pretraining, config: PretrainConfig, folder: Path, *, lang: str) -> Base:
    """Everything under a temporary name, the manifest last, then one rename. The decoder is not kept."""
    family, trunk, kind = families.find(made.model_type), made.model.config.trunk, made.source.kind
    with writing(folder):
        fresh = begin(folder)
        write_json(fresh / "config.json", family.write_config(trunk, made.facts, model_type=made.model_type))
        if kind == "image":
            column: Any = made.source
            scale = vit.write_preprocessor(made.facts, mean=column.mean, std=column.std)
            write_json(fresh / PREPROCESSOR, scale)
        ours = f"embedders.{kind}."
        state = {
            f"{EMBEDDERS[kind]}{name.removeprefix(ours)}" if name.startswith(ours) else name: tensor
            for name, tensor in made.model.state_dict().items()
        }
        families.save_tensors(fresh / "model.safetensors", state, family.names(trunk, made.facts))
        write_report(content, fresh / "report.html", lang=lang)
        finish(fresh, made, content, config)
    settle(folder)
    return Base(folder, content, stopped=made.training.stopped)


def content_of(made: Pretrained, media: Media, config: PretrainConfig, folder: Path) -> Pretraining:
    """What the report says."""
    trunk, training = made.model.config.trunk, made.training
    num_tokens = float(training.num_tokens)
    seen = num_tokens / max(1, training.num_items)
    return Pretraining(
        name=folder.name,
        objectives=tuple(made.objectives),
        base="" if config.base == "none" else config.base,
        shape={
            "layers": trunk.num_layers,
            "width": trunk.dim,
            "heads": trunk.attention.num_heads,
            "parameters": made.model.num_parameters,
            "patches": made.source.max_tokens,
        },
        sources=tuple(
            Source(name=name, documents=number, bytes=size) for name, (number, size) in media.sources.items()
        ),
        corpus={
            "records": len(media.values),
            "copies": media.duplicates,
            "held_out_records": int(media.held_out.sum()),
            "unreadable": len(media.problems),
        },
        unreadable=media.problems[:10],
        history=tuple(training.history),
        before=made.before,
        reason=training.reason,
        cost={
            "seconds": training.seconds,
            "tokens": num_tokens,
            "tokens_per_s": num_tokens / max(1e-9, training.seconds),
            "flops": cost.pretrain_flops(trunk, num_tokens, length=round(seen)),
            "peak_mb": peak_memory_mb() or 0.0,
            "watt_hours": training.seconds * WATTS / 3600,
            "watts": WATTS,
        },
        command=shlex.join(["zaowu", "pretrain", *pretrain_words(config), "--out", f"{folder}-again"]),
        opens_with=(CLASSES[made.model_type].rpartition(".")[2],),
    )
