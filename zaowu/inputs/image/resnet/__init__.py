"""A convolutional network of others before the trunk: its config as plain data, without torch."""

from __future__ import annotations

from typing import Any

from zaowu.errors import UserError, shorten

LAYERS = ("basic", "bottleneck")
ACTIVATIONS = ("relu", "gelu", "silu")
MOST_STAGES, MOST_DEPTH, MOST_WIDTH = 8, 100, 16_384
STEM_STRIDE = 4  # of its first convolution and the pooling behind it
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # what nearly all of them were trained with


def read_config(data: Any, *, where: str) -> dict[str, Any]:
    """The fields of a ResNet's `config.json` that shape it, in the form that runs keep.

    Raises UserError naming the field for another kind of network, and for what is wrong or absurd.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object, got {type(data).__name__}.")

    def wrong(name: str, expected: str) -> UserError:
        return UserError(f"{where}, '{name}': expected {expected}, got {shorten(repr(data.get(name)))}.")

    if data.get("model_type") != "resnet":
        raise wrong("model_type", "resnet, the network that hf: opens")
    found: dict[str, Any] = {"model_type": "resnet"}
    lists = (("hidden_sizes", [256, 512, 1024, 2048], MOST_WIDTH), ("depths", [3, 4, 6, 3], MOST_DEPTH))
    for name, usual, most in lists:
        values = data.get(name, usual)
        good = isinstance(values, (list, tuple)) and 1 <= len(values) <= MOST_STAGES
        if not good or not all(type(value) is int and 1 <= value <= most for value in values):
            raise wrong(name, f"1 to {MOST_STAGES} whole numbers up to {most:,}")
        found[name] = list(values)
    if len(found["hidden_sizes"]) != len(found["depths"]):
        raise wrong("depths", f"one number for each of the {len(found['hidden_sizes'])} hidden_sizes")
    for name, number, most in (("num_channels", 3, 3), ("embedding_size", 64, MOST_WIDTH)):
        found[name] = data.get(name, number)
        if type(found[name]) is not int or not 1 <= found[name] <= most or found["num_channels"] == 2:
            raise wrong(name, "1 or 3" if name == "num_channels" else f"a whole number up to {most:,}")
    for name, choices in (("layer_type", LAYERS[::-1]), ("hidden_act", ACTIVATIONS)):
        found[name] = data.get(name, choices[0])
        if found[name] not in choices:
            raise wrong(name, " or ".join(choices))
    for name in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        found[name] = data.get(name, False)
        if type(found[name]) is not bool:
            raise wrong(name, "true or false")
    return found


def stride(config: dict[str, Any]) -> int:
    """Pixels, each way, that one place of the last feature map stands for."""
    return STEM_STRIDE << (len(config["depths"]) - 1 + config["downsample_in_first_stage"])
