"""Three SIGKILLs at random moments, and the model is the one of the undisturbed run, bit for bit."""

import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import kill

FLAGS = ("--base", "none", "--size", "mini", "--epochs", "3", "--batch-size", "8", "--set", "num_pieces=300")


def test_a_killed_fit_ends_where_it_would_have_ended(news_csv, tmp_path):
    equal, found = kill.survive(news_csv, tmp_path / "kill", kills=3, seed=0, flags=FLAGS)
    assert equal and found.total() == 3


def test_a_killed_pre_training_is_killed_while_it_tokenises_too(news, tmp_path):
    text = tmp_path / "text.jsonl"
    text.write_text(
        "".join(f'{{"text": "{"".join(c for c in title if c.isalnum())}"}}\n' for title, _ in news), "utf-8"
    )
    flags = ("--size", "mini", "--vocab-size", "1500", "--length", "32", "--batch-size", "8", "--steps", "12")
    flags += ("--set", "shard_tokens=1000")
    equal, found = kill.survive(text, tmp_path / "kill", kills=3, seed=0, flags=flags, verb="pretrain")
    assert equal and found.total() == 3 and found["tokenising"] >= 1


def test_later_kills_strike_at_every_moment():
    found = Counter({"tokenising": 3})
    rng = random.Random(0)
    for _ in range(27):
        found[kill.next_moment("pretrain", found, rng)] += 1
    assert found["tokenising"] == 3 and min(found.values()) >= 3 and len(found) == 4
    assert kill.next_moment("pretrain", Counter(), rng) == "tokenising" != kill.next_moment("fit", Counter(), rng)
