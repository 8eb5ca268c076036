"""The span target: scores against the sets' own definitions, loss and decoding against brute force."""

import json
import math

import numpy as np
import pytest
import torch

from zaowu.errors import UserError
from zaowu.targets.span import NUM_KEPT, Span, scores
from zaowu.targets.span.details import Candidate, SpanDetails
from zaowu.targets.span.sliding import Sliding

CONTEXT = "姚明生于上海，曾在休斯敦打球。"
PLACES = np.array([[-1, -1], [-1, -1], *([k, k + 1] for k in range(len(CONTEXT))), [-1, -1]], np.int32)


def label(*answers):
    return json.dumps([{"text": words, "start": CONTEXT.find(words)} for words in answers], ensure_ascii=False)


LABELS = [label("姚明"), label("上海", "休斯敦"), label("休斯敦"), label()]
TARGET = Span(column="context", max_characters=8, may_be_none=True, characters=True)


def said(*candidates, none=0.0):
    return [
        *(Candidate(score, CONTEXT.find(words), 0, words) for words, score in candidates),
        Candidate(none, 0, 0, ""),
    ]


def rows_of(*rows):
    found = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        found[place] = row
    return found


# ---- scores


@pytest.mark.parametrize(
    ("predicted", "given", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("Eiffel", ["Eiffel Tower"], 0, 2 / 3),
        ("a big big dog", ["big dog dog"], 0, 2 * 2 / 6),
        ("Paris", ["London", "Paris"], 1, 1),
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("the", ["a"], 1, 1),
    ],
)
def test_english_is_scored_as_squad_does_it(predicted, given, exact, f1):
    assert scores.exact(predicted, given, characters=False) == exact
    assert scores.f1(predicted, given, characters=False) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("predicted", "given", "exact", "f1"),
    [
        ("上海。", ["上海"], 1, 1),
        ("在上海市", ["上海"], 0, 2 * 2 / 6),
        ("上京海", ["上海"], 0, 2 * 1 / 5),  # the longest run, not a bag of characters
        ("1980年", ["1980 年"], 0, 1),  # numbers are one unit
        ("NBA球队", ["nba球员"], 0, 2 * 2 / 6),
        ("上海", ["北京", "上海"], 1, 1),
    ],
)
def test_chinese_is_scored_as_cmrc_does_it(predicted, given, exact, f1):
    assert scores.exact(predicted, given, characters=True) == exact
    assert scores.f1(predicted, given, characters=True) == pytest.approx(f1)


def test_the_longest_run_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = (list(map(str, rng.integers(0, 3, rng.integers(0, 12)))) for _ in range(2))
        runs = {tuple(one[i:j]) for i in range(len(one)) for j in range(i + 1, len(one) + 1)}
        best = max(
            (len(run) for run in runs if any(tuple(other[k : k + len(run)]) == run for k in range(len(other)))),
            default=0,
        )
        assert scores.longest_common_run(one, other) == best


def test_the_language_of_most_answers_decides():
    assert scores.by_characters(["上海", "1980年", "NBA"]) and not scores.by_characters(["Shanghai", "上海"])


# ---- learning


def test_it_knows_the_answers():
    target = Span.fit(LABELS * 5)
    assert target.may_be_none and target.characters and target.max_characters == 8
    assert not Span.fit(LABELS[:3]).may_be_none
    assert Span.fit([*LABELS, label(CONTEXT)]).max_characters == math.ceil(len(CONTEXT) * 1.25)
    assert target.located({"question": ["谁？"] * 4, "context": [CONTEXT] * 4}, LABELS).column == "context"
    for nothing in ([], [None], ["[]", "[]"], ["[3]"]):
        with pytest.raises(UserError, match="no question has an answer"):
            Span.fit(nothing)
    with pytest.raises(UserError, match="--class-weights"):
        Span.fit(LABELS, class_weights="balanced")


