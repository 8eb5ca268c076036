"""The cheap features against scikit-learn's own TF-IDF, and what is saved comes back to the bit."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from zaowu.errors import UserError
from zaowu.inputs.text.tfidf import TfidfFeatures, spaces_make_words

CHINESE = ["姚明宣布退役", "姚明的新手机", "手机手机厂商赞助球队", "CBA总决赛今晚开打"]
ENGLISH = ["The striker scored twice", "a new phone, a new chip", "The chip is new", "twice the price"]


def test_chinese_is_scikit_learns_character_tfidf():
    oracle = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    expected = oracle.fit_transform(CHINESE)
    features, matrix = TfidfFeatures.fit(CHINESE)
    assert features.vocabularies == {"characters": oracle.get_feature_names_out().tolist()}
    np.testing.assert_allclose(matrix.toarray(), expected.toarray(), atol=1e-6)
    unseen = ["姚明姚明在球场", "没", ""]
    np.testing.assert_allclose(features.transform(unseen).toarray(), oracle.transform(unseen).toarray(), atol=1e-6)


def test_english_is_words_beside_parts_of_words():
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b")
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=2, sublinear_tf=True)
    features, matrix = TfidfFeatures.fit(ENGLISH)
    expected = np.hstack([words.fit_transform(ENGLISH).toarray(), parts.fit_transform(ENGLISH).toarray()])
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-6)
    assert matrix.dtype == np.float32 and features.num_features == matrix.shape[1]


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("姚明宣布退役", False),
        ("iPhone 发布会今晚在上海举行，现场人山人海", False),
        ("きょうは東京でオリンピックが開かれます", False),
        ("วันนี้อากาศดีมาก", False),
        ("The striker scored twice", True),
        ("오늘 서울에서 경기가 열린다", True),
        ("Сегодня в Москве", True),
        ("12345 !!", False),
    ],
)
def test_which_scripts_have_spaces_between_words(text, spaced):
    assert spaces_make_words([text]) is spaced


@pytest.mark.parametrize("texts", [CHINESE, ENGLISH])
def test_what_is_saved_comes_back_to_the_bit(texts):
    features, matrix = TfidfFeatures.fit(texts)
    vocabularies, idf = features.state()
    again = TfidfFeatures.from_state(json.loads(json.dumps(vocabularies)), idf, where="baseline.json")
    assert np.array_equal(again.transform(texts).toarray(), matrix.toarray())
    assert np.array_equal(again.transform(texts).toarray(), features.transform(texts).toarray())


def test_the_most_frequent_grams_are_kept():
    features, matrix = TfidfFeatures.fit(["甲乙", "甲丙", "甲乙丁"], max_features=3)
    assert set(features.vocabularies["characters"]) == {"甲", "乙", "甲乙"}
    assert matrix.shape == (3, 3)


@pytest.mark.parametrize("texts", [["", ""], [" "], ["!!"], ["a"], ["!?", "…"], ["字"]])
def test_texts_without_much_in_them(texts):
    features, matrix = TfidfFeatures.fit(texts)
    assert matrix.shape == (len(texts), features.num_features)
    assert np.isfinite(matrix.toarray()).all()
    again = TfidfFeatures.from_state(*features.state(), where="x")
    assert again.transform(["字 a!"]).shape == (1, features.num_features)


def test_a_whole_book_in_one_cell_is_cut():
    features, _ = TfidfFeatures.fit(["字" * 30_000 + "尾", "字"])
    assert "尾" not in features.vocabularies["characters"]


@pytest.mark.parametrize(
    "vocabularies",
    [
        None,
        {"os": ["a"]},
        {"characters": "姚明"},
        {"characters": ["姚", 3]},
        {"characters": ["姚", "姚"]},
        {"characters": []},
        {"characters": ["姚"]},
        {"words": ["姚", "明"]},
    ],
)
def test_a_made_up_state_is_refused(vocabularies):
    with pytest.raises(UserError, match=r"baseline\.json"):
        TfidfFeatures.from_state(vocabularies, {"characters": np.ones(2, np.float32)}, where="baseline.json")
