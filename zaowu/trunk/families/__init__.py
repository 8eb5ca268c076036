"""One file per family of published checkpoints: two pure functions over plain data."""
