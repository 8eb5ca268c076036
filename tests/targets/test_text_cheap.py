"""The cheap methods beside a model that writes: each by hand, the choice, and what is saved."""

import json

import numpy as np
import pytest

from zaowu.errors import UserError
from zaowu.targets.text import cheap
from zaowu.targets.text.cheap import Best, Copy, Lead, Nearest

PAIRS = [
    ("I like cats.", "我喜欢猫。"),
    ("I like dogs.", "我喜欢狗。"),
    ("Where is the railway station?", "火车站在哪里？"),
    ("The weather is fine today.", "今天天气很好。"),
]
SOURCES, ANSWERS = ([pair[side] for pair in PAIRS] for side in (0, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他来了。她走了。", "他来了。"),
        ("“他来了！”她说。", "“他来了！”"),
        ("版本3.5已发布.修复了错误.", "版本3.5已发布."),
        ("Pi is 3.14, e.g.that. And more.", "Pi is 3.14, e.g.that."),
        ('He said "no." Then he left.', 'He said "no."'),
        ("Really?! Yes.", "Really?!"),
        ("  no end here ", "no end here"),
        ("", ""),
        ("第一行\n还是同一句。第二句", "第一行\n还是同一句。"),
        ("end.", "end."),
    ],
)
def test_the_lead_sentence_ends_where_a_reader_ends_it(text, expected):
    assert cheap.lead(text) == expected
    assert Lead.fit([], []).predict([text]) == [expected]


def test_copy_says_the_source():
    assert Copy.fit(SOURCES, ANSWERS).predict(["a", "b"]) == ["a", "b"]


def test_the_nearest_training_answer_is_found():
    nearest = Nearest.fit(SOURCES, ANSWERS)
    asked = ["Is the weather fine?", "my dogs", "I like cats."]
    assert nearest.predict(asked) == ["今天天气很好。", "我喜欢狗。", "我喜欢猫。"]
    assert Nearest.fit(ANSWERS, SOURCES).predict(["火车站"]) == [SOURCES[2]]


def test_what_shares_nothing_gets_the_most_frequent_answer():
    nearest = Nearest.fit([*SOURCES, "x y z"], [*ANSWERS, ANSWERS[1]])
    assert nearest.rows(["完全不同"]).tolist() == [-1] and nearest.predict(["完全不同"]) == [ANSWERS[1]]


def test_portions_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh "), 12)) for _ in range(90)]
    nearest = Nearest.fit(texts[:60], texts[:60])
    whole = nearest.rows(texts[60:])
    monkeypatch.setattr(cheap, "MAX_PRODUCTS", 100)
    assert (nearest.rows(texts[60:]) == whole).all() and len(set(whole.tolist())) > 5


def test_many_pairs_are_thinned_out(monkeypatch):
    monkeypatch.setattr(cheap, "MAX_ROWS", 2)
    assert Nearest.fit(SOURCES, ANSWERS) == Nearest([SOURCES[0], SOURCES[2]], [ANSWERS[0], ANSWERS[2]])


def words(rng, num_rows):
    return [" ".join("".join(rng.choice(list("abcdefghij"), 5)) for _ in range(4)) for _ in range(num_rows)]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda source: source, "copy_source"),
        (lambda source: source.split(". ")[0] + ".", "lead_sentence"),
        (lambda source: "".join(chr(0x4E00 + ord(sign)) for sign in source[:5]), "nearest_answer"),
    ],
    ids=["copy", "lead", "nearest"],
)
@pytest.mark.parametrize("with_valid", [False, True])
def test_the_best_method_is_chosen_by_rows_it_did_not_learn_from(made, name, with_valid):
    rng = np.random.default_rng(0)
    starts = words(rng, 20)  # each source begins as others do
    sources = [f"{starts[row % 20]}. {end}." for row, end in enumerate(words(rng, 200))]
    answers = [made(source) for source in sources]
    valid = (sources[120:], answers[120:]) if with_valid else None
    best = Best.fit(sources[:120], answers[:120], valid)
    assert best.name == name and max(best.reached, key=best.reached.get) == name and best.reached[name] > 0.9
    assert best.predict(sources[120:]) == next(iter(best.every(sources[120:]).values()))
    assert next(iter(best.every(sources[:1]))) == name and len(best.every(sources[:1])) == 3


def test_rows_of_one_source_are_never_on_both_sides():
    # every source twice with its own answer: within folds that split them, the nearest answer would be right
    rng = np.random.default_rng(0)
    sources = words(rng, 60) * 2
    answers = words(rng, 60) * 2
    best = Best.fit(sources, answers)
    assert best.reached["nearest_answer"] < 0.5


def test_few_pairs_are_enough():
    best = Best.fit(["a"], ["b"])
    assert best.name == "copy_source" and best.predict(["c"]) == ["c"]


def test_a_saved_method_says_the_same():
    best = Best.fit(SOURCES, ANSWERS)
    state = json.loads(json.dumps(best.state()))
    assert Best.from_state(state, where="x") == best
    assert Best.from_state(state, where="x").every(["I like birds."]) == best.every(["I like birds."])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "oracle"},
        {"reached": {"copy_source": 1.0}},
        {"nearest": {"sources": ["a"], "answers": []}},
        {"nearest": {"sources": [], "answers": []}},
        {"nearest": {"sources": [1], "answers": ["a"]}},
        {"more": 1},
    ],
    ids=str,
)
def test_a_made_up_method_is_refused(change):
    state = {**Best.fit(SOURCES, ANSWERS).state(), **change}
    with pytest.raises(UserError, match="baseline"):
        Best.from_state(state, where="baseline.json")
