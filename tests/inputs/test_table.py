"""Tables: what is read of each cell, what is left out, and what the vectors are made of."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from zaowu.batching.batch import collate
from zaowu.errors import UserError
from zaowu.inputs.table import Input, clean
from zaowu.inputs.table.columns import KNOWN, MISSING, NUM_BINS, NUM_BUCKETS, UNKNOWN, Column, Columns
from zaowu.inputs.table.embedder import TableEmbedding

DIM = 6
NAMES = ["age", "housing", "since", "amount"]
KINDS = {"age": "number", "housing": "category", "since": "date", "amount": "number"}
VALUES: list[list[str | None]] = [
    ["34", "51", None, "28", "34", "45", "62", "19"],
    ["own", "rent", "own", "rent", None, "free", "free", "own"],
    ["2024-03-01", "01.03.2023", "2022年3月5日", None, "2024/3/1 10:30", "2021-07-01", "2020-01-31", "2024-03-02"],
    ["1,200", "￥3万", "12%", "-5", "1200", "0", None, "７"],
]


@pytest.fixture
def fitted() -> Input:
    return Input.fit(NAMES, VALUES, kinds=KINDS)


def vectors(source: Input, *values: list[str | None], embedder: TableEmbedding | None = None) -> torch.Tensor:
    embedder = embedder or source.embedder(DIM)
    embedder.initialise(torch.Generator().manual_seed(0))
    rows = [{"table": item.features} for item in source.features(*values)]
    batch = collate(rows, {"table": source.specs}, numbered={"table": source.numbered})
    return embedder(**batch.inputs["table"])  # (B, T, D)


def test_a_token_a_column_numbers_first(fitted):
    assert fitted.tokens == ("age", "amount", "since", "housing")
    assert fitted.max_tokens == 4 and fitted.columns == tuple(NAMES) and not fitted.numbered
    items = fitted.features(*VALUES)
    assert [item.record for item in items] == list(range(8)) and all(item.length == 4 for item in items)


def test_numbers_are_read_as_people_write_them(fitted):
    amount = next(column for column in fitted.fitted.used if column.name == "amount")
    assert amount.edges == ((-5.0, 0.0, 0.12, 7.0, 1200.0, 30000.0),)
    read = amount.read(["1.200,5", "3.5", "1200", "1e9", "-99", "", "abc"])
    np.testing.assert_allclose(read.places[1:, 0], [2 + 3.38 / 6.88, 4, 5, 0, -1, -1], rtol=1e-6)
    assert read.codes.tolist() == [KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, MISSING, MISSING]


def test_a_decimal_comma_of_training_holds_later():
    source = Input.fit(["x"], [["1,5", "2,25", "3,75", "1,5"]], kinds={"x": "number"})
    again = Input.from_state(json.loads(json.dumps(source.state())), None, where="here")  # type: ignore[arg-type]
    alone = again.features(["1,500"])[0].features["places"]
    np.testing.assert_array_equal(alone, source.features(["1,5"])[0].features["places"])


def test_dates_in_three_ways_are_one_column(fitted):
    since = next(column for column in fitted.fitted.used if column.name == "since")
    read = since.read(["2024-03-01", "01.03.2024", "2024年3月1日", "2024/3/1 10:30", "soon", None])
    np.testing.assert_array_equal(read.places[0], read.places[1])
    np.testing.assert_array_equal(read.places[0], read.places[2])
    assert read.numbers[3, 1:].tolist() == [3, 5, 1, 10.5]  # March, a Friday, the first, half past ten
    assert read.codes.tolist() == [KNOWN] * 4 + [MISSING] * 2


def test_quantile_bins_hold_equal_shares():
    rng = np.random.default_rng(0)
    values = np.exp(3 * rng.normal(size=5000))
    column = Columns.fit(["x"], [[repr(value) for value in values.tolist()]], {"x": "number"}).used[0]
    assert len(column.edges[0]) == NUM_BINS + 1
    places = column.read([repr(value) for value in values.tolist()]).places[:, 0]
    counts = np.histogram(places, np.arange(NUM_BINS + 1))[0]
    assert counts.min() > 0.9 * 5000 / NUM_BINS
    order = np.argsort(values)
    assert (np.diff(places[order]) >= 0).all()


def test_unknown_missing_and_rare_values():
    column = Columns.fit(["c"], [["a", "a", "a", "b", "b", "once", None, "ａ"]], {"c": "category"}).used[0]
    assert column.values == ("a", "b")  # the most frequent first; a full-width letter is the letter
    assert column.read(["a", "b", "once", "new", None, "", " "]).codes.tolist() == [
        2,
        3,
        *[UNKNOWN] * 2,
        *[MISSING] * 3,
    ]


def test_yes_and_no_are_a_category():
    cleaned = clean(pl.Series("flag", [True, False, None, True, False]), None)
    assert cleaned.values.to_list() == ["true", "false", None, "true", "false"]
    column = Columns.fit(["flag"], [cleaned.values.to_list()], {"flag": "category"}).used[0]
    assert column.values == ("false", "true")


def test_very_many_values_share_buckets_and_a_note_says_so(capsys):
    values = [f"shop {k % 1500}" for k in range(4500)]
    source = Input.fit(["shop"], [values])
    assert "column 'shop': 1,500 different values, hashed into 1,024 buckets." in capsys.readouterr().err
    codes = np.array([item.features["codes"][0] for item in source.features(values)])
    assert codes.min() >= 2 and codes.max() < 2 + NUM_BUCKETS and len(np.unique(codes)) > 700
    assert source.embedder(DIM).rows.shape == (2 + NUM_BUCKETS, DIM)
    script = (
        "from zaowu.inputs.table.columns import Column;"
        "print(Column(name='c', kind='category', buckets=1024).read(['shop 7', '店']).codes.tolist())"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(there) == source.fitted.used[0].read(["shop 7", "店"]).codes.tolist()  # in every process


def test_what_carries_nothing_is_left_out_and_told(capsys):
    names = ["x", "same", "none", "blank", "all different"]
    kinds = dict.fromkeys(names, "category") | {"x": "number", "none": "number"}
    values = [["1", "2", "1", "3"], ["k"] * 4, [None] * 4, ["", " ", "", ""], ["p", "q", "r", "s"]]
    source = Input.fit(names, values, kinds=kinds)
    assert source.tokens == ("x",)
    told = capsys.readouterr().err
    assert "column 'same': nothing that tells rows apart, so it is left out." in told
    assert "column 'none': no value at all, so it is left out." in told
    assert "column 'blank': no value at all" in told and "column 'all different': nothing" in told
    assert len(source.features(["9"], ["z"], ["4"], ["t"], [None])) == 1


def test_a_value_in_some_rows_only_tells_them_apart():
    source = Input.fit(["x"], [["5", None, "5", None]], kinds={"x": "number"})
    codes = [item.features["codes"][0] for item in source.features(["5", None, "7"])]
    assert codes == [KNOWN, MISSING, KNOWN]
    out = vectors(source, ["5", None, "5"])
    assert not torch.allclose(out[0], out[1]) and torch.allclose(out[0], out[2])


def test_where_nothing_varies_a_record_still_has_a_token():
    source = Input.fit(["x", "y"], [["1", "1"], [None, None]], kinds={"x": "number", "y": "category"})
    assert source.tokens == ("x",)
    assert vectors(source, ["1", "2"], [None, "a"]).shape == (2, 1, DIM)


def test_infinite_values_and_other_oddities_are_missing_with_a_note(capsys):
    values = ["1", "2", "inf", "-Infinity", "∞", "3", "n/a", "?", "about 5", None, "4"]
    source = Input.fit(["x"], [values], kinds={"x": "number"})
    told = capsys.readouterr().err
    assert "column 'x': infinite values count as missing (3)." in told
    assert "column 'x': 1 cells are no number ('about 5')" in told
    codes = [item.features["codes"][0] for item in source.features(values)]
    assert [code == MISSING for code in codes] == [v not in ("1", "2", "3", "4") for v in values]


def test_huge_numbers_stay_finite():
    values = ["1e308", "-1e308", "0", "1e-308", "5"]
    source = Input.fit(["x"], [values], kinds={"x": "number"})
    places = np.array([item.features["places"][0, 0] for item in source.features([*values, "1e999"])])
    assert np.isfinite(places).all() and places[5] == -1
    assert np.argsort(places[:5]).tolist() == [1, 2, 3, 4, 0]


def test_the_vector_of_a_number_is_a_line_in_every_bin(fitted):
    embedder = fitted.embedder(DIM)
    ages = [str(age) for age in (19, 23.5, 28)]  # both ends and the middle of the first bin
    rest = [["own"] * 3, ["2024-03-01"] * 3, ["7"] * 3]
    out = vectors(fitted, ages, *rest, embedder=embedder)
    torch.testing.assert_close(out[1, 0], (out[0, 0] + out[2, 0]) / 2)
    torch.testing.assert_close(out[2, 0] - out[0, 0], embedder.numbers[0, 0])
    torch.testing.assert_close(out[0, 1:], out[1, 1:])  # the other columns do not hang on it


def test_the_one_product_equals_a_loop_over_columns(fitted):
    embedder = fitted.embedder(DIM)
    out = vectors(fitted, *VALUES, embedder=embedder)
    for row, item in enumerate(fitted.features(*VALUES)):
        for token in range(4):
            expected = embedder.rows[item.features["codes"][token]].clone()
            places = torch.from_numpy(item.features["places"][token])
            for part, place in enumerate(places.tolist()):
                for k in range(NUM_BINS):
                    filled = min(1.0, max(0.0, place - k))
                    if token < 2 and part == 0:
                        expected += filled * embedder.numbers[token, k]
                    elif token == 2:
                        expected += filled * embedder.dates[0, part, k]
            torch.testing.assert_close(out[row, token], expected)


def test_every_state_of_a_cell_has_a_vector_of_its_own_and_every_column_too(fitted):
    out = vectors(fitted, ["34", None], ["own", None], ["2024-03-01", None], ["7", None])
    flat = out.reshape(-1, DIM)
    distances = torch.cdist(flat, flat) + torch.eye(len(flat))
    assert distances.min() > 1e-3


def test_a_gradient_reaches_all_that_was_used(fitted):
    embedder = fitted.embedder(DIM)
    vectors(fitted, *VALUES, embedder=embedder).square().sum().backward()
    assert embedder.numbers.grad[:, 0].abs().min() > 0 and embedder.dates.grad[0, 0, 0].abs().min() > 0
    assert embedder.rows.grad.abs().sum(1).count_nonzero() >= 9


def test_states_that_training_lacks_are_shown_to_it_by_chance():
    """x and c are never missing, c has no unknown value, y is missing itself and must stay as it is."""
    values: list[list[str | None]] = [["1", "2", "3", "4"], ["a", "a", "b", "b"], ["1", None, "2", "3"]]
    source = Input.fit(["x", "c", "y"], values, kinds={"x": "number", "c": "category", "y": "number"})
    assert source.tokens == ("x", "y", "c")
    assert [column.unseen for column in source.fitted.used] == [(MISSING,), (), (MISSING, UNKNOWN)]
    features = source.features(*values)[2].features
    before = {name: array.copy() for name, array in features.items()}
    seen = np.array([source.augment(features, chance)["codes"] - source.starts for chance in range(20_000)])
    shares = {state: (seen == state).mean(axis=0) for state in (MISSING, UNKNOWN)}
    np.testing.assert_allclose(shares[MISSING], [0.01, 0, 0.01], atol=0.003)
    np.testing.assert_allclose(shares[UNKNOWN], [0.99, 1, 0.01], atol=0.003)  # of a number 1 is "known"
    hidden = next(k for k in range(20_000) if seen[k, 0] == MISSING)
    again = source.augment(features, hidden)
    assert again["places"][0, 0] == -1 and again["codes"].dtype == np.int32 and again["places"].dtype == np.float32
    np.testing.assert_array_equal(again["codes"], source.augment(features, hidden)["codes"])
    for name in features:
        np.testing.assert_array_equal(features[name], before[name])


def test_cells_are_equal_by_their_normalised_text():
    cleaned = clean(pl.Series("c", [" Ａ  b", "A b", "", None, "x"]), None)
    assert cleaned.values.to_list() == ["Ａ  b", "A b", None, None, "x"]
    assert list(cleaned.contents) == ["A b", "A b", None, None, "x"] and cleaned.problems == {}


def test_a_row_is_shown_in_words(fitted):
    assert fitted.shown("34", None, "2024-03-01", "7").words == "age: 34, housing: –, since: 2024-03-01, amount: 7"
    assert len(fitted.shown("9" * 500, None, None, None).words) == 400


def test_made_up_columns_are_refused(fitted):
    state = json.loads(json.dumps(fitted.state()))
    number, date, category = state["used"][0], state["used"][2], state["used"][3]
    lies = [
        {**number, "edges": [[2.0, 1.0]]},
        {**number, "edges": [[1.0, 1.0]]},
        {**number, "edges": [list(map(float, range(NUM_BINS + 2)))]},
        {**number, "edges": []},
        {**number, "edges": [[1.0], [2.0]]},
        {**number, "values": ["a"]},
        {**number, "kind": "picture"},
        {**date, "edges": [[1.0]]},
        {**category, "buckets": 10**9},
        {**category, "buckets": 5},
        {**category, "values": ["a", "a"]},
        {**category, "edges": [[1.0]]},
        {**category, "more": 1},
        {**category, "unseen": [2]},
    ]
    wrong = [{**state, "used": [lie]} for lie in lies]
    wrong += [{**state, "used": state["used"][::-1]}, {**state, "used": []}, {**state, "names": ["age"]}]
    wrong += [{**state, "used": [number, number]}, {**state, "names": NAMES * 2}]
    for lie in wrong:
        with pytest.raises(UserError, match="here"):
            Input.from_state(lie, None, where="here")  # type: ignore[arg-type]


def test_a_column_needs_no_more_than_its_state():
    column = Column(name="x", kind="number", edges=((0.0, 1.0),))
    assert column.read(["0.25"]).places[0, 0] == np.float32(0.25)
