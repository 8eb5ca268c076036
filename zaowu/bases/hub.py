"""Names of the hub, `org/name` or `org/name@revision`: encoders as safetensors only, data sets as tables."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from zaowu.errors import UserError, shorten

NAME = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*(@[\w.\-/]+)?")
FILES = (  # nothing that holds code
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "model.safetensors",
)
INSTALL = "pip install 'zaowu[hub]'"


def is_name(name: str) -> bool:
    """Whether `name` is written as the hub's names are, and neither it nor the folder it would stand in is here.

    A misspelt `runs/mine` is no reason to ask strangers.
    """
    return NAME.fullmatch(name) is not None and not Path(name).parent.exists()


def resolve(name: str, *, fetch: bool = True) -> Path:
    """The encoder's folder in the hub's own cache, fetched when it is not there. Its name is the revision.

    fetch: whether the network may be used. Raises UserError as `snapshot` does, and for weights in other formats.
    """
    folder = snapshot(name, FILES, kind="model", where=f"--base '{name}'", instead="--base FOLDER", fetch=fetch)
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"--base '{name}': it has no model.safetensors, and only that is read, because opening other formats can "
            "run code that they carry. Choose another base."
        )
    return folder


def pinned(name: str, folder: Path) -> str:
    """`org/name@revision`, which is the same base for ever."""
    return f"{name.partition('@')[0]}@{folder.name}"


def snapshot(
    name: str,
    patterns: Sequence[str],
    *,
    kind: Literal["model", "dataset"],
    where: str,
    instead: str,
    fetch: bool = True,
) -> Path:
    """The folder of one revision of a repository, with its files that match `patterns`.

    where, instead: of the sentence that says what is wrong, and what can be given in its place. Raises UserError for
    a library that is not installed, a name that does not exist, and a machine that is offline.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise UserError(
            f"{where}: nothing of this name is here, and a name of the hub needs huggingface_hub: {INSTALL}."
        ) from None
    repository, _, revision = name.partition("@")
    try:
        found = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision or None,
            cache_dir=os.environ.get("HF_HUB_CACHE") or None,
            allow_patterns=list(patterns),
            local_files_only=not fetch,
        )
    except LocalEntryNotFoundError:
        raise UserError(
            f"{where}: nothing of this name is here or in the hub's cache of this machine, and the hub cannot be "
            f"reached. Fetch it on a machine that is online, or give {instead}."
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(
            f"{where}: the hub does not give it ({shorten(str(error), 160)}). Check the name, or give {instead}."
        ) from None
    return Path(found)
