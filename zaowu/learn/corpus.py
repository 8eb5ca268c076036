"""A tokenised corpus and settings -> a pre-trained model: pieces, objectives, model and loop in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from zaowu import bases, objectives
from zaowu.batching.batch import Batch
from zaowu.batching.shards import Shards
from zaowu.config import ModelConfig, PretrainConfig, TrainConfig, TrunkConfig
from zaowu.errors import UserError
from zaowu.inputs import text
from zaowu.inputs.text import learn_pieces
from zaowu.inputs.text.codec import Codec
from zaowu.learn import DEFAULT_TOKENS, Base, choose_device, read_base
from zaowu.model import Model
from zaowu.objectives import Objective, Pieces, Recipe, Tally
from zaowu.train import loop, rule
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.corpus import CorpusFeed, held_out
from zaowu.train.feed import Judged
from zaowu.train.parallel import ALONE, current

JUDGED_TOKENS = 200_000  # of the held-out documents, at most: the same ones at every evaluation


@dataclass(frozen=True)
class Tokens:
    """What a corpus is tokenised with. kept: rows of the base's token table that stay (None: all, or no base)."""

    codec: Codec
    base: Base | None
    kept: np.ndarray | None = None


@dataclass
class Pretrained:
    """A pre-trained model with everything that came with it. model_type: what others call the shape of its trunk.

    facts: of the base's token table, as its family has them; empty without a base.
    before, after: the judge's scores before the first step and with the weights that are kept; empty without one.
    """

    model: Model
    source: text.Input
    objectives: dict[str, Objective]
    training: loop.Training
    settings: TrainConfig
    model_type: str
    judged: list[Batch]
    facts: dict[str, int]
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


def is_causal(config: PretrainConfig) -> bool:
    return config.objective == "causal"


def check_base(config: PretrainConfig) -> Base | None:
    """The base to go on from, None for none. Raises UserError where it does not fit the objective or the length."""
    if config.base == "none":
        _fresh_trunk(config)
        return None
    base = read_base(bases.resolve(config.base))
    if base.trunk.causal != is_causal(config):
        kind, fitting = ("an encoder", "mlm+nsp, mlm or mlm+sop")
        if base.trunk.causal:
            kind, fitting = "a language model", "causal"
        raise UserError(f"--objective {config.objective}: {config.base} is {kind}, which goes on with {fitting}.")
    if config.objective in ("mlm+nsp", "mlm+sop") and base.trunk.num_segments < 2:
        raise UserError(
            f"--objective {config.objective}: {config.base} has no vector for a second sentence. Use --objective mlm."
        )
    positions = base.trunk.positions
    if positions.kind == "learned" and config.length > positions.max_positions:
        raise UserError(f"--length: {config.base} has {positions.max_positions} positions, got {config.length}.")
    return base


def choose_tokens(config: PretrainConfig, base: Base | None, sample: Iterable[str]) -> Tokens:
    """The base's pieces (those that the sample and its scripts need), or pieces learned from the sample."""
    if base is None:
        corpus = config.corpus
        codec = learn_pieces.learn(sample, kind=corpus.pieces, num_pieces=corpus.num_pieces, causal=is_causal(config))
        return Tokens(codec, None)
    codec, kept = Codec.from_folder(base.folder), None
    if config.trim_vocab == "auto":
        codec, kept = codec.trimmed(list(sample))
    return Tokens(codec, base, kept)


def pretrain(
    shards: Shards, tokens: Tokens, config: PretrainConfig, *, checkpoint: Checkpoint | None = None
) -> Pretrained:
    """Trains on the train side of `shards`; the valid side chooses among the evaluations, where there is one."""
    num_tokens = shards.num_tokens("train")
    settings = rule.fill_pretraining(
        config.train, num_tokens=num_tokens, length=config.length, from_base=tokens.base is not None
    )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    recipe = Recipe(
        pieces=Pieces.of(tokens.codec),
        length=config.length,
        seed=settings.seed,
        whole_word=config.corpus.whole_word,
        weights=tuple(shards.weights),
        tied=tokens.base is None or bool(tokens.base.facts.get("tied", 1)),
    )
    chosen = objectives.make(objectives.parse(config.objective), recipe)
    assert settings.batch_size
    batch_tokens = settings.batch_size * config.length
    feed = CorpusFeed(shards, chosen, batch_tokens=batch_tokens)
    judged = held_out(shards, chosen, batch_tokens=batch_tokens, max_tokens=JUDGED_TOKENS)
    source = text.Input(["text"], tokens.codec, max_tokens=config.length)
    trunk = tokens.base.trunk if tokens.base else _fresh_trunk(config)
    model = Model({source.kind: source}, {}, ModelConfig(trunk=trunk), objectives=chosen)
    model.initialise(settings.seed)
    if tokens.base is not None:
        tokens.base.load(model, source, tokens.kept)
    device = choose_device(settings.device)
    if not (settings.engine.shard and current().world > 1):  # else it may be larger than a device
        model.to(device)
    judge = HeldOut(judged) if judged else None
    before = judge(model).scores if judge else {}
    training = loop.train(model, feed, judge, settings, checkpoint=checkpoint, label="pre-training")
    return Pretrained(
        model=model,
        source=source,
        objectives=chosen,
        training=training,
        settings=settings,
        model_type=tokens.base.model_type if tokens.base else "llama" if is_causal(config) else "bert",
        judged=judged,
        facts=tokens.base.facts if tokens.base else {},
        before=before,
        after=training.best.valid if training.history else {},
    )


def _fresh_trunk(config: PretrainConfig) -> TrunkConfig:
    return rule.from_scratch(config.size, max_positions=max(DEFAULT_TOKENS, config.length), causal=is_causal(config))


@dataclass(frozen=True)
class HeldOut:
    """The objectives' figures on batches that no training sees. The sum of their losses chooses."""

    batches: Sequence[Batch]

    def __call__(self, model: Model) -> Judged:
        was_training, device = model.training, next(model.parameters()).device
        model.eval()
        # With ranks each one answers its share; where weights are spread over them, all go through all together.
        ranks = ALONE if model.is_sharded else current()
        tallies = dict.fromkeys(model.objectives, Tally())
        for batch in self.batches[ranks.rank :: ranks.world]:
            for name, tally in model.judge(batch.to(device)).items():
                tallies[name] = tallies[name] + tally
        tallies = {name: Tally(*ranks.sums(own.loss, own.right, own.count)) for name, own in tallies.items()}
        model.train(was_training)
        scores: dict[str, float] = {}
        total = 0.0
        for name, tally in tallies.items():
            if not tally.count:  # documents of one sentence have no next one
                continue
            found = model.objectives[name].score(tally)
            total += found["loss"]
            before = f"{name}_" if scores else ""
            scores |= {f"{before}{metric}": value for metric, value in found.items()}
        return Judged(scores, (-total,))
