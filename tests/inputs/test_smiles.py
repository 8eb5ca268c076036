"""Chemical structures: tokens, what is refused, which columns are such, ids, and the cheap fingerprint."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.inputs.smiles import (
    MAX_TOKENS,
    NUM_SPECIAL,
    START,
    UNKNOWN,
    BaselineFeatures,
    Input,
    clean,
    guess,
    problem,
    tokens as tokenised,
)

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
SALT = "[Na+].[Cl-]"
ALANINE = "C[C@@H](N)C(=O)O"
CHAIN = ["CCCCCO", "CCCCCCBr", "ClCCCCCl"]
ALL = [ASPIRIN, CAFFEINE, SALT, ALANINE, *CHAIN]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        (ALANINE, "C [C@@H] ( N ) C ( = O ) O"),
        ("ClCBr", "Cl C Br"),
        ("BrB", "Br B"),
        ("C%12CC%12", "C %12 C C %12"),
        (r"F/C=C\F", r"F / C = C \ F"),
        ("CC>>C=C", "C C > > C = C"),
        ("c1ccsc1", "c 1 c c s c 1"),
    ],
)
def test_tokens_are_atoms_bonds_rings_and_branches(smiles, expected):
    assert tokenised(smiles) == expected.split()


@pytest.mark.parametrize(
    ("smiles", "said"),
    [
        ("ethanol", "in which 'e' has no meaning"),
        ("CC(O", "branches are not all closed"),
        ("CC)O(", "branches are not all closed"),
        ("c1ccccc2", "ring 1 is not closed"),
        ("C[NH", "in which '[' has no meaning"),
        ("CCO ethanol", "in which ' ' has no meaning"),
        ("==", "which has no atom"),
        ("", "which has no atom"),
    ],
)
def test_what_is_no_structure_is_said_in_words(smiles, said):
    found = problem(smiles)
    assert found is not None and found.startswith("expected a chemical structure (SMILES), got ") and said in found


@pytest.mark.parametrize("smiles", ALL)
def test_structures_are_structures(smiles):
    assert problem(smiles) is None


@pytest.mark.parametrize(
    "cells",
    [
        ["COIN", "SPOON", "BISON", "PICNIC"],
        ["C-001", "C-002", "C-11", "C-22"],
        ["B12", "C11", "N22", "P33"],
        ["CO", "NO", "SO", "IN"],
        ["1+1=2", "(1)(2)"],
        ["CC(=O)O", "ethanol", "water", "C(C)C"],
        ["no (not now)", "so (soon)"],
        ["2024-01-02", "2024-01-03"],
        ["CCO", "CCN", "CC"],
        ["(0)", "[1]", "[23, 4]"],
        [ASPIRIN] * 5,
    ],
    ids=str,
)
def test_words_codes_and_sums_are_no_structures(cells):
    assert guess(pl.Series("s", cells)) is None


def test_structures_are_known_even_with_one_bad_one_among_many():
    assert guess(pl.Series("s", ALL * 4 + ["unknown"])) == "chemical structures, 7 tokens in the median"
    assert guess(pl.Series("s", [1, 2])) is None and guess(pl.Series("s", [None, ""])) is None


def test_a_column_is_cleaned_and_its_problems_are_named_by_row():
    cleaned = clean(pl.Series("s", [f" {ASPIRIN}\n", None, "", "water"]), None)
    assert cleaned.values.to_list() == list(cleaned.contents) == [ASPIRIN, None, None, None]
    assert list(cleaned.problems) == [3] and "'water'" in cleaned.problems[3]


def test_ids_follow_the_vocabulary_and_rare_tokens_are_unknown():
    source = Input.fit(["s"], [["CCO", "CCO", "CCN", None]])
    assert source.vocabulary == ("C", "O")
    assert source.ids("CON").tolist() == [START, NUM_SPECIAL, NUM_SPECIAL + 1, UNKNOWN]
    assert [item.record for item in source.features(["CC", None, "C"])] == [0, 2]


def test_a_long_structure_is_cut_and_counted():
    source = Input.fit(["s"], [["C" * 300, "CC"]])
    assert source.over == 1 and len(source.ids("C" * 300)) == MAX_TOKENS


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(UserError, match="column 's': expected chemical structures to learn from, got none"):
        Input.fit(["s"], [[None]])
    with pytest.raises(UserError, match="expected chemical structures to learn from, got none"):
        BaselineFeatures.fit([None])


@pytest.mark.parametrize(
    "change",
    [{"vocabulary": ["C", "C"]}, {"vocabulary": ["xx"]}, {"vocabulary": [1]}, {"max_tokens": 10**9}, {"columns": []}],
    ids=str,
)
def test_a_made_up_state_is_refused(change, tmp_path):
    state = Input.fit(["s"], [ALL]).state()
    assert Input.from_state(state, tmp_path, where="f").state() == state
    with pytest.raises(UserError, match=r"^f: "):
        Input.from_state({**state, **change}, tmp_path, where="f")


def test_the_fingerprint_counts_runs_of_tokens():
    features, matrix = BaselineFeatures.fit(["CCO", "CCO", "N", "NN"])
    assert features.grams == ("C", "C C", "C C O", "C O", "N", "O")
    row = matrix.toarray()[0]
    counts = np.array([2, 1, 1, 1, 0, 1])
    np.testing.assert_allclose(row[:-1], counts / np.linalg.norm(counts), rtol=1e-6)
    np.testing.assert_allclose(matrix.toarray()[:, -1].mean(), 0, atol=1e-6)
    assert not features.transform([None]).toarray().any() and matrix.dtype == np.float32


def test_a_saved_fingerprint_gives_the_same_and_a_made_up_one_is_refused():
    features, matrix = BaselineFeatures.fit(ALL * 2, max_features=20)
    assert matrix.shape == (len(ALL) * 2, 20) and features.num_features == 20
    plain, arrays = features.state()
    again = BaselineFeatures.from_state(plain, arrays, where="f")
    np.testing.assert_array_equal(again.transform(ALL * 2).toarray(), matrix.toarray())
    for change in (
        {"grams": ["C x"]},
        {"grams": ["C C C C"]},
        {"grams": ["C", "C"]},
        {"size": [0.0, 0.0]},
        {"size": 1},
    ):
        with pytest.raises(UserError, match=r"^f: "):
            BaselineFeatures.from_state({**plain, **change}, arrays, where="f")
    with pytest.raises(UserError, match=r"^f: "):
        BaselineFeatures.from_state({}, arrays, where="f")
