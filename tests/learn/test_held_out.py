"""What a pre-training is judged by: `learn.corpus.HeldOut`."""

from types import SimpleNamespace

from torch import nn

from zaowu.learn.corpus import HeldOut
from zaowu.objectives import Tally
from zaowu.objectives.masked import OfTokens


class Model(nn.Linear):
    """Two objectives, of which the second finds no answer in the held-out documents."""

    is_sharded = False
    objectives = {"masked": OfTokens(), "next_sentence": OfTokens()}  # noqa: RUF012

    def judge(self, batch):
        return {"masked": Tally(loss=3.0, right=1.0, count=2.0), "next_sentence": Tally()}


def test_an_objective_without_an_answer_is_left_out_of_the_judgement():
    batch = SimpleNamespace(to=lambda device: None)
    judged = HeldOut([batch, batch])(Model(1, 1))
    assert judged.rank == (-1.5,) and judged.scores.keys() == {"loss", "perplexity", "accuracy"}
    assert judged.scores["loss"] == 1.5 and judged.scores["accuracy"] == 0.5
