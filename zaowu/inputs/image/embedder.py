"""Patches of an image -> token vectors, by one matrix (Dosovitskiy et al. 2021) or by a few convolutions.

    patch:  x_t = W patch_t + b + P[t]
    resnet: the same with a network of others in place of the stem
    conv:   x_t = W stem(image)_t + b + P[t],  stem: 3x3 convolutions, each with a norm, that halve the sides until
            one place is left for each patch                                       (Xiao et al. 2021)

P is a table, learned (as in ViT) or fixed: sines and cosines of the row in one half, of the column in the other
(Beyer et al. 2022). The norm is over groups of one image's own channels, so a record's vectors hang on that record
alone, in training too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zaowu.inputs.image.resnet.embedder import ResNet

GROUP = 8  # channels that share a norm's mean and deviation
LEAST_WIDTH, WIDTH = 32, 128  # channels: the last convolution has the most, each one before it half as many


class ImageEmbedding(nn.Module):
    """patches (B, T, P) uint8 -> (B, T, D). P = C p p values, channel by channel; T = the grid's places, row by row.

    places: (B, S) where only some patches are given, with the stem "patch": which of the T tokens they are.

    mean, std: (C,) of the pixels as shares of 255. stem: "patch", "conv" or "resnet"; for "conv" p is a power of two.
    network, frozen: for "resnet": its config, and whether it keeps its weights.
    cls: as in ViT: the first of the T tokens is a learned one (what stands in its patch is not looked at), and
    places are learned.
    """

    def __init__(
        self,
        dim: int,
        *,
        grid: tuple[int, int],
        patch: int,
        mean: Sequence[float],
        std: Sequence[float],
        stem: str = "patch",
        cls: bool = False,
        network: Mapping[str, Any] | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.grid, self.patch, self.channels = grid, patch, len(mean)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None] * 255, persistent=False)  # (C, 1)
        self.register_buffer("std", torch.tensor(std)[:, None] * 255, persistent=False)
        self.stem: ConvStem | ResNet | None = None
        if stem == "conv":
            self.stem = ConvStem(self.channels, halvings=int(math.log2(patch)))
        elif stem == "resnet":
            assert network is not None
            self.stem = ResNet(network, frozen=frozen)
        width, side = (self.channels, patch) if self.stem is None else (self.stem.width, 1)
        self.projection = nn.Conv2d(width, dim, side, stride=side)  # its weights; `forward` multiplies
        self.cls: nn.Parameter | None = None
        if cls:
            self.cls = nn.Parameter(torch.zeros(1, 1, dim))
            self.positions: Tensor = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], dim))
        else:
            self.register_buffer("positions", sinusoids(grid, dim), persistent=False)

    def initialise(self, generator: torch.Generator) -> None:
        """The projection so that its outputs have about the deviation of its inputs; what is learned of places 0.02."""
        with torch.no_grad():
            fan_in = self.projection.weight[0].numel()
            self.projection.weight.normal_(0.0, fan_in**-0.5, generator=generator)
            assert self.projection.bias is not None
            self.projection.bias.zero_()
            if self.cls is not None:
                self.cls.normal_(0.0, 0.02, generator=generator)
                self.positions.normal_(0.0, 0.02, generator=generator)

    @property
    def patch_dim(self) -> int:
        """Values of a patch."""
        return self.channels * self.patch**2

    def forward(self, patches: Tensor, places: Tensor | None = None) -> Tensor:
        blank = 0 if self.cls is None else 1
        pixels = patches[:, blank:].unflatten(2, (self.channels, -1)).float()  # (B, T, C, p p)
        pixels = (pixels - self.mean) / self.std
        if self.stem is not None:
            pixels = self.stem(self.fold(pixels)).flatten(2).transpose(1, 2)  # (B, T, width)
        x = F.linear(pixels.flatten(2), self.projection.weight.flatten(1), self.projection.bias)  # (B, T, D)
        if self.cls is not None:
            x = torch.cat((self.cls.expand(len(x), 1, -1), x), 1)
        return x + (self.positions if places is None else self.positions[0][places])

    def fold(self, pixels: Tensor) -> Tensor:
        """(B, T, C, p p) -> (B, C, height, width)."""
        batch, p = len(pixels), self.patch
        grid = pixels.view(batch, *self.grid, self.channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return grid.reshape(batch, self.channels, self.grid[0] * p, self.grid[1] * p)


class ConvStem(nn.Module):
    """(B, C, H, W) -> (B, WIDTH, H / 2^halvings, W / 2^halvings) through 1 + halvings convolutions, at least two."""

    dtype: torch.dtype | None = None  # what convolutions are computed in; None = the weights' own

    def __init__(self, channels: int, *, halvings: int) -> None:
        super().__init__()
        last = max(1, halvings)
        widths = [max(LEAST_WIDTH, WIDTH >> (last - index)) for index in range(last + 1)]
        self.width = WIDTH
        self.convs = nn.ModuleList(
            nn.Conv2d(inside, width, 3, stride=2 if 0 < index <= halvings else 1, padding=1, bias=False)
            for index, (inside, width) in enumerate(zip([channels, *widths[:-1]], widths, strict=True))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(width // GROUP, width) for width in widths)

    def compute_in(self, dtype: torch.dtype) -> None:
        """From here on, convolutions in `dtype`; sums of the norms stay float32."""
        self.dtype = None if dtype == torch.float32 else dtype

    def initialise(self, generator: torch.Generator) -> None:
        """He et al. 2015, for what a ReLU leaves."""
        with torch.no_grad():
            for conv in self.convs:
                assert isinstance(conv, nn.Conv2d)
                conv.weight.normal_(0.0, (2 / conv.weight[0].numel()) ** 0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.dtype is None else x.to(self.dtype)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, nn.Conv2d)
            x = F.conv2d(x, conv.weight.to(x.dtype), stride=conv.stride, padding=1)
            x = F.relu(norm(x))
        return x.float()


def sinusoids(grid: tuple[int, int], dim: int) -> Tensor:
    """(1, T, D): sines and cosines of the row in the first half of the coordinates, of the column in the second."""
    half = (dim + 3) // 4 * 2  # even, and two of them are at least dim
    angles = 10000.0 ** (-torch.arange(0, half, 2, dtype=torch.float64) / half)
    tables = []
    for side in grid:
        turned = torch.arange(side, dtype=torch.float64)[:, None] * angles  # (side, half / 2)
        tables.append(torch.cat((turned.sin(), turned.cos()), 1))  # (side, half)
    rows = tables[0][:, None, : dim - dim // 2].expand(*grid, -1)
    columns = tables[1][None, :, : dim // 2].expand(*grid, -1)
    return torch.cat((rows, columns), 2).reshape(1, -1, dim).float()


def resized(table: Tensor, *, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Learned places (1, 1 + T, D) of one grid as those of another; the first, of CLS, stays.

    Bicubic: Dosovitskiy et al. 2021, section 3.2, and their published code.
    """
    if old == new:
        return table
    places = table[:, 1:].unflatten(1, old).permute(0, 3, 1, 2)  # (1, D, h, w)
    places = F.interpolate(places, size=new, mode="bicubic", align_corners=False)
    return torch.cat((table[:, :1], places.flatten(2).transpose(1, 2)), 1)
