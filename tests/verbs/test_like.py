"""A run that is repeated takes its choices with it; only what belongs to the machine may be given anew."""

from dataclasses import replace

from zaowu.config import FitConfig, TrainConfig, from_plain
from zaowu.run.folder import opened
from zaowu.verbs.fit import _repeated


def test_only_device_and_threads_are_of_this_machine(tiny_run):
    saved = from_plain(FitConfig, opened(tiny_run)["config"], where="the run")
    assert saved.train.threads == 1 and saved.train.epochs == 1
    assert _repeated(tiny_run, FitConfig()) == saved
    given = FitConfig(train=TrainConfig(threads=2, device="cpu"))
    assert _repeated(tiny_run, given) == replace(saved, train=replace(saved.train, threads=2, device="cpu"))
