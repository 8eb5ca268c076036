"""Marian (Junczys-Dowmunt et al. 2018): BART's blocks with sinusoidal positions, all sines first, and no entry norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaowu.config import PositionConfig, TrunkConfig
from zaowu.trunk.families import bart
from zaowu.trunk.families.fields import Fields, expect
from zaowu.trunk.families.tensors import Place

MODEL_TYPES = ("marian",)


def read_config(data: Any, *, where: str = "config.json") -> tuple[TrunkConfig, dict[str, int]]:
    """As in `bart`."""
    fields = Fields(data, where=where)
    fields.only("share_encoder_decoder_embeddings", True)
    facts = bart.pair_facts(fields, pad=58100, start=58100, end=0, offset=0, vocab_size=58101)
    fields.only("decoder_vocab_size", facts["vocab_size"])
    most = fields.size("max_position_embeddings", 1024, most=1_000_000)
    positions = PositionConfig(kind="sinusoidal", max_positions=most, halves=True)
    return bart.pair_config(fields, positions, entry_norm=False), facts


def write_config(
    config: TrunkConfig,
    facts: dict[str, int],
    *,
    model_type: str = "marian",
    classes: Sequence[str] | None = None,
    several: bool = False,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The `config.json` of their MarianMTModel, with `heads` ("text",)."""
    assert model_type in MODEL_TYPES, model_type
    found = (
        ("positions.kind", config.positions.kind, "sinusoidal"),
        ("positions.halves", config.positions.halves, True),
        ("positions.base", config.positions.base, 10000.0),
        ("entry_norm", config.entry_norm, False),
    )
    expect(model_type, found)
    fields = bart.pair_fields(config, facts, model_type, classes, heads)
    return {"architectures": ["MarianMTModel"], **fields, "share_encoder_decoder_embeddings": True}


def names(
    config: TrunkConfig, facts: dict[str, int], *, classify: bool = False, heads: Sequence[str] = ()
) -> dict[str, Place]:
    """As in `bart`; positions are computed, not stored."""
    return bart.pair_names(config, facts, "marian", classify=classify, heads=heads)
