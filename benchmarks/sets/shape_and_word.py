"""A made set in which neither column alone says anything: the answer is whether a shape and a word belong to one side.

An image of 28 x 28 pixels shows a disc or a cross, anywhere and of any size, with noise. A caption holds one of eight
words among others; four go with the disc, four with the cross. answer: yes where they go together (an exclusive or).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

WORDS = {"disc": ("coin", "moon", "wheel", "plate"), "cross": ("sword", "scissors", "crossroads", "windmill")}
OPENINGS = ("Here we see", "This might be", "Somebody drew", "It reminds me of", "Perhaps", "They call it")
ADJECTIVES = ("old", "small", "bright", "broken", "heavy", "plain", "strange", "cheap", "new", "dusty", "lost", "rare")
PLACES = ("on a table", "near the door", "in the garden", "at the market", "by the river", "under a tree", "at home")
SIDE = 28


def make(rows: int, *, seed: int) -> pl.DataFrame:
    """Columns: image, as .npy bytes; caption; answer."""
    from zaowu.inputs.image.clean import as_npy

    rng = np.random.default_rng(seed)
    images, captions, answers = [], [], []
    for _ in range(rows):
        shape, side = (("disc", "cross")[place] for place in rng.integers(0, 2, 2))
        images.append(as_npy(draw(shape, rng)))
        first, adjective, word, where = (_one(words, rng) for words in (OPENINGS, ADJECTIVES, WORDS[side], PLACES))
        captions.append(f"{first} the {adjective} {word} {where}, number {rng.integers(1, 1000)}")
        answers.append("yes" if shape == side else "no")
    return pl.DataFrame({"image": pl.Series(images, dtype=pl.Binary), "caption": captions, "answer": answers})


def draw(shape: str, rng: Any) -> np.ndarray:
    """(28, 28) uint8: the shape in a grey of its own on another, with noise."""
    radius = rng.uniform(4, 8)
    down, right = rng.uniform(radius, SIDE - 1 - radius, 2)
    y, x = np.mgrid[:SIDE, :SIDE] - np.array([down, right])[:, None, None]
    if shape == "disc":
        inside = np.hypot(x, y) <= radius
    else:
        inside = (np.minimum(abs(x), abs(y)) <= radius / 4) & (np.maximum(abs(x), abs(y)) <= radius)
    found = np.where(inside, rng.uniform(150, 230), rng.uniform(20, 90)) + rng.normal(0, 12, inside.shape)
    return np.clip(found, 0, 255).astype(np.uint8)


def _one(words: tuple[str, ...], rng: Any) -> str:
    return words[int(rng.integers(len(words)))]
