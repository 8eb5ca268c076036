"""Scores of written texts against the libraries of the field, hand-computed cases and a plain bootstrap."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from zaowu.targets.text import scores

ENGLISH = [
    ("The cat sat on the mat.", ["A cat sat on the mat.", "The cat is on the mat."]),
    ("He doesn't live in St. Louis, 2019.", ["He does not live in St. Louis in 2019."]),
    ("", ["Nothing was said here at all."]),
    ("Good morning to you", ["Good morning to you"]),
    ("completely different words", ["我们", "Some other long sentence of six"]),
]
CHINESE = [
    ("我今天很高兴。", ["我今天非常高兴。", "今天我很高兴。"]),
    ("他在iPhone上看书3.5小时", ["他用 iPhone 看了3.5小时书。"]),
    ("不", ["是的。"]),
    ("我我我我我我我我", ["我走了，你呢？"]),
]
SETS = pytest.mark.parametrize(("rows", "tokenize"), [(ENGLISH, "13a"), (CHINESE, "zh")], ids=["en", "zh"])


def parted(rows):
    return [text for text, _ in rows], [own for _, own in rows]


def streams(truth):
    most = max(map(len, truth))
    return [[own[place] if place < len(own) else None for own in truth] for place in range(most)]


def random_texts(rng, num_rows, *, signs="abcd e"):
    return ["".join(rng.choice(list(signs), rng.integers(1, 40))) for _ in range(num_rows)]


@SETS
def test_chrf_and_bleu_are_those_of_sacrebleu(rows, tokenize):
    predicted, truth = parted(rows)
    found = scores.score_texts(predicted, truth, resamples=0)
    assert scores.Figures.of(predicted, truth).tokenize == tokenize
    assert found["bleu"].value == pytest.approx(
        BLEU(tokenize=tokenize).corpus_score(predicted, streams(truth)).score / 100, rel=1e-9
    )
    assert found["chrf"].value == pytest.approx(CHRF().corpus_score(predicted, streams(truth)).score / 100, rel=1e-9)
    assert scores.chrf(predicted, truth) == found["chrf"].value > 0
    own = [CHRF().sentence_score(text, given).score / 100 for text, given in rows]
    assert scores.per_row(predicted, truth) == pytest.approx(own, rel=1e-9)


@SETS
@pytest.mark.parametrize("row", range(4))
def test_bleu_of_single_rows_is_smoothed_as_in_sacrebleu(rows, tokenize, row):
    predicted, truth = parted([rows[row]])
    expected = BLEU(tokenize=tokenize).corpus_score(predicted, streams(truth)).score / 100
    found = scores.Figures.of(predicted, truth)
    assert scores.bleu_of(scores._bleu_counts(predicted, truth, tokenize)) == pytest.approx([expected], abs=1e-12)
    assert found.bleu.shape == (1, 10) and found.chrf.shape == (1, 18)


def test_rouge_of_words_is_that_of_rouge_score():
    predicted, truth = parted(ENGLISH)
    figures = scores.Figures.of(predicted, truth)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        expected = [scorer.score_multi(own, text)[theirs].fmeasure for text, own in ENGLISH]
        assert figures.means[name] == pytest.approx(expected, abs=1e-12)
    assert not figures.characters and figures.means["rouge_2"].max() == 1


def test_rouge_of_characters_by_hand():
    figures = scores.Figures.of(["他 今天来", "ＡB"], ["今天他来了", "没有人看见它"])
    assert figures.characters
    # 4 of 4 and 5 characters are common; one pair, 今天; the longest subsequence is 今天来
    assert figures.means["rouge_1"] == pytest.approx([8 / 9, 0])
    assert figures.means["rouge_2"] == pytest.approx([2 / 7, 0])
    assert figures.means["rouge_l"] == pytest.approx([6 / 9, 0])
    assert figures.means["character_f1"] == pytest.approx([8 / 9, 0])


def test_the_longest_common_subsequence_is_that_of_the_table():
    rng = np.random.default_rng(0)
    for one, other in zip(random_texts(rng, 200), random_texts(rng, 200), strict=True):
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        for i, first in enumerate(one):
            for j, second in enumerate(other):
                table[i + 1, j + 1] = table[i, j] + 1 if first == second else max(table[i, j + 1], table[i + 1, j])
        assert scores.common_subsequence(one, other) == table[-1, -1]
    assert scores.common_subsequence("", "abc") == scores.common_subsequence("abc", "") == 0


def test_exact_match_lengths_and_repetitions_by_hand():
    figures = scores.Figures.of([" 好  的", "一二三四一二三四", "短"], [["不", "好 的"], ["一二三四"], ["长一点"]])
    values = figures.values()
    assert figures.means["exact_match"].tolist() == [1, 0, 0]
    # runs of 4 of the second: 1234 2341 3412 4123 1234, of which one stood before
    assert figures.means["repetition"] == pytest.approx([0, 1 / 5, 0])
    assert figures.lengths.tolist() == [[5, 3], [8, 4], [1, 3]]
    assert values["length_ratio"] == 14 / 10 and values["repetition"] == pytest.approx(1 / 15)
    assert scores.repeated("no no no no no no", characters=False) == 1 - 1 / 3


@pytest.mark.parametrize(
    ("texts", "tokenize"),
    [
        (["我爱你", "Good"], "13a"),
        (["我爱北京天安门", "Good"], "zh"),
        (["わたしはほんがすきです"], "char"),
        (["Привет, мир", "ok"], "13a"),
        (["", "123"], "char"),
    ],
)
def test_the_tokenizer_is_chosen_by_the_letters_of_the_references(texts, tokenize):
    assert scores.tokenizer_of(texts) == tokenize


def test_rows_with_one_source_are_one_row_with_all_their_references():
    sources = ["Hi.", "Run!", "Hi.", "Hi."]
    truth = ["嗨。", "跑！", "你好。", "嗨。"]
    predicted = ["你好。", "快跑", "你好。", "你好。"]
    joined = scores.score_texts(predicted, truth, sources, resamples=0)
    assert joined == scores.score_texts(["你好。", "快跑"], [["嗨。", "你好。"], ["跑！"]], resamples=0)
    assert joined["exact_match"].value == 0.5
    assert scores.score_texts(predicted, truth, resamples=0)["exact_match"].value == 0.25
    assert scores.per_row(predicted, truth, sources).tolist() == [1, scores.per_row(["快跑"], ["跑！"])[0], 1, 1]
    assert scores.chrf(predicted, truth, sources) == joined["chrf"].value
    # a writer that draws says different things of one source: all of them count
    drawn = ["你好。", "快跑", "嗨。", "不"]
    assert scores.score_texts(drawn, truth, sources, resamples=0)["exact_match"].value == 0.5


def test_intervals_are_those_of_a_plain_bootstrap():
    rng = np.random.default_rng(1)
    truth = random_texts(rng, 60, signs="abcdefg hi")
    predicted = [text[: len(text) // 2] + other for text, other in zip(truth, random_texts(rng, 60), strict=True)]
    found = scores.score_texts(predicted, truth, seed=3)
    plain = []
    for _ in range(400):
        rows = rng.integers(0, 60, 60)
        drawn, own = [predicted[row] for row in rows], [[truth[row] for row in rows]]
        plain.append((CHRF().corpus_score(drawn, own).score / 100, BLEU().corpus_score(drawn, own).score / 100))
    for name, values in zip(("chrf", "bleu"), np.array(plain).T, strict=True):
        low, high = np.percentile(values, [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.25 * (high - low))
        assert found[name].low < found[name].value < found[name].high
    assert found == scores.score_texts(predicted, truth, seed=3) != scores.score_texts(predicted, truth, seed=4)


def test_differences_are_paired():
    rng = np.random.default_rng(2)
    truth = random_texts(rng, 200, signs="abcdefg hi")
    worse = [text[:-1] for text in truth]
    found = scores.differences(truth, worse, truth)
    own = scores.score_texts(worse, truth)
    assert found["chrf"].value == pytest.approx(1 - own["chrf"].value)
    assert 0 < found["chrf"].low < found["chrf"].value < found["chrf"].high
    assert 0 < found["length_ratio"].low < found["length_ratio"].value
    same = scores.differences(worse, worse, truth)
    assert all((one.value, one.low, one.high) == (0, 0, 0) for one in same.values())


def test_rows_can_be_taken():
    predicted, truth = parted(ENGLISH)
    figures, rows = scores.Figures.of(predicted, truth), np.array([3, 0])
    own = scores.Figures.of([predicted[row] for row in rows], [truth[row] for row in rows])
    assert figures.take(rows).values() == own.values() and len(figures.take(rows)) == 2