def test_tokens_are_told_where_answers_begin_and_end():
    one, several, _, none = TARGET.features(LABELS)
    answers = TARGET.token_answers(several, CONTEXT, PLACES)
    assert np.flatnonzero(answers[:, 0] == 1).tolist() == [2 + CONTEXT.find("上海"), 2 + CONTEXT.find("休斯敦")]
    assert np.flatnonzero(answers[:, 1] == 1).tolist() == [2 + CONTEXT.find("海"), 2 + CONTEXT.find("敦")]
    assert (answers[[1, -1]] == -1).all() and (answers[0] == 0).all()
    nothing = TARGET.token_answers(none, CONTEXT, PLACES)
    assert (nothing[0] == 1).all() and not (nothing[1:] == 1).any()
    window = TARGET.token_answers(one, CONTEXT, np.concatenate([PLACES[:2], PLACES[6:]]))  # the answer is in another
    assert (window[0] == 1).all() and not (window[1:] == 1).any()
    half = TARGET.token_answers(one, CONTEXT, np.concatenate([PLACES[:2], PLACES[3:]]))
    assert (half[0] == 1).all()
    assert (TARGET.token_answers(None, CONTEXT, PLACES) == -1).all()
    assert (TARGET.token_answers([("北京", 0)], CONTEXT, PLACES) == -1).all()


def test_an_answer_takes_the_tokens_that_share_a_character_with_it():
    coarse = np.array([[-1, -1], [0, 3], [3, 3], [3, 6], [6, 9]], np.int32)
    answers = TARGET.token_answers([("生于上", 2)], CONTEXT, coarse)
    assert answers[:, 0].tolist() == [0, 1, -1, 0, 0] and answers[:, 1].tolist() == [0, 0, -1, 1, 0]


def test_the_loss_is_that_of_the_right_places_among_the_possible_ones():
    torch.manual_seed(0)
    logits = torch.randn(4, len(PLACES), 2)
    truth = [TARGET.token_answers(answer, CONTEXT, PLACES) for answer in TARGET.features([*LABELS[:3], None])]
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0])
    found = TARGET.loss(logits, torch.from_numpy(np.stack(truth)), weights)
    total = 0.0
    for row, (own, weight) in enumerate(zip(truth[:3], weights.tolist(), strict=False)):
        for side in (0, 1):
            exps = np.exp(logits[row, :, side].numpy().astype(np.float64))
            share = exps[own[:, side] == 1].sum() / exps[own[:, side] >= 0].sum()
            total -= 0.5 * weight * math.log(share)
    assert float(found.sum) == pytest.approx(total, rel=1e-5) and float(found.count) == 3.5
    assert TARGET.count(torch.from_numpy(np.stack(truth)), weights) == 3.5


# ---- answering


def test_the_best_pieces_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        outputs = rng.normal(size=(len(PLACES), 2)).astype(np.float32)
        found = TARGET.reduce(outputs, CONTEXT, PLACES)
        every = sorted(
            (
                (float(outputs[i, 0] + outputs[j, 1]), int(PLACES[i, 0]), int(PLACES[j, 1]))
                for i in range(2, len(PLACES) - 1)
                for j in range(i, len(PLACES) - 1)
                if PLACES[j, 1] - PLACES[i, 0] <= TARGET.max_characters
            ),
            reverse=True,
        )[:NUM_KEPT]
        assert [(one.start, one.end) for one in found[:-1]] == [(start, end) for _, start, end in every]
        assert [one.score for one in found[:-1]] == pytest.approx([score for score, _, _ in every])
        assert all(CONTEXT[one.start : one.end] == one.words for one in found[:-1])
        assert found[-1] == Candidate(float(outputs[0].sum()), 0, 0, "")


