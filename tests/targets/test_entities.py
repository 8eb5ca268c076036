"""The entities target: the count against seqeval, decoding against brute force, the dictionary."""

import json
from itertools import product

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score, precision_score, recall_score

from zaowu.errors import UserError
from zaowu.records import spans
from zaowu.records.reading.marked.bio import read_bio
from zaowu.targets.entities import Entities, tagging
from zaowu.targets.entities.details import EntitiesDetails, Found
from zaowu.targets.entities.dictionary import Dictionary

TEXT = "姚明生于上海。"
PLACES = np.array([[-1, -1], *([k, k + 1] for k in range(len(TEXT))), [-1, -1]], np.int32)
LABEL = json.dumps([{"start": 0, "end": 2, "label": "PER"}, {"start": 4, "end": 6, "label": "LOC"}])
TARGET = Entities.fit([LABEL, "[]", None])


def predicted(*rows):
    said = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        said[place] = [Found(start, end, label, 0.9, "x" * (end - start)) for start, end, label in row]
    return TARGET.decode(said)


# ---- tags


def test_entities_become_tags_and_come_back():
    tags = TARGET.token_answers(TARGET.features([LABEL])[0], TEXT, PLACES)
    assert TARGET.names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER") and TARGET.num_outputs == 5
    assert tags.tolist() == [-1, 3, 4, 0, 0, 1, 2, 0, -1]
    assert tagging.runs(tags) == [(1, 3, 1), (5, 7, 0)]
    assert (TARGET.token_answers(None, TEXT, PLACES) == -1).all()


def test_coarse_tokens_take_the_entity_that_they_share_a_character_with():
    coarse = np.array([[0, 3], [3, 3], [3, 5], [5, 7]], np.int32)
    assert tagging.encoded([(0, 2, "PER"), (4, 6, "LOC")], {"LOC": 0, "PER": 1}, coarse).tolist() == [3, -1, 1, 2]


def test_the_path_is_the_best_valid_one():
    rng = np.random.default_rng(0)

    def valid(path):
        return all(
            tag % 2 or not tag or before in (tag, tag - 1) for before, tag in zip((0, *path), path, strict=False)
        )

    for _ in range(30):
        logits = rng.normal(size=(4, 5))
        best = max(
            (path for path in product(range(5), repeat=4) if valid(path)), key=lambda p: logits[range(4), p].sum()
        )
        assert tagging.best_path(logits).tolist() == list(best)


def test_the_loss_is_the_cross_entropy_of_the_tokens_with_a_tag():
    torch.manual_seed(0)
    answers = torch.from_numpy(
        np.stack([TARGET.token_answers(a, TEXT, PLACES) for a in TARGET.features([LABEL, None])])
    )
    logits, weights = torch.randn(2, len(PLACES), 5), torch.tensor([2.0, 1.0])
    found = TARGET.loss(logits, answers, weights)
    own = torch.nn.functional.cross_entropy(logits[0, 1:-1], answers[0, 1:-1].long(), reduction="sum")
    torch.testing.assert_close(found.sum, 2 * own)
    assert float(found.count) == 2 * len(TEXT) == TARGET.count(answers, weights)


# ---- answering


def test_a_window_is_decoded_to_characters():
    logits = np.full((len(PLACES), 5), -5.0, np.float32)
    for place, tag in enumerate([3, 3, 4, 0, 0, 1, 2, 0, 3]):  # special tokens say nothing
        logits[place, tag] = 5.0
    begin, end, found = TARGET.reduce(logits, TEXT, PLACES)
    assert (begin, end) == (0, len(TEXT))
    assert [(one.entity, one.words) for one in found] == [((0, 2, "PER"), "姚明"), ((4, 6, "LOC"), "上海")]
    assert all(one.confidence > 0.99 for one in found)
    assert TARGET.reduce(logits[:1], "", PLACES[:1]) == (0, 0, [])


def test_where_windows_overlap_each_is_asked_for_its_own_half():
    def one(start, end, label="PER"):
        return Found(start, end, label, 1.0, "")

    windows = [
        (0, 12, [one(1, 3), one(9, 10), one(11, 12)]),
        (8, 20, [one(8, 9), one(9, 11), one(11, 13), one(15, 16)]),
    ]
    assert [own.entity[:2] for own in TARGET.merge(windows)] == [(1, 3), (9, 10), (11, 13), (15, 16)]
    assert TARGET.merge(windows[::-1]) == TARGET.merge(windows)
    assert TARGET.merge([]) == []


# ---- judging


def random_sets(rng, rows, labels="ABC"):
    found = []
    for _ in range(rows):
        ends = np.sort(rng.choice(40, 2 * rng.integers(0, 5), replace=False)).reshape(-1, 2)
        found.append([(int(s), int(e), str(rng.choice(list(labels)))) for s, e in ends])
    return found


