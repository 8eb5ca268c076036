"""Adapters as the library peft reads them: `adapter_config.json` and `adapter_model.safetensors`.

A matrix of theirs that is several of ours below one another (GPT-2's queries, keys and values) gets one adapter that
says the same: A_1, A_2, ... below one another, and B a matrix with B_1, B_2, ... as its blocks. Its rank is their sum,
and its alpha as many times as large, so that alpha / r stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zaowu.trunk.adapters import Adapters
from zaowu.trunk.families.tensors import Place

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of what peft puts around a model


def write(folder: Path, adapters: Adapters, places: dict[str, Place], *, base: str, causal: bool) -> None:
    """places: their tensor name -> ours, of the class that the adapters go onto. base: what they call the base.

    causal: that class writes text. Raises OSError where the files cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    modules: dict[str, None] = {}
    transposed = False
    for theirs, place in places.items():
        ours = [name.removeprefix("trunk.").removesuffix(".weight") for name in place.names]
        if not theirs.endswith(".weight") or not all(name in adapters.pairs for name in ours):
            continue
        name = theirs.removesuffix(".weight")
        down, up = _joined([adapters.pairs[own] for own in ours])
        tensors[f"{PREFIX}{name}.lora_A.weight"], tensors[f"{PREFIX}{name}.lora_B.weight"] = down, up
        short = re.sub(r"^.*\.\d+\.", "", name)  # the same in every layer
        modules[short] = None
        transposed |= place.transposed
        if len(down) != adapters.rank:
            ranks[short] = len(down)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = settings(adapters, list(modules), base=base, causal=causal, ranks=ranks, transposed=transposed)
    (folder / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2), "utf-8")


def settings(
    adapters: Adapters, modules: Sequence[str], *, base: str, causal: bool, ranks: dict[str, int], transposed: bool
) -> dict[str, Any]:
    """The config of `LoraConfig`. modules: ends of the names of what is adapted. ranks: of those with another one."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": adapters.rank,
        "lora_alpha": adapters.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(modules),
        "rank_pattern": ranks,
        "alpha_pattern": {name: adapters.alpha * rank / adapters.rank for name, rank in ranks.items()},
        "fan_in_fan_out": transposed,
        "use_rslora": False,
        "use_dora": False,
    }


def _joined(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A (sum of r, in) and B (sum of out, sum of r) that add to each part what its own pair adds."""
    return torch.cat([down for down, _ in pairs]).contiguous(), torch.block_diag(*(up for _, up in pairs)).contiguous()
