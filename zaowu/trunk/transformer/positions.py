"""How a token knows its place. Attention alone is blind to order: permuted tokens give permuted states.

learned:     x + P[p], one row of a table for each place                                  (Devlin et al. 2019)
sinusoidal:  x + S(p), S(p)[2i] = sin(p / base^(2i/D)), S(p)[2i+1] = cos(p / base^(2i/D))
             S(p + k) is a rotation of S(p) by an angle that depends on k alone           (Vaswani et al. 2017, 3.5)
             with `halves` the same numbers, all sines first                    (Marian, and the code of the paper)
rotary:      queries and keys are turned by an angle proportional to p, so that their product
             depends on the distance alone:  (R_p q) . (R_s k) = q . R_(s-p) k            (Su et al. 2021)
"""

from __future__ import annotations

import torch
from torch import Tensor


def frequencies(dim: int, base: float, device: torch.device) -> Tensor:
    """(dim / 2,) angles per step, base^(-2i/dim): from 1 down to almost 1/base; float64."""
    return base ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)


def sinusoids(positions: Tensor, *, dim: int, base: float, halves: bool = False) -> Tensor:
    """(N,) places -> (N, D) vectors, sines at even and cosines at odd coordinates, or in two halves; float32."""
    angles = positions[:, None] * frequencies(dim, base, positions.device)  # (N, D / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-2 if halves else -1).flatten(1).float()


def rotation(positions: Tensor, *, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """(N,) places -> cosines and sines of the angles, (N, 1, K / 2) each; float32."""
    angles = positions[:, None, None] * frequencies(head_dim, base, positions.device)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(N, H, K) -> (N, H, K): coordinates i and i + K/2 are turned together by their angle.

    This is the pairing of published rotary models (LLaMA); the paper pairs 2i with 2i + 1, the same up to
    a permutation of the rows of the query and key weights.
    """
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)