def test_windows_are_put_together():
    one = [Candidate(3.0, 0, 2, "姚明"), Candidate(1.0, 4, 6, "上海"), Candidate(2.0, 0, 0, "")]
    other = [Candidate(2.5, 4, 6, "上海"), Candidate(-1.0, 0, 0, "")]
    assert TARGET.merge([one, other]) == [one[0], other[0], Candidate(-1.0, 0, 0, "")]
    assert TARGET.merge([]) == [Candidate(0.0, 0, 0, "")]


def test_no_answer_is_said_below_the_threshold():
    rows = rows_of(said(("姚明", 3.0), none=1.0), said(("姚明", 1.5), none=1.0))
    from dataclasses import replace

    prediction = replace(TARGET, threshold=1.0).decode(rows)
    assert prediction.words == ["姚明", ""]
    assert prediction.plain(top=1)[1] == {
        "answer": None,
        "start": None,
        "end": None,
        "confidence": pytest.approx(1 / (1 + math.exp(-0.5))),
    }
    assert replace(TARGET, may_be_none=False, threshold=9.0).decode(rows).words == ["姚明", "姚明"]


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    labels = [LABELS[0], LABELS[3]] * 60
    leads = rng.normal(size=120) + np.array([1.0, -0.2] * 60)
    rows = rows_of(*(said(("姚明", lead)) for lead in leads))
    tuned = TARGET.tuned(rows, TARGET.features(labels))

    def reached(threshold):
        answered = leads > threshold
        return np.where(np.array([True, False] * 60), answered, ~answered).mean()

    best = max(reached(cut) for cut in [*leads, -10])
    assert reached(tuned.threshold) == pytest.approx(best)
    assert tuned.score(tuned.decode(rows), labels)["f1"] == pytest.approx(best)
    assert TARGET.tuned(rows[:30], TARGET.features(labels[:30])) == TARGET  # too few say nothing


def test_details_and_mistakes():
    rows = rows_of(said(("姚明", 3.0)), said(("休斯", 2.0)), said(("姚明", 1.0)), said(("姚明", -1.0)))
    prediction = TARGET.decode(rows)
    details = TARGET.details(prediction, LABELS)
    assert (details.answerable, details.unanswerable, details.answered, details.unanswerable_right) == (3, 1, 3, 1.0)
    assert details.answerable_f1 == pytest.approx((1 + 2 * 2 / 5 + 0) / 3)
    assert SpanDetails.from_plain(json.loads(json.dumps(details.to_plain())), where="m") == details
    wrong = TARGET.mistakes(prediction, LABELS, limit=5)
    assert [(one.index, one.truth, one.predicted) for one in wrong] == [
        (2, "休斯敦", "姚明"),
        (1, "上海 / 休斯敦", "休斯"),
    ]


# ---- the cheap method


def test_the_sliding_window_finds_the_sentence_that_asks():
    contexts = ["长城很长。姚明生于上海市区。故宫在北京。" for _ in range(30)]
    questions, answers = ["姚明生于哪里？", "故宫在哪里？"] * 15, ["姚明生于上海市区", "故宫在北京"] * 15
    labels = [json.dumps([{"text": answer, "start": contexts[0].find(answer)}]) for answer in answers]
    texts = {"context": contexts, "question": questions}
    target = Span.fit(labels).located(texts, labels)
    cheap, tuned = target.fit_cheap(texts, labels)
    prediction = tuned.decode(cheap.outputs(texts))
    assert prediction.words == answers and tuned.score(prediction, labels) == {"f1": 1.0, "exact_match": 1.0}
    state = json.loads(json.dumps(cheap.state()))
    assert Span.cheap_from_state(state, where="b") == cheap
    for wrong in (None, {}, {**state, "window": "7"}, {**state, "weights": 3}):
        with pytest.raises(UserError, match="b"):
            Sliding.from_state(wrong, where="b")
    empty = cheap.outputs({"context": ["", "？！"], "question": ["谁？", ""]})
    assert tuned.decode(empty).words == ["", ""]
