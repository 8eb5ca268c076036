"""What `zaowu/inputs/__init__.py` asks of every kind of input. A new file there needs a line of EXAMPLES, no more."""

from __future__ import annotations

import io
import json
import wave
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from zaowu import inputs, listing
from zaowu.batching.batch import collate
from zaowu.errors import UserError

DIM = 8


@dataclass(frozen=True)
class Example:
    """values: of one column that is of this kind. other: values that are not."""

    values: list[Any]
    other: list[Any]


def wav(samples: int) -> bytes:
    """A recording of noise at 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.random.default_rng(samples).integers(-9999, 9999, samples, np.int16).tobytes())
    return file.getvalue()


def pixels(seed: int) -> bytes:
    """A grey image of 28 x 28."""
    file = io.BytesIO()
    np.save(file, np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8), allow_pickle=False)
    return file.getvalue()


EXAMPLES = {
    "text": Example(
        ["主队补时绝杀晋级", "新款手机今日上市 first look", "探测器传回火星照片", "教练赛后宣布辞职"] * 3,
        [f"A-{number:04}" for number in range(12)],
    ),
    "audio": Example(
        [wav(samples) for samples in (3000, 5200, 8000, 4100)],
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%PDF-1.7"],
    ),
    "image": Example([pixels(seed) for seed in range(4)], [b"RIFF", b"OggS", b"%PDF-1.7"]),
    "table": Example(["own", "rent", None, "free"] * 3, []),
    "series": Example(
        ["[1, 2, 4.5, 3]", "2.5 1 nan 7 8 9", "[3, 1]", json.dumps([k % 7 for k in range(200)])] * 3,
        [f"{number} 0000 0000" for number in range(130, 142)],
    ),
    "smiles": Example(
        ["CC(=O)Oc1ccccc1C(=O)O", "C[C@@H](N)C(=O)O", "[Na+].[Cl-]", "c1ccsc1"] * 3,
        [f"C-{number:04}" for number in range(12)],
    ),
}
EQUALLY_LONG = ("image", "table")  # all their items have as many tokens
KINDS = listing.names(inputs)


@pytest.fixture(params=KINDS)
def example(request) -> tuple[Any, Any, Example]:
    """The kind's module, an input fitted on the example, and the example."""
    assert request.param in EXAMPLES, "give the new kind of input a line of EXAMPLES"
    given = EXAMPLES[request.param]
    module = listing.load(inputs, request.param, where="test")
    if hasattr(module, "clean"):
        given = replace(given, values=module.clean(pl.Series("column", given.values), None).values.to_list())
    fitted = module.Input.fit(["column"], [given.values], **({"base": None} if request.param == "text" else {}))
    return module, fitted[0] if isinstance(fitted, tuple) else fitted, given


def test_there_are_inputs_and_each_can_guess():
    assert "text" in KINDS
    assert {inputs.modality(kind) for kind in inputs.guessers()} == set(KINDS)


def test_cleaners_of_some_kinds_are_those_of_all_and_no_more():
    every = inputs.cleaners()
    assert inputs.cleaners(["image", "number", "text", "image"]) == {kind: every[kind] for kind in ("image", "number")}


def test_it_knows_its_kind_and_says_why(example):
    module, source, given = example
    if not hasattr(module, "guess"):
        pytest.skip("what a table holds is known by sight")
    reason = module.guess(pl.Series("column", given.values))
    assert isinstance(reason, str) and reason
    assert module.guess(pl.Series("column", given.other)) is None
    assert module.guess(pl.Series("column", [None, None], dtype=pl.String)) is None
    assert source.kind in KINDS and list(source.columns) == ["column"]


def test_its_words_alone_are_those_beside_its_picture(example):
    _, source, given = example
    told = inputs.Inputs({source.kind: source}).words({"column": given.values})
    assert len(told) == len(given.values) and all(told)
    for words, value in zip(told, given.values, strict=True):
        assert source.shown(value).words.startswith(words)


def test_where_values_may_be_files_it_knows_them_by_name_and_by_their_first_bytes(example):
    module, source, given = example
    if (found := inputs.files_of(source.kind)) is None:
        assert not hasattr(module, "begins")
        return
    endings, begins = found
    assert all(ending.startswith(".") and ending == ending.lower() for ending in endings)
    for values, right in ((given.values, True), (given.other, False)):
        assert all(begins(value[: inputs.HEAD_BYTES]) is right for value in values)


def test_its_items_are_what_its_specs_declare(example):
    _, source, given = example
    items = source.features(given.values)
    assert {item.record for item in items} == set(range(len(given.values)))
    for item in items:
        assert set(item.features) == set(source.specs) and item.length > 0
        for name, spec in source.specs.items():
            assert item.features[name].shape == (item.length, *spec.shape)
            assert np.can_cast(item.features[name].dtype, spec.dtype)
    shares = np.zeros(len(given.values))
    np.add.at(shares, [item.record for item in items], [item.share for item in items])
    np.testing.assert_allclose(shares, 1)


def test_its_features_hang_on_the_value_alone(example):
    _, source, given = example
    forwards, backwards = source.features(given.values), source.features(given.values[::-1])
    for there, back in zip(forwards, backwards[::-1], strict=True):
        for name in source.specs:
            np.testing.assert_array_equal(there.features[name], back.features[name])


def test_its_vectors_do_not_hang_on_the_padding(example):
    _, source, given = example
    torch.manual_seed(0)
    embedder = source.embedder(DIM).eval()
    for parameter in embedder.parameters():
        torch.nn.init.normal_(parameter)
    items = sorted(source.features(given.values), key=lambda item: item.length)
    if source.kind not in EQUALLY_LONG:
        assert items[0].length < items[-1].length, "the example needs values of different length"
    specs = {source.kind: source.specs}
    together = collate([{source.kind: item.features} for item in items], specs)
    vectors = embedder(**together.inputs[source.kind])
    assert vectors.shape == (len(items), items[-1].length, DIM)
    for row, item in enumerate(items):
        alone = collate([{source.kind: item.features}], specs)
        expected = embedder(**alone.inputs[source.kind])[0]
        torch.testing.assert_close(vectors[row, : item.length], expected)
        assert together.mask[row].sum() == item.length


def test_its_state_survives_json_and_gives_the_same_features(example, tmp_path):
    module, source, given = example
    state = json.loads(json.dumps(source.state(), allow_nan=False))
    if hasattr(source, "codec"):
        source.codec.save(tmp_path)
    again = module.Input.from_state(state, tmp_path, where="zaowu.json")
    assert again.state() == source.state()
    for one, other in zip(source.features(given.values), again.features(given.values), strict=True):
        for name in source.specs:
            np.testing.assert_array_equal(one.features[name], other.features[name])


def test_a_made_up_state_is_refused(example, tmp_path):
    module, source, _ = example
    if hasattr(source, "codec"):
        source.codec.save(tmp_path)
    state = source.state()
    for wrong in ({}, *({**state, name: object()} for name in state), *({**state, name: -1} for name in state)):
        with pytest.raises(UserError, match=r"zaowu\.json"):
            module.Input.from_state(wrong, tmp_path, where="zaowu.json")
