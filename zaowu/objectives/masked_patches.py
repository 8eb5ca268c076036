"""Masked patches: most of an image or a recording is hidden, and the model paints it in (He et al. 2022).

The trunk sees the patches that are left and nothing else, which makes a step two to three times as fast and leaves no
mask vector in it that later data would not have. Behind it stands a small decoder that is thrown away after:

    y = blocks([W states where seen, m where hidden] + places),  loss = mean (V y_t - x_t)^2 over hidden patches t

x_t are the values of a patch, less their mean and divided by their deviation: to say the mean of every patch costs 1.
Of sounds a patch is two frames of all mels, and several in a row are hidden together, as one alone could be told from
its neighbours (Huang et al. 2022). The draws hang on (seed, epoch, record id): every epoch hides others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zaowu.config import PositionConfig, TrunkConfig
from zaowu.inputs.image.embedder import sinusoids
from zaowu.objectives import Recipe, Tally
from zaowu.records.identity import mixed
from zaowu.targets import LossSum, Metric
from zaowu.trunk.transformer.encoder import Encoder
from zaowu.trunk.transformer.linear import INIT_STD, Linear

SHARE = 0.7  # of the patches that are hidden
SALT = np.uint64(0x3A5CED)  # apart from the draws of augmentation
EPS = 1e-6  # of a patch's variance, in values from 0 to 1
DECODER_LAYERS = 2
PADDING, SEEN, HIDDEN = -1.0, 0.0, 1.0


class MaskedPatches:
    """In place of rows of a shard it is given the patches of one record at a time (`hide`).

    run: patches in a row that are hidden together. answers of a batch: (B, T, 1 + P) float32; the first column says
    whether a patch is hidden (1), seen (0) or none (-1), the others what is to be painted.
    """

    name: ClassVar[str] = "masked_patches"
    reads: ClassVar[Literal["tokens"]] = "tokens"
    layout: ClassVar[Literal["patches"]] = "patches"
    head_name: ClassVar[str] = "painter"
    metrics: ClassVar[Mapping[str, Metric]] = {"loss": Metric(higher_is_better=False)}
    primary: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, recipe: Recipe | None = None, *, run: int = 1) -> None:
        self.recipe, self.run = recipe, run

    def num_hidden(self, length: int) -> int:
        """Whole runs that are hidden of `length` patches; at least one run is left."""
        runs = -(-length // self.run)
        return max(0, min(runs - 1, length // self.run, int(SHARE * runs)))

    def num_seen(self, length: int) -> int:
        """Of `length` patches: it hangs on their number alone."""
        return length - self.num_hidden(length) * self.run

    def hide(self, patches: np.ndarray, chance: int) -> tuple[np.ndarray, np.ndarray]:
        """(T, P) values -> places of those that are seen, ascending, and the answers (T, 1 + P) float32.

        chance: 64 bits. Where the last run would be shorter than the others, runs begin at a place drawn by chance.
        """
        length = len(patches)
        whole, rest = divmod(length, self.run)
        draws = mixed(np.uint64(chance) ^ SALT ^ mixed(np.arange(whole + 1, dtype=np.uint64)))
        first = int(draws[-1] % np.uint64(rest + 1))
        hidden = np.zeros(length, bool)
        for start in np.argsort(draws[:-1], kind="stable")[: self.num_hidden(length)] * self.run + first:
            hidden[start : start + self.run] = True
        values = patches.astype(np.float32)
        mean, variance = values.mean(1, keepdims=True), values.var(1, keepdims=True)
        painted = (values - mean) / np.sqrt(variance + EPS)
        return np.flatnonzero(~hidden), np.concatenate((hidden[:, None].astype(np.float32), painted), 1)

    def head(self, config: TrunkConfig, embedder: Any) -> Painter:
        return Painter(config, embedder)

    def loss(self, head: Painter, states: Tensor, answers: Tensor, weights: Tensor) -> LossSum:
        """Squared error of the hidden patches, the mean over a patch's values, summed; each weighs as its record."""
        hidden = answers[..., 0] == HIDDEN
        if not bool(hidden.any()):
            return LossSum(sum=states.sum() * 0, count=0.0)
        errors = (head(states, answers) - answers[..., 1:][hidden]).square().mean(1)  # (M,)
        weight = weights[:, None].expand(hidden.shape)[hidden]
        return LossSum(sum=errors @ weight, count=float(weight.sum()))

    def count(self, answers: Tensor, weights: Tensor) -> float:
        return float(((answers[..., 0] == HIDDEN).sum(1) * weights).sum())

    def judge(self, head: Painter, states: Tensor, answers: Tensor, weights: Tensor) -> Tally:
        found = self.loss(head, states, answers, weights)
        return Tally(loss=float(found.sum), count=float(found.count))

    def score(self, tally: Tally) -> dict[str, float]:
        """loss: 1 for a model that paints every patch in its mean."""
        return {"loss": tally.means()[0]}


class Painter(nn.Module):
    """The decoder: states of what is seen (B, S, D) -> values of what is hidden (M, P), record after record.

    embedder: of the images or sounds; it says how many values a patch has, and where patches stand.
    """

    def __init__(self, config: TrunkConfig, embedder: Any) -> None:
        super().__init__()
        dim = max(32, config.dim // 2 // 2 * 2)
        grid: tuple[int, int] | None = getattr(embedder, "grid", None)
        self.blank = int(getattr(embedder, "cls", None) is not None)  # tokens without a patch that stand first
        small = replace(
            config,
            dim=dim,
            num_layers=DECODER_LAYERS,
            ffn_dim=4 * dim,
            dropout=0.0,
            positions=PositionConfig(kind="sinusoidal") if grid is None else PositionConfig(kind="none"),
            attention=replace(config.attention, num_heads=math.gcd(dim, config.attention.num_heads), dropout=0.0),
        )
        self.entry = Linear(config.dim, dim)
        self.mask = nn.Parameter(torch.zeros(dim))
        self.decoder = Encoder(small)
        self.output = Linear(dim, embedder.patch_dim)
        self.places: Tensor | None
        self.register_buffer("places", None if grid is None else sinusoids(grid, dim), persistent=False)

    def initialise(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.mask.normal_(0.0, INIT_STD, generator=generator)

    def forward(self, states: Tensor, answers: Tensor) -> Tensor:
        kinds = answers[..., 0]  # (B, T)
        seen, real = kinds == SEEN, kinds != PADDING
        states = states[:, self.blank :]
        given = torch.arange(states.shape[1], device=states.device) < seen.sum(1, keepdim=True)  # (B, S)
        known = self.entry(states[given])  # in the order of `seen`: record after record, place after place
        x = self.mask.to(known.dtype).expand(*kinds.shape, -1).masked_scatter(seen[..., None], known)
        if self.places is not None:
            x = x + self.places[:, : x.shape[1]]
        places = torch.arange(x.shape[1], device=x.device).expand(kinds.shape)
        decoded = self.decoder(x, mask=real, positions=places, segments=torch.zeros_like(places))
        painted: Tensor = self.output(decoded[kinds == HIDDEN])
        return painted
