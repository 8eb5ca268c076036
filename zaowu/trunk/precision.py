"""Which numbers to compute in: what the processor is fast at."""

from __future__ import annotations

import torch
from torch import nn

from zaowu.errors import UserError
from zaowu.progress import note


def choose(precision: str, device: torch.device) -> torch.dtype:
    """float32, or bfloat16 where the hardware multiplies it faster. Raises UserError for an unknown word."""
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"--precision: expected auto, fp32 or bf16, got '{precision}'.")
    fast = _has_bf16(device)
    if precision == "bf16" and not fast:
        note("--precision bf16: this processor has no instructions for it and will be slower than with fp32.")
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast) else torch.float32


def use(model: nn.Module, dtype: torch.dtype) -> None:
    """From here on products of the trunk, and of embedders that can, are in `dtype`; weights, sums, norms and softmax
    stay float32."""
    for layer in model.modules():
        compute_in = getattr(layer, "compute_in", None)
        if compute_in is not None:
            compute_in(dtype)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = torch.backends.cpu.get_cpu_capability()
    return capabilities.startswith("AVX512") and torch.cpu._is_avx512_bf16_supported()
