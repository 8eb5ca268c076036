"""The adapter for the ResNets of `transformers` (He et al. 2016): an image -> the feature map of its last stage.

`transformers` builds the network from a plain config; nothing of a folder runs. Norms over a batch keep the statistics
that the network came with, so that a record's vectors hang on that record alone, in training too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from zaowu.errors import UserError, shorten

PREFIX = "resnet."  # before the names in a file that has an output layer too
INSTALL = "pip install 'zaowu[hub]'"


class ResNet(nn.Module):
    """(B, C, H, W) -> (B, width, H / stride, W / stride). frozen: its weights stay what they are.

    Raises UserError where transformers is not installed.
    """

    def __init__(self, config: Mapping[str, Any], *, frozen: bool) -> None:
        super().__init__()
        try:
            from transformers import ResNetConfig, ResNetModel
        except ImportError:
            raise UserError(
                f"A ResNet before the trunk needs transformers, which is not installed: {INSTALL}."
            ) from None
        own = {name: value for name, value in config.items() if name != "model_type"}
        self.network = ResNetModel(ResNetConfig(**own))
        self.width, self.frozen = config["hidden_sizes"][-1], frozen
        for name, module in list(self.network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                owner, _, last = name.rpartition(".")
                setattr(self.network.get_submodule(owner), last, FixedNorm(module))
        self.network.requires_grad_(not frozen)

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            states: Tensor = self.network(images).last_hidden_state
        return states


class FixedNorm(nn.Module):
    """A norm over batches by the statistics that it has, under the same names; gain and shift may learn."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias
        assert norm.running_mean is not None and norm.running_var is not None
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def read_weights(path: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's tensors, float32, from their file, compared with the config before any is read.

    Raises UserError naming the tensor that is missing or has another shape.
    """
    with torch.device("meta"):
        expected = {name: tuple(one.shape) for name, one in ResNet(config, frozen=True).network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            before = PREFIX if any(name.startswith(PREFIX) for name in names) else ""
            for name, shape in expected.items():
                if before + name not in names:
                    raise UserError(f"{path}: the tensor '{before + name}' is missing; the file and its config.json do "
                                    "not fit together.")  # fmt: skip
                if (got := tuple(file.get_slice(before + name).get_shape())) != shape:
                    raise UserError(
                        f"{path}, '{before + name}': expected the shape {shape} by its config.json, got {got}."
                    )
            return {name: file.get_tensor(before + name).float() for name in expected}
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; other formats are not read, since they can run code."
        ) from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: this is not a whole safetensors file ({shorten(error, 200)}).") from None
