"""Frames of a spectrogram -> token vectors: the convolutional stem of Whisper (Radford et al. 2022, section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUT_STD = 0.02  # of a fresh stem's vectors, as of token and place vectors: neither may drown the other


class Stem(nn.Module):
    """(B, T, R, M) -> (B, T, D): R frames of M mels become one token.

    h = gelu(conv(x)), then once for each halving of time: h = gelu(conv(h)); kernels of 3 frames, zeros at both ends.
    With R = 2 it is the stem of Whisper, weight for weight. A token sees 2 R + 1 frames, and past the end of
    a recording only one, of the padding, which is zero: so is what a convolution finds behind its last frame.
    """

    def __init__(self, num_mels: int, dim: int, *, frames: int) -> None:
        super().__init__()
        self.patch_dim = frames * num_mels  # values that become one token
        self.conv1 = nn.Conv1d(num_mels, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(dim, dim, 3, stride=2, padding=1) if frames == 4 else None

    def initialise(self, generator: torch.Generator) -> None:
        """Normal, so that vectors keep their size from layer to layer (He et al. 2015); the last layer makes 0.02."""
        convs = [conv for conv in (self.conv1, self.conv2, self.conv3) if conv is not None]
        with torch.no_grad():
            for conv in convs:
                std = (2.0 / (conv.in_channels * 3)) ** 0.5
                conv.weight.normal_(0.0, std, generator=generator)
                assert conv.bias is not None
                conv.bias.zero_()
            convs[-1].weight.mul_(OUTPUT_STD)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.flatten(1, 2)  # (B, T R, M)
        for conv in (self.conv1, self.conv2, self.conv3):
            if conv is not None:
                x = F.gelu(_convolved(x, conv))
        return x  # (B, T, D)


def _convolved(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """(B, F, M) -> (B, F / stride, D), as one matrix product: alike to the last digits beside any padding."""
    count, step = x.shape[1] // conv.stride[0], conv.stride[0]
    padded = F.pad(x, (0, 0, 1, 1))
    near = torch.cat([padded[:, tap : tap + step * count : step] for tap in range(3)], dim=2)  # (B, F / stride, 3 M)
    return F.linear(near, conv.weight.transpose(1, 2).flatten(1), conv.bias)
