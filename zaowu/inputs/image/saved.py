"""What a run says of its column of images, checked before anything is made of it."""

from __future__ import annotations

import math
from typing import Any

from zaowu.errors import UserError, shorten
from zaowu.inputs.image import resnet

MAX_SIDE = 1024  # pixels
STEMS = ("conv", "patch", "resnet")


def checked(state: Any, *, where: str) -> dict[str, Any]:
    """The arguments of `Input`. Raises UserError naming `where` for anything made up."""
    if not isinstance(state, dict):
        raise UserError(f"{where}: expected an object, got {type(state).__name__}.")

    def wrong(name: str, expected: str) -> UserError:
        return UserError(f"{where}, '{name}': expected {expected}, got {shorten(repr(state.get(name)))}.")

    columns, size, patch, channels = (state.get(name) for name in ("columns", "size", "patch", "channels"))
    if not (isinstance(columns, list) and len(columns) == 1 and type(columns[0]) is str):
        raise wrong("columns", "a list of one column's name")
    if type(patch) is not int or not 1 <= patch <= MAX_SIDE:
        raise wrong("patch", f"a whole number from 1 to {MAX_SIDE}")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
        raise wrong("size", "a height and a width")
    if any(not patch <= side <= MAX_SIDE + patch or side % patch for side in size):
        raise wrong("size", f"multiples of {patch} up to {MAX_SIDE}")
    if type(channels) is not int or channels not in (1, 3):
        raise wrong("channels", "1 or 3")
    for name, least in (("mean", 0.0), ("std", 1e-6)):
        if not (_numbers(state.get(name), channels) and all(least <= value <= 1 for value in state[name])):
            raise wrong(name, f"{channels} numbers from {least:g} to 1")
    levels = state.get("levels", -1)
    if levels is not None and not (_numbers(levels, 2) and levels[0] < levels[1]):
        raise wrong("levels", "nothing, or two numbers, the lower first")
    stem, network = state.get("stem"), state.get("network")
    if stem not in STEMS or (stem == "conv" and patch & (patch - 1)):
        raise wrong("stem", "patch, resnet, or conv with a patch of 1, 2, 4, 8, ... pixels")
    if (network is None) != (stem != "resnet"):
        raise wrong("network", "the config of a network with the stem resnet, and only there")
    if network is not None:
        network = resnet.read_config(network, where=f"{where}, 'network'")
        if resnet.stride(network) != patch or network["num_channels"] != channels:
            raise wrong("network", f"one of {channels} channels that halves the sides down to 1 / {patch}")
    for name, usual in (("flip", None), ("cls", None), ("frozen", False)):
        if type(state.get(name, usual)) is not bool:
            raise wrong(name, "true or false")
    if state["cls"] and stem != "patch":
        raise wrong("cls", f"false with the stem {stem}")
    return {
        "columns": columns,
        "size": (size[0], size[1]),
        "patch": patch,
        "channels": channels,
        "mean": state["mean"],
        "std": state["std"],
        "levels": None if levels is None else (levels[0], levels[1]),
        "stem": stem,
        "flip": state["flip"],
        "cls": state["cls"],
        "network": network,
        "frozen": state.get("frozen", False),
    }


def _numbers(values: Any, count: int) -> bool:
    good = isinstance(values, list) and len(values) == count
    return good and all(type(value) in (int, float) and math.isfinite(value) for value in values)
