"""The n-gram model against a case by hand, an implementation with dictionaries, and the law of probabilities."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.targets.text import ngram
from zaowu.targets.text.ngram import KneserNey


def ids(*texts):
    return [np.array([ord(sign) - ord("a") for sign in text], np.int64) for text in texts]


def test_bigrams_by_hand():
    model = KneserNey.fit(ids("ab", "aa"), 2, order=2)
    # before a stand 2 symbols (the begin and a), before b 1, before the end 2: discounts .5, 1, 1.5 leave .5 of 5
    a, b, end = (2 - 1) / 5 + 0.5 / 3, (1 - 0.5) / 5 + 0.5 / 3, (2 - 1) / 5 + 0.5 / 3
    # a begins both sequences; behind a stand a, b and the end once each
    begin_a = (2 - 1) / 2 + 1 / 2 * a
    a_b, a_end = ((1 - 0.5) / 3 + 1.5 / 3 * own for own in (b, end))
    b_end = 0.5 + 0.5 * end
    expected = np.log([begin_a, a_b, b_end])
    assert model.log_probabilities(ids("ab")[0]) == pytest.approx(expected, rel=1e-6)
    assert model.log_probabilities(ids("a")[0]) == pytest.approx(np.log([begin_a, a_end]), rel=1e-6)
    assert model.distribution(np.array([], int)) == pytest.approx([begin_a, b / 2, end / 2], rel=1e-6)
    total = -expected.sum() - math.log(begin_a) - math.log(a_end)
    assert model.perplexity(ids("ab", "a")) == pytest.approx(math.exp(total / 5))
    assert model.perplexity(ids("ab", "a"), units=3) == pytest.approx(math.exp(total / 3))


class Dictionaries:
    """The same model, from its definition."""

    def __init__(self, sequences, vocabulary, order):
        self.vocabulary, self.order = vocabulary, order
        raw = Counter()
        for sequence in sequences:
            full = ("^", *sequence.tolist(), vocabulary)
            raw.update(full[i : i + n] for n in range(1, order + 1) for i in range(len(full) - n + 1))
        self.counts = {}
        for gram, count in raw.items():
            if len(gram) < order and gram[0] != "^":
                count = len({other[0] for other in raw if len(other) == len(gram) + 1 and other[1:] == gram})
            if gram != ("^",):
                self.counts[gram] = count
        self.discounts = {}
        for n in range(1, order + 1):
            of = Counter(count for gram, count in self.counts.items() if len(gram) == n)
            y = of[1] / max(1, of[1] + 2 * of[2])
            own = [k - (k + 1) * y * of[k + 1] / of[k] if of[k] else -1 for k in (1, 2, 3)]
            fine = min(of[k] for k in (1, 2, 3, 4)) > 0 and all(0 < d <= k for k, d in enumerate(own, 1))
            self.discounts[n] = [0, *(own if fine else (0.5, 1.0, 1.5))]
        self.followers = defaultdict(list)
        for gram, count in self.counts.items():
            self.followers[gram[:-1]].append(count)

    def probability(self, context, symbol):
        n = len(context) + 1
        lower = 1 / (self.vocabulary + 1) if n == 1 else self.probability(context[1:], symbol)
        followers = self.followers.get(context)
        if not followers:
            return lower
        cut = self.discounts[n]
        count = self.counts.get((*context, symbol), 0)
        rest = sum(cut[min(other, 3)] for other in followers) / sum(followers)
        return (count - cut[min(count, 3)]) / sum(followers) + rest * lower

    def log_probabilities(self, sequence):
        full = ("^", *sequence.tolist(), self.vocabulary)
        return [
            math.log(self.probability(full[max(0, place - self.order + 1) : place], full[place]))
            for place in range(1, len(full))
        ]


def random_sequences(seed, num, vocabulary, most=12):
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocabulary + 1)
    return [rng.choice(vocabulary, rng.integers(0, most), p=weights / weights.sum()) for _ in range(num)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_the_model_of_the_definition(order):
    known, new = random_sequences(0, 80, 6), random_sequences(1, 12, 8)
    model, plain = KneserNey.fit(known, 9, order=order), Dictionaries(known, 9, order)
    for sequence in new:  # symbols 6 and 7 stand in no training sequence
        assert model.log_probabilities(sequence) == pytest.approx(plain.log_probabilities(sequence), rel=1e-5)


def test_both_sorts_of_discounts_are_among_the_orders_above():
    found = Dictionaries(random_sequences(0, 80, 6), 9, 5).discounts
    fixed = [cuts == [0, 0.5, 1.0, 1.5] for cuts in found.values()]
    assert any(fixed) and not all(fixed), found


@pytest.mark.parametrize("order", [1, 3, 5])
def test_probabilities_sum_to_one_over_the_vocabulary(order):
    known = random_sequences(0, 60, 6)
    model = KneserNey.fit(known, 8, order=order)
    for context in (*known[:10], *random_sequences(2, 10, 8)):
        found = model.distribution(context)
        assert len(found) == 9 and found.min() > 0 and found.sum() == pytest.approx(1, abs=1e-5)
        for symbol in (0, 3, 7):
            longer = model.log_probabilities(np.r_[context, symbol].astype(int))
            assert np.log(found[symbol]) == pytest.approx(longer[len(context)], abs=1e-5)
        assert np.log(found[model.end]) == pytest.approx(model.log_probabilities(context)[-1], abs=1e-5)


def test_portions_change_nothing(monkeypatch):
    known, new = random_sequences(0, 60, 6), random_sequences(3, 20, 6)
    model = KneserNey.fit(known, 6)
    whole = model.perplexity(new)
    monkeypatch.setattr(ngram, "PORTION", 7)
    assert model.perplexity(new) == pytest.approx(whole, rel=1e-12)
    num = sum(len(own) + 1 for own in new)
    assert whole == pytest.approx(np.exp(-sum(model.log_probabilities(own).sum() for own in new) / num))


def test_a_longer_context_helps_where_there_is_something_to_learn():
    known = [np.tile(np.arange(5), 4) for _ in range(5)]
    one, five = (KneserNey.fit(known, 5, order=order).perplexity(known) for order in (1, 5))
    assert five < 1.2 < 4 < one


def test_nothing_and_strange_symbols_are_refused():
    with pytest.raises(UserError, match="at least one sequence"):
        KneserNey.fit([], 3)
    with pytest.raises(UserError, match="from 0 to 2, but 2 are others"):
        KneserNey.fit([np.array([0, 3, -1])], 3)
