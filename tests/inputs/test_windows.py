"""Tokens that know which characters they stand for, and windows over a long text."""

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.inputs.text import Input
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.windows import NOWHERE, laid_out, without_space

TEXTS = ["姚明 was born in  Shanghai, 上海市。", "Ｎｅｗ York 纽约", "a", ""] * 30


@pytest.fixture(scope="module")
def codec():
    return Codec.train(TEXTS, num_pieces=300)


def test_tokens_know_their_characters(codec):
    for text, (ids, places) in zip(TEXTS[:4], codec.located(TEXTS[:4]), strict=True):
        assert places.shape == (len(ids), 2) and ids.dtype == np.int32
        np.testing.assert_array_equal(ids, codec.tokenizer.encode(text, add_special_tokens=False).ids)
        assert (places[:, 0] <= places[:, 1]).all() and (np.diff(places[:, 0]) >= 0).all()
        words = [text[start:end] for start, end in places]
        assert "".join(words) == "".join(text.split())  # nothing but the white space is lost


def test_white_space_belongs_to_no_token():
    text = "  ab   c "
    places = np.array([[0, 4], [4, 8], [4, 7], [8, 9], [0, 9]], np.int32)
    assert without_space(text, places).tolist() == [[2, 4], [7, 8], [7, 7], [9, 9], [2, 8]]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 30, 101])
def test_windows_hold_every_token_and_what_one_cuts_stands_whole_in_another(size):
    ids = np.arange(100, 100 + size, dtype=np.int32)
    places = np.stack([np.arange(size), np.arange(size) + 1], axis=1).astype(np.int32)
    before, beside, after = (np.array(own, np.int32) for own in ([1], [5, 6, 2], [2]))
    rows = laid_out(before, beside, after, ids, places, max_tokens=13, most=64)
    seen, pairs = set(), set()
    for row, own in rows:
        assert len(row) == len(own) <= 13 and row[:4].tolist() == [1, 5, 6, 2] and row[-1] == 2
        inside = own[:, 0] != NOWHERE
        assert (row[inside] - 100).tolist() == own[inside, 0].tolist()  # each token with its own place
        assert not inside[:4].any() and not inside[-1]
        seen |= set(own[inside, 0].tolist())
        pairs |= {(a, a + 1) for a in own[inside, 0].tolist()[:-1]}
    assert seen == set(range(size)) and pairs == {(a, a + 1) for a in range(size - 1)}


def test_too_many_windows_are_thinned_evenly():
    ids = np.arange(1000, dtype=np.int32)
    places = np.stack([ids, ids + 1], axis=1)
    none = np.empty(0, np.int32)
    rows = laid_out(none, none, none, ids, places, max_tokens=10, most=5)
    assert [int(row[0]) for row, _ in rows] == sorted(int(row[0]) for row, _ in rows) and len(rows) == 5
    assert rows[0][0][0] == 0 and rows[-1][0][-1] == 999


def test_the_searched_column_stands_last_behind_the_question(codec):
    context, question = "上海 Shanghai " * 20, "in in 上海"
    source = Input(["context", "question"], codec, max_tokens=24, searched="context")
    items = source.features([context, "a"], [question, "上"])
    assert {item.record for item in items} == {0, 1} and len(items) > 3
    bare = codec.tokenizer.encode(question, add_special_tokens=False).ids
    for item in items:
        assert item.length <= 24 and item.places.shape == (item.length, 2)
        if item.record == 0:
            start = len(source.before)
            assert item.features["ids"][start : start + len(bare)].tolist() == bare[: (24 - 2) // 3]
            assert item.text == context and item.share == pytest.approx(1 / (len(items) - 1))
    whole = Input(["context", "question"], codec, searched="context").features(["a 上海"], ["in"])[0]
    assert whole.features["ids"].tolist() == codec.tokenizer.encode("in", "a 上海").ids  # the base's own template


def test_what_is_searched_is_saved(codec, tmp_path):
    codec.save(tmp_path)
    source = Input(["q", "text"], codec, searched="text")
    assert Input.from_state(source.state(), tmp_path, where="run").searched == "text"
    assert (
        Input.from_state({"columns": ["a"], "max_tokens": 64, "long": "window"}, tmp_path, where="run").searched == ""
    )
    for wrong in ("other", None, 3, ["text"]):
        with pytest.raises(UserError, match="'searched'"):
            Input.from_state(source.state() | {"searched": wrong}, tmp_path, where="run")
