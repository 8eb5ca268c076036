"""A tokenizer file without the pieces that a person's texts do not need.

A multilingual vocabulary has a quarter of a million pieces for a hundred languages, and most of a small model's
weights are their vectors. Texts in one or two scripts need a tenth of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from zaowu.inputs.text.scripts import scripts_of, shares

MAIN_SHARE = 0.2  # of the letters: all pieces of such a script stay
MINOR_SHARE = 0.0005  # of the letters: its frequent, short and used pieces stay
FREQUENT = 0.1  # of the vocabulary, which is sorted from frequent to rare
WORTH = 0.9  # cutting less than a tenth away is not worth new ids


def trim(
    spec: dict[str, Any], texts: Sequence[str], *, used: np.ndarray, special: set[str], tight: bool = False
) -> tuple[dict[str, Any], np.ndarray] | None:
    """The tokenizer file `spec` with fewer pieces, and the (V,) old ids that stay, in their order.

    All pieces of the scripts that the texts are written in stay. Of a script that only appears in them (English
    names in Chinese news) the frequent, the short and the used pieces stay, which can still spell any word.
    tight: of every script only the used pieces and the single characters stay. So it is for a text that is written:
    each of its pieces is chosen among all.
    used: ids that the texts are made of. special: pieces that always stay, with the added ones.
    None where little would go, or where pieces depend on one another (BPE).
    """
    pieces = _pieces(spec["model"])
    if pieces is None:
        return None
    added = {entry["content"]: entry["id"] for entry in spec.get("added_tokens", [])}
    always = special | set(added) | {pieces[i] for i in used.tolist() if i < len(pieces)}
    found = shares(texts)
    main = {name for name, share in found.items() if share >= MAIN_SHARE}
    minor = main | {name for name, share in found.items() if share >= MINOR_SHARE}

    def needed(number: int, piece: str) -> bool:
        scripts = scripts_of(piece)
        if piece in always or (not tight and scripts <= main):
            return True
        if tight:
            return scripts <= minor and len(piece.strip("▁#")) <= 1
        return scripts <= minor and (number < FREQUENT * len(pieces) or len(piece.strip("▁#")) <= 2)

    keep = [number for number, piece in enumerate(pieces) if needed(number, piece)]
    if len(keep) >= WORTH * len(pieces):
        return None
    keep += sorted(number for number in added.values() if number >= len(pieces))
    return _renumbered(spec, pieces, keep), np.asarray(keep, np.int64)


def _pieces(model: dict[str, Any]) -> list[str] | None:
    """The pieces by id."""
    if model.get("type") == "Unigram":
        return [piece for piece, _ in model["vocab"]]
    if model.get("type") == "WordPiece":
        return sorted(model["vocab"], key=model["vocab"].get)
    return None


def _renumbered(spec: dict[str, Any], pieces: list[str], keep: list[int]) -> dict[str, Any]:
    """`spec` with the pieces `keep` alone, numbered from 0; every id in the file follows."""
    new_id = {old: new for new, old in enumerate(keep)}
    model, inside = spec["model"], [number for number in keep if number < len(pieces)]
    vocab: Any
    if model["type"] == "Unigram":
        vocab = [model["vocab"][number] for number in inside]
    else:
        vocab = {pieces[number]: new_id[number] for number in inside}
    # A copy of what stays alone: of the whole file it would be large, and what stays would lie scattered in it.
    spec = json.loads(json.dumps({**spec, "model": {**model, "vocab": vocab}}))
    if model["type"] == "Unigram":
        spec["model"]["unk_id"] = new_id[model["unk_id"]]
    for entry in spec.get("added_tokens", []):
        entry["id"] = new_id[entry["id"]]
    template = spec.get("post_processor") or {}
    for entry in (template.get("special_tokens") or {}).values():
        entry["ids"] = [new_id[number] for number in entry["ids"]]
    for role in ("sep", "cls"):  # older processors keep pairs of piece and id
        if template.get(role):
            template[role][1] = new_id[template[role][1]]
    return spec
