"""Both sides of a case of `finetune.py`, made ready to train in turn on the same batches."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.cases import Case, base_folder, classes_of

from zaowu.config import TrainConfig
from zaowu.records.records import Records

WARM = 4  # steps at the head of every turn that are not counted
OURS = "zaowu"
TRAINERS = {"trainer fp32": False, "trainer bf16": True}
KERNELS = ("sdpa", "eager")


class Sides:
    """Both sides of a case, ready for their turns: models from one folder, items with the same ids."""

    def __init__(self, case: Case, records: Records, args: argparse.Namespace) -> None:
        from peers import trainer

        self.case, self.records, self.steps = case, records, args.steps
        texts = records.values("title")
        self.folder = base_folder(case, texts, args.work)
        self.classes, numbers = classes_of(records.values("topic"))
        self.items = trainer.encoded(self.folder, texts, numbers.tolist())
        self.lengths = np.array([len(item["input_ids"]) for item in self.items])
        self.config = TrainConfig(epochs=1, batch_size=case.batch_size, lr=1e-4, warmup=0.06, patience=10**6)
        self.model, self.source = ours(self.folder, records, self.config)
        self.kernels = dict.fromkeys(TRAINERS, KERNELS[0])

    def warm_up(self, known: dict[str, Any], keep: Any) -> None:
        """The round that does not count: it decides which of its attention kernels each Trainer is given."""
        if known:
            self.kernels = known["kernels"]
            return
        rates: dict[str, dict[str, float]] = {}
        for name in TRAINERS:
            rates[name] = {}
            for kernel in KERNELS:
                self.kernels[name] = kernel
                rates[name][kernel] = self.turn(name, 0)
            self.kernels[name] = max(KERNELS, key=rates[name].__getitem__)
        self.turn(OURS, 0)
        keep({"kernels": self.kernels, "kernel_rates": rates, **measure.machine()})

    def round(self, number: int) -> dict[str, Any]:
        """Headlines per second of each side on this round's batches, and the peaks measured beside them."""
        rates = {name: self.turn(name, number) for _, name in _only(number, (OURS, *TRAINERS))}
        batches = self.batches(number)[WARM:]
        lengths = self.lengths[np.concatenate(batches)]
        trunk = self.model.config.trunk
        flops = measure.encoder_flops(
            lengths, layers=trunk.num_layers, dim=trunk.dim, ffn_dim=trunk.ffn_dim, outputs=len(self.classes)
        )
        peaks = {dtype: measure.product_peak(dtype) / 1e9 for dtype in ("float32", "bfloat16")}
        return {
            "rates": {name: round(rate, 2) for name, rate in rates.items()},
            "gflop_per_headline": flops / len(lengths) / 1e9,
            "tokens_per_headline": round(float(lengths.mean()), 2),
            "peak_gflops": {name: round(peak, 1) for name, peak in peaks.items()},
            "ours_in": self.dtype,
        }

    def batches(self, number: int) -> list[np.ndarray]:
        """This round's batches, each an index array into the records: grouped by length as Zaowu's loop does it.

        Like the Trainer's own sampler, which also sorts fifty batches at a time; both sides get these very batches.
        """
        from zaowu.batching.order import train_batches

        chosen = self.chosen(number)
        found = train_batches(
            self.lengths[chosen],
            self.records.ids[chosen],
            batch_size=self.case.batch_size,
            seed=self.config.seed,
            epoch=0,
        )
        return [chosen[index] for index in found]

    def chosen(self, number: int) -> np.ndarray:
        """(N,) the records of a round: others in every round, all different within one."""
        wanted = (WARM + self.steps) * self.case.batch_size
        assert wanted <= len(self.records), f"{wanted} records are needed for a round, there are {len(self.records)}"
        return np.random.default_rng(number).permutation(len(self.records))[:wanted]

    def turn(self, name: str, number: int) -> float:
        """Trains on the round's batches; headlines per second from the end of the last warm-up step to the end."""
        gc.collect()
        if name == OURS:
            ends = self.train_ours(number)
        else:
            ends = self.train_theirs(name, number)
        assert len(ends) == WARM + self.steps
        return self.steps * self.case.batch_size / (ends[-1] - ends[WARM - 1])

    def train_ours(self, number: int) -> list[float]:
        """Zaowu's own loop; only the ends of its optimizer steps are noted."""
        from zaowu.train.labelled import Part, train

        part_of = self.records.take(np.sort(self.chosen(number)))
        part = Part(
            items=self.source.items({"title": part_of.values("title")}, training=True),
            labels={"topic": part_of.values("topic")},
            ids=part_of.ids,
        )
        with measure.step_ends() as ends:
            train(self.model, self.source, part, None, self.config)
        return ends

    def train_theirs(self, name: str, number: int) -> list[float]:
        from peers import trainer

        # A fresh model every turn: a Trainer in bf16 leaves its casts in the one that it was given.
        model = trainer.MeanPooled(self.folder, len(self.classes), attention=self.kernels[name])
        clock = trainer.StepClock()
        items = [self.items[i] for i in np.concatenate(self.batches(number))]
        peer = trainer.make(
            trainer.InOrder,
            model,
            items,
            self.folder,
            batch_size=self.case.batch_size,
            bf16=TRAINERS[name],
            callbacks=[clock],
        )
        peer.train()
        return clock.ends

    @property
    def dtype(self) -> str:
        import torch

        from zaowu.trunk import precision

        return str(precision.choose(self.config.precision, torch.device("cpu"))).removeprefix("torch.")


def _only(number: int, names: Sequence[str]) -> list[tuple[int, str]]:
    return [pair for pair in measure.in_turn(names, number + 1) if pair[0] == number]


def ours(folder: Path, records: Records, config: TrainConfig) -> tuple[Any, Any]:
    """Zaowu's model and input as `learn` builds them, from the folder as it is."""
    from zaowu.config import ModelConfig
    from zaowu.inputs import Inputs, text
    from zaowu.learn import fit_targets, read_base
    from zaowu.model import Model

    base = read_base(folder)
    words, kept = text.Input.fit(["title"], [records.values("title")], base=folder, trim="off")
    source = Inputs({"text": words})
    model = Model(source.groups, fit_targets(records, config), ModelConfig(trunk=base.trunk))
    model.initialise(config.seed)
    base.load(model, source.groups, kept)
    return model, source
