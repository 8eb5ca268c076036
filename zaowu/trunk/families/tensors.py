"""Their safetensors file <-> our tensors, through the names that a family gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zaowu.config import TrunkConfig
from zaowu.errors import UserError
from zaowu.trunk.families.fields import decoder_config
from zaowu.trunk.transformer.decoder.stack import Decoder
from zaowu.trunk.transformer.encoder import Encoder

TOKENS = "embedder.tokens.weight"
FIRST = (TOKENS, "embedder.image.cls")  # one of them is in every model: where it stands in a file tells the prefix
OF_PIECES = (TOKENS, "lm_head.weight", "lm_head.bias", "masked.bias")  # one row for each piece
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}  # before 2019
_FLOATS = ("F32", "F16", "BF16", "F64")
_GAP = 32  # wanted rows of a table that lie closer than this are read in one go


class Place(NamedTuple):
    """Where a tensor of theirs stands with us. below: where its further rows stand, if it is several of ours.

    absent: they do without it, and zeros in its place change nothing. shape: of one that is not of the trunk. lifted:
    theirs is one row of a matrix.
    """

    name: str
    transposed: bool = False
    skip: int = 0  # rows at the head of their table that we do not have
    optional: bool = False
    below: tuple[str, ...] = ()
    absent: bool = False
    shape: tuple[int, ...] | None = None
    lifted: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.name, *self.below


def load_tensors(
    path: Path,
    places: dict[str, Place],
    *,
    config: TrunkConfig,
    facts: dict[str, int],
    rows: np.ndarray | None = None,
    num_classes: int | None = None,
    whole: bool = True,
) -> dict[str, Tensor]:
    """Our state dict, float32, from their file. What is in it and not in `places` is left alone.

    places: `names(config, facts)` of the family. The file may have them behind one prefix (`bert.`), or without the
    one that they have.
    rows: (V,) the rows of the token table that are wanted, in that order; only they are read. None = all.
    num_classes: outputs of the last layer, where `places` has one.
    whole: False = a layer that is not of the trunk may be missing, all of it; it is then missing in the result.
    Names and shapes are compared with the config before anything is allocated. Raises UserError naming the
    tensor that is missing or has another shape, and for a file that is not a safetensors file.
    """
    assert rows is None or len(rows) == 0 or 0 <= rows.min() <= rows.max() < facts["vocab_size"]
    try:
        with safe_open(path, framework="pt") as file:
            found = _find(set(file.keys()), places, path, whole=whole)
            shapes = _shapes(config, facts, num_classes)
            shapes |= {place.name: place.shape for place in places.values() if place.shape is not None}
            for theirs, key in found.items():
                _compare(file.get_slice(key), places[theirs], shapes, f"{path}, '{key}'")
            state = {place.name: torch.zeros(shapes[place.name]) for place in places.values() if place.absent}
            for theirs, key in found.items():
                place, piece = places[theirs], file.get_slice(key)
                if place.lifted:
                    tensor = piece[:].float()[0]
                    tensor = tensor if rows is None else tensor[torch.from_numpy(rows)]
                elif place.name in OF_PIECES and rows is not None:
                    tensor = _read_rows(piece, rows)
                else:
                    tensor = piece[place.skip :].float()
                tensor = tensor.t().contiguous() if place.transposed else tensor
                if not place.below:
                    state[place.name] = tensor
                    continue
                parts = tensor.split([shapes[name][0] for name in place.names])
                state |= {name: part.clone() for name, part in zip(place.names, parts, strict=True)}
            return state
    except SafetensorError as error:
        raise UserError(f"{path}: this is not a whole safetensors file ({error}). Fetch or copy it again.") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file.") from error


def save_tensors(path: Path, state: dict[str, Tensor], places: dict[str, Place]) -> None:
    """Our state dict as their file: the inverse of `load_tensors`, skipped rows written as zeros.

    Names of `state` that no place has are left out. Raises OSError or SafetensorError where the file cannot be written.
    """
    tensors = {}
    for theirs, place in places.items():
        if place.absent or (place.optional and place.name not in state):
            continue
        parts = [state[name].detach() for name in place.names]
        tensor = torch.cat(parts) if place.below else parts[0]
        tensor = tensor.t() if place.transposed else tensor[None] if place.lifted else tensor
        if place.skip:
            tensor = torch.cat((tensor.new_zeros(place.skip, *tensor.shape[1:]), tensor))
        tensors[theirs] = tensor.contiguous()
    save_file(tensors, path, metadata={"format": "pt"})  # their library refuses a file without it


def _find(keys: set[str], places: dict[str, Place], path: Path, *, whole: bool) -> dict[str, str]:
    """Their name -> the key in the file."""
    base = _base(places)
    tables = (theirs for theirs, place in places.items() if place.name in FIRST)
    table = next(tables, next(iter(places))).removeprefix(base)  # without any of these, whatever stands first
    prefixes = {key[: -len(table)] for key in keys if key == table or key.endswith(f".{table}")}
    if len(prefixes) != 1:
        what = "is missing" if not prefixes else f"is there {len(prefixes)} times"
        raise UserError(f"{path}: the tensor '{table}' {what}; the file and its config.json do not fit together.")
    inner = prefixes.pop()
    outer = inner.removesuffix(base)
    found: dict[str, str] = {}
    missing: dict[str, str] = {}  # layer of ours that may be missing -> the key of one of its tensors
    for theirs, place in places.items():
        if place.absent:
            continue
        name = inner + theirs.removeprefix(base) if theirs.startswith(base) else outer + theirs
        old = next((name[: -len(new)] + old for new, old in _OLD_NAMES.items() if name.endswith(new)), name)
        key = next((key for key in (name, old) if key in keys), None)
        layer = place.name.partition(".")[0]
        if key is not None:
            found[theirs] = key
        elif place.optional or not (whole or layer in ("trunk", "embedder")):
            missing[layer] = name
        else:
            raise _missing(path, name)
    for layer in {places[theirs].name.partition(".")[0] for theirs in found} & missing.keys():
        raise _missing(path, missing[layer])
    return found


def _base(places: dict[str, Place]) -> str:
    """What stands before every name of the trunk, with its dot: the place of their base model in a larger one."""
    trunk = [theirs for theirs, place in places.items() if place.name.startswith(("embedder.", "trunk."))]
    first = trunk[0].partition(".")[0] + "."
    return first if all(theirs.startswith(first) for theirs in trunk) else ""


def _missing(path: Path, name: str) -> UserError:
    return UserError(f"{path}: the tensor '{name}' is missing; the file and its config.json do not fit together.")


def _shapes(config: TrunkConfig, facts: dict[str, int], num_classes: int | None) -> dict[str, tuple[int, ...]]:
    """Our name -> shape, without allocating any weight."""
    with torch.device("meta"):
        stacks: dict[str, Encoder] = {"trunk": Encoder(config)}
        if "decoder_layers" in facts:
            stacks["decoder"] = Decoder(decoder_config(config, facts))
    shapes = {
        f"{stack}.{name}": tuple(tensor.shape)
        for stack, module in stacks.items()
        for name, tensor in module.state_dict().items()
    }
    if "patch" in facts:
        shapes |= _image_shapes(config, facts)
    vocab_size = facts.get("vocab_size", 0)
    shapes[TOKENS] = (vocab_size, config.dim)
    outputs = {"pooler": config.dim, "masked.dense": config.dim, "next_sentence": 2, "head": num_classes}
    for name, width in outputs.items():
        if width is not None:
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width, config.dim), (width,)
    shapes["masked.norm.weight"] = shapes["masked.norm.bias"] = (config.dim,)
    shapes["masked.bias"], shapes["lm_head.weight"] = (vocab_size,), shapes[TOKENS]
    shapes["lm_head.bias"] = shapes["masked.bias"]
    return shapes


def _image_shapes(config: TrunkConfig, facts: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Of what a model has before its trunk that sees images."""
    patch, places = facts["patch"], (facts["height"] // facts["patch"]) * (facts["width"] // facts["patch"])
    return {
        "embedder.image.cls": (1, 1, config.dim),
        "embedder.image.positions": (1, 1 + places, config.dim),
        "embedder.image.projection.weight": (config.dim, facts["channels"], patch, patch),
        "embedder.image.projection.bias": (config.dim,),
    }


def _compare(piece: Any, place: Place, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    rows = sum(shapes[name][0] for name in place.names)
    expected = (rows + place.skip, *shapes[place.name][1:])
    expected = expected[::-1] if place.transposed else (1, *expected) if place.lifted else expected
    got = tuple(piece.get_shape())
    if got != expected:
        raise UserError(f"{where}: expected the shape {expected} by its config.json, got {got}.")
    if piece.get_dtype() not in _FLOATS:
        raise UserError(f"{where}: expected numbers of kind {', '.join(_FLOATS)}, got {piece.get_dtype()}.")


def _read_rows(piece: Any, rows: np.ndarray) -> Tensor:
    """(V, ...) float32: the wanted rows of a table that stays on disk."""
    wanted, inverse = np.unique(rows, return_inverse=True)
    table = torch.empty(len(wanted), *piece.get_shape()[1:])
    for start, stop in _runs(wanted):
        first, last = int(wanted[start]), int(wanted[stop - 1])
        near = torch.from_numpy(wanted[start:stop] - first)
        table[start:stop] = piece[first : last + 1].float()[near]
    return table[torch.from_numpy(inverse)]


def _runs(wanted: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches [start, stop) of sorted numbers without a gap of `_GAP` or more."""
    cuts = np.flatnonzero(np.diff(wanted) >= _GAP) + 1
    yield from zip([0, *cuts.tolist()], [*cuts.tolist(), len(wanted)], strict=True) if len(wanted) else ()
