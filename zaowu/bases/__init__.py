"""A name -> a local folder of config.json, tokenizer files and model.safetensors. No torch here."""

from pathlib import Path

from zaowu.bases import hub
from zaowu.bases.fetch import resolve
from zaowu.bases.names import describe, published_name

__all__ = ["describe", "pinned", "published_name", "resolve"]


def pinned(name: str, folder: Path) -> str:
    """The name under which a run remembers a base: with its revision where it comes from the hub."""
    return hub.pinned(name, folder) if hub.is_name(name) else name
