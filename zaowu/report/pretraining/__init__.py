"""The page of a pre-training run: what was made, from which text, whether it paid, and how to use it."""

from zaowu.report.pretraining.content import Filled, Pretraining, Source
from zaowu.report.pretraining.page import render, write
from zaowu.report.pretraining.verdict import sentences

__all__ = ["Filled", "Pretraining", "Source", "render", "sentences", "write"]
