"""The real default base, against what the engine of the package it comes from answered (tests/fixtures)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    data = json.loads(gzip.decompress((FIXTURES / "e5_reference.json.gz").read_bytes()))
    return {**data, **load_file(FIXTURES / "e5_reference.safetensors")}


def test_the_reference_is_worth_its_name(reference):
    lines = reference["lines"]
    assert len(set(lines)) == len(reference["ids"]) == 1000 and len(reference["vectors"]) == 64
    assert sum(any("一" <= c <= "鿿" for c in line) for line in lines) > 500
    assert sum(line.isascii() for line in lines) > 150
    assert any("\u3000" in line for line in lines) and any("臺" in line for line in lines)
    assert any("🫠" in line for line in lines) and any("１" in line for line in lines)
    assert sum(path.stat().st_size for path in FIXTURES.glob("e5_reference.*")) < 1_000_000


def test_ids_equal_the_engines(base_folder: Path, reference):
    tokenizer = Tokenizer.from_file(str(base_folder / "tokenizer.json"))
    ours = [encoding.ids for encoding in tokenizer.encode_batch_fast(reference["lines"])]
    wrong = [
        line for line, mine, theirs in zip(reference["lines"], ours, reference["ids"], strict=True) if mine != theirs
    ]
    assert not wrong, f"{len(wrong)} lines differ, the first is {wrong[0]!r}"


def test_vectors_equal_the_engines(base_folder: Path, reference):
    """The engine computes with 8-bit activations, so its vectors are near ours and not the same."""
    import torch
    from transformers import AutoTokenizer, BertModel

    texts = [reference["prefix"] + reference["lines"][row] for row in reference["vector_rows"]]
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    model = BertModel.from_pretrained(base_folder, add_pooling_layer=False).eval()
    vectors = np.empty((64, 384), np.float32)
    by_length = np.argsort([len(text) for text in texts])
    for rows in np.split(by_length, 4):
        batch = tokenizer([texts[row] for row in rows], padding=True, return_tensors="pt")
        with torch.no_grad():
            states = model(**batch).last_hidden_state  # (B, T, D)
        mask = batch["attention_mask"][:, :, None]
        vectors[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    theirs = reference["vectors"].astype(np.float32)
    cosine = (vectors * theirs).sum(1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() >= 0.99
    others = vectors @ theirs.T - 2 * np.eye(64)
    assert others.max() < cosine.min(), "no other line's vector may be as near: the check must be able to fail"


def test_the_folder_says_what_it_is(base_folder: Path):
    receipt = json.loads((base_folder / "zaowu_base.json").read_text("utf-8"))
    assert receipt["pooling"] == "mean" and receipt["prefix"] == "query: " and receipt["licence"] == "MIT"
    assert set(receipt["sha256"]) == {path.name for path in base_folder.iterdir()} - {"zaowu_base.json"}
    config = json.loads((base_folder / "config.json").read_text("utf-8"))
    assert (config["num_hidden_layers"], config["hidden_size"], config["vocab_size"]) == (12, 384, 250_037)
    assert "MIT" in (base_folder / "LICENSE").read_text("utf-8")
    assert "multilingual-e5-small" in (base_folder / "NOTICE").read_text("utf-8")
