"""Both sides of `pretrain.py`, made ready to learn hidden tokens in turn: the same weights, tokens and batch."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from shared import measure
from shared.cases import write_random

from peers.sides import KERNELS, OURS, TRAINERS, WARM
from zaowu.config import CorpusConfig, ModelConfig, ScheduleConfig, TrainConfig, TrunkConfig
from zaowu.learn import Base, read_base
from zaowu.train.corpus import CorpusFeed
from zaowu.train.estimate import cost

SAMPLE_CHARACTERS = 5_000_000  # of the corpus, from which the pieces are taken


@dataclass(frozen=True)
class Shape:
    """layers x dim with so many heads, 4 dim inside, and pieces; a batch is `rows` of `length` tokens."""

    name: str
    layers: int
    dim: int
    heads: int
    pieces: int
    length: int
    rows: int

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.rows * self.length


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("small", layers=6, dim=384, heads=12, pieces=21128, length=128, rows=32),
        Shape("tiny", layers=2, dim=64, heads=2, pieces=2000, length=32, rows=8),  # to try the script with
    )
}


def base_folder(shape: Shape, data: Path, work: Path) -> Path:
    """The folder with the fresh weights and the pieces that both sides load, made once under `work`."""
    from zaowu.records.corpus import documents

    folder = work / shape.name
    if not (folder / "ready").is_file():
        texts, left = [], SAMPLE_CHARACTERS
        for document in documents([(str(data), 1.0)]):
            texts += document.paragraphs
            left -= document.characters
            if left <= 0:
                break
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        sizes = {"pieces": shape.pieces, "layers": shape.layers, "dim": shape.dim, "heads": shape.heads}
        write_random(texts, folder, **sizes, masked=True)
        (folder / "ready").touch()
    return folder


def tokenised(data: Path, folder: Path, work: Path) -> Any:
    """The corpus as shards, made once under `work`. Raises UserError for one that cannot be read, or has changed."""
    from zaowu.batching.shards import build
    from zaowu.inputs.text.codec import Codec
    from zaowu.records.corpus import documents

    corpus = documents([(str(data), 1.0)], CorpusConfig())
    return build(corpus, Codec.from_folder(folder), work / f"{folder.name}-shards")


def ours(folder: Path, objectives: dict[str, Any], *, trunk: TrunkConfig | None = None) -> Any:
    """Zaowu's model as `pretrain --base` builds it from the folder; with another trunk, its weights are fresh."""
    from zaowu.inputs import text
    from zaowu.inputs.text.codec import Codec
    from zaowu.model import Model

    base: Base = read_base(folder)
    source = text.Input(["text"], Codec.from_folder(folder), max_tokens=objectives["masked"].recipe.length)
    model = Model({source.kind: source}, {}, ModelConfig(trunk=trunk or base.trunk), objectives=objectives)
    model.initialise(0)
    if trunk is None:
        base.load(model, {source.kind: source}, None)
    return model


def hiding(folder: Path, *, length: int) -> dict[str, Any]:
    """The masked objective over the folder's pieces."""
    from zaowu.inputs.text.codec import Codec
    from zaowu.objectives import Pieces, Recipe, make

    return make(["masked"], Recipe(pieces=Pieces.of(Codec.from_folder(folder)), length=length))


def settings(steps: int | None, *, tokens: int | None = None) -> TrainConfig:
    """Of Zaowu's loop; those of the Trainer are the same. Nothing is evaluated or saved on either side."""
    return TrainConfig(batch_size=1, lr=1e-4, warmup=0.06, schedule=ScheduleConfig(steps=steps, tokens=tokens))


@dataclass
class Watched:
    """The first `count` batches of one epoch as a feed of their own; notes the seconds that making each one took."""

    feed: CorpusFeed
    at: int
    count: int
    seconds: list[float] = field(default_factory=list)

    def num_batches(self, epoch: int) -> int:
        return self.count

    def num_tokens(self, epoch: int, number: int) -> int:
        if number >= self.count:
            raise IndexError(f"there are {self.count} batches")
        return self.feed.num_tokens(self.at, number)

    def epoch_tokens(self, epoch: int) -> int:
        return sum(self.num_tokens(epoch, number) for number in range(self.count))

    def batch(self, epoch: int, number: int) -> Any:
        start = time.perf_counter()
        made = self.feed.batch(self.at, number)
        self.seconds.append(time.perf_counter() - start)
        return made

    def named(self, epoch: int, number: int) -> str:
        return self.feed.named(self.at, number)


@dataclass(frozen=True)
class Work:
    """What is in some batches. tokens: real ones; places: with the padding; pairs: of tokens that see each other;
    masked: tokens that are to be guessed."""

    tokens: int
    places: int
    pairs: int
    masked: int

    @classmethod
    def of(cls, batches: Sequence[Any]) -> Work:
        tokens = places = pairs = masked = 0
        for batch in batches:
            mask = batch.mask.numpy()
            tokens, places = tokens + int(mask.sum()), places + mask.size
            masked += int((batch.targets["masked"] >= 0).sum())
            documents = batch.documents.numpy() if batch.documents is not None else np.zeros(mask.shape, np.int64)
            own = np.arange(len(mask))[:, None] * (documents.max(initial=0) + 1) + documents
            pairs += int((np.bincount(own[mask]).astype(np.int64) ** 2).sum())
        return cls(tokens, places, pairs, masked)

    def flops(self, trunk: TrunkConfig, pieces: int) -> float:
        """Of training, by formula: three times forward, the output layer only where a token is to be guessed."""
        head = 2.0 * self.masked * (trunk.dim**2 + trunk.dim * pieces)
        return 3 * (cost.flops(trunk, self.tokens, self.pairs) + head)


