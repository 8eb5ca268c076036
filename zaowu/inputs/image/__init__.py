"""Images: one column of paths, encoded files or arrays -> patches (numpy, bytes) -> token vectors.

All images of a column are brought to one size, chosen from the training images: 28 stays 28, photographs become at
most 224 on their longer side. They are cut into patches, one token each, so that some 49 to 64 tokens are left.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zaowu.errors import UserError, shorten
from zaowu.inputs import Feature, Shown
from zaowu.inputs.image.augment import augment, cut, join
from zaowu.inputs.image.clean import clean, guess
from zaowu.inputs.image.hog import HogFeatures as BaselineFeatures
from zaowu.inputs.image.pixels import (
    ENDINGS,
    Unreadable,
    decode,
    levels_of,
    looks_like_image as begins,
    read,
    to_size,
)
from zaowu.inputs.image.saved import MAX_SIDE, checked
from zaowu.inputs.image.store import LazyItem, Store

if TYPE_CHECKING:
    from torch import Tensor

    from zaowu.inputs.image.embedder import ImageEmbedding

__all__ = ["ENDINGS", "SETTINGS", "BaselineFeatures", "Input", "begins", "clean", "guess"]

KIND = "image"
SETTINGS: dict[str, tuple[str, ...]] = {
    "stem": ("conv", "patch"),
    "flip": ("auto", "yes", "no"),
    "size": (),
    "mixup": ("yes", "no"),
    "frozen": ("yes", "no"),  # of a network that is put before the trunk
}
LEAST_PLACES = 4  # a side, of such a network's feature map
LEAST_SIDE, MOST_SIDE = 8, 224  # chosen by itself
MAX_RATIO = 4  # of the sides; longer strips are squeezed
TOKENS_A_SIDE = 7.5  # aimed at
MAX_HALVINGS = 5
SAMPLE = 2000  # training images that size and statistics are taken from
FLIP_FROM = 32  # pixels
THUMBNAIL = 160


class Input:
    """One column of images.

    size: (height, width) in pixels, whole numbers of `patch`. channels: 1 (grey) or 3. mean, std: (C,) of the
    training pixels as shares of 255. levels: which values are black and white in images of more than 8 bits.
    cls: as in ViT, a token without pixels stands first and places are learned. network: the config of a ResNet before
    the trunk, with the stem "resnet"; frozen: it does not learn. mixes: training mixes images, two and two.
    """

    mixes = False

    kind: ClassVar[str] = KIND
    numbered: ClassVar[bool] = False

    def __init__(
        self,
        columns: Sequence[str],
        *,
        size: tuple[int, int],
        patch: int,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
        levels: tuple[float, float] | None = None,
        stem: str = "conv",
        flip: bool = False,
        cls: bool = False,
        network: dict[str, Any] | None = None,
        frozen: bool = False,
    ) -> None:
        self.columns, self.size, self.patch, self.channels = tuple(columns), size, patch, channels
        self.mean, self.std, self.levels = tuple(mean), tuple(std), levels
        self.stem, self.flip, self.cls = stem, flip, cls
        self.network, self.frozen = network, frozen

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str | bytes | None]],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        base: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
    ) -> Input:
        """Size, channels and statistics of the training images; of up to `SAMPLE` of them, evenly spread.

        flip=auto turns images over in training where they are in colour and not tiny: digits, letters and scans are
        mostly grey, and have a left and a right. base: of a base whose embedder is to be used: patch, channels, mean
        and std, which are then not those of the training images; of a ViT also its height and width, of a ResNet its
        config, network. Raises UserError where no image is left, or one cannot be read.
        """
        (name,) = columns
        chosen = (settings or {}).get(name, {})
        if "frozen" in chosen and "network" not in (base or {}):
            raise UserError(f"--column {name}:frozen: there is no network before the trunk; --base hf:FOLDER puts one.")
        own_size = _size_of_base(base, chosen, name) if base is not None and "height" in base else None
        there = [value for value in values[0] if value is not None]
        if not there:
            raise UserError(f"column '{name}': expected images to learn from, got none.")
        index = np.unique(np.linspace(0, len(there) - 1, SAMPLE).round().astype(int))
        near = (int(chosen.get("size", MOST_SIDE)),) * 2
        samples = [_decoded(there[i], name, near=near) for i in index]
        size, patch = _choose_size(samples, chosen.get("size"), name)
        deep = [one for one in samples if one.dtype != np.uint8]
        channels = 3 if any(map(_is_coloured, samples)) else 1
        levels = levels_of(deep) if deep else None
        pixels = np.stack([to_size(one, size, channels=channels, levels=levels) for one in samples]) / np.float32(255)
        mean, std = pixels.mean((0, 1, 2), np.float64), pixels.std((0, 1, 2), np.float64)
        flip = chosen.get("flip", "auto")
        made = cls(
            columns,
            size=size,
            patch=patch,
            channels=channels,
            mean=[round(float(value), 6) for value in mean],
            std=[round(float(value), 6) if value > 1e-3 else 1.0 for value in std],  # a constant column stays 0
            levels=levels,
            stem=chosen.get("stem", "conv"),
            flip=flip == "yes" or (flip == "auto" and channels == 3 and min(size) >= FLIP_FROM),
        )
        made.mixes = chosen.get("mixup") == "yes"
        if base is None:
            return made
        shape = {key: base[key] for key in ("patch", "channels", "mean", "std")}
        if own_size is not None:
            return made.for_base(size=own_size, **shape)
        if "stem" in chosen:
            raise UserError(f"--column {name}:stem={chosen['stem']}: the base is a stem itself. Leave it out.")
        return made.for_network(base["network"], frozen=chosen.get("frozen", "yes") == "yes", **shape)

    def for_network(
        self,
        network: dict[str, Any],
        *,
        patch: int,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
        frozen: bool,
    ) -> Input:
        """The same column as a ResNet sees it: each place of its feature map, `patch` pixels wide, is a token.

        Small images are enlarged, so that there are some places.
        """
        scale = max(1.0, LEAST_PLACES * patch / max(self.size))
        height, width = (min(_multiple(side * scale, patch), MAX_SIDE // patch * patch) for side in self.size)
        return Input(
            self.columns,
            size=(height, width),
            patch=patch,
            channels=channels,
            mean=mean,
            std=std,
            levels=self.levels,
            stem="resnet",
            flip=self.flip,
            network=network,
            frozen=frozen,
        )._mixing(self)

    def for_base(
        self, *, size: tuple[int, int], patch: int, channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> Input:
        """The same column as a ViT that others published sees it: its patches, channels and statistics."""
        return Input(
            self.columns,
            size=size,
            patch=patch,
            channels=channels,
            mean=mean,
            std=std,
            levels=self.levels,
            stem="patch",
            flip=self.flip,
            cls=True,
        )._mixing(self)

    def _mixing(self, other: Input) -> Input:
        """Itself, which mixes as the other does."""
        self.mixes = other.mixes
        return self

    def fitted(self, weights: Mapping[str, Tensor], facts: Mapping[str, int]) -> dict[str, Tensor]:
        """A base's embedder at this column's resolution. facts: the base's height, width and patch."""
        from zaowu.inputs.image.embedder import resized

        old = facts["height"] // facts["patch"], facts["width"] // facts["patch"]
        return {
            name: resized(one, old=old, new=self.grid) if name.endswith("positions") else one
            for name, one in weights.items()
        }

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def max_tokens(self) -> int:
        return self.grid[0] * self.grid[1] + self.cls

    @property
    def specs(self) -> dict[str, Feature]:
        return {"patches": Feature(np.uint8, pad=0, shape=(self.channels * self.patch**2,))}

    def features(
        self, *values: Sequence[str | bytes | None], training: bool = False, whole: bool = False
    ) -> list[LazyItem]:
        """One item for each image that is there."""
        store = Store(self, values[0])
        return [LazyItem(store, i, self.max_tokens) for i, value in enumerate(values[0]) if value is not None]

    def image(self, value: str | bytes) -> np.ndarray:
        """(H, W, C) uint8 of one value."""
        pixels = _decoded(value, self.columns[0], near=self.size)
        return to_size(pixels, self.size, channels=self.channels, levels=self.levels)

    def patches(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (T, C patch patch); the place of CLS is left blank."""
        found = cut(image, self.patch)
        return np.concatenate((np.zeros_like(found[:1]), found)) if self.cls else found

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """Moved, turned over where `flip` says so, in another light, a part hidden; by `chance` alone."""
        fill = np.round(np.array(self.mean) * 255).astype(np.uint8)
        image = join(features["patches"][int(self.cls) :], self.patch, self.size)
        return {"patches": self.patches(augment(image, chance, flip=self.flip, fill=fill))}

    def mix(self, features: dict[str, np.ndarray], other: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
        """share of one image over the rest of another."""
        one, two = (np.float32(part) * own["patches"] for part, own in ((share, features), (1 - share, other)))
        return {"patches": (one + two + np.float32(0.5)).astype(np.uint8)}

    def moved(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """Moved and turned over, and all of it there: for learning without labels."""
        image = join(features["patches"][int(self.cls) :], self.patch, self.size)
        return {"patches": self.patches(augment(image, chance, flip=self.flip, fill=None))}

    def embedder(self, dim: int) -> ImageEmbedding:
        from zaowu.inputs.image.embedder import ImageEmbedding

        return ImageEmbedding(
            dim,
            grid=self.grid,
            patch=self.patch,
            mean=self.mean,
            std=self.std,
            stem=self.stem,
            cls=self.cls,
            network=self.network,
            frozen=self.frozen,
        )

    def shown(self, *values: str | bytes | None) -> Shown:
        """A small picture, and the file's name or the size."""
        (value,) = values
        if value is None:
            return Shown("")
        from PIL import Image

        pixels = _decoded(value, self.columns[0], near=(THUMBNAIL, THUMBNAIL))
        height, width = pixels.shape[:2]
        scale = min(1.0, THUMBNAIL / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        small = to_size(pixels, size, channels=pixels.shape[2], levels=self.levels)
        stream = io.BytesIO()
        Image.fromarray(small[:, :, 0] if small.shape[2] == 1 else small).save(stream, "PNG")
        return Shown(self.words(value), "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode())

    def words(self, *values: str | bytes | None) -> str:
        (value,) = values
        if value is None:
            return ""
        return shorten(Path(value).name, 400) if isinstance(value, str) else f"image, {len(value):,} bytes"

    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "size": list(self.size),
            "patch": self.patch,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            "levels": None if self.levels is None else list(self.levels),
            "stem": self.stem,
            "flip": self.flip,
            "cls": self.cls,
            "network": self.network,
            "frozen": self.frozen,
        }

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes. Raises UserError naming `where` for anything made up."""
        return cls(**checked(state, where=where))


def _decoded(value: str | bytes, column: str, *, near: tuple[int, int]) -> np.ndarray:
    try:
        return decode(read(value), near=near)
    except Unreadable as error:
        name = f" '{shorten(Path(value).name)}'" if isinstance(value, str) else ""
        raise UserError(f"column '{column}'{name}: expected an image, got {error}.") from None


def _choose_size(samples: Sequence[np.ndarray], longest: str | None, name: str) -> tuple[tuple[int, int], int]:
    """(height, width) and the patch: the median sides of the training images, or the ratio of these at `longest`."""
    height, width = np.median([one.shape[:2] for one in samples], axis=0).tolist()
    most = max(height, width)
    height, width = max(height, most / MAX_RATIO), max(width, most / MAX_RATIO)
    if longest is not None and not LEAST_SIDE <= int(longest) <= MAX_SIDE:
        raise UserError(f"--column {name}:size={longest}: expected {LEAST_SIDE} to {MAX_SIDE} pixels.")
    goal = int(longest) if longest is not None else min(most, MOST_SIDE)
    height, width = (max(LEAST_SIDE, side * goal / most) for side in (height, width))
    halvings = round(math.log2(math.sqrt(height * width) / TOKENS_A_SIDE))
    patch = 2 ** min(MAX_HALVINGS, max(0, halvings))
    return (_multiple(height, patch), _multiple(width, patch)), patch


def _size_of_base(base: Mapping[str, Any], chosen: Mapping[str, str], name: str) -> tuple[int, int]:
    """(height, width) for a base: its own, or whole patches of it with `size` pixels at most."""
    patch, own = base["patch"], (base["height"], base["width"])
    if chosen.get("stem", "patch") != "patch":
        raise UserError(f"--column {name}:stem={chosen['stem']}: the base has a stem of its own, patch. Leave it out.")
    longest = int(chosen.get("size", max(own)))
    if not patch <= longest <= MAX_SIDE:
        raise UserError(
            f"--column {name}:size={longest}: the base cuts images into patches of {patch} pixels; expected {patch} to "
            f"{MAX_SIDE}."
        )
    height, width = (max(patch, side * longest // max(own) // patch * patch) for side in own)
    return height, width


def _multiple(side: float, patch: int) -> int:
    return max(1, round(side / patch)) * patch


def _is_coloured(pixels: np.ndarray) -> bool:
    """Grey images are often stored as colour, and a JPEG of one is not exactly grey."""
    if pixels.shape[2] == 1:
        return False
    wide = pixels.astype(np.float32)
    span = 255.0 if pixels.dtype == np.uint8 else max(1e-9, float(np.ptp(wide)))
    return float((wide.max(2) - wide.min(2)).mean()) > 2 / 255 * span
