"""One file per family of published checkpoints: two pure functions over plain data, and their inverses.

A family file has
    MODALITY                         what it reads: text where it does not say, image, audio
    MODEL_TYPES                      what `model_type` says in a `config.json` of theirs
    read_config(data, *, where)      their config -> our TrunkConfig, and facts about their token table
    write_config(config, facts, ...) the inverse: what their own library opens
    names(config, facts, ...)        their tensor name -> where that tensor stands with us
    read_preprocessor(data, facts)   of images and sounds: their preprocessor_config.json -> mean and std by channel

With `heads=`, the names of pre-training objectives, the last two are for the class of theirs with these output layers;
with `("text",)` for the one that writes text from text. Of an encoder-decoder, facts say `decoder_layers`, and
`decoder_config(config, facts)` is the shape of its other half, whose tensors are `decoder.*`.

It is found by being in this folder; nothing has to be registered.
"""

from __future__ import annotations

import sys
from types import ModuleType

from zaowu import listing
from zaowu.errors import UserError, nearest, shorten
from zaowu.trunk.families.fields import decoder_config
from zaowu.trunk.families.tensors import Place, load_tensors, save_tensors

__all__ = ["Place", "available", "decoder_config", "find", "load_tensors", "modality", "save_tensors"]


def available() -> dict[str, ModuleType]:
    """model_type -> family. The names that are imported are those of this folder's files, never of some data."""
    here = sys.modules[__name__]
    modules = [listing.load(here, name, where="families") for name in listing.names(here)]
    return {model_type: module for module in modules for model_type in getattr(module, "MODEL_TYPES", ())}


def find(model_type: object, *, where: str = "config.json") -> ModuleType:
    """The family of a checkpoint. Raises UserError for one that there is no file for."""
    families = available()
    if isinstance(model_type, str) and model_type in families:
        return families[model_type]
    name = shorten(model_type)
    raise UserError(
        f"{where}, 'model_type': expected one of {', '.join(sorted(families))}, got '{name}'.{nearest(name, families)}"
    )


def modality(model_type: object, *, where: str = "config.json") -> str:
    """What a checkpoint of this type reads. Raises UserError as `find`."""
    return str(getattr(find(model_type, where=where), "MODALITY", "text"))
