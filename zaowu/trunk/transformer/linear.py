"""y = x W^T + b: the only place where the trunk multiplies by a weight matrix."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

INIT_STD = 0.02  # Devlin et al. 2019, section A.2 and the published code


class Linear(nn.Linear):
    """(..., in) -> (..., out). Weights start as a normal of 0.02, biases at zero."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=INIT_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)
