"""Normalisation of one token's vector; no token sees another one here."""

from __future__ import annotations

from torch import nn

from zaowu.config import TrunkConfig


def norm(config: TrunkConfig) -> nn.Module:
    """(..., D) -> (..., D), as the config's `norm` says.

    layer: (x - mean(x)) / sqrt(var(x) + eps) * gain + bias    Ba et al. 2016; var divides by D
    rms:   x / sqrt(mean(x^2) + eps) * gain                    Zhang and Sennrich 2019
    none:  x                                                   ReZero does without (Bachlechner et al. 2020)
    """
    if config.norm == "layer":
        return nn.LayerNorm(config.dim, eps=config.norm_eps)
    if config.norm == "rms":
        return nn.RMSNorm(config.dim, eps=config.norm_eps)
    return nn.Identity()
