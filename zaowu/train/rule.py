"""What to do when nothing is said: epochs, batch size and rate from the number of training records.

`benchmarks/rule.py` prints what the rule loses against a grid around it on every tuning set, and on two sets that
take no part in the tuning; `benchmarks/RESULTS.md` says what has been measured so far.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from zaowu.config import AttentionConfig, PositionConfig, TextConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError, nearest
from zaowu.trunk.transformer.linear import INIT_STD

CROSS_VALIDATE_BELOW = 1000  # rows: below, the score comes from folds and the model from all rows
SIZES = {  # from scratch: layers, width, heads
    "mini": (4, 128, 4),
    "small": (4, 256, 4),
    "medium": (8, 512, 8),
}


@dataclass(frozen=True)
class Recipe:
    """How a modality is learned from scratch: the shape of its trunk, and how long and how fast it learns.

    size: layers, width, heads. few: records below which `few_epochs` passes are made. init_std: of fresh weights.
    """

    size: tuple[int, int, int]
    ffn_dim: int
    lr: float
    batch_size: int
    epochs: int
    few: int = 0
    few_epochs: int = 0
    many: Recipe | None = None  # from `few` records on, where that needs another shape
    norm_place: Literal["after", "before"] = "before"
    dropout: float = 0.1
    init_std: float = INIT_STD


# Where several stand side by side, the first one here decides.
RECIPES = {
    "audio": Recipe((4, 128, 4), 512, 1e-3, 32, 15, few=4000, few_epochs=30, norm_place="after"),
    "image": Recipe((4, 128, 4), 512, 2e-3, 64, 12, few=6000, few_epochs=40, dropout=0.0, init_std=128**-0.5),
    "series": Recipe((3, 64, 4), 128, 1e-3, 64, 15, few=2000, few_epochs=30),
    "smiles": Recipe((4, 128, 4), 512, 1e-3, 32, 20, few=4000, few_epochs=40),
    "table": Recipe(
        (2, 64, 4),
        128,
        5e-4,
        64,
        20,
        few=2000,
        few_epochs=20,
        norm_place="after",
        many=Recipe((3, 128, 4), 256, 5e-4, 128, 20, norm_place="after"),
    ),
}
# Where a text is written: the layers are those of either half.
PAIR = Recipe(
    (3, 256, 4),
    1024,
    1e-3,
    32,
    60,
    few=4000,
    few_epochs=60,
    norm_place="after",
    init_std=256**-0.5,
    many=Recipe((3, 256, 4), 1024, 1e-3, 64, 30, norm_place="after", init_std=256**-0.5),
)
PAIR_SMOOTHING = 0.1
LORA_LR = 1e-3  # ten times that of all weights: Schulman et al. 2025, "LoRA Without Regret", at any rank
PAIR_NORM_EPS = 1e-5  # that of published models of this shape
PAIR_FROM_BASE_LR = 3e-4  # what looks back is fresh and has far to go
FEW = 1000  # records: below, a base is trained for twice as many epochs
WARMUP_STEPS = 50  # at least, where that is no large part: AdamW's second moments know nothing in its first steps
PRETRAIN_TOKENS = 20_000_000  # read at least, up to twenty epochs of a small corpus
PATCH_ITEMS, PATCH_EPOCHS = 1_200_000, 200  # images or windows read at least, up to so many epochs of a small set
PRETRAIN_WARMUP = 0.06
EVALUATIONS = 20  # of a pre-training
WARMUP_SHARES = (0.06, 0.3)  # of all steps, least and most


def recipe(kinds: Collection[str], num_records: int, *, writes: bool = False) -> Recipe | None:
    """The recipe for these modalities from scratch; None where text is among them, which has its own rule.

    writes: the answer is a text.
    """
    found = None if "text" in kinds else next((RECIPES[kind] for kind in RECIPES if kind in kinds), None)
    found = PAIR if writes else found
    return found.many if found is not None and found.many is not None and num_records >= found.few else found


def fill(
    config: TrainConfig,
    *,
    num_records: int,
    from_base: bool,
    kinds: Collection[str] = ("text",),
    writes: bool = False,
    ahead: bool = False,
    adapts: bool = False,
) -> TrainConfig:
    """`config` with its open choices (None) made; what the person chose stays. kinds: the modalities that are read.

    writes: the answer is a text. ahead: all heads are fitted to the base's states before the first step. adapts:
    adapters learn, not the base's own weights.
    """
    own = None if from_base else recipe(kinds, num_records, writes=writes)
    if own is not None:
        epochs = own.few_epochs if num_records < own.few else own.epochs
        batch_size, lr = own.batch_size, own.lr
    elif from_base:
        epochs = 10 if num_records < FEW and not ahead else 5
        batch_size = 8 if num_records < 500 else 16 if num_records < 4000 else 32
        lr = LORA_LR if adapts else PAIR_FROM_BASE_LR if writes else 1e-4
        epochs *= 2 if writes else 1
    else:
        epochs = 30 if num_records < 4000 else 12
        batch_size = 32
        lr = 1e-3
    epochs, batch_size = config.epochs or epochs, config.batch_size or batch_size
    least, most = WARMUP_SHARES
    warmup = min(most, max(least, WARMUP_STEPS / (epochs * math.ceil(num_records / batch_size))))
    return replace(
        config,
        epochs=epochs,
        batch_size=batch_size,
        lr=config.lr or lr,
        warmup=warmup if config.warmup is None else config.warmup,
        label_smoothing=(PAIR_SMOOTHING if writes else 0.0)
        if config.label_smoothing is None
        else config.label_smoothing,
    )


def fill_pretraining(config: TrainConfig, *, epoch_tokens: float, length: int, from_base: bool) -> TrainConfig:
    """The same for pre-training where an epoch sees so many tokens, in rows of `length`; what the person chose stays.

    Small corpora are read several times: the loss on held-out documents falls for tens of epochs (Muennighoff et al.
    2023: four are nearly as good as new text), and the best evaluation is kept. Twenty evaluations see it turn.
    """
    limits = config.schedule
    epochs = config.epochs
    if epochs is None and limits.steps is None and limits.tokens is None:
        epochs = max(1, min(20, math.ceil(PRETRAIN_TOKENS / max(1, epoch_tokens))))
    batch_size = config.batch_size or 32
    planned = [limits.steps or math.inf, (limits.tokens or math.inf) / (batch_size * length)]
    planned.append((epochs or math.inf) * epoch_tokens / (batch_size * length))
    steps = max(1, math.ceil(min(planned)))
    every = limits.evaluate_steps or max(1, steps // EVALUATIONS)
    return replace(
        config,
        epochs=epochs,
        batch_size=batch_size,
        lr=config.lr or (1e-4 if from_base else 1e-3),
        warmup=PRETRAIN_WARMUP if config.warmup is None else config.warmup,
        schedule=replace(limits, evaluate_steps=every),
    )


def fill_patches(config: TrainConfig, *, num_items: int, from_base: bool) -> TrainConfig:
    """The same for pre-training on images or recordings, where the loss falls for hundreds of epochs of a small set."""
    limits = config.schedule
    epochs = config.epochs
    if epochs is None and limits.steps is None and limits.tokens is None:
        epochs = max(1, min(PATCH_EPOCHS, math.ceil(PATCH_ITEMS / num_items)))
    batch_size = config.batch_size or (32 if num_items < 4000 else 128)
    steps = min(limits.steps or math.inf, (epochs or 1) * math.ceil(num_items / batch_size))
    return replace(
        config,
        epochs=epochs,
        batch_size=batch_size,
        lr=config.lr or (2e-4 if from_base else 1e-3),
        warmup=PRETRAIN_WARMUP if config.warmup is None else config.warmup,
        schedule=replace(limits, evaluate_steps=limits.evaluate_steps or max(1, math.ceil(steps / EVALUATIONS))),
    )


def from_scratch(
    size: str,
    *,
    max_positions: int,
    causal: bool = False,
    kinds: Collection[str] = ("text",),
    num_records: int = 0,
    writes: bool = False,
) -> TrunkConfig:
    """The trunk of a named size, for training without a base: BERT's switches or, with `causal`, Llama's.

    kinds: the modalities that are read; without text the usual size is that of their recipe for `num_records`.
    writes: another half of as many layers will write an answer.

    SwiGLU has three matrices where others have two; at 8/3 of the width it has as many weights (Shazeer 2020).
    """
    if size not in SIZES:
        raise UserError(f"--size: expected one of {', '.join(SIZES)}, got '{size}'.{nearest(size, SIZES)}")
    layers, dim, heads = SIZES[size]
    own = recipe(kinds, num_records, writes=writes)
    if own is not None:
        usual = size == TextConfig.size
        layers, dim, heads = own.size if usual else (layers, dim, heads)
        return TrunkConfig(
            dim=dim,
            num_layers=layers,
            ffn_dim=own.ffn_dim if usual else 4 * dim,
            norm_place=own.norm_place,
            norm_eps=PAIR_NORM_EPS if writes else TrunkConfig.norm_eps,
            dropout=own.dropout,
            num_segments=0,
            positions=PositionConfig(kind="learned" if max_positions > 1 else "none", max_positions=max_positions),
            attention=AttentionConfig(num_heads=heads),
        )
    if causal:
        return TrunkConfig(
            dim=dim,
            num_layers=layers,
            ffn_dim=32 * round(dim * 8 / 3 / 32),
            ffn_bias=False,
            activation="swiglu",
            norm="rms",
            norm_place="before",
            norm_eps=1e-6,
            dropout=0.0,
            num_segments=0,
            entry_norm=False,
            causal=True,
            positions=PositionConfig(kind="rotary", max_positions=max_positions),
            attention=AttentionConfig(num_heads=heads, bias=False),
        )
    return TrunkConfig(
        dim=dim,
        num_layers=layers,
        ffn_dim=4 * dim,
        positions=PositionConfig(max_positions=max_positions),
        attention=AttentionConfig(num_heads=heads),
    )