class MaskedSides:
    """Zaowu's loop over a corpus and the Trainer with its collator for masked language models, for turns of `steps`.

    A round is an epoch of the corpus: other rows, other hidden tokens. The Trainer gets the tokens of our rows, in the
    order of our batches, cut anew into full rows, so that it has no padding at all.
    """

    def __init__(self, shape: Shape, folder: Path, shards: Any, steps: int) -> None:
        self.shape, self.folder, self.shards, self.steps = shape, folder, shards, steps
        self.objectives = hiding(folder, length=shape.length)
        self.model = ours(folder, self.objectives)
        self.config = settings(WARM + steps)
        self.kernels = dict.fromkeys(TRAINERS, KERNELS[0])
        have = self.feed().num_batches(0)
        assert have >= WARM + steps + 1, f"{WARM + steps + 1} batches are needed for a round, the corpus gives {have}"

    def feed(self) -> CorpusFeed:
        return CorpusFeed(self.shards, self.objectives, batch_tokens=self.shape.tokens)

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
                rates[name][kernel] = round(self.theirs(name, 0), 1)
            self.kernels[name] = max(KERNELS, key=rates[name].__getitem__)
        self.ours(0)
        keep({"kernels": self.kernels, "kernel_rates": rates, **measure.machine()})

    def round(self, number: int) -> dict[str, Any]:
        """Tokens per second of each side in this round, what was in our batches, and the peaks beside them."""
        rates: dict[str, float] = {}
        told: dict[str, float] = {}
        for place, name in measure.in_turn((OURS, *TRAINERS), number + 1):
            if place == number:
                rates[name] = self.ours(number, told) if name == OURS else self.theirs(name, number)
        feed = self.feed()
        work = Work.of([feed.batch(number, place) for place in range(WARM, WARM + self.steps)])
        trunk = self.model.config.trunk
        peaks = {dtype: measure.product_peak(dtype) / 1e9 for dtype in ("float32", "bfloat16")}
        return {
            "rates": {name: round(rate, 1) for name, rate in rates.items()},
            "mflop_per_token": round(work.flops(trunk, self.shape.pieces) / work.tokens / 1e6, 4),
            "padding": round(1 - work.tokens / work.places, 5),
            "waiting": round(told["waiting"], 5),
            "planning": round(told["planning"], 5),
            "peak_gflops": {name: round(peak, 1) for name, peak in peaks.items()},
            "ours_in": self.dtype,
        }

    def ours(self, number: int, told: dict[str, float] | None = None) -> float:
        """Zaowu's own loop; tokens per second from the end of the last warm-up step to the end.

        told: gets the shares of that time that went into making the batches, and into planning as much of the corpus:
        a shard is planned as a whole, before its first batch.
        """
        from zaowu.train import loop

        gc.collect()
        feed = self.feed()
        start = time.perf_counter()
        planned = int(feed.opened(number, int(feed.order(number)[0])).tokens.sum())
        planning = time.perf_counter() - start
        watched = Watched(feed, number, WARM + self.steps)
        with measure.step_ends() as ends:
            loop.train(self.model, watched, None, self.config)
        assert len(ends) == WARM + self.steps
        seconds = ends[-1] - ends[WARM - 1]
        tokens = sum(watched.num_tokens(0, place) for place in range(WARM, WARM + self.steps))
        if told is not None:
            told["waiting"] = sum(watched.seconds[WARM:]) / seconds
            told["planning"] = planning * tokens / planned / seconds
        return tokens / seconds

    def theirs(self, name: str, number: int) -> float:
        from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

        from peers import trainer

        gc.collect()
        # A fresh model every turn: a Trainer in bf16 leaves its casts in the one that it was given.
        model = AutoModelForMaskedLM.from_pretrained(self.folder, attn_implementation=self.kernels[name])
        clock = trainer.StepClock()
        peer = trainer.make(
            trainer.InOrder,
            model,
            self.items(number),
            self.folder,
            batch_size=self.shape.rows,
            bf16=TRAINERS[name],
            collator=DataCollatorForLanguageModeling(AutoTokenizer.from_pretrained(self.folder), mlm_probability=0.15),
            callbacks=[clock],
        )
        peer.train()
        assert len(clock.ends) == WARM + self.steps
        return self.steps * self.shape.tokens / (clock.ends[-1] - clock.ends[WARM - 1])

    def items(self, number: int) -> list[dict[str, Any]]:
        """Full rows for the Trainer. What is special is marked beforehand, which spares its collator a search."""
        feed, length = self.feed(), self.shape.length
        wanted = (WARM + self.steps) * self.shape.tokens
        found: list[np.ndarray] = []
        for ids in _tokens(feed, number):
            found.append(ids)
            if sum(map(len, found)) >= wanted:
                break
        rows = np.concatenate(found)[:wanted]
        rows = rows[: len(rows) // length * length].reshape(-1, length)
        assert len(rows) == (WARM + self.steps) * self.shape.rows, "the corpus is too small for a round"
        special = np.isin(rows, list(self.objectives["masked"].recipe.pieces.special))
        return [
            {"input_ids": ids.tolist(), "special_tokens_mask": marks.astype(int).tolist()}
            for ids, marks in zip(rows, special, strict=True)
        ]

    @property
    def dtype(self) -> str:
        import torch

        from zaowu.trunk import precision

        return str(precision.choose(self.config.precision, torch.device("cpu"))).removeprefix("torch.")


def _tokens(feed: CorpusFeed, epoch: int) -> Iterator[np.ndarray]:
    """The tokens of batch after batch, before any is hidden."""
    for place in feed.order(epoch).tolist():
        opened = feed.opened(epoch, place)
        for index in opened.batches:
            yield feed.layout.rows(opened.shard, opened.plan, index, epoch=epoch).ids
