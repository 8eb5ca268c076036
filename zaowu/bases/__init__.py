"""A name -> a local folder of config.json, tokenizer files and model.safetensors. No torch here."""

from zaowu.bases.fetch import resolve
from zaowu.bases.names import describe

__all__ = ["describe", "resolve"]