def test_the_scores_are_seqevals():
    rng = np.random.default_rng(0)
    true, said = random_sets(rng, 60), random_sets(rng, 60)
    said = [own if rng.random() < 0.4 else other for own, other in zip(true, said, strict=True)]

    def tags(rows):
        lines = [["O"] * 40 for _ in rows]
        for line, row in zip(lines, rows, strict=True):
            for start, end, label in row:
                line[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
        return lines

    labels = [json.dumps(row) for row in true]
    target = Entities.fit(labels)
    found = target.score(predicted(*said), labels)
    assert found["entity_f1"] == pytest.approx(f1_score(tags(true), tags(said)))
    assert found["entity_precision"] == pytest.approx(precision_score(tags(true), tags(said)))
    assert found["entity_recall"] == pytest.approx(recall_score(tags(true), tags(said)))
    assert found["macro_f1"] == pytest.approx(f1_score(tags(true), tags(said), average="macro"))


def test_files_of_random_tags_are_scored_as_seqeval_scores_them():
    # I- that follow O or another label are among them: both take them for the beginning of an entity
    rng = np.random.default_rng(1)
    tags = ["O", "B-A", "I-A", "B-B", "I-B", "B-C", "I-C"]
    true = [rng.choice(tags, rng.integers(1, 12)).tolist() for _ in range(200)]
    said = [[tag if rng.random() < 0.7 else str(rng.choice(tags)) for tag in row] for row in true]

    def labels(rows):
        lines = "\n".join("".join(f"天 {tag}\n" for tag in row) for row in rows)
        return read_bio([lines.encode()], source="x", encoding="UTF-8").frame["entities"].to_list()

    given = [spans.entities(label) for label in labels(said)]
    target = Entities.fit(labels(true))
    found = target.score(predicted(*given), labels(true))
    assert 0.3 < found["entity_f1"] < 0.8
    assert found["entity_f1"] == pytest.approx(f1_score(true, said))
    assert found["entity_precision"] == pytest.approx(precision_score(true, said))
    assert found["entity_recall"] == pytest.approx(recall_score(true, said))
    assert found["macro_f1"] == pytest.approx(f1_score(true, said, average="macro"))


def test_the_scores_of_a_case_by_hand():
    labels = [LABEL, "[]", '[[0, 1, "NEW"]]']
    prediction = predicted([(0, 2, "PER"), (4, 7, "LOC")], [], [(0, 1, "PER")])
    found = TARGET.score(prediction, labels)
    assert found["entity_f1"] == found["entity_precision"] == found["entity_recall"] == pytest.approx(1 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 0) / 3) and found["exact_match"] == pytest.approx(1 / 3)
    details = TARGET.details(prediction, labels)
    assert details.unseen == {"NEW": 1} and "'NEW' (1 entities)" in details.caveats()[0]
    assert details.boundary_f1 == pytest.approx(2 * 2 / 6)
    assert EntitiesDetails.from_plain(json.loads(json.dumps(details.to_plain())), where="m") == details
    wrong = TARGET.mistakes(prediction, labels, limit=5)
    assert [one.index for one in wrong] == [0, 2] and wrong[0].truth == "0-2 (PER), 4-6 (LOC)"
    assert TARGET.per_record(prediction, labels).tolist() == [0.5, 1.0, 0.0]


def test_what_cannot_be_learned_from_is_refused():
    for nothing in ([], [None], ["[]"], ["PER"]):
        with pytest.raises(UserError, match="no text has any"):
            Entities.fit(nothing)
    with pytest.raises(UserError, match="at most 500"):
        Entities.fit([json.dumps([[k, k + 1, f"L{k}"] for k in range(501)])])
    with pytest.raises(UserError, match="--class-weights"):
        Entities.fit([LABEL], class_weights="balanced")
    assert Entities.fit([LABEL], also=['[[0, 1, "ORG"]]']).labels == ("LOC", "ORG", "PER")


# ---- the cheap method


def test_the_dictionary_takes_the_longest_phrase_and_cuts_no_word():
    texts = ["北京大学在北京。", "New York is new.", "York", "北京的北京大学", "Yorkshire New Yorkers York"]
    entities = [
        [(0, 4, "ORG"), (5, 7, "LOC")], [(0, 8, "LOC")], [(0, 4, "LOC")], [(0, 2, "LOC"), (3, 7, "ORG")],
        [(22, 26, "LOC")],
    ]  # fmt: skip
    labels = [json.dumps(row) for row in entities]
    cheap, target = Entities.fit(labels).located({"text": texts}, labels).fit_cheap({"text": texts}, labels)
    assert target.decode(cheap.outputs({"text": texts})).entities == entities
    assert Dictionary.from_state(json.loads(json.dumps(cheap.state())), where="b") == cheap
    with pytest.raises(UserError, match="b"):
        Entities.cheap_from_state({"column": "text", "phrases": [1]}, where="b")


def test_phrases_that_mostly_stand_for_something_else_are_left_out():
    cheap = Dictionary.fit("t", ["May", "May", "may May May May"], [[(0, 3, "PER")], [], []])
    assert cheap.phrases == {}
    assert spans.entities(json.dumps([[0, 3, "PER"]])) == [(0, 3, "PER")]
