"""Hashes of paragraphs in memory and in files: the same answers as a set."""

import random

import numpy as np

from zaowu.records.corpus.seen import Seen, digest, shingles


def test_it_is_a_set_wherever_the_hashes_lie(tmp_path) -> None:
    rng, seen, known = random.Random(0), Seen(tmp_path, recent=50, run=200), set()
    for _ in range(60):
        group = [digest(str(rng.randrange(1500))) for _ in range(40)]
        expected = []
        for key in group:
            expected.append(key not in known)
            known.add(key)
        assert seen.fresh(group) == expected
    assert len(list(tmp_path.iterdir())) >= 4
    assert seen.fresh([]) == []


def test_equal_first_halves_are_told_apart(tmp_path) -> None:
    seen = Seen(tmp_path, recent=1, run=1)
    assert seen.fresh([b"a" * 16]) == [True]
    assert seen.fresh([b"a" * 8 + b"b" * 8]) == [True]
    assert seen.fresh([b"a" * 16]) == [False]


def test_shingles_are_runs_of_five_characters() -> None:
    assert len(shingles("一二三四五六")) == 2
    assert len(shingles("一一一一一一一")) == 1
    assert len(np.intersect1d(shingles("abcdefgh"), shingles("xabcdefy"))) == 2
    assert len(shingles("a")) == 1
