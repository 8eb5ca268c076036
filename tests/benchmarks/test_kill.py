"""Three SIGKILLs at random moments, and the model is the one of the undisturbed run, bit for bit."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import kill

FLAGS = ("--base", "none", "--size", "mini", "--epochs", "3", "--batch-size", "8", "--set", "num_pieces=300")


def test_a_killed_fit_ends_where_it_would_have_ended(news_csv, tmp_path):
    equal, times = kill.survive(news_csv, tmp_path / "kill", kills=3, seed=0, flags=FLAGS)
    assert equal and times == 3
