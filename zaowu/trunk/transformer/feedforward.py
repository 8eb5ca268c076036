"""The position-wise feed-forward network: every token is thought over alone, with the same weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zaowu.config import TrunkConfig
from zaowu.trunk.kernels import gelu as kernel
from zaowu.trunk.transformer.linear import Linear


def activate(x: Tensor, *, kind: str) -> Tensor:
    """gelu: x Phi(x); gelu_tanh: its tanh approximation (Hendrycks and Gimpel 2016); relu; silu: x sigmoid(x)."""
    if kind == "gelu":
        return kernel.gelu(x) if kernel.fits(x) else F.gelu(x)
    if kind == "gelu_tanh":
        return F.gelu(x, approximate="tanh")
    if kind == "relu":
        return F.relu(x)
    assert kind == "silu", kind
    return F.silu(x)


class FeedForward(nn.Module):
    """(N, D) -> (N, D).

    FFN(x) = W_down f(W_up x + b_up) + b_down                                  (Vaswani et al. 2017, 3.3)
    swiglu: W_down (silu(W_gate x + b_gate) * (W_up x + b_up)) + b_down        (Shazeer 2020)
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.kind = config.activation
        self.up = Linear(config.dim, config.ffn_dim, bias=config.ffn_bias)
        if self.kind == "swiglu":
            self.gate = Linear(config.dim, config.ffn_dim, bias=config.ffn_bias)
        self.down = Linear(config.ffn_dim, config.dim, bias=config.ffn_bias)

    def forward(self, x: Tensor, *, stay_low: bool = False) -> Tensor:
        up = self.up(x, stay_low=True)
        if self.kind == "swiglu":
            return self.down(F.silu(self.gate(x, stay_low=True)) * up, stay_low=stay_low)
        return self.down(activate(up, kind=self.kind), stay_low=stay_low)
